import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Countdown } from '../../dist/system/countdown.js';

/** Keeps this process from doing anything, as a signal that stops it would. */
function sleep(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}

describe('a countdown', () => {
  it('comes to its end, in order with shorter ones, unless it is stopped', async () => {
    const ended: string[] = [];
    await new Promise<void>((resolve) => {
      const stopped = new Countdown(5, () => ended.push('stopped'));
      const others = [
        new Countdown(1250, () => {
          ended.push('long');
          resolve();
        }),
        new Countdown(20, () => ended.push('short')),
      ];
      assert.equal(others.length, 2);
      stopped.stop();
    });
    assert.deepEqual(ended, ['short', 'long']);
  });

  it('does not end before what came while the process could do nothing', async () => {
    const happened: string[] = [];
    await new Promise<void>((resolve) => {
      const countdown = new Countdown(300, () => {
        happened.push('over');
        resolve();
      });
      assert.ok(countdown);
      setTimeout(() => happened.push('came meanwhile'), 310);
      sleep(2600);
    });
    assert.deepEqual(happened, ['came meanwhile', 'over']);
  });
});
