/**
 * Keeps a fault of ours in one monitor. All that enters a monitor's code goes through its guard; the first exception breaks the
 * guard, and nothing enters any more: the monitor's owner ends it and begins it again.
 */
export class FaultGuard {
  readonly #broke: (error: unknown) => void;
  #isBroken = false;

  /** @param broke is called for the first fault, once; not in the middle of other code of the monitor's */
  constructor(broke: (error: unknown) => void) {
    this.#broke = broke;
  }

  /** Whether there was a fault. */
  get isBroken(): boolean {
    return this.#isBroken;
  }

  /** Runs code of the monitor's, unless there was a fault. */
  run(action: () => void): void {
    if (this.#isBroken) return;
    try {
      action();
    } catch (error) {
      this.fail(error);
    }
  }

  /** There was a fault. */
  fail(error: unknown): void {
    if (this.#isBroken) return;
    this.#isBroken = true;
    setImmediate(this.#broke, error);
  }
}
