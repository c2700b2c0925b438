import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as loopTurned } from 'node:timers/promises';
import { FlushScheduler } from '../../../dist/daemon/listeners/flush-scheduler.js';

/** A turn that counts how often it was ended, and does `also` each time. */
function counted(also: (turn: FlushScheduler, count: number) => void = () => {}): {
  turn: FlushScheduler;
  ends: () => number;
} {
  let count = 0;
  const turn: FlushScheduler = new FlushScheduler(() => {
    count++;
    also(turn, count);
  });
  return { turn, ends: () => count };
}

test('work that many schedule is done once, when the event loop turns', async () => {
  const { turn, ends } = counted();
  turn.schedule();
  turn.schedule();
  assert.equal(ends(), 0);
  await loopTurned();
  assert.equal(ends(), 1);
  await loopTurned();
  assert.equal(ends(), 1);
});

test('after bytes that nobody else’s could join, a turn ends at once, and only if something is to be done', async () => {
  const { turn, ends } = counted();
  turn.begin();
  turn.end();
  assert.equal(ends(), 0);
  turn.begin();
  turn.schedule();
  turn.schedule();
  assert.equal(ends(), 0);
  turn.end();
  assert.equal(ends(), 1);
  await loopTurned();
  assert.equal(ends(), 1);
});

test('a turn that the event loop will end is not ended by bytes that come meanwhile', async () => {
  const { turn, ends } = counted();
  turn.schedule();
  turn.begin();
  turn.schedule();
  turn.end();
  assert.equal(ends(), 0);
  await loopTurned();
  assert.equal(ends(), 1);
});

test('work that is scheduled while a turn ends, or comes in meanwhile, is done in the next one', async () => {
  const { turn, ends } = counted((self, count) => {
    if (count > 2) return;
    self.begin();
    self.schedule();
    self.end();
  });
  turn.begin();
  turn.schedule();
  turn.end();
  assert.equal(ends(), 1);
  await loopTurned();
  assert.equal(ends(), 2);
  await loopTurned();
  assert.equal(ends(), 3);
  await loopTurned();
  assert.equal(ends(), 3);
});

test('a turn that fails ends all the same, and work scheduled meanwhile is done in the next one', async () => {
  const { turn, ends } = counted((self, count) => {
    if (count > 1) return;
    self.schedule();
    throw new Error('a bug');
  });
  turn.begin();
  turn.schedule();
  assert.throws(() => turn.end(), /a bug/);
  await loopTurned();
  assert.equal(ends(), 2);
  turn.begin();
  turn.schedule();
  turn.end();
  assert.equal(ends(), 3);
});

test('a turn that has ended leaves nothing behind that keeps the event loop awake', () => {
  const { turn, ends } = counted();
  turn.begin();
  turn.schedule();
  turn.end();
  assert.equal(ends(), 1);
  assert.equal(process.getActiveResourcesInfo().filter((name) => name === 'Immediate').length, 0);
});
