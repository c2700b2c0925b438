/** The observer that publishes to the channels (channels.ts). If nobody listens, a call looks at one flag and nothing else. */

import type { Descriptor, UpstreamState } from '../../mux/ports/link.js';
import type { ClientView, CommandView, Observer, ReplySource, UpstreamHealth } from '../../mux/ports/observer.js';
import {
  clientConnected,
  clientDescriptors,
  clientDisconnected,
  clientLimited,
  clientMalformed,
  clientNegotiated,
  commandAnswered,
  commandDenied,
  commandDropped,
  commandSent,
  commandStuck,
  commandTimeout,
  commandUnanswered,
  eventCame,
  strayCame,
  upstreamChanged,
  upstreamHealth,
} from './channels.js';

export class ChannelObserver implements Observer {
  readonly wantsRaw = false;
  readonly #monitor: string;
  readonly #now: () => number;

  /** @param now the multiplexer's clock, in microseconds */
  constructor(monitor: string, now: () => number) {
    this.#monitor = monitor;
    this.#now = now;
  }

  connected(client: ClientView): void {
    if (clientConnected.hasSubscribers) clientConnected.publish({ ...this.#client(client), peer: client.peer });
  }

  negotiated(client: ClientView, capabilities: readonly string[]): void {
    if (clientNegotiated.hasSubscribers) clientNegotiated.publish({ ...this.#client(client), capabilities });
  }

  descriptors(client: ClientView, descriptors: readonly Descriptor[], fault: string | null): void {
    if (!clientDescriptors.hasSubscribers) return;
    clientDescriptors.publish({ ...this.#client(client), count: descriptors.length, fault });
  }

  disconnected(client: ClientView, reason: string): void {
    if (clientDisconnected.hasSubscribers) clientDisconnected.publish({ ...this.#client(client), reason });
  }

  command(command: CommandView): void {
    // Commands carried out here are not sent.
    if (!commandSent.hasSubscribers || command.upstreamId < 0) return;
    commandSent.publish({ ...this.#command(command), waited: (this.#now() - command.receivedAt) / 1000 });
  }

  answered(command: CommandView, _reply: readonly Uint8Array[], isError: boolean, source: ReplySource): void {
    if (!commandAnswered.hasSubscribers) return;
    const isQemus = source === 'upstream' || source === 'late';
    commandAnswered.publish({
      ...this.#command(command),
      isError,
      source,
      waited: isQemus ? (command.sentAt - command.receivedAt) / 1000 : 0,
      took: isQemus ? (this.#now() - command.sentAt) / 1000 : 0,
    });
  }

  unanswered(command: CommandView, reason: string): void {
    if (commandUnanswered.hasSubscribers) commandUnanswered.publish({ ...this.#command(command), reason });
  }

  stuck(command: CommandView, age: number): void {
    if (commandStuck.hasSubscribers) commandStuck.publish({ ...this.#command(command), age: age / 1000 });
  }

  abandoned(command: CommandView): void {
    if (commandTimeout.hasSubscribers) commandTimeout.publish(this.#command(command));
  }

  dropped(command: CommandView, reason: string): void {
    if (commandDropped.hasSubscribers) commandDropped.publish({ ...this.#command(command), reason });
  }

  limited(client: ClientView | null, listener: string, limit: string, what: string): void {
    if (!clientLimited.hasSubscribers) return;
    clientLimited.publish({ monitor: this.#monitor, client: client?.id ?? null, listener, limit, what });
  }

  malformed(client: ClientView): void {
    if (clientMalformed.hasSubscribers) clientMalformed.publish(this.#client(client));
  }

  denied(command: CommandView, rule: string): void {
    if (commandDenied.hasSubscribers) commandDenied.publish({ ...this.#command(command), rule });
  }

  event(name: string, _message: readonly Uint8Array[], receivers: number): void {
    if (eventCame.hasSubscribers) eventCame.publish({ monitor: this.#monitor, event: name, receivers });
  }

  upstream(state: UpstreamState): void {
    if (upstreamChanged.hasSubscribers) upstreamChanged.publish({ monitor: this.#monitor, state });
  }

  health(health: UpstreamHealth, _before: UpstreamHealth, age: number): void {
    if (!upstreamHealth.hasSubscribers) return;
    upstreamHealth.publish({ monitor: this.#monitor, health: health.name, age: age / 1000 });
  }

  stray(_message: readonly Uint8Array[], why: string): void {
    if (strayCame.hasSubscribers) strayCame.publish({ monitor: this.#monitor, why });
  }

  flush(): null {
    return null;
  }

  #client({ id, listener }: ClientView) {
    return { monitor: this.#monitor, client: id, listener };
  }

  #command({ client, name, oob, id }: CommandView) {
    return {
      ...this.#client(client),
      command: name,
      oob,
      id: id === null ? null : Buffer.from(id).toString('latin1'),
    };
  }
}
