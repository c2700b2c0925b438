/**
 * A time limit that counts only while this process runs. A plain timer fires at once when the process was stopped (SIGSTOP) or its
 * host asleep, before any input that came meanwhile has been read; a peer would pay for a time in which nobody listened to it.
 */
import { performance } from 'node:perf_hooks';

/** How often to check whether the process runs, while somebody counts; and when a check is so late that it did not. In milliseconds. */
const LOOK_INTERVAL_MS = 500;
const STOPPED_FROM_MS = 2000;
/** How often a limit is prolonged: it ends also on a host where the process hardly ever runs. */
const MOST_PROLONGED = 10;

let missed = 0;
let lookedAt = 0;
let counting = 0;
let looks: NodeJS.Timeout | null = null;

function look(): void {
  const now = performance.now();
  const passed = now - lookedAt;
  if (passed > STOPPED_FROM_MS) missed += passed - LOOK_INTERVAL_MS;
  lookedAt = now;
}

function begin(): void {
  if (counting++ > 0) return;
  lookedAt = performance.now();
  looks = setInterval(look, LOOK_INTERVAL_MS).unref();
}

function end(): void {
  if (--counting > 0 || looks === null) return;
  clearInterval(looks);
  looks = null;
}

export class Countdown {
  readonly #time: number;
  readonly #over: () => void;
  #timer: NodeJS.Timeout;
  #missedBefore = 0;
  #prolonged = 0;
  #isOver = false;

  /**
   * Begins at once.
   * @param time in milliseconds
   * @param over is called once, unless `stop` comes first
   */
  constructor(time: number, over: () => void) {
    this.#time = time;
    this.#over = over;
    begin();
    this.#timer = this.#count(time);
  }

  stop(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#timer);
    end();
  }

  /** Does not keep the process alive. */
  unref(): this {
    this.#timer.unref();
    return this;
  }

  #count(time: number): NodeJS.Timeout {
    look();
    this.#missedBefore = missed;
    return setTimeout(this.#ended, time);
  }

  readonly #ended = (): void => {
    look();
    const unseen = missed - this.#missedBefore;
    if (unseen > 0 && this.#prolonged++ < MOST_PROLONGED) {
      const keepsAlive = this.#timer.hasRef();
      this.#timer = this.#count(Math.min(unseen, this.#time));
      if (!keepsAlive) this.#timer.unref();
      return;
    }
    this.stop();
    this.#over();
  };
}
