/** The two times of a record: the wall clock's, to the microsecond, and a monotonic one that no one can set back. */
import { performance } from 'node:perf_hooks';
import type { LineBuffer } from '../log/line-buffer.js';

/** The system's clocks, in microseconds; tests have their own. */
export interface TimeSource {
  /** CLOCK_MONOTONIC: since the machine started, but for the time it slept. */
  monotonic(): number;
  /** Since 1970, in UTC. Milliseconds are enough: `monotonic` measures finer. */
  wall(): number;
}

// performance.now() runs on the same clock as hrtime, and is the cheaper one to ask.
const sinceStart = Number(process.hrtime.bigint() / 1000n) - performance.now() * 1000;

export const systemTime: TimeSource = {
  monotonic: () => Math.floor(sinceStart + performance.now() * 1000),
  wall: () => Date.now() * 1000,
};

/** How far the wall clock may be off before we follow it; its source is only good to a millisecond. */
const TOLERANCE_US = 1500;
const CHECK_INTERVAL_US = 1_000_000;

const MONO = Buffer.from('Z","mono":');

export class Clock {
  readonly #source: TimeSource;
  /** The wall clock minus the monotonic clock. */
  #offset: number;
  #nextCheck: number;
  #second = -1;
  /** `,"time":"2026-01-31T23:59:59.` of the current second. */
  #prefix: Uint8Array = new Uint8Array(0);

  constructor(source: TimeSource = systemTime) {
    this.#source = source;
    const now = source.monotonic();
    this.#offset = source.wall() - now;
    this.#nextCheck = now + CHECK_INTERVAL_US;
  }

  /** @returns the monotonic time, in microseconds. */
  now(): number {
    const now = this.#source.monotonic();
    if (now >= this.#nextCheck) {
      this.#nextCheck = now + CHECK_INTERVAL_US;
      const wall = this.#source.wall();
      if (Math.abs(wall - (now + this.#offset)) > TOLERANCE_US) this.#offset = wall - now;
    }
    return now;
  }

  /** Puts the members `time` (RFC 3339, six decimals) and `mono` of monotonic time `now`. */
  put(line: LineBuffer, now: number): void {
    const wall = now + this.#offset;
    const second = Math.floor(wall / 1e6);
    if (second !== this.#second) {
      this.#second = second;
      this.#prefix = Buffer.from(`,"time":"${new Date(second * 1000).toISOString().slice(0, 20)}`);
    }
    line.putBytes(this.#prefix);
    line.putDigits(wall - second * 1e6, 6);
    line.putBytes(MONO);
    line.putNumber(now);
  }
}
