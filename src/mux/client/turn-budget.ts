/**
 * How much of the clients' input is read before others have their turn. Counted in commands; costlier ones weigh
 * more (`Weight`).
 *
 * A client has no more than `EACH` in a turn, and all together have about `ALL`; one that comes when that is used up still has
 * `LEAST`, enough for a few commands, so that it does not wait for clients that sent thousands.
 */
const EACH = 64;
const ALL = 8 * EACH;
const LEAST = 4;

/** Weights: about 24 µs a unit on a small machine. */
export const Weight = {
  /** A command, or an error. */
  judged: 1,
  /** A report of ours, at least. */
  report: 8,
} as const;

/** Bytes of a client's message that weigh one unit, and of a report of ours. */
export const BYTES_PER_UNIT = 4096;
export const REPORT_BYTES_PER_UNIT = 2048;

export class TurnBudget {
  #left = ALL;

  /** The rest of it; below 0 when more was used. */
  get left(): number {
    return this.#left;
  }

  /** Whether waiting clients may be read on in this turn. */
  get hasLeft(): boolean {
    return this.#left > 0;
  }

  /** A turn begins. */
  renew(): void {
    this.#left = ALL;
  }

  /** @returns how much one client may have now */
  grant(): number {
    return Math.max(LEAST, Math.min(EACH, this.#left));
  }

  /** Takes the share that a client has used. */
  spend(units: number): void {
    this.#left -= units;
  }
}
