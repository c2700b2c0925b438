/**
 * Whose command goes upstream next: clients with a waiting command take turns, one command each, so that a client that
 * pipelines thousands delays another by no more than what is in flight.
 */
import type { PendingCommand } from './pending-command.js';
import type { Session } from './session.js';

export class Scheduler {
  /** Clients with a waiting in-band command, next turn first. */
  readonly #ring: Session[] = [];
  readonly #oob: PendingCommand[] = [];
  #oobHead = 0;

  /** Clients that wait for their turn. */
  get waitingClients(): number {
    return this.#ring.length;
  }

  /** Puts a client in the ring; it is there once however often it is offered. */
  offer(session: Session): void {
    if (session.isInRing) return;
    session.isInRing = true;
    this.#ring.push(session);
  }

  offerOob(command: PendingCommand): void {
    this.#oob.push(command);
  }

  /** @returns the next in-band command, taken from its client's waiting ones; null when no client has any. */
  nextInBand(): PendingCommand | null {
    for (;;) {
      const session = this.#ring.shift();
      if (session === undefined) return null;
      session.isInRing = false;
      const command = session.takeWaiting();
      if (command === null) continue;
      if (session.hasWaiting) this.offer(session);
      return command;
    }
  }

  /** @returns the next out-of-band command, in order of arrival. */
  nextOob(): PendingCommand | null {
    const command = this.#oob[this.#oobHead];
    if (command === undefined) return null;
    this.#oobHead++;
    if (this.#oobHead === this.#oob.length) {
      this.#oob.length = 0;
      this.#oobHead = 0;
    }
    return command;
  }

  get hasWaiting(): boolean {
    return this.#ring.length > 0 || this.#oob.length > 0;
  }

  /** Forgets everything: the upstream is gone. @returns the out-of-band commands that were waiting. */
  clear(): PendingCommand[] {
    for (const session of this.#ring) session.isInRing = false;
    this.#ring.length = 0;
    const rest = this.#oob.slice(this.#oobHead);
    this.#oob.length = 0;
    this.#oobHead = 0;
    return rest;
  }
}
