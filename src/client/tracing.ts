/**
 * The channels of node:diagnostics_channel on which the client library reports its work. Messages are made only when somebody listens.
 * Their types take the client as a parameter: `channels.ts` fills it in.
 */
import { channel, tracingChannel } from 'node:diagnostics_channel';
import type { ConnectionError } from './errors.js';
import type { Greeting } from './messages.js';

export interface ConnectedMessage<Client> {
  readonly client: Client;
  readonly where: string;
  readonly greeting: Greeting;
}

export interface ClosedMessage<Client> {
  readonly client: Client;
  readonly where: string;
  readonly error: ConnectionError | null;
}

export interface CommandMessage<Client> {
  readonly client: Client;
  readonly where: string;
  readonly command: string;
  readonly oob: boolean;
}

export const connected = channel('qmpmux:qmp-client:connected');
export const closed = channel('qmpmux:qmp-client:closed');
/** Its channels are `tracing:qmpmux:qmp-client:command:start`, `:end`, `:asyncStart`, `:asyncEnd` and `:error`. */
const command = tracingChannel<CommandMessage<object>>('qmpmux:qmp-client:command');

/** Runs a command and reports it, if anyone listens. */
export function traced<T>(message: CommandMessage<object>, run: () => Promise<T>): Promise<T> {
  return command.tracePromise(run, message);
}

/** Whether anyone wants to know of commands. */
export function isTraced(): boolean {
  return command.hasSubscribers;
}
