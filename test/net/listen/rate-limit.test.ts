import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { RateLimit } from '../../../dist/net/listen/rate-limit.js';

function taken(limit: RateLimit, tries: number, now: number): number {
  let count = 0;
  for (let i = 0; i < tries; i++) if (limit.take(now)) count++;
  return count;
}

describe('the connection rate', () => {
  it('lets twice its number in at once, and its number in each second after', () => {
    const limit = new RateLimit(10, 0);
    assert.equal(taken(limit, 100, 0), 20);
    assert.equal(taken(limit, 100, 500), 5);
    assert.equal(taken(limit, 100, 1500), 10);
    assert.equal(taken(limit, 100, 1_000_000), 20);
  });

  it('of 0 is no limit', () => {
    assert.equal(taken(new RateLimit(0, 0), 1000, 0), 1000);
  });
});
