/** Clients and upstreams that mean to be costly: the work grows with their input, not with its square. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assertLinear, movedBytes } from '../../support/text/work.js';
import { World } from '../../support/world/world.js';

describe('a multiplexer', () => {
  const floods: readonly (readonly [string, number, (world: World, size: number) => void])[] = [
    [
      'errors that wait behind a command that takes long',
      1000,
      (world, size) => {
        const client = world.client().negotiate();
        client.write(`{"execute":"slow"}${'[]'.repeat(size)}`, 65_536);
        world.settle();
        world.qemu.returns();
        world.settle();
      },
    ],
    [
      'errors that nothing is due before',
      2000,
      (world, size) => {
        world.client().write(']'.repeat(size), 65_536);
        world.settle();
      },
    ],
    [
      'commands, in one turn',
      500,
      (world, size) => {
        const client = world.client().negotiate();
        client.write('{"execute":"a"}'.repeat(size));
        serve(world);
      },
    ],
    [
      'commands, byte by byte',
      200,
      (world, size) => {
        const client = world.client().negotiate();
        client.write('{"execute":"a"}'.repeat(size), 1);
        serve(world);
      },
    ],
    [
      'out-of-band commands',
      500,
      (world, size) => {
        const client = world.client().negotiate('oob');
        client.write('{"exec-oob":"yank"}'.repeat(size));
        serve(world);
      },
    ],
    [
      'answers from memory behind a command that takes long',
      500,
      (world, size) => {
        const client = world.client().negotiate();
        client.send('{"execute":"query-version"}');
        world.qemu.returns();
        client.write(`{"execute":"slow"}${'{"execute":"query-version"}'.repeat(size)}`);
        serve(world);
      },
    ],
    [
      'the same query of many clients',
      50,
      (world, size) => {
        const clients = Array.from({ length: size }, () => world.client().negotiate());
        for (const client of clients) client.write('{"execute":"query-status"}');
        serve(world);
      },
    ],
    [
      'answers that nobody waits for',
      2000,
      (world, size) => {
        world.client().negotiate();
        world.qemu.send('{"return": {}, "id": 77}\r\n'.repeat(size));
        world.settle();
      },
    ],
    [
      'events',
      1000,
      (world, size) => {
        world.client().negotiate();
        for (let i = 0; i < size; i++) world.qemu.event('TICK');
        world.settle();
      },
    ],
    [
      'clients that come and go',
      300,
      (world, size) => {
        for (let i = 0; i < size; i++) world.client().negotiate().port.closed('gone');
        world.settle();
      },
    ],
    [
      'a command with a long id',
      20_000,
      (world, size) => {
        const client = world.client().negotiate();
        client.write(`{"execute":"a","id":"${'x'.repeat(size)}"}{"execute":1,"id":"${'x'.repeat(size)}"}`, 65_536);
        serve(world);
      },
    ],
    [
      'a refused capability with a long name',
      20_000,
      (world, size) => {
        world.client().write(`{"execute":"qmp_capabilities","arguments":{"enable":["${'x'.repeat(size)}"]}}`, 65_536);
        world.settle();
      },
    ],
    [
      'a negotiation with many unknown arguments',
      1000,
      (world, size) => {
        const args = Array.from({ length: size }, (_, at) => `"k${at}":[{}]`).join();
        world.client().write(`{"execute":"qmp_capabilities","arguments":{${args}}}`, 65_536);
        world.settle();
      },
    ],
  ];
  for (const [what, size, flood] of floods) {
    it(`takes no more than its share of work for ${what}`, () => {
      assertLinear(size, (each) => () => {
        const world = World.running({
          observer: false,
          mux: { limits: { memory: 0, outputCap: 0, outputHighWater: 0 } },
        });
        flood(world, each);
      });
    });
  }

  it('copies a large reply never, and a small one a few times', () => {
    const world = World.running({ observer: false });
    const client = world.client().negotiate();
    client.link.onWrite = () => {};
    client.send('{"execute":"a"}{"execute":"b"}');
    const large = `{"return": "${'x'.repeat(20_000_000)}", "id": 0}\r\n`;
    const chunks = Array.from(
      { length: Math.ceil(large.length / 65_536) },
      (_, at) => new Uint8Array(Buffer.from(large.slice(at * 65_536, (at + 1) * 65_536), 'latin1')),
    );
    const moved = movedBytes(() => {
      for (const chunk of chunks) world.mux.upstreamReceive(chunk);
    });
    assert.ok(moved < 4 * 65_536, `${moved} bytes were moved for ${large.length}`);
    world.settle();
    const small = bytesMovedFor(world, '{"return": {"running": true}, "id": 1}\r\n');
    assert.ok(small < 1000, `${small} bytes were moved for a small reply`);
  });

  it('writes an event once for a thousand clients', () => {
    const world = World.running({ observer: false });
    for (let i = 0; i < 1000; i++) world.client().negotiate();
    const moved = movedBytes(() => world.qemu.event('TICK', `"${'x'.repeat(3000)}"`));
    assert.ok(moved < 20_000, `${moved} bytes were moved`);
    world.settle();
  });

  it('holds nothing more for a client that sends half a message than its bytes', () => {
    const world = World.running({ observer: false });
    const client = world.client().negotiate();
    client.write(`{"execute":"${'x'.repeat(1_000_000)}`, 1000);
    world.settle();
    assert.ok(world.mux.heldBytes < 4_000_000, `${world.mux.heldBytes} bytes are held`);
    client.port.closed('gone');
    world.settle();
    assert.equal(world.mux.heldBytes, 0);
  });
});

function bytesMovedFor(world: World, reply: string): number {
  const chunk = new Uint8Array(Buffer.from(reply, 'latin1'));
  return movedBytes(() => world.mux.upstreamReceive(chunk));
}

/** Answers everything. */
function serve(world: World): void {
  world.settle();
  while (world.qemu.waiting.length > 0) {
    while (world.qemu.waiting.length > 0) world.qemu.returns();
    world.settle();
  }
}
