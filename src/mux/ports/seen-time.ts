/**
 * How much of a time the daemon has seen. While its process was stopped, or the host asleep, it could serve nobody, so that time is
 * held against nobody: time limits count the rest.
 */

interface Outage {
  /** When it was over, and how long it was; in microseconds. */
  readonly at: number;
  readonly length: number;
}

/** Older ones become one. */
const MOST_OUTAGES = 32;

export class SeenTime {
  /** Oldest first. */
  readonly #outages: Outage[] = [];

  /** Nothing was seen for `length` microseconds, up to `now`. */
  miss(now: number, length: number): void {
    if (length <= 0) return;
    this.#outages.push({ at: now, length });
    const [first, second] = this.#outages;
    if (this.#outages.length <= MOST_OUTAGES || first === undefined || second === undefined) return;
    // A client that was there between the two gets the first as well.
    this.#outages.splice(0, 2, { at: second.at, length: first.length + second.length });
  }

  /** @returns the microseconds seen from `since` to `now` */
  between(since: number, now: number): number {
    let seen = now - since;
    for (const { at, length } of this.#outages) if (at > since) seen -= length;
    return Math.max(0, seen);
  }
}
