/**
 * Reports with a member for each client. They cost in proportion to the crowd, so those of a large one are kept for a moment: who
 * asks again and again gets the same.
 */

import type { Session } from '../client/session.js';
import type { Multiplexer } from '../multiplexer.js';
import { clientReport, queueReport, writeReport } from './extension-report.js';

/** With fewer clients every report is a new one. */
const MANY = 100;
/** How long one is kept, in microseconds. */
const MOMENT = 100_000;

interface Kept<T> {
  readonly at: number;
  readonly value: T;
}

export class CrowdReports {
  readonly #mux: Multiplexer;
  /** By client: its report without the brace at its end. */
  #clients: Kept<ReadonlyMap<Session, string>> | null = null;
  #queue: Kept<string> | null = null;

  constructor(mux: Multiplexer) {
    this.#mux = mux;
  }

  /** @returns everyone who is connected, as JSON. @param self who asks, and is always among them */
  clients(self: Session, now: number): string {
    let kept = this.#clients;
    if (kept === null || !this.#isGood(kept.at, now) || !kept.value.has(self)) {
      const value = new Map<Session, string>();
      for (const session of this.#mux.sessions) {
        if (session.isConnected) value.set(session, writeReport(clientReport(session, now)).slice(0, -1));
      }
      kept = this.#clients = { at: now, value };
    }
    const members: string[] = [];
    for (const [session, text] of kept.value) members.push(`${text}, "self": ${session === self}}`);
    return `[${members.join(', ')}]`;
  }

  /** @returns who has a command without an answer, as JSON */
  queue(now: number): string {
    if (this.#queue === null || !this.#isGood(this.#queue.at, now)) {
      this.#queue = { at: now, value: writeReport(queueReport(this.#mux, this.#mux.sessions, now)) };
    }
    return this.#queue.value;
  }

  /** Keeps nothing: nobody may ask again for long. */
  forget(): void {
    this.#clients = null;
    this.#queue = null;
  }

  #isGood(at: number, now: number): boolean {
    return this.#mux.clientCount > MANY && now - at < MOMENT;
  }
}
