/**
 * Whether commands for a fast QEMU wait a moment for others. Clients that have many under way send the next ones as they read
 * their answers, one by one, and who looks at once finds only the first: then everything that costs something for each piece (reads,
 * writes, waking QEMU) is paid for a few commands at a time. So while fewer have come than half of what is usually under way, the event
 * loop is let go round; where that brings none twice in a row, they go as they are (docs/adr/0011-gathering.md).
 */

import { MANY_OF_EACH } from './pacing.js';

/** With fewer commands under way nothing is waited for, nor with fewer than `MANY_OF_EACH` for each client. */
const FEWEST = 32;
/** So many are enough, whatever is usual. */
export const ENOUGH = 128;
/** Passes of the event loop in a row that may bring nothing. */
const PATIENCE = 2;
/** Nor does anyone wait longer than this for others, in microseconds: a pass can take long where there is much to be read in it. */
const LONGEST = 200;
/** How fast what is usual follows when less is under way, at each look. */
const WEIGHT = 1 / 64;

export class Gathering {
  /** Commands under way, in flight or waiting: the most of late. */
  #usual = 0;
  /** How many were waiting at the last look, and how often in a row it was as many. */
  #waiting = 0;
  #looks = 0;
  /** When it was looked at first for what waits now; -1 for not yet. */
  #since = -1;

  /**
   * @param waiting how many commands wait; `ENOUGH` stands for more as well
   * @param clients how many clients there are
   * @param now in microseconds
   * @returns whether to look again before anything is sent
   */
  isWorthwhile(inFlight: number, waiting: number, clients: number, now: number): boolean {
    const sum = inFlight + waiting;
    this.#usual = Math.max(sum, this.#usual - (this.#usual - sum) * WEIGHT);
    if (waiting !== this.#waiting) {
      this.#waiting = waiting;
      this.#looks = 0;
    }
    if (this.#since < 0) this.#since = now;
    const fewest = Math.max(FEWEST, MANY_OF_EACH * clients);
    const isEarly = this.#looks++ < PATIENCE && now - this.#since <= LONGEST;
    if (isEarly && this.#usual >= fewest && waiting < Math.min(this.#usual / 2, ENOUGH)) return true;
    this.#begin();
    return false;
  }

  /** The upstream is another one now. */
  reset(): void {
    this.#usual = 0;
    this.#begin();
  }

  #begin(): void {
    this.#waiting = 0;
    this.#looks = 0;
    this.#since = -1;
  }
}
