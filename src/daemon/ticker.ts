/**
 * The clock by which all monitors check their time limits: one timer, however many monitors there are. While all of them are idle
 * it is slow, so that an unused daemon lets its machine sleep.
 */
import { performance } from 'node:perf_hooks';

/** The interval of checks while something has a time limit, in milliseconds: limits are exact to that. */
const BUSY_MS = 500;
/** The same while nothing has: it is how soon a socket's file is missed. */
const IDLE_MS = 2000;
/** A look that is later than this, in milliseconds, was missed: the process was stopped, or the host asleep. */
const LATEST_MS = 1500;

export interface Ticked {
  /** Whether it has no time limit that is near. */
  readonly isIdle: boolean;
  /** @param missed how long nothing could be seen, since the process was stopped, in microseconds; mostly 0 */
  tick(missed: number): void;
}

/** The time, as Node has it, or as a test makes it pass. All in milliseconds. */
export interface Time {
  now(): number;
  /** @returns what cancels it */
  after(time: number, action: () => void): () => void;
  /** Called when input that has come meanwhile was read. */
  afterReading(action: () => void): void;
}

const NODE: Time = {
  now: () => performance.now(),
  after: (time, action) => {
    const timer = setTimeout(action, time);
    return () => {
      clearTimeout(timer);
    };
  },
  afterReading: (action) => void setImmediate(action),
};

export class Ticker {
  readonly #time: Time;
  readonly #all = new Set<Ticked>();
  #cancel: (() => void) | null = null;
  /** When the next look is due. */
  #due = 0;
  #isSlow = false;

  constructor(time: Time = NODE) {
    this.#time = time;
  }

  add(ticked: Ticked): void {
    this.#all.add(ticked);
    if (this.#cancel === null) this.#wait(BUSY_MS);
  }

  remove(ticked: Ticked): void {
    this.#all.delete(ticked);
    if (this.#all.size > 0) return;
    this.#cancel?.();
    this.#cancel = null;
  }

  /** Something begins that may have a time limit. */
  wake(): void {
    if (!this.#isSlow || this.#cancel === null) return;
    this.#wait(Math.min(BUSY_MS, Math.max(0, this.#due - this.#time.now())));
  }

  #wait(time: number): void {
    // Input that is read before a look may have begun another wait.
    this.#cancel?.();
    this.#isSlow = time > BUSY_MS;
    this.#due = this.#time.now() + time;
    this.#cancel = this.#time.after(time, this.#fire);
  }

  readonly #fire = (): void => {
    const late = this.#time.now() - this.#due;
    // Waiting input is read first: if this process was stopped for a while, nobody is taken for late by mistake.
    this.#time.afterReading(() => {
      for (const ticked of this.#all) ticked.tick(late > LATEST_MS ? late * 1000 : 0);
      if (this.#cancel !== null) this.#wait(this.#isIdle ? IDLE_MS : BUSY_MS);
    });
  };

  get #isIdle(): boolean {
    for (const { isIdle } of this.#all) if (!isIdle) return false;
    return true;
  }
}
