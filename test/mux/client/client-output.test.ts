import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ClientOutput } from '../../../dist/mux/client/client-output.js';
import { ClientQuota } from '../../../dist/mux/client/client-quota.js';
import { DEFAULT_LIMITS } from '../../../dist/mux/ports/limits.js';
import { SeenTime } from '../../../dist/mux/ports/seen-time.js';
import { bytesOf, MemoryLink } from '../../support/world/world.js';

const SECOND = 1_000_000;

function outputTo(link: MemoryLink, seenTime = new SeenTime()): ClientOutput {
  const limits = { ...DEFAULT_LIMITS, outputHighWater: 100, outputGrace: 5000, outputCap: 2 * 1024 * 1024 };
  return new ClientOutput(link, new ClientQuota(limits), { limits, seenTime }, { handOut: () => {} });
}

describe('the output of a client', () => {
  it('goes out in the order in which it came, however it came', () => {
    const link = new MemoryLink();
    const output = outputTo(link);
    const held = [bytesOf('3 '), bytesOf('4 ')];
    output.hold(held);
    output.send([bytesOf('1 ')]);
    output.send([bytesOf('-2 -').subarray(1, 3)]);
    output.sendHeld(held);
    output.send([bytesOf('5'), bytesOf('\r\n')]);
    assert.equal(output.length, 11);
    output.flush();
    assert.equal(link.text, '1 2 3 4 5\r\n');
    assert.equal(output.length, 0);
    assert.equal(output.isBusy, false);
  });

  it('is high with more than its mark unread, to be sent, and waiting for earlier answers, together', () => {
    const link = new MemoryLink();
    const output = outputTo(link);
    link.backlog = 40;
    assert.equal(output.isUnread, true);
    assert.equal(output.judge(0), null);
    output.send([bytesOf('x'.repeat(30))]);
    output.hold([bytesOf('y'.repeat(30))]);
    assert.equal(output.isHigh, false);
    assert.equal(output.unread, 100);
    output.hold([bytesOf('z')]);
    assert.equal(output.isHigh, true);
  });

  it('is complained of when it is above its mark for too long, and at once above its cap', () => {
    const link = new MemoryLink();
    const output = outputTo(link);
    link.backlog = 101;
    assert.equal(output.judge(1 * SECOND), null);
    assert.equal(output.judge(5 * SECOND), null);
    assert.deepEqual(output.judge(6 * SECOND), {
      limit: 'slow',
      what: '0.0 MiB unread, above 100 bytes, none read for 5 s',
    });
    link.backlog = 3 * 1024 * 1024;
    assert.deepEqual(output.judge(6 * SECOND), { limit: 'overfull', what: '3.0 MiB unread' });
  });

  it('is not complained of while the client reads, however slowly, nor for a time that was not seen', () => {
    const link = new MemoryLink();
    const seenTime = new SeenTime();
    const output = outputTo(link, seenTime);
    output.send([bytesOf('x'.repeat(10_000))]);
    output.flush();
    for (let second = 0; second < 60; second += 4) {
      link.backlog = 10_000 - second;
      assert.equal(output.judge(second * SECOND), null);
    }
    // later output is no reading
    output.send([bytesOf('y'.repeat(10_000))]);
    output.flush();
    link.backlog += 10_000;
    assert.equal(output.judge(60 * SECOND), null);
    seenTime.miss(100 * SECOND, 40 * SECOND);
    assert.equal(output.judge(100 * SECOND), null);
    assert.equal(output.judge(101 * SECOND)?.limit, 'slow');
  });

  it('counts as read any part of a chunk that the connection reports', () => {
    const link = new MemoryLink() as MemoryLink & { progress: number };
    const output = outputTo(link);
    link.backlog = 10_000;
    for (let second = 0; second < 60; second += 4) {
      link.progress = second;
      assert.equal(output.judge(second * SECOND), null);
    }
    assert.equal(output.judge(60 * SECOND), null);
    assert.equal(output.judge(61 * SECOND)?.limit, 'slow');
  });

  it('is swallowed once the connection is gone', () => {
    const link = new MemoryLink();
    const output = outputTo(link);
    link.backlog = 10;
    output.send([bytesOf('before')]);
    output.close();
    output.send([bytesOf('a')]);
    output.send([bytesOf('b'), bytesOf('c')]);
    output.hold([bytesOf('d')]);
    output.sendHeld([bytesOf('d')]);
    output.flush();
    assert.equal(link.text, '');
    assert.equal(output.unread, 0);
    assert.equal(output.isUnread, false);
    assert.equal(output.judge(0), null);
  });
});
