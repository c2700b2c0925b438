/**
 * Whose command goes upstream next: clients with a waiting command take turns, one command each, so that a client that
 * pipelines thousands delays another by no more than the commands in flight. Out-of-band commands take turns among themselves.
 */

import type { PendingCommand } from '../commands/command.js';
import type { CommandSource } from '../commands/command-sink.js';

const NONE: PendingCommand[] = [];

/** Clients, next turn first. Each is there once. */
class Ring {
  #sources: CommandSource[] = [];
  readonly #members = new Set<CommandSource>();

  get length(): number {
    return this.#sources.length;
  }

  has(source: CommandSource): boolean {
    return this.#members.has(source);
  }

  add(source: CommandSource): void {
    if (this.#members.has(source)) return;
    this.#members.add(source);
    this.#sources.push(source);
  }

  shift(): CommandSource | null {
    const source = this.#sources.shift() ?? null;
    if (source !== null) this.#members.delete(source);
    return source;
  }

  [Symbol.iterator](): Iterator<CommandSource> {
    return this.#sources.values();
  }

  /** Takes out clients that have no waiting command. */
  trim(): void {
    this.#sources = this.#sources.filter((source) => {
      if (source.hasWaiting) return true;
      this.#members.delete(source);
      return false;
    });
  }

  clear(): void {
    this.#sources.length = 0;
    this.#members.clear();
  }
}

export class Scheduler {
  /** Clients with a waiting in-band command. */
  readonly #ring = new Ring();
  /** Clients with a waiting out-of-band command. */
  readonly #oobRing = new Ring();

  /** Puts a client in the ring. @returns whether it was not there yet */
  offer(source: CommandSource): boolean {
    if (this.#ring.has(source)) return false;
    this.#ring.add(source);
    return true;
  }

  /** The same for out-of-band commands. */
  offerOob(source: CommandSource): void {
    this.#oobRing.add(source);
  }

  /** @returns the next in-band command, taken from its client's waiting ones; null when no client has any. */
  nextInBand(): PendingCommand | null {
    for (let source = this.#ring.shift(); source !== null; source = this.#ring.shift()) {
      const command = source.takeWaiting();
      if (command === null) continue;
      if (source.hasWaiting) this.#ring.add(source);
      return command;
    }
    return null;
  }

  /**
   * Takes the same query from every other client whose next command it is. Each was sent before now, and all its client's
   * earlier commands are upstream already, so an answer to a query that goes upstream now is new enough for all of them,
   * and comes in everyone's order.
   */
  takeSame(leader: PendingCommand): PendingCommand[] {
    let taken: PendingCommand[] | null = null;
    for (const source of this.#ring) {
      const next = source.nextWaiting;
      if (next === null || !next.isPlainQuery || next.name !== leader.name) continue;
      // A client's own commands are not merged with each other: it asked twice, and may look for a change.
      if (source === leader.owner) continue;
      source.takeWaiting();
      taken ??= [];
      taken.push(next);
    }
    if (taken !== null) this.#ring.trim();
    return taken ?? NONE;
  }

  /** @returns the next out-of-band command, taken from its client's waiting ones; null when no client has any. */
  nextOob(): PendingCommand | null {
    for (let source = this.#oobRing.shift(); source !== null; source = this.#oobRing.shift()) {
      const command = source.takeWaitingOob();
      if (command === null) continue;
      if (source.nextWaitingOob !== null) this.#oobRing.add(source);
      return command;
    }
    return null;
  }

  get hasWaiting(): boolean {
    return this.#ring.length > 0 || this.#oobRing.length > 0;
  }

  /** Forgets everything: the upstream is gone. */
  clear(): void {
    this.#ring.clear();
    this.#oobRing.clear();
  }
}
