/** Memory still held of a client that has left. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { collectGarbage } from '../../support/text/garbage.js';
import { World } from '../../support/world/world.js';

const SIZE = 32 * 1024 * 1024;

/** @returns bytes of buffers in use. */
function buffersInUse(): number {
  collectGarbage();
  return process.memoryUsage().arrayBuffers;
}

/** Lets a client send `input` after another command, and leave. @returns bytes of buffers that it has left behind */
function leftBehind(input: string): number {
  const world = World.running({ observer: false, mux: { limits: { queuedBytes: 2 * SIZE } } });
  const before = buffersInUse();
  visit(world, input);
  return buffersInUse() - before;
}

function visit(world: World, input: string): void {
  const client = world.client().negotiate();
  client.write('{"execute":"stop"}');
  client.write(input, 1024 * 1024);
  client.port.closed('gone');
  world.settle();
  assert.equal(world.mux.sessionCount, 1, 'a command is upstream');
  world.qemu.returns();
  world.settle();
  assert.equal(world.mux.sessionCount, 0);
}

const LARGE = 'x'.repeat(SIZE);

test('a client that left in the middle of a large message leaves nothing of it behind', () => {
  const left = leftBehind(`{"execute":"${LARGE}`);
  assert.ok(left < SIZE / 4, `${left} bytes`);
});

test('a client that left after a large message that was refused leaves nothing of it behind', () => {
  const left = leftBehind(`{"execute":"a","oops":"${LARGE}"}`);
  assert.ok(left < SIZE / 4, `${left} bytes`);
});
