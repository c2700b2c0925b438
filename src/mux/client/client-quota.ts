/** A client's use of its limits, and since when it has been above the high-water mark without reading. */
import type { Limits } from '../ports/limits.js';
import type { SeenTime } from '../ports/seen-time.js';

/** A client's progress in reading its output. */
export interface Reading {
  /** Bytes that it has not read. */
  readonly unread: number;
  /** A number that changes whenever it has read some. */
  readonly progress: number;
}

export class ClientQuota {
  /** Bytes of its commands that wait for an answer. */
  queuedBytes = 0;
  /** Bytes that the client has not read, as far as known: the connection's backlog when last looked at. */
  unread = 0;
  /** All bytes held for the client, when they were last summed up. */
  held = 0;
  readonly #limits: Limits;
  /** Since when `unread` has been above the high-water mark and nothing was read; -1 while it is below. */
  #stillSince = -1;
  #progress = 0;

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  /** Whether the client has too many waiting commands to be read; `unanswered` is the number of unanswered ones. */
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
   * Takes note of the unread bytes. A client that reads, however slowly, is not complained of below the cap.
   * @param now in microseconds
   * @returns why the client is to be disconnected, or null
   */
  judge({ unread, progress }: Reading, now: number, seenTime: SeenTime): 'slow' | 'overfull' | null {
    this.unread = unread;
    const { outputCap, outputGrace } = this.#limits;
    if (outputCap > 0 && unread > outputCap) return 'overfull';
    if (!this.isHigh(0)) {
      this.#stillSince = -1;
      return null;
    }
    if (this.#stillSince < 0 || progress !== this.#progress) this.#stillSince = now;
    this.#progress = progress;
    return seenTime.between(this.#stillSince, now) >= outputGrace * 1000 ? 'slow' : null;
  }
}
