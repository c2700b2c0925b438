import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { EventFilter } from '../../../dist/mux/events/filter.js';
import { World } from '../../support/world/world.js';

describe('events', () => {
  it('reach every client that has completed its negotiation, and no other', () => {
    const world = World.running();
    const ready = [world.client().negotiate(), world.client().negotiate('oob')];
    const fresh = world.client();
    const refused = world.client();
    refused.send('{"execute":"qmp_capabilities","arguments":{"enable":["zzz"]}}');
    const event = world.qemu.event('STOP', '{"a": [1.0, "\\u00E9"]}');
    world.settle();
    for (const client of ready) assert.deepEqual(client.take(), [event]);
    for (const client of [fresh, refused]) assert.deepEqual(client.take(), []);
    assert.deepEqual(world.logged('event'), [`event STOP to 2 ${event}`]);
  });

  it('of before a negotiation are not replayed after it', () => {
    const world = World.running();
    const client = world.client();
    world.qemu.event('EARLY');
    client.negotiate();
    const event = world.qemu.event('LATE');
    world.settle();
    assert.deepEqual(client.take(), [event]);
  });

  it('keep QEMU’s order among the answers', () => {
    const world = World.running();
    const client = world.client().negotiate();
    client.send('{"execute":"cont"}{"execute":"a"}');
    const resume = world.qemu.event('RESUME');
    world.qemu.returns('"cont"');
    const stop = world.qemu.event('STOP');
    world.qemu.returns('"a"');
    const last = world.qemu.event('LAST');
    world.settle();
    assert.deepEqual(client.take(), [resume, '{"return": "cont"}', stop, '{"return": "a"}', last]);
  });

  it('that come in one piece are whole, in order and counted, for clients that get all and those that get some', () => {
    const world = World.running();
    const connect = (events?: EventFilter) =>
      world.client('unix:/run/vm.mux', { kind: 'unix' }, events === undefined ? {} : { events }).negotiate();
    const [all, some, none] = [connect(), connect(new EventFilter(['B*'])), connect(new EventFilter([]))];
    all.send('{"execute":"ask","id":1}');
    const names = ['A', 'A', 'B1', 'B1', 'B2', 'A', 'B1', 'A'];
    const events = names.map((name) => `{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "${name}"}`);
    const lines = [...events.slice(0, 7), '{"return": {}, "id": 0}', ...events.slice(7)];
    world.qemu.waiting.shift();
    world.qemu.send(lines.map((line) => `${line}\r\n`).join(''));
    world.settle();
    assert.deepEqual(
      all.take(),
      lines.map((line) => line.replace('"id": 0', '"id": 1')),
    );
    assert.deepEqual(
      some.take(),
      events.filter((event) => event.includes('"B')),
    );
    assert.deepEqual(none.take(), []);
    assert.deepEqual(
      world.logged('event').map((line) => line.slice(0, line.indexOf('{')).trim()),
      names.map((name) => `event ${name} to ${name.startsWith('B') ? 2 : 1}`),
    );
  });

  it('come before any later output to a client in the same turn: an answer of ours, or the end of the connection', () => {
    const world = World.running();
    const client = world.client().negotiate();
    const before = world.mux.traffic.toClients;
    const first = world.qemu.event('FIRST');
    client.write(']');
    const last = world.qemu.event('LAST');
    world.mux.upstreamClosed('gone');
    world.settle();
    const fault = '{"error": {"class": "GenericError", "desc": "JSON parse error, expecting value"}}';
    assert.deepEqual(client.take(), [first, fault, last]);
    assert.equal(client.link.isEnded, true);
    assert.equal(world.mux.traffic.toClients - before, `${first}\r\n${fault}\r\n${last}\r\n`.length);
  });

  it('come after the answer that completes the negotiation', () => {
    const world = World.running();
    const client = world.client();
    client.write('{"execute":"qmp_capabilities"}');
    const event = world.qemu.event('STOP');
    world.settle();
    assert.deepEqual(client.take(), ['{"return": {}}', event]);
  });

  it('end for a client that has gone, and go on for one that only stopped sending', () => {
    const world = World.running();
    const gone = world.client().negotiate();
    const halfClosed = world.client().negotiate();
    halfClosed.send('{"execute":"slow"}');
    gone.port.closed('gone');
    halfClosed.port.receiveEnd();
    const event = world.qemu.event('STOP');
    world.settle();
    assert.deepEqual(gone.take(), []);
    assert.deepEqual(halfClosed.take(), [event]);
    assert.match(world.logged('event')[0] ?? '', /^event STOP to 1 /);
  });

  it('are reported to the observer even when nobody listens, under the name QEMU gave', () => {
    const world = World.running();
    world.qemu.event('STOP');
    world.qemu.event('A_VERY_LONG_NAME_'.repeat(20));
    world.qemu.event('');
    world.qemu.say('{"event": "TURNED", "timestamp": {"seconds": 1, "microseconds": 1}}');
    world.qemu.say('{"timestamp":{"seconds":1,"microseconds":1},"event":"NARROW"}');
    world.qemu.say('{"timestamp": {"x": "\\"event\\": \\"NOT_ME\\""}, "event": "ME"}');
    world.qemu.say(`{"timestamp": {"x": "${'y'.repeat(300)}"}, "event": "FAR"}`);
    const names = world.logged('event').map((line) => line.split(' ')[1]);
    assert.deepEqual(names, ['STOP', 'A_VERY_LONG_NAME_'.repeat(20), '', 'TURNED', 'NARROW', 'ME', 'FAR']);
  });

  it('are written once, into bytes that all receivers share', () => {
    const world = World.running();
    const clients = Array.from({ length: 5 }, () => world.client().negotiate());
    const event = world.qemu.event('BLOCK_JOB_COMPLETED', `{"x": "${'y'.repeat(500)}"}`);
    world.settle();
    const buffers = clients.map((client) => client.link.writes.at(-1)?.[0]?.buffer);
    assert.equal(new Set(buffers).size, 1);
    for (const client of clients) assert.deepEqual(client.take(), [event]);
  });

  it('of any size and in any pieces arrive whole', () => {
    for (const size of [10, 5_000, 70_000, 1_000_000]) {
      const world = World.running();
      const client = world.client().negotiate();
      const line = `{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "BIG", "data": "${'x'.repeat(size)}"}`;
      world.qemu.send(`${line}\r\n${line}\r\n`, 6000);
      world.settle();
      assert.deepEqual(client.take(), [line, line]);
      assert.equal(world.logged('event').length, 2);
    }
  });

  it('are filtered for each listener by patterns of their names; without patterns none comes', () => {
    const world = World.running();
    const connect = (events?: EventFilter) =>
      world.client('unix:/run/vm.mux', { kind: 'unix' }, events === undefined ? {} : { events }).negotiate();
    const [all, some, none] = [connect(), connect(new EventFilter(['BLOCK_*', 'STOP'])), connect(new EventFilter([]))];
    const [io, stop] = [world.qemu.event('BLOCK_IO_ERROR'), world.qemu.event('STOP')];
    const resume = world.qemu.event('RESUME');
    world.settle();
    assert.deepEqual(all.take(), [io, stop, resume]);
    assert.deepEqual(some.take(), [io, stop]);
    assert.deepEqual(none.take(), []);
    assert.deepEqual(
      world.logged('event').map((line) => line.slice(0, line.indexOf('{')).trim()),
      ['event BLOCK_IO_ERROR to 2', 'event STOP to 2', 'event RESUME to 1'],
    );
  });

  it('that are spelt with escapes are filtered by their decoded name', () => {
    const world = World.running();
    const client = world
      .client('unix:/run/vm.mux', { kind: 'unix' }, { events: new EventFilter(['STOP']) })
      .negotiate();
    const line = '{"event": "\\u0053TOP", "timestamp": {"seconds": 1, "microseconds": 2}}';
    world.qemu.say(line);
    world.settle();
    assert.deepEqual(client.take(), [line]);
  });

  it('of any number of names do not fill the memory of a filter', () => {
    const filter = new EventFilter(['A*']);
    for (let i = 0; i < 10_000; i++) assert.equal(filter.passes(`${i % 2 === 0 ? 'A' : 'B'}${i}`), i % 2 === 0);
  });
});
