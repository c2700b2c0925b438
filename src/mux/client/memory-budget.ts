/** Bytes held for all clients of a monitor together, and who has to go when they are too many. */
import type { Session } from './session.js';

export class MemoryBudget {
  /** 0 for none. */
  readonly #limit: number;
  #bytes = 0;

  /** @param limit in bytes; 0 for none */
  constructor(limit: number) {
    this.#limit = limit;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get isOver(): boolean {
    return this.#limit > 0 && this.#bytes > this.#limit;
  }

  /** What is held has changed by so many bytes. */
  add(change: number): void {
    this.#bytes += change;
  }

  /** Disconnects those of `sessions` who hold the most, until what is held is within its limit. */
  shed(sessions: Iterable<Session>): void {
    const connected: Session[] = [];
    // First what clients have left behind. What they have upstream cannot be freed, and is nobody's fault who is still there.
    let gone = 0;
    for (const session of sessions) {
      if (session.isConnected) connected.push(session);
      else {
        session.dropWaiting('its client has left, and memory is short');
        session.flush();
        gone += session.heldBytes;
      }
    }
    for (const session of connected.sort((a, b) => b.heldBytes - a.heldBytes)) {
      if (this.#bytes - gone <= this.#limit) return;
      const what = `holds ${session.heldBytes} bytes, the most of all clients, which together hold more than ${this.#limit}`;
      session.cut('memory', what);
      session.dropWaiting('its client was disconnected to free memory');
      session.flush();
      gone += session.heldBytes;
    }
  }
}
