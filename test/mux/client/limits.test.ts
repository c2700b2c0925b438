import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Limits } from '../../../dist/mux/ports/limits.js';
import { type TestClient, World } from '../../support/world/world.js';

function limitedWorld(limits: Partial<Limits>): World {
  return World.running({ mux: { limits } });
}

/** A connection whose peer does not read: the kernel takes nothing any more. */
function jam(client: TestClient, unread = 0): void {
  const { link } = client;
  link.backlog = unread;
  link.onWrite = (text) => {
    link.backlog += text.length;
  };
}

/** The peer has read everything, and goes on reading. */
function unjam(client: TestClient): void {
  client.link.onWrite = () => {};
  client.link.backlog = 0;
  client.port.drained();
}

function commands(count: number, name = 'stop'): string {
  return Array.from({ length: count }, (_, id) => `{"execute":"${name}","id":${id}}`).join('');
}

describe('the output of a client', () => {
  const limits = { outputHighWater: 1000, outputGrace: 5000, outputCap: 10_000 };

  it('above its high-water mark for longer than the grace period gets it disconnected', () => {
    const world = limitedWorld(limits);
    const client = world.client().negotiate();
    const other = world.client().negotiate();
    jam(client, 900);
    const event = world.qemu.event('BIG', `"${'x'.repeat(200)}"`);
    world.settle();
    world.wait(4900);
    assert.equal(client.link.isDestroyed, false);
    world.wait(200);
    assert.equal(client.link.isDestroyed, true);
    assert.deepEqual(other.take(), [event]);
    assert.equal(world.mux.counters.slow, 1);
    assert.deepEqual(world.logged('disconnected', 'limited'), [
      'disconnected 1 0.0 MiB unread, above 1000 bytes, none read for 5 s',
      'limited 1 unix:/run/vm.mux slow 0.0 MiB unread, above 1000 bytes, none read for 5 s',
    ]);
    assert.equal(world.mux.clientCount, 1);
  });

  it('that falls below the mark in time is forgiven, and the grace period starts over', () => {
    const world = limitedWorld(limits);
    const client = world.client().negotiate();
    for (let round = 0; round < 3; round++) {
      jam(client, 1500);
      world.qemu.event('STOP');
      world.settle();
      world.wait(4000);
      unjam(client);
      world.settle();
    }
    assert.equal(client.link.isDestroyed, false);
    assert.equal(world.mux.counters.slow, 0);
  });

  it('past the cap gets it disconnected at once', () => {
    const world = limitedWorld(limits);
    const client = world.client().negotiate();
    jam(client, 9900);
    world.qemu.event('BIG', `"${'x'.repeat(200)}"`);
    world.settle();
    assert.equal(client.link.isDestroyed, true);
    assert.equal(world.mux.counters.overfull, 1);
  });

  it('above the mark holds back its further commands, and nobody else’s, until it has read', () => {
    const world = limitedWorld(limits);
    const client = world.client().negotiate();
    const other = world.client().negotiate();
    jam(client, 1500);
    client.send('{"execute":"query-a"}');
    world.qemu.returns('[]');
    world.settle();
    assert.deepEqual(client.send('{"execute":"query-b"}'), ['{"return": []}']);
    other.send('{"execute":"query-c"}');
    assert.deepEqual(world.qemu.waitingNames, ['query-c']);
    world.qemu.returns('3');
    world.settle();
    assert.deepEqual(other.take(), ['{"return": 3}']);
    unjam(client);
    world.settle();
    assert.deepEqual(world.qemu.waitingNames, ['query-b']);
    world.qemu.returns('2');
    world.settle();
    assert.deepEqual(client.take(), ['{"return": 2}']);
  });

  it('made of answers from memory is held back too: a client that asks for the schema a thousand times must read it', () => {
    const world = limitedWorld(limits);
    const client = world.client().negotiate();
    client.send('{"execute":"query-version"}');
    world.qemu.returns(`"${'x'.repeat(500)}"`);
    world.settle();
    assert.equal(client.take().length, 1);
    jam(client);
    let answers = client.send(commands(1000, 'query-version')).length;
    assert.ok(client.link.backlog < 5000, `${client.link.backlog} bytes`);
    assert.equal(client.link.isPaused, true);
    while (client.link.backlog > 0) {
      unjam(client);
      jam(client);
      world.settle();
      answers += client.take().length;
    }
    assert.equal(answers, 1000);
    assert.equal(client.link.isPaused, false);
    assert.equal(world.mux.counters.overfull, 0);
  });

  it('made of answers from memory is held back also while they wait for an answer that is still to come', () => {
    const world = limitedWorld(limits);
    const client = world.client().negotiate();
    client.send(commands(1000, 'query-version'));
    for (let answers = client.take().length; answers < 1000; answers += client.take().length) {
      jam(client);
      if (world.qemu.waiting.length > 0) world.qemu.returns(`"${'x'.repeat(500)}"`);
      world.settle();
      assert.ok(client.link.backlog < 6000, `${client.link.backlog} bytes`);
      unjam(client);
      world.settle();
    }
    assert.equal(world.mux.counters.overfull, 0);
  });

  it('that waits here for an earlier answer does not keep the earlier command from QEMU', () => {
    for (const first of ['query-a', 'query-a"}{"execute":"query-b"}{"execute":"query-a']) {
      const world = limitedWorld(limits);
      const client = world.client().negotiate();
      world.client().negotiate();
      client.send('{"execute":"query-version"}');
      world.qemu.returns(`"${'x'.repeat(500)}"`);
      world.settle();
      client.take();
      client.send(`{"execute":"${first}"}${commands(10, 'query-version')}`);
      const answers: string[] = [];
      while (world.qemu.waiting.length > 0) {
        world.qemu.returns('[]');
        world.settle();
        answers.push(...client.take());
      }
      assert.equal(answers.length, first.split('query-').length - 1 + 10);
      assert.equal(client.link.isPaused, false);
    }
  });

  it('that was too much holds up nothing any more once the client is gone: its commands are executed', () => {
    const world = limitedWorld(limits);
    const client = world.client().negotiate();
    jam(client);
    const answerAll = () => {
      while (world.qemu.waiting.length > 0) {
        world.qemu.returns(`"${'x'.repeat(500)}"`);
        world.settle();
      }
    };
    client.send(commands(10, 'query-a') + commands(10, 'stop'));
    answerAll();
    assert.ok(world.qemu.arrivedCount < 20, 'some wait until it has read');
    client.port.closed('reset by the peer');
    world.settle();
    answerAll();
    assert.equal(world.qemu.arrivedCount, 20);
    assert.equal(world.mux.heldBytes, 0);
    assert.equal(world.mux.sessionCount, 0);
  });

  it('that is large, in one answer, passes as long as it is read', () => {
    const world = limitedWorld(limits);
    const client = world.client().negotiate();
    client.send(commands(3, 'query-huge'));
    for (let i = 0; i < 3; i++) {
      world.qemu.returns(`"${'x'.repeat(100_000)}"`);
      world.settle();
    }
    assert.equal(client.take().length, 3);
    assert.equal(client.link.isDestroyed, false);
  });
});

describe('the commands of a client', () => {
  it('are read up to the limit of their number, and on when half of them are answered', () => {
    const world = limitedWorld({ queuedCommands: 10 });
    const client = world.client().negotiate();
    client.send(commands(25));
    assert.equal(client.link.isPaused, true);
    assert.equal(world.mux.counters.paused, 1);
    let answers = 0;
    while (world.qemu.waiting.length > 0) {
      world.qemu.returns();
      world.settle();
      answers += client.take().length;
    }
    assert.equal(answers, 25);
    assert.equal(client.link.isPaused, false);
  });

  it('are read up to the limit of their bytes', () => {
    const world = limitedWorld({ queuedBytes: 2000 });
    const client = world.client().negotiate();
    client.send(commands(1));
    client.send(`{"execute":"big","arguments":{"a":"${'x'.repeat(3000)}"}}`.repeat(5));
    assert.equal(client.link.isPaused, true);
    let answers = 0;
    while (world.qemu.waiting.length > 0) {
      world.qemu.returns();
      world.settle();
      answers += client.take().length;
    }
    assert.equal(answers, 6);
    assert.equal(world.mux.heldBytes, 0);
  });

  it('count with the answers that are given here: a long error after a stuck command pauses the client as well', () => {
    const world = limitedWorld({ queuedBytes: 5000 });
    const client = world.client().negotiate();
    client.send(commands(1));
    client.send(`{"execute":"a","${'x'.repeat(2000)}":1}`.repeat(10));
    assert.equal(client.link.isPaused, true);
    assert.ok(world.mux.heldBytes < 40_000);
    world.qemu.returns();
    world.settle();
    assert.equal(client.take().length, 11);
    assert.equal(world.mux.heldBytes, 0);
  });

  it('of more bytes than one may have get QEMU’s own error, and the next ones are read', () => {
    const world = limitedWorld({ commandBytes: 1000 });
    const client = world.client().negotiate();
    const [first] = client.send(`{"execute":"a","arguments":{"x":"${'y'.repeat(500)}","z":"${'y'.repeat(600)}"}}`);
    assert.equal(first, '{"error": {"class": "GenericError", "desc": "JSON token size limit exceeded"}}');
    assert.equal(world.mux.counters.oversized, 1);
    client.send('{"execute":"stop","id":5}');
    assert.deepEqual(world.qemu.waitingNames, ['stop']);
    world.qemu.returns();
    world.settle();
    assert.deepEqual(client.take(), ['{"return": {}, "id": 5}']);
  });
});

describe('clients', () => {
  it('that do not negotiate in time are disconnected, whatever they sent; those that did may be silent for ever', () => {
    const world = limitedWorld({ negotiationTime: 1000 });
    const silent = world.client();
    const slow = world.client();
    const ready = world.client().negotiate();
    world.wait(900);
    slow.send('{"execute":"stop"}');
    assert.equal(slow.link.isEnded, false);
    world.wait(200);
    assert.deepEqual(
      [silent, slow, ready].map((client) => client.link.isEnded),
      [true, true, false],
    );
    world.wait(1e9);
    assert.equal(ready.link.isEnded, false);
    assert.equal(world.mux.counters.unnegotiated, 2);
    assert.match(world.logged('limited')[0] ?? '', /unnegotiated no capabilities negotiation within 1 s/);
  });

  it('that come and go 100,000 times leave nothing behind', () => {
    const world = World.running({ observer: false });
    for (let i = 0; i < 100_000; i++) {
      const client = world.client();
      if (i % 3 === 0) client.write('{"execute":"qmp_capabilities"}');
      if (i % 3 === 1) client.write('{"execute":');
      client.port.closed('closed by the peer');
      world.settle();
    }
    assert.equal(world.mux.clientCount, 0);
    assert.equal(world.mux.heldBytes, 0);
    assert.equal(world.mux.sessionCount, 0);
  });
});
