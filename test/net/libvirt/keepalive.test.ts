/** When a silent libvirtd is asked whether it is there, and when it is given up. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { KEEP_ALIVE, KeepAlive } from '../../../dist/net/libvirt/keepalive.js';
import { LibvirtRpc } from '../../../dist/net/libvirt/rpc.js';
import type { Connection, ConnectionReceiver } from '../../../dist/net/link/connection.js';
import { message, Program, Type } from '../../support/libvirt/fake-libvirt.js';

function watch(t: TestContext): { readonly alive: KeepAlive; readonly said: string[]; readonly pass: () => void } {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const said: string[] = [];
  const alive = new KeepAlive(
    KEEP_ALIVE,
    () => said.push('ask'),
    (silence) => said.push(`dead after ${silence}`),
  );
  const pass = () => {
    t.mock.timers.tick(KEEP_ALIVE.interval);
  };
  return { alive, said, pass };
}

test('a silent peer is asked, five times by default, and given up after 30 seconds', (t) => {
  const { said, pass } = watch(t);
  for (let count = 0; count < 20; count++) pass();
  assert.deepEqual(said, ['ask', 'ask', 'ask', 'ask', 'ask', 'dead after 30000']);
});

test('a peer that answers, or sends anything else, is not given up', (t) => {
  const { alive, said, pass } = watch(t);
  for (let round = 0; round < 10; round++) {
    for (let count = 0; count < 5; count++) pass();
    alive.heard();
    pass();
  }
  assert.deepEqual(new Set(said), new Set(['ask']));
});

test('a peer that keeps sending is not asked', (t) => {
  const { alive, said, pass } = watch(t);
  for (let count = 0; count < 20; count++) {
    alive.heard();
    pass();
  }
  assert.deepEqual(said, []);
});

test('while we do not read, nobody is given up', (t) => {
  const { alive, said, pass } = watch(t);
  alive.isPaused = true;
  for (let count = 0; count < 20; count++) pass();
  assert.deepEqual(said, []);
});

test('nothing is asked any more when it is over', (t) => {
  const { alive, said, pass } = watch(t);
  alive.stop();
  for (let count = 0; count < 20; count++) pass();
  assert.deepEqual(said, []);
});

/** The far end of a connection in memory, and what was written to it and not read. */
class FarEnd {
  unread = 0;
  #receiver: ConnectionReceiver | null = null;

  say(bytes: Uint8Array): void {
    this.#receiver?.receive(bytes);
  }

  get connection(): Connection {
    const nothing = () => undefined;
    const backlog = () => this.unread;
    return {
      link: {
        write: (chunk) => {
          this.unread += chunk.length;
        },
        writeAll: nothing,
        get backlog() {
          return backlog();
        },
        end: nothing,
        destroy: nothing,
        pause: nothing,
        resume: nothing,
      },
      attach: (receiver) => {
        this.#receiver = receiver;
      },
      close: () => Promise.resolve(),
    };
  }
}

const ignored = { message: () => undefined, closed: () => undefined };

test('a peer that asks whether we are there, and does not read our answers, gets no more of them than it has room for', () => {
  const ping = message(Program.keepAlive, 1, Type.message, 0, 0, new Uint8Array(0));
  const far = new FarEnd();
  void new LibvirtRpc(far.connection, ignored);
  far.say(ping);
  assert.equal(far.unread, 28);
  for (let count = 0; count < 10_000; count++) far.say(ping);
  assert.ok(far.unread <= 65_536 + 28, `${far.unread} bytes`);
  far.unread = 0;
  far.say(ping);
  assert.equal(far.unread, 28);
});

test('a peer that takes long for one message is not given up while some of it comes', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const ends: string[] = [];
  const far = new FarEnd();
  const rpc = new LibvirtRpc(far.connection, { ...ignored, closed: (reason) => ends.push(reason) });
  rpc.keepAlive(KEEP_ALIVE);
  const long = message(Program.remote, 1, Type.message, 0, 0, Buffer.alloc(100));
  for (const byte of long) {
    far.say(Buffer.of(byte));
    t.mock.timers.tick(KEEP_ALIVE.interval);
  }
  assert.deepEqual(ends, []);
  for (let count = 0; count < 6; count++) t.mock.timers.tick(KEEP_ALIVE.interval);
  assert.equal(ends.length, 1);
});

test('a message that comes in small pieces takes no more memory than in large ones', () => {
  const far = new FarEnd();
  let came = 0;
  void new LibvirtRpc(far.connection, { ...ignored, message: (_program, _procedure, body) => (came += body.length) });
  const long = message(Program.remote, 1, Type.message, 0, 0, Buffer.alloc(600_000));
  const memory = () => process.memoryUsage().heapUsed + process.memoryUsage().external;
  const before = memory();
  for (const byte of long) {
    assert.equal(came, 0);
    // As a socket hands them over, each in memory of its own.
    far.say(Uint8Array.of(byte));
  }
  assert.equal(came, 600_000);
  assert.ok(memory() - before < 64 * 1024 * 1024, `${memory() - before} bytes`);
});
