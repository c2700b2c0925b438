import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { World } from '../../support/world/world.js';

describe('out-of-band commands', () => {
  it('overtake every in-band command that has not gone upstream yet', () => {
    const world = World.running();
    const flooder = world.client().negotiate();
    const client = world.client().negotiate('oob');
    flooder.write('{"execute":"slow"}'.repeat(100));
    client.write('{"execute":"first","id":1}{"exec-oob":"yank","id":2}');
    world.settle();
    assert.equal(world.qemu.waiting[0]?.name, 'yank', 'it is the first of its turn');
    world.qemu.returnsOob('"now"');
    world.settle();
    assert.deepEqual(
      client.take(),
      ['{"return": "now", "id": 2}'],
      "it is answered before the client's own earlier one",
    );
  });

  it('go upstream while seven in-band ones are in flight, and only seven ever are', () => {
    const world = World.running();
    const client = world.client().negotiate('oob');
    client.send('{"execute":"slow"}'.repeat(50));
    assert.equal(world.qemu.waiting.length, 7);
    client.send('{"exec-oob":"yank"}{"exec-oob":"yank"}');
    assert.equal(world.qemu.waiting.length, 9);
    world.qemu.returnsOob();
    world.qemu.returnsOob();
    while (world.qemu.waiting.length > 0) {
      world.qemu.returns();
      world.settle();
      assert.ok(world.qemu.waiting.length <= 7);
    }
    assert.equal(world.qemu.arrivedCount, 52);
    assert.equal(client.take().length, 52);
  });

  it('are answered in any order, each to its owner', () => {
    const world = World.running();
    const clients = [0, 1, 2].map(() => world.client().negotiate('oob'));
    for (const [at, client] of clients.entries()) client.send(`{"exec-oob":"yank","id":"of ${at}"}`);
    for (const command of world.qemu.waiting.splice(0).toReversed()) {
      world.qemu.say(`{"return": "to ${command.id}", "id": ${command.id}}`);
    }
    world.settle();
    const ids = clients.map((client) => client.take()).map((lines) => lines[0]?.replace(/.*, "id": /, ''));
    assert.deepEqual(ids, ['"of 0"}', '"of 1"}', '"of 2"}']);
  });

  it('have separate ids, none of which is used twice at a time', () => {
    const world = World.running();
    const client = world.client().negotiate('oob');
    client.send('{"exec-oob":"yank"}'.repeat(500));
    const stuck = world.qemu.waiting.shift();
    let round = 0;
    while (world.qemu.waiting.length > 0) {
      const ids = world.qemu.waiting.map((command) => command.id);
      assert.equal(new Set([...ids, stuck?.id]).size, ids.length + 1);
      assert.ok(ids.length < 32);
      for (const id of ids) assert.match(id, /^[1-9][0-9]{2}$/);
      world.qemu.returns(String(round++));
      world.settle();
    }
    assert.equal(client.take().length, 499);
    world.qemu.say(`{"return": "late", "id": ${stuck?.id}}`);
    world.settle();
    assert.deepEqual(client.take(), ['{"return": "late"}']);
  });

  it('are refused with errors that do not wait for their turn', () => {
    const world = World.running();
    const client = world.client().negotiate('oob');
    client.send('{"execute":"slow"}');
    assert.deepEqual(
      client.send('{"exec-oob":1,"id":5}{"exec-oob":"yank","arguments":[],"id":6}{"exec-oob":"a","x":0}'),
      [
        '{"id": 5, "error": {"class": "GenericError", "desc": "QMP input member \'exec-oob\' must be a string"}}',
        '{"id": 6, "error": {"class": "GenericError", "desc": "QMP input member \'arguments\' must be an object"}}',
        '{"error": {"class": "GenericError", "desc": "QMP input member \'x\' is unexpected"}}',
      ],
    );
    assert.deepEqual(
      client.send('{"exec-oob":"a","execute":"b","id":7}'),
      [],
      'what names both is no out-of-band command and waits',
    );
    world.qemu.returns();
    world.settle();
    assert.deepEqual(client.take(), [
      '{"return": {}}',
      '{"id": 7, "error": {"class": "GenericError", "desc": "QMP input member \'execute\' clashes with \'exec-oob\'"}}',
    ]);
  });

  it('are a matter of each client', () => {
    const world = World.running();
    world.client().negotiate('oob');
    const plain = world.client().negotiate();
    plain.send('{"execute":"slow"}{"exec-oob":"yank","id":1}');
    assert.deepEqual(world.qemu.waitingNames, ['slow']);
    world.qemu.returns();
    world.settle();
    assert.deepEqual(plain.take(), [
      '{"return": {}}',
      '{"id": 1, "error": {"class": "GenericError", "desc": "QMP input member \'exec-oob\' is unexpected"}}',
    ]);
  });

  it('of one client that floods them leave the others their turn: at most two of its own are before one of theirs', () => {
    const world = World.running();
    const [flooding, polite] = [world.client().negotiate('oob'), world.client().negotiate('oob')];
    const inBand = world.client().negotiate();
    flooding.send('{"exec-oob":"flood"}'.repeat(500));
    assert.deepEqual(world.qemu.waitingNames, ['flood', 'flood']);
    let answers = 0;
    for (let round = 0; round < 20; round++) {
      polite.send('{"exec-oob":"ask"}');
      inBand.send('{"execute":"ask"}');
      while (world.qemu.waiting.some(({ name }) => name === 'ask')) {
        assert.ok(world.qemu.waiting.length <= 4);
        // QEMU runs them as it reads them
        world.wait(1);
        world.qemu.returns();
        world.settle();
      }
      assert.equal(polite.take().length + inBand.take().length, 2);
    }
    answers += flooding.take().length;
    assert.ok(answers >= 20, `${answers} answers`);
    while (world.qemu.waiting.length > 0) {
      world.qemu.returns();
      world.settle();
    }
    assert.equal(answers + flooding.take().length, 500);
  });

  it('that could not be recorded leave their client its share', () => {
    const world = World.running();
    const client = world.client().negotiate('oob');
    world.client().negotiate();
    world.observer.troubles.push('disk full', 'disk full');
    let answers = client.send('{"exec-oob":"yank"}'.repeat(10)).length;
    while (world.qemu.waiting.length > 0) {
      world.qemu.returns();
      world.settle();
    }
    answers += client.take().length;
    assert.equal(answers, 10);
    assert.equal(world.logged('denied').length, 4);
    assert.equal(world.qemu.arrivedCount, 6);
  });

  it('go upstream although in-band commands wait there for the connection', () => {
    const world = World.running();
    const client = world.client().negotiate('oob');
    world.upstream.backlog = 1 << 20;
    client.send('{"execute":"a"}{"exec-oob":"yank"}');
    assert.deepEqual(world.qemu.waitingNames, ['yank']);
    world.upstream.backlog = 0;
    world.qemu.returnsOob();
    world.settle();
    assert.deepEqual(world.qemu.waitingNames, ['a']);
  });
});
