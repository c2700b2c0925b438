/** What one client holds of what it may hold, and since when it has had too much. */
import type { Limits } from './limits.js';

export class Usage {
  /** Bytes of its commands that wait for an answer. */
  queuedBytes = 0;
  /** Bytes that the client has not read, as far as known: what the connection could not send, when it was last looked at. */
  unread = 0;
  /** All bytes held for the client, when they were last summed up. */
  held = 0;
  readonly #limits: Limits;
  /** When `unread` went above the high-water mark; -1 while it is below. */
  #highSince = -1;

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  /** Whether so many commands wait that the client is not to be read; of those `unanswered` is the number. */
  isFull(unanswered: number): boolean {
    return unanswered >= this.#limits.queuedCommands || this.queuedBytes >= this.#limits.queuedBytes;
  }

  /** Whether a client that was full has room enough again to be read. */
  hasRoom(unanswered: number): boolean {
    return unanswered < this.#limits.queuedCommands / 2 && this.queuedBytes <= this.#limits.queuedBytes / 2;
  }

  /** Whether the client has so much to read that it gets no further answers for now. `pending` bytes are about to be sent. */
  isHigh(pending: number): boolean {
    const mark = this.#limits.outputHighWater;
    return mark > 0 && this.unread + pending > mark;
  }

  /**
   * Takes note of what is unread now.
   * @param now in microseconds
   * @returns why the client is to be disconnected, or null
   */
  judge(unread: number, now: number): 'slow' | 'overfull' | null {
    this.unread = unread;
    const { outputCap, outputGrace } = this.#limits;
    if (outputCap > 0 && unread > outputCap) return 'overfull';
    if (!this.isHigh(0)) {
      this.#highSince = -1;
      return null;
    }
    if (this.#highSince < 0) this.#highSince = now;
    return now - this.#highSince >= outputGrace * 1000 ? 'slow' : null;
  }
}
