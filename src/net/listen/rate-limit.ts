/** How many may come in a second, in the long run; twice as many at once (a token bucket). */
export class RateLimit {
  readonly #perSecond: number;
  #tokens: number;
  #filledAt: number;

  /**
   * @param perSecond 0 for any number
   * @param now milliseconds of a clock that never goes back
   */
  constructor(perSecond: number, now: number) {
    this.#perSecond = perSecond;
    this.#tokens = 2 * perSecond;
    this.#filledAt = now;
  }

  /** @returns whether one more may come now; that counts it. */
  take(now: number): boolean {
    if (this.#perSecond === 0) return true;
    const earned = ((now - this.#filledAt) / 1000) * this.#perSecond;
    this.#tokens = Math.min(2 * this.#perSecond, this.#tokens + earned);
    this.#filledAt = now;
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }
}
