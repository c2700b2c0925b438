import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type TestClient, World } from '../../support/world/world.js';

const MEGABYTE = 1024 * 1024;

function largeError(id: string): string {
  return `{${id}"error": {"class": "GenericError", "desc": "${'x'.repeat(MEGABYTE)}"}}`;
}

describe('a turn', () => {
  it('writes to each connection once, however many messages there are', () => {
    const world = World.running();
    const clients = Array.from({ length: 10 }, () => world.client().negotiate('oob'));
    for (const client of clients) client.write('[]{"execute":"a"}{"exec-oob":"yank"}%');
    const before = [world.upstream, ...clients.map((client) => client.link)].map((link) => link.writes.length);
    world.turn();
    const after = [world.upstream, ...clients.map((client) => client.link)].map((link) => link.writes.length);
    assert.deepEqual(
      after.map((count, at) => count - (before[at] ?? 0)),
      after.map(() => 1),
    );
  });

  it('writes nothing before it ends, so that output for the same peer goes together', () => {
    const world = World.running();
    const client = world.client().negotiate();
    const written = client.link.writes.length;
    client.write('{"execute":"a"}');
    client.write('[]');
    assert.equal(world.qemu.arrivedCount, 0);
    world.settle();
    world.qemu.returns();
    world.qemu.event('STOP');
    client.write('[]');
    assert.equal(client.link.writes.length, written);
    world.settle();
    assert.equal(client.link.writes.length, written + 1);
    assert.equal(client.take().length, 4);
  });

  it('is not asked for when nothing is left to be done', () => {
    const world = World.running();
    const client = world.client().negotiate();
    assert.equal(world.turn(), false);
    client.send('{"execute":"a"}'.repeat(10));
    assert.equal(world.turn(), false, 'a full window is waited for, not polled');
    world.qemu.send('{"return": 1, "id": 55}\r\n');
    assert.equal(world.turn(), false, "nobody's answer is no reason");
  });

  it('that nobody asked for does nothing', () => {
    const world = World.running();
    const client = world.client();
    world.mux.commit();
    assert.deepEqual(client.take(), []);
  });
});

describe('a busy client before a fast QEMU', () => {
  /** A client with 64 commands under way, of which QEMU has answered each batch at once for a while. */
  function busyClient(world: World): TestClient {
    const client = world.client().negotiate('oob');
    for (let round = 0; round < 4; round++) {
      client.write('{"execute":"a"}'.repeat(64));
      for (let answered = 0; answered < 64; ) {
        world.settle();
        const { waitingNames } = world.qemu;
        for (const _ of waitingNames) world.qemu.returns();
        answered += waitingNames.length;
      }
      world.settle();
      client.take();
    }
    return client;
  }

  it('has its commands sent in the turn in which they came, in one piece', () => {
    const world = World.running();
    const client = busyClient(world);
    const before = world.upstream.writes.length;
    for (const name of ['b', 'c', 'd']) client.write(`{"execute":"${name}"}`);
    assert.equal(world.turn(), true);
    assert.deepEqual(world.qemu.waitingNames, ['b', 'c', 'd']);
    assert.equal(world.upstream.writes.length, before + 1);
    assert.equal(world.turn(), false);
  });

  it('has its out-of-band commands sent before the others', () => {
    const world = World.running();
    const client = busyClient(world);
    client.write('{"execute":"b"}{"exec-oob":"yank"}');
    world.turn();
    assert.deepEqual(world.qemu.waitingNames, ['yank', 'b']);
    world.qemu.returnsOob();
    world.settle();
    assert.deepEqual(client.take(), ['{"return": {}}']);
    assert.deepEqual(world.qemu.waitingNames, ['b']);
  });

  it('is answered as before when QEMU is lost meanwhile', () => {
    const world = World.running();
    const client = busyClient(world);
    client.write('{"execute":"b"}');
    world.turn();
    world.mux.upstreamClosed('gone');
    world.settle();
    assert.equal(client.link.isEnded, true);
  });
});

describe('clients with commands waiting', () => {
  it('take turns, one command each', () => {
    const world = World.running();
    const clients = ['a', 'b', 'c'].map((name) => [name, world.client().negotiate()] as const);
    for (const [name, client] of clients) {
      client.write(Array.from({ length: 5 }, (_, at) => `{"execute":"${name}${at}"}`).join(''));
    }
    world.settle();
    const order: string[] = [];
    while (world.qemu.waiting.length > 0) {
      order.push(world.qemu.waiting[0]?.name ?? '');
      world.qemu.returns();
      world.settle();
    }
    assert.deepEqual(
      order,
      [0, 1, 2, 3, 4].flatMap((at) => [`a${at}`, `b${at}`, `c${at}`]),
    );
  });

  it('wait for no more than the window when one of them floods', () => {
    const world = World.running();
    const flooder = world.client().negotiate();
    const client = world.client().negotiate();
    flooder.send('{"execute":"flood"}'.repeat(1000));
    client.send('{"execute":"mine"}');
    let ahead = 0;
    while (world.qemu.waiting[0]?.name !== 'mine') {
      world.qemu.returns();
      world.settle();
      ahead++;
    }
    assert.ok(ahead <= 8, `${ahead} commands of another were ahead`);
  });

  it('are all served, also when some leave, fail or stop sending meanwhile', () => {
    const world = World.running();
    const clients = Array.from({ length: 12 }, () => world.client().negotiate());
    for (const client of clients) client.write('{"execute":"a"}[]'.repeat(20));
    for (const [at, client] of clients.entries()) {
      if (at % 3 === 0) client.port.closed('gone');
      if (at % 3 === 1) client.port.receiveEnd();
    }
    world.settle();
    for (let round = 0; world.qemu.waiting.length > 0; round++) {
      if (round % 2 === 0) world.qemu.returns();
      else world.qemu.fails('no');
      world.settle();
    }
    assert.equal(world.qemu.arrivedCount, 240);
    for (const [at, client] of clients.entries()) assert.equal(client.take().length, at % 3 === 0 ? 0 : 40);
    assert.equal(world.mux.clientCount, 4);
  });

  /** The most commands that were in flight while five clients' `each` were worked off, `time` µs a command. */
  function mostInFlight(time: number, capabilities: 'plain' | 'oob'): number {
    const each = 50;
    const world = World.running();
    const clients = [
      world.client().negotiate(capabilities),
      ...Array.from({ length: 4 }, () => world.client().negotiate()),
    ];
    for (const client of clients) client.write('{"execute":"a"}'.repeat(each));
    world.settle();
    let most = 0;
    while (world.qemu.waiting.length > 0) {
      most = Math.max(most, world.qemu.waiting.length);
      assert.deepEqual(
        world.mux.inFlight.map((command) => String(command.upstreamId)),
        world.qemu.waiting.map(({ id }) => id),
      );
      world.pass(time);
      world.qemu.returns();
      world.settle();
    }
    assert.equal(world.qemu.arrivedCount, 5 * each);
    for (const client of clients) assert.equal(client.take().length, each);
    return most;
  }

  it('are seven in flight, however fast QEMU is, and whether a client may send out-of-band commands or not', () => {
    for (const time of [0, 40, 150])
      for (const way of ['plain', 'oob'] as const) assert.equal(mostInFlight(time, way), 7);
  });

  it('leave room in QEMU’s queue for an out-of-band command, which is sent at once', () => {
    const world = World.running();
    const client = world.client().negotiate();
    client.send('{"execute":"a"}'.repeat(200));
    const other = world.client().negotiate('oob');
    while (world.qemu.waiting.length >= 7) {
      world.qemu.returns();
      world.settle();
    }
    other.send('{"exec-oob":"yank"}');
    assert.ok(world.qemu.waiting.filter(({ name }) => name === 'a').length <= 7);
    assert.ok(world.qemu.waitingNames.includes('yank'));
  });

  it('wait here while much is still to be sent upstream', () => {
    const world = World.running();
    const client = world.client().negotiate();
    client.send('{"execute":"a"}');
    world.upstream.backlog = 64 * 1024;
    client.send('{"execute":"b"}');
    assert.deepEqual(world.qemu.waitingNames, ['a']);
    world.upstream.backlog = 64 * 1024 - 1;
    world.qemu.returns();
    world.settle();
    assert.deepEqual(world.qemu.waitingNames, ['b']);
  });
});

describe('a large message', () => {
  /** Replies of 20 MB, of one string or of very many small values; with the id where QEMU puts it. */
  const replies: readonly (readonly [string, (id: string) => string])[] = [
    ['one string', (id) => `{"return": "${'x'.repeat(20 * MEGABYTE)}"${id}}\r\n`],
    ['many values', (id) => `{"return": [${'1, '.repeat(7 * MEGABYTE)}1]${id}}\r\n`],
  ];

  for (const [what, reply] of replies) {
    for (const lead of [0, 1, 100, 127, 128, 65_535]) {
      it(`of 20 MB (${what}) passes in 64 KiB chunks, the first of which brings ${lead} bytes of it`, () => {
        const world = World.running({ observer: false });
        const client = world.client().negotiate();
        const other = world.client().negotiate();
        client.send('{"execute":"dump","id":"big"}{"execute":"b"}');
        const event = `{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP", "data": "${'y'.repeat(70_000)}"}`;
        const text = `${reply(', "id": 0')}${event}\r\n{"return": {}, "id": 1}\r\n`;
        world.qemu.send(text.slice(0, lead));
        world.qemu.send(text.slice(lead), 65_536);
        world.settle();
        const expected = reply(', "id": "big"');
        const received = client.link.writes.at(-1) ?? [];
        assert.equal(
          client.link.text.slice(-expected.length - event.length - 18),
          `${expected}${event}\r\n{"return": {}}\r\n`,
        );
        assert.deepEqual(other.take(), [event]);
        const shared = received.filter((piece) => piece.length > 60_000).length;
        assert.ok(shared > 300, `${shared} chunks were passed on as they came`);
      });
    }
  }

  it('in error passes just so', () => {
    const world = World.running({ observer: false });
    const client = world.client().negotiate();
    client.send('{"execute":"a","id":7}{"execute":"b"}');
    for (const id of ['0', '1']) world.qemu.send(`${largeError(`"id": ${id}, `)}\r\n`, 65_536);
    world.settle();
    assert.deepEqual(client.take(), [largeError('"id": 7, '), largeError('')]);
  });

  it('that comes byte by byte arrives whole', () => {
    const world = World.running({ observer: false });
    const client = world.client().negotiate();
    client.send('{"execute":"a","id":7}');
    const value = `"${'x'.repeat(300_000)}"`;
    world.qemu.send(`{"return": ${value}, "id": 0}\r\n`, 1);
    world.settle();
    assert.deepEqual(client.take(), [`{"return": ${value}, "id": 7}`]);
  });

  it('for several clients that asked the same arrives whole at each, with its own id', () => {
    const world = World.running({ observer: false });
    const clients = [0, 1, 2].map(() => world.client().negotiate());
    for (const [at, client] of clients.entries()) client.write(`{"execute":"query-block","id":${at}}`);
    world.settle();
    const value = `"${'x'.repeat(200_000)}"`;
    assert.deepEqual(world.qemu.waitingNames, ['query-block']);
    const [asked] = world.qemu.waiting;
    world.qemu.send(`{"return": ${value}, "id": ${asked?.id}}\r\n`, 65_536);
    world.settle();
    for (const [at, client] of clients.entries())
      assert.deepEqual(client.take(), [`{"return": ${value}, "id": ${at}}`]);
  });
});
