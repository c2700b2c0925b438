import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { World } from '../../support/world/world.js';

function limitedWorld(): World {
  return World.running({ mux: { limits: { memory: 100_000 } } });
}

describe('the memory of all buffers', () => {
  it('past its limit costs the client that holds the most its connection, and its waiting commands', () => {
    const world = limitedWorld();
    const modest = world.client().negotiate();
    const greedy = world.client().negotiate();
    modest.send('{"execute":"stop"}'.repeat(100));
    greedy.send(`{"execute":"a","arguments":{"x":"${'y'.repeat(40_000)}"}}`.repeat(3));
    assert.equal(greedy.link.isDestroyed, true);
    assert.equal(modest.link.isDestroyed, false);
    assert.ok(world.mux.heldBytes <= 100_000);
    assert.equal(world.mux.counters.memory, 1);
    assert.ok(world.logged('dropped').length > 0);
    let answers = 0;
    while (world.qemu.waiting.length > 0) {
      world.qemu.returns();
      world.settle();
      answers += modest.take().length;
    }
    assert.equal(answers, 100);
    assert.equal(world.mux.heldBytes, 0);
  });

  it('past its limit costs first the leftovers of departed clients', () => {
    const world = limitedWorld();
    const stays = world.client().negotiate();
    const leaves = world.client().negotiate();
    leaves.send(`{"execute":"a","arguments":{"x":"${'y'.repeat(9_000)}"}}`.repeat(4));
    leaves.port.closed('closed by the peer');
    stays.send(`{"execute":"b","arguments":{"x":"${'y'.repeat(20_000)}"}}`.repeat(2));
    stays.send(`{"execute":"c","arguments":{"x":"${'y'.repeat(10_000)}`);
    assert.equal(stays.link.isDestroyed, false);
    assert.equal(world.mux.counters.memory, 0);
    assert.deepEqual(
      world.logged('dropped').map((line) => line.slice(0, 11)),
      ['dropped 2 a', 'dropped 2 a'],
    );
  });

  it('past its limit drops waiting out-of-band commands as well, and they are not run', () => {
    const world = limitedWorld();
    const modest = world.client().negotiate('oob');
    const greedy = world.client().negotiate('oob');
    greedy.send(`{"exec-oob":"yank","arguments":{"x":"${'y'.repeat(2000)}"}}`.repeat(40));
    assert.equal(greedy.link.isDestroyed, true);
    assert.ok(world.mux.heldBytes <= 100_000, `${world.mux.heldBytes} bytes`);
    const sent = world.qemu.waiting.length;
    modest.send('{"exec-oob":"query-yank","id":1}');
    while (world.qemu.waiting.length > 0) {
      world.qemu.returns();
      world.settle();
    }
    assert.deepEqual(modest.take(), ['{"return": {}, "id": 1}']);
    assert.equal(world.qemu.arrivedCount, sent + 1, 'what was dropped is not run');
    assert.equal(world.logged('dropped').length, 40 - sent);
    assert.equal(world.mux.heldBytes, 0);
    assert.equal(world.mux.sessionCount, 1);
  });

  it('counts half-written commands', () => {
    const world = limitedWorld();
    const clients = Array.from({ length: 5 }, () => world.client().negotiate());
    clients.forEach((client, index) => client.send(`{"execute":"${'x'.repeat(20_000 + index)}`));
    assert.ok(world.mux.heldBytes <= 100_000);
    assert.equal(world.mux.counters.memory, 1);
    assert.deepEqual(
      clients.map((client) => client.link.isDestroyed),
      [false, false, false, false, true],
    );
  });
});
