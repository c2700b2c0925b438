import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { World } from '../support/world.js';

function flood(count: number): string {
  return Array.from({ length: count }, (_, id) => `{"execute":"flood","id":${id}}`).join('');
}

describe('a client that floods', () => {
  it('keeps the whole window busy while it is alone', () => {
    const world = World.running();
    world.client().negotiate().send(flood(100));
    assert.equal(world.qemu.waiting.length, 7);
  });

  it('has no more than two commands upstream while others are there, so one of theirs waits for two at most', () => {
    const world = World.running();
    const flooding = world.client().negotiate();
    const polite = world.client().negotiate();
    flooding.send(flood(1000));
    assert.equal(world.qemu.waiting.length, 2);
    let answers = 0;
    for (let round = 0; round < 100; round++) {
      polite.send(`{"execute":"ask","id":${round}}`);
      let before = 0;
      while (world.qemu.waiting[0]?.name !== 'ask') {
        world.wait(1);
        world.qemu.returns();
        world.settle();
        before++;
      }
      assert.ok(before <= 2, `${before} before it in round ${round}`);
      world.wait(1);
      world.qemu.returns();
      world.settle();
      assert.deepEqual(polite.take(), [`{"return": {}, "id": ${round}}`]);
      answers += flooding.take().length;
    }
    while (world.qemu.waiting.length > 0) {
      world.qemu.returns();
      world.settle();
    }
    assert.equal(answers + flooding.take().length, 1000);
  });

  it('gets the whole window back when it is alone again', () => {
    const world = World.running();
    const flooding = world.client().negotiate();
    const other = world.client().negotiate();
    flooding.send(flood(100));
    assert.equal(world.qemu.waiting.length, 2);
    other.port.closed('closed by the peer');
    world.qemu.returns();
    world.settle();
    assert.equal(world.qemu.waiting.length, 7);
  });

  it('is refused by the audit without losing its share for good', () => {
    const world = World.running();
    const flooding = world.client().negotiate();
    world.client().negotiate();
    world.journal.troubles.push('disk full', 'disk full');
    flooding.send(flood(10));
    assert.equal(world.qemu.waiting.length, 2);
    let answers = flooding.take().length;
    while (world.qemu.waiting.length > 0) {
      world.qemu.returns();
      world.settle();
      answers += flooding.take().length;
    }
    assert.equal(world.logged('denied').length, 4);
    assert.ok(answers <= 10);
  });

  it('does not hold up the share of one that answers very fast', () => {
    const world = World.running();
    const flooding = world.client().negotiate();
    world.client().negotiate();
    flooding.send(flood(1000));
    // The clock of this world gains a few microseconds in a turn: a QEMU that is as fast as that.
    for (let i = 0; i < 300; i++) {
      world.qemu.returns();
      world.settle();
    }
    assert.ok(world.qemu.waiting.length > 7, `${world.qemu.waiting.length} in flight`);
  });

  it('lets another one in after a few commands where QEMU is fast, and after each where it is not', () => {
    const world = World.running();
    const clients = [world.client().negotiate(), world.client().negotiate()];
    /** @returns how many commands of one client come in a row, at most, of those in flight */
    const longestRow = () => {
      for (const [index, client] of clients.entries()) client.send(flood(400).replaceAll('flood', `flood-${index}`));
      // What was in flight before goes first: it was sent under other rules.
      for (let i = world.qemu.waiting.length; i > 0; i--) world.qemu.returns();
      world.settle();
      let longest = 0;
      let row = 0;
      let before = '';
      for (const { name } of world.qemu.waiting) {
        row = name === before ? row + 1 : 1;
        before = name;
        longest = Math.max(longest, row);
      }
      return longest;
    };
    assert.equal(longestRow(), 1);
    for (let i = 0; i < 600; i++) {
      world.qemu.returns();
      world.settle();
    }
    const many = longestRow();
    assert.ok(many > 1 && many <= 16, `${many} in a row`);
  });
});
