/** The clock of all monitors: one timer, slow while nobody has a time limit, and quick again as soon as somebody has. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Ticker, type Time } from '../../dist/daemon/ticker.js';

/** Time that passes only on demand. */
class MadeTime implements Time {
  #now = 0;
  #timers: { readonly at: number; readonly action: () => void }[] = [];
  /** Called between a timer and what waits for input to be read. */
  input: () => void = () => undefined;

  now(): number {
    return this.#now;
  }

  after(time: number, action: () => void): () => void {
    const timer = { at: this.#now + time, action };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((each) => each !== timer);
    };
  }

  afterReading(action: () => void): void {
    this.input();
    action();
  }

  pass(ms: number): void {
    this.#now += ms;
    const due = this.#timers.filter(({ at }) => at <= this.#now);
    this.#timers = this.#timers.filter((each) => !due.includes(each));
    for (const { action } of due) action();
  }
}

class Counted {
  isIdle = true;
  readonly missed: number[] = [];

  tick(missed: number): void {
    this.missed.push(missed);
  }
}

describe('the clock of the monitors', () => {
  test('looks every 2 s while all are idle, and every 0.5 s while one is not', () => {
    const time = new MadeTime();
    const ticker = new Ticker(time);
    const [one, other] = [new Counted(), new Counted()];
    ticker.add(one);
    ticker.add(other);
    for (let second = 0; second < 121; second++) for (let part = 0; part < 10; part++) time.pass(100);
    assert.ok(one.missed.length >= 60 && one.missed.length <= 62, `${one.missed.length} looks in 121 s`);
    assert.equal(other.missed.length, one.missed.length);
    other.isIdle = false;
    ticker.wake();
    const before = one.missed.length;
    for (let part = 0; part < 100; part++) time.pass(100);
    assert.ok(one.missed.length - before >= 19, `${one.missed.length - before} looks in 10 s`);
    ticker.remove(one);
    ticker.remove(other);
  });

  test('looks within 0.5 s when something begins while all were idle', () => {
    const time = new MadeTime();
    const ticker = new Ticker(time);
    const one = new Counted();
    ticker.add(one);
    time.pass(500);
    assert.equal(one.missed.length, 1);
    time.pass(100);
    one.isIdle = false;
    ticker.wake();
    time.pass(400);
    assert.equal(one.missed.length, 1);
    time.pass(100);
    assert.equal(one.missed.length, 2);
    ticker.remove(one);
  });

  test('says how long nothing was seen if the process was stopped', () => {
    const time = new MadeTime();
    const ticker = new Ticker(time);
    const one = new Counted();
    ticker.add(one);
    time.pass(500);
    time.pass(62_000);
    assert.deepEqual(one.missed, [0, 60_000_000]);
    ticker.remove(one);
  });

  test('looks no more often when something begins between the timer and the look', () => {
    const time = new MadeTime();
    const ticker = new Ticker(time);
    const one = new Counted();
    ticker.add(one);
    time.input = () => ticker.wake();
    for (let part = 0; part < 1000; part++) time.pass(100);
    assert.ok(one.missed.length <= 52, `${one.missed.length} looks in 100 s`);
    ticker.remove(one);
  });

  test('does not run without monitors', () => {
    const time = new MadeTime();
    const ticker = new Ticker(time);
    const one = new Counted();
    ticker.add(one);
    ticker.remove(one);
    ticker.wake();
    time.pass(10_000);
    assert.deepEqual(one.missed, []);
  });
});
