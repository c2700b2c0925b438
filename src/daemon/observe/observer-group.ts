/** Several observers as one: the audit log's and the daemon's own. At most one of them may use `CommandView.auditSeq`. */
import type { Counters } from '../../mux/ports/counters.js';
import type { Descriptor, UpstreamState } from '../../mux/ports/link.js';
import type {
  ClientView,
  CommandView,
  Observer,
  ProbeView,
  ReplySource,
  UpstreamHealth,
} from '../../mux/ports/observer.js';

export class ObserverGroup implements Observer {
  readonly wantsRaw: boolean;
  readonly #all: readonly Observer[];

  constructor(all: readonly Observer[]) {
    this.#all = all;
    this.wantsRaw = all.some((observer) => observer.wantsRaw);
  }

  connected(client: ClientView): void {
    for (const observer of this.#all) observer.connected(client);
  }

  negotiated(client: ClientView, capabilities: readonly string[], raw: Uint8Array): void {
    for (const observer of this.#all) observer.negotiated(client, capabilities, raw);
  }

  disconnected(client: ClientView, reason: string): void {
    for (const observer of this.#all) observer.disconnected(client, reason);
  }

  descriptors(client: ClientView, descriptors: readonly Descriptor[], fault: string | null): void {
    for (const observer of this.#all) observer.descriptors?.(client, descriptors, fault);
  }

  command(command: CommandView): void {
    for (const observer of this.#all) observer.command(command);
  }

  answered(command: CommandView, reply: readonly Uint8Array[], isError: boolean, source: ReplySource): void {
    for (const observer of this.#all) observer.answered(command, reply, isError, source);
  }

  unanswered(command: CommandView, reason: string): void {
    for (const observer of this.#all) observer.unanswered(command, reason);
  }

  stuck(command: CommandView, age: number): void {
    for (const observer of this.#all) observer.stuck?.(command, age);
  }

  abandoned(command: CommandView, reply: Uint8Array): void {
    for (const observer of this.#all) observer.abandoned?.(command, reply);
  }

  dropped(command: CommandView, reason: string): void {
    for (const observer of this.#all) observer.dropped?.(command, reason);
  }

  limited(client: ClientView | null, listener: string, limit: keyof Counters, what: string): void {
    for (const observer of this.#all) observer.limited?.(client, listener, limit, what);
  }

  malformed(client: ClientView, raw: Uint8Array, reply: Uint8Array): void {
    for (const observer of this.#all) observer.malformed(client, raw, reply);
  }

  denied(command: CommandView, rule: string, reply: Uint8Array): void {
    for (const observer of this.#all) observer.denied(command, rule, reply);
  }

  event(name: string, message: readonly Uint8Array[], receivers: number): void {
    for (const observer of this.#all) observer.event(name, message, receivers);
  }

  upstream(state: UpstreamState): void {
    for (const observer of this.#all) observer.upstream(state);
  }

  stray(message: readonly Uint8Array[], why: string): void {
    for (const observer of this.#all) observer.stray(message, why);
  }

  probe(probe: ProbeView): void {
    for (const observer of this.#all) observer.probe?.(probe);
  }

  probeAnswered(probe: ProbeView, reply: readonly Uint8Array[], isError: boolean): void {
    for (const observer of this.#all) observer.probeAnswered?.(probe, reply, isError);
  }

  probeUnanswered(probe: ProbeView, reason: string): void {
    for (const observer of this.#all) observer.probeUnanswered?.(probe, reason);
  }

  health(health: UpstreamHealth, before: UpstreamHealth, age: number): void {
    for (const observer of this.#all) observer.health?.(health, before, age);
  }

  flush(): string | null {
    let trouble: string | null = null;
    for (const observer of this.#all) trouble ??= observer.flush();
    return trouble;
  }
}
