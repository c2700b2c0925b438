import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { showCount, showRate, showSize, showTime } from '../../../dist/cli/screen/quantities.js';

describe('quantities for people', () => {
  it('are times with a unit that fits', () => {
    const shown: [number, string][] = [
      [0, '0µs'],
      [0.000001, '1µs'],
      [0.000999, '999µs'],
      [0.0009996, '1.0ms'],
      [0.0099, '9.9ms'],
      [0.00996, '10ms'],
      [0.9994, '999ms'],
      [0.9996, '1.0s'],
      [9.94, '9.9s'],
      [9.96, '10s'],
      [59.4, '59s'],
      [59.6, '1m00s'],
      [3599.4, '59m59s'],
      [3599.6, '1h00m'],
      [86_399, '23h59m'],
      [90_000, '1d01h'],
    ];
    for (const [seconds, text] of shown) assert.equal(showTime(seconds), text, String(seconds));
  });

  it('are sizes in units of 1024', () => {
    const shown: [number, string][] = [
      [0, '0'],
      [999, '999'],
      [1000, '1.0K'],
      [1536, '1.5K'],
      [20 * 1024 ** 2, '20M'],
      [1023 * 1024, '1.0M'],
      [3 * 1024 ** 5, '3.0P'],
      [5000 * 1024 ** 5, '5000P'],
    ];
    for (const [bytes, text] of shown) assert.equal(showSize(bytes), text, String(bytes));
  });

  it('are rates and counts', () => {
    assert.deepEqual([0, 0.25, 9.94, 9.96, 12_345.6].map(showRate), ['0', '0.3', '9.9', '10', '12346']);
    assert.deepEqual([showCount(1, 'client'), showCount(0, 'client')], ['1 client', '0 clients']);
  });
});
