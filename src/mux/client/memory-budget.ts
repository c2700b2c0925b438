/** Bytes held for all clients of a monitor together, and the choice of clients to disconnect when they are too many. */
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

  /** The memory held has changed by this many bytes. */
  add(change: number): void {
    this.#bytes += change;
  }

  /** Disconnects the clients of `sessions` that hold the most, until the memory held is within its limit. */
  shed(sessions: Iterable<Session>): void {
    const connected: Session[] = [];
    // First the leftovers of departed clients. Their commands upstream cannot be freed, and no present client is at fault for them.
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
