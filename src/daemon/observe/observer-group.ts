/** Several journals as one: the audit log's and the daemon's own. At most one of them may use `CommandView.mark`. */
import type { Counters } from '../../mux/ports/counters.js';
import type { Descriptor, UpstreamState } from '../../mux/ports/link.js';
import type {
  ClientView,
  CommandView,
  Journal,
  ProbeView,
  ReplySource,
  UpstreamHealth,
} from '../../mux/ports/observer.js';

export class Journals implements Journal {
  readonly wantsRaw: boolean;
  readonly #all: readonly Journal[];

  constructor(all: readonly Journal[]) {
    this.#all = all;
    this.wantsRaw = all.some((journal) => journal.wantsRaw);
  }

  connected(client: ClientView): void {
    for (const journal of this.#all) journal.connected(client);
  }

  negotiated(client: ClientView, capabilities: readonly string[], raw: Uint8Array): void {
    for (const journal of this.#all) journal.negotiated(client, capabilities, raw);
  }

  disconnected(client: ClientView, reason: string): void {
    for (const journal of this.#all) journal.disconnected(client, reason);
  }

  descriptors(client: ClientView, descriptors: readonly Descriptor[], fault: string | null): void {
    for (const journal of this.#all) journal.descriptors?.(client, descriptors, fault);
  }

  command(command: CommandView): void {
    for (const journal of this.#all) journal.command(command);
  }

  answered(command: CommandView, reply: readonly Uint8Array[], isError: boolean, source: ReplySource): void {
    for (const journal of this.#all) journal.answered(command, reply, isError, source);
  }

  unanswered(command: CommandView, reason: string): void {
    for (const journal of this.#all) journal.unanswered(command, reason);
  }

  stuck(command: CommandView, age: number): void {
    for (const journal of this.#all) journal.stuck?.(command, age);
  }

  abandoned(command: CommandView, reply: Uint8Array): void {
    for (const journal of this.#all) journal.abandoned?.(command, reply);
  }

  dropped(command: CommandView, reason: string): void {
    for (const journal of this.#all) journal.dropped?.(command, reason);
  }

  limited(client: ClientView | null, listener: string, limit: keyof Counters, what: string): void {
    for (const journal of this.#all) journal.limited?.(client, listener, limit, what);
  }

  malformed(client: ClientView, raw: Uint8Array, reply: Uint8Array): void {
    for (const journal of this.#all) journal.malformed(client, raw, reply);
  }

  denied(command: CommandView, rule: string, reply: Uint8Array): void {
    for (const journal of this.#all) journal.denied(command, rule, reply);
  }

  event(name: string, message: readonly Uint8Array[], receivers: number): void {
    for (const journal of this.#all) journal.event(name, message, receivers);
  }

  upstream(state: UpstreamState): void {
    for (const journal of this.#all) journal.upstream(state);
  }

  stray(message: readonly Uint8Array[], why: string): void {
    for (const journal of this.#all) journal.stray(message, why);
  }

  probe(probe: ProbeView): void {
    for (const journal of this.#all) journal.probe?.(probe);
  }

  probeAnswered(probe: ProbeView, reply: readonly Uint8Array[], isError: boolean): void {
    for (const journal of this.#all) journal.probeAnswered?.(probe, reply, isError);
  }

  probeUnanswered(probe: ProbeView, reason: string): void {
    for (const journal of this.#all) journal.probeUnanswered?.(probe, reason);
  }

  health(health: UpstreamHealth, before: UpstreamHealth, age: number): void {
    for (const journal of this.#all) journal.health?.(health, before, age);
  }

  flush(): string | null {
    let trouble: string | null = null;
    for (const journal of this.#all) trouble ??= journal.flush();
    return trouble;
  }
}
