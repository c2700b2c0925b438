import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readOnlyPolicy } from '../../../dist/mux/policy/policy.js';
import { World } from '../../support/world/world.js';

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
    world.observer.troubles.push('disk full', 'disk full');
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

  it('has no more upstream if QEMU answers very fast', () => {
    const world = World.running();
    const flooding = world.client().negotiate();
    world.client().negotiate();
    flooding.send(flood(1000));
    // The clock of this world gains a few microseconds in a turn: a QEMU that is as fast as that.
    for (let i = 0; i < 300; i++) {
      world.qemu.returns();
      world.settle();
      assert.equal(world.qemu.waiting.length, 2);
    }
  });

  it('lets another one in after each command, however fast QEMU is', () => {
    const world = World.running();
    const clients = [world.client().negotiate(), world.client().negotiate()];
    /** @returns how many commands of one client come in a row, at most, of those in flight */
    const longestRow = () => {
      for (const [index, client] of clients.entries()) client.send(flood(400).replaceAll('flood', `flood-${index}`));
      // Commands in flight before go first: they were sent before the other client had anything.
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
    assert.equal(longestRow(), 1);
  });
});

describe('a client that sends much that is answered at once', () => {
  const inputs: readonly (readonly [string, string])[] = [
    ['braces that close nothing', '}'.repeat(65_536)],
    ['empty objects', '{}'.repeat(32_768)],
    ['denied commands', '{"execute":"stop"}'.repeat(4000)],
    ['queries that are kept', '{"execute":"query-name"}'.repeat(8000)],
    ['reports of ours', '{"execute":"__org.qmpmux_query-clients"}'.repeat(1000)],
    ['shapes that are wrong', '{"execute":"a","x":1}'.repeat(4000)],
    ['errors of 60 KiB', `"${'\xff'.repeat(60_000)}`.repeat(10)],
    ['large messages', `{"execute":"stop","arguments":{"a":[${'"\\n",'.repeat(100_000)}1]}}`.repeat(2)],
  ];

  for (const [what, input] of inputs) {
    it(`such as ${what}, lets others in after a small part of it`, () => {
      const world = World.running({ observer: false });
      const greedy = world
        .client('unix:/greedy', undefined, { policy: readOnlyPolicy(), extensions: true })
        .negotiate();
      greedy.write('{"execute":"query-name"}');
      world.settle();
      world.qemu.returns('"vm"');
      world.settle();
      const polite = world.client().negotiate();
      greedy.take();
      greedy.write(input);
      assert.equal(greedy.link.isPaused, true, 'no more is read of it meanwhile');
      const before = greedy.link.text.length;
      let turns = 0;
      for (let isOver = false; !isOver; turns++) {
        polite.write(`{"execute":"ask","id":${turns}}`);
        isOver = !world.turn();
        assert.deepEqual(world.qemu.waitingNames, ['ask'], 'it is upstream at the end of the turn in which it came');
        world.qemu.returns();
        world.turn();
        assert.deepEqual(polite.take(), [`{"return": {}, "id": ${turns}}`]);
        isOver = !greedy.link.isPaused;
        assert.ok(turns < 10_000);
      }
      assert.ok(turns > 2, `${turns} turns`);
      world.settle();
      assert.ok(greedy.link.text.length > before);
      assert.equal(greedy.link.isPaused, false, 'all of it was read in the end');
      assert.equal(world.mux.heldBytes, 0);
    });
  }

  it('has all of it answered, in order, whatever others do', () => {
    const world = World.running();
    const greedy = world.client().negotiate();
    let input = '';
    for (let at = 0; at < 500; at++) input += `}{"execute":"a","id":${at}}{}`;
    greedy.write(input);
    const answers: string[] = [];
    for (let turns = 0; answers.length < 1500; turns++) {
      world.settle();
      while (world.qemu.waiting.length > 0) world.qemu.returns();
      answers.push(...greedy.take());
      assert.ok(turns < 5000);
    }
    const kinds = answers.map((line) =>
      line.includes('expecting value') ? '}' : line.includes('lacks') ? '{}' : line,
    );
    const expected = Array.from({ length: 500 }, (_, at) => ['}', `{"return": {}, "id": ${at}}`, '{}']).flat();
    assert.deepEqual(kinds, expected);
  });

  it('shares its part of a turn with a thousand like it, so that one more waits for none of them', () => {
    const world = World.running({ observer: false });
    const crowd = Array.from({ length: 200 }, () => world.client().negotiate());
    const polite = world.client().negotiate();
    for (const greedy of crowd) greedy.write('}'.repeat(2000));
    for (let turn = 0; turn < 20; turn++) {
      polite.write('{"execute":"ask"}');
      const answered = crowd.reduce((sum, { link }) => sum + link.text.length, 0);
      world.turn();
      assert.deepEqual(world.qemu.waitingNames, ['ask']);
      world.qemu.returns();
      world.turn();
      assert.deepEqual(polite.take(), ['{"return": {}}']);
      const more = crowd.reduce((sum, { link }) => sum + link.text.length, 0) - answered;
      assert.ok(more < 300_000, `${more} bytes of errors in two turns`);
    }
    world.settle();
    for (const greedy of crowd) assert.equal(greedy.take().length, 2000);
  });

  it('leaves, and its commands are read to their end all the same', () => {
    const world = World.running();
    const greedy = world.client().negotiate();
    greedy.write(`${'}'.repeat(1000)}{"execute":"last"}`);
    world.turn();
    greedy.port.closed('closed by the peer');
    world.settle();
    assert.deepEqual(world.qemu.waitingNames, ['last']);
    world.qemu.returns();
    world.settle();
    assert.equal(world.mux.sessionCount, 0);
  });

  it('ends its side, and is answered to the end before it is ended', () => {
    const world = World.running();
    const greedy = world.client().negotiate();
    greedy.write('}'.repeat(1000));
    greedy.port.receiveEnd();
    world.settle();
    assert.equal(greedy.take().length, 1000);
    assert.equal(greedy.link.isEnded, true);
  });

  it('is ended in the middle of it, and nothing of it is read afterwards', () => {
    const world = World.running();
    const greedy = world.client().negotiate();
    greedy.write('}'.repeat(1000));
    world.mux.close('over');
    world.settle();
    assert.ok(greedy.take().length < 100);
    assert.equal(world.mux.sessionCount, 0);
  });
});
