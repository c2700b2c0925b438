/**
 * Reports with a member for each client. Their cost grows with the number of clients, so those of a large crowd are kept for a moment:
 * a client that asks again and again gets the same.
 */

import type { ClientView } from '../ports/observer.js';
import { clientReport, queueReport, type Reportable, writeReport } from './extension-report.js';

/** With fewer clients every report is a new one. */
const MANY = 100;
/** How long one is kept, in microseconds. */
const MOMENT = 100_000;

interface Kept<T> {
  readonly at: number;
  readonly value: T;
}

export class CrowdReports {
  readonly #parts: Reportable;
  /** By client: its report without the brace at its end. */
  #clients: Kept<ReadonlyMap<ClientView, string>> | null = null;
  #queue: Kept<string> | null = null;

  constructor(parts: Reportable) {
    this.#parts = parts;
  }

  /** @returns the connected clients, as JSON. @param self the client that asks; it is always included */
  clients(self: ClientView, now: number): string {
    let kept = this.#clients;
    if (kept === null || !this.#isGood(kept.at, now) || !kept.value.has(self)) {
      const value = new Map<ClientView, string>();
      for (const session of this.#parts.clients.sessions) {
        if (session.isConnected) value.set(session, writeReport(clientReport(session, now)).slice(0, -1));
      }
      kept = this.#clients = { at: now, value };
    }
    const members: string[] = [];
    for (const [session, text] of kept.value) members.push(`${text}, "self": ${session === self}}`);
    return `[${members.join(', ')}]`;
  }

  /** @returns the clients with unanswered commands, as JSON */
  queue(now: number): string {
    if (this.#queue === null || !this.#isGood(this.#queue.at, now)) {
      this.#queue = { at: now, value: writeReport(queueReport(this.#parts, now)) };
    }
    return this.#queue.value;
  }

  /** Keeps nothing: nobody may ask again for long. */
  forget(): void {
    this.#clients = null;
    this.#queue = null;
  }

  #isGood(at: number, now: number): boolean {
    return this.#parts.clients.clientCount > MANY && now - at < MOMENT;
  }
}
