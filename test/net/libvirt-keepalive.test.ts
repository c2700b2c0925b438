/** When a silent libvirtd is asked whether it is there, and when it is given up. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { Connection } from '../../dist/net/connection.js';
import { KEEP_ALIVE, KeepAlive } from '../../dist/net/libvirt-keepalive.js';
import { LibvirtRpc } from '../../dist/net/libvirt-rpc.js';
import { message, Program, Type } from '../support/fake-libvirt.js';

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

test('who is silent is asked, five times by default, and given up after 30 seconds', (t) => {
  const { said, pass } = watch(t);
  for (let count = 0; count < 20; count++) pass();
  assert.deepEqual(said, ['ask', 'ask', 'ask', 'ask', 'ask', 'dead after 30000']);
});

test('who answers, or says anything else, is not given up', (t) => {
  const { alive, said, pass } = watch(t);
  for (let round = 0; round < 10; round++) {
    for (let count = 0; count < 5; count++) pass();
    alive.heard();
    pass();
  }
  assert.deepEqual(new Set(said), new Set(['ask']));
});

test('who talks is not asked', (t) => {
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

test('who asks whether we are there, and does not read our answers, gets no more of them than it has room for', () => {
  const ping = message(Program.keepAlive, 1, Type.message, 0, 0, new Uint8Array(0));
  let unread = 0;
  let receive: (chunk: Uint8Array) => void = () => undefined;
  const nothing = () => undefined;
  const write = (chunk: Uint8Array) => {
    unread += chunk.length;
  };
  const connection: Connection = {
    link: {
      write,
      writeRange: nothing,
      writeAll: nothing,
      get backlog() {
        return unread;
      },
      end: nothing,
      destroy: nothing,
      pause: nothing,
      resume: nothing,
    },
    attach: (receiver) => {
      receive = (chunk) => {
        receiver.receive(chunk);
      };
    },
    close: () => Promise.resolve(),
  };
  void new LibvirtRpc(connection, { message: nothing, closed: nothing });
  receive(ping);
  assert.equal(unread, 28);
  for (let count = 0; count < 10_000; count++) receive(ping);
  assert.ok(unread <= 65_536 + 28, `${unread} bytes`);
  unread = 0;
  receive(ping);
  assert.equal(unread, 28);
});
