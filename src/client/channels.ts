/**
 * The channels of node:diagnostics_channel on which the client library tells what it does; see docs/reference/tracing.md. Messages are made only
 * when somebody listens.
 */
import { channel, tracingChannel } from 'node:diagnostics_channel';
import type { ConnectionError } from './errors.js';
import type { Greeting } from './messages.js';
import type { QmpClient } from './qmp-client.js';

/** The channels `qmpmux:qmp-client:…` and their messages. */
export interface ClientChannels {
  'qmpmux:qmp-client:connected': { readonly client: QmpClient; readonly where: string; readonly greeting: Greeting };
  'qmpmux:qmp-client:closed': {
    readonly client: QmpClient;
    readonly where: string;
    readonly error: ConnectionError | null;
  };
}

/** What the tracing channel `qmpmux:qmp-client:command` is told of one command; Node adds `result` or `error`. */
export interface CommandTrace {
  readonly client: QmpClient;
  readonly where: string;
  readonly command: string;
  readonly oob: boolean;
}

export const connected = channel('qmpmux:qmp-client:connected');
export const closed = channel('qmpmux:qmp-client:closed');
/** Its channels are `tracing:qmpmux:qmp-client:command:start`, `:end`, `:asyncStart`, `:asyncEnd` and `:error`. */
const command = tracingChannel<CommandTrace>('qmpmux:qmp-client:command');

/** Runs a command and tells of it, if anyone listens. */
export function traced<T>(trace: CommandTrace, run: () => Promise<T>): Promise<T> {
  return command.tracePromise(run, trace);
}

/** Whether anyone wants to know of commands. */
export function isTraced(): boolean {
  return command.hasSubscribers;
}
