/**
 * Whose command goes upstream next: clients with a waiting command take turns, one command each, so that a client that
 * pipelines thousands delays another by no more than what is in flight. Out-of-band commands take turns among themselves.
 */

import type { Session } from '../client/session.js';
import type { PendingCommand } from '../commands/command.js';

const NONE: PendingCommand[] = [];

export class Scheduler {
  /** Clients with a waiting in-band command, next turn first. */
  readonly #ring: Session[] = [];
  /** Clients with a waiting out-of-band command, next turn first. */
  readonly #oobRing: Session[] = [];

  /** Puts a client in the ring; it is there once however often it is offered. */
  offer(session: Session): void {
    if (session.isInRing) return;
    session.isInRing = true;
    this.#ring.push(session);
  }

  /** The same for out-of-band commands. */
  offerOob(session: Session): void {
    if (session.isInOobRing) return;
    session.isInOobRing = true;
    this.#oobRing.push(session);
  }

  /** @returns the next in-band command, taken from its client's waiting ones; null when no client has any. */
  nextInBand(): PendingCommand | null {
    for (;;) {
      const session = this.#ring.shift();
      if (session === undefined) return null;
      session.isInRing = false;
      const command = session.commands.takeWaiting();
      if (command === null) continue;
      if (session.commands.hasWaiting) this.offer(session);
      return command;
    }
  }

  /**
   * Takes the same query from every other client whose next command it is. Each was sent before now, and all its client's
   * earlier commands are upstream already, so an answer to a query that goes upstream now is new enough for all of them,
   * and comes in everyone's order.
   */
  takeSame(leader: PendingCommand): PendingCommand[] {
    let taken: PendingCommand[] | null = null;
    for (const session of this.#ring) {
      const next = session.commands.nextWaiting;
      if (next === null || !next.isPlainQuery || next.name !== leader.name) continue;
      // A client's own commands are not merged with each other: it asked twice, and may look for a change.
      if (session === leader.session) continue;
      session.commands.takeWaiting();
      taken ??= [];
      taken.push(next);
    }
    if (taken === null) return NONE;
    for (let at = this.#ring.length - 1; at >= 0; at--) {
      const session = this.#ring[at];
      if (session === undefined || session.commands.hasWaiting) continue;
      session.isInRing = false;
      this.#ring.splice(at, 1);
    }
    return taken;
  }

  /** @returns the next out-of-band command, taken from its client's waiting ones; null when no client has any. */
  nextOob(): PendingCommand | null {
    for (;;) {
      const session = this.#oobRing.shift();
      if (session === undefined) return null;
      session.isInOobRing = false;
      const command = session.commands.takeWaitingOob();
      if (command === null) continue;
      if (session.commands.nextWaitingOob !== null) this.offerOob(session);
      return command;
    }
  }

  get hasWaiting(): boolean {
    return this.#ring.length > 0 || this.#oobRing.length > 0;
  }

  /** Forgets everything: the upstream is gone. */
  clear(): void {
    for (const session of this.#ring) session.isInRing = false;
    for (const session of this.#oobRing) session.isInOobRing = false;
    this.#ring.length = 0;
    this.#oobRing.length = 0;
  }
}
