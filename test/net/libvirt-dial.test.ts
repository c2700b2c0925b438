/** Attempts to reach a libvirt daemon, where something else answers that means no good. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { Connection } from '../../dist/net/connection.js';
import { dialLibvirt } from '../../dist/net/libvirt-dial.js';
import { type Call, fakeLibvirt, Procedure, Program, reply, usualAnswer } from '../support/fake-libvirt.js';

/** @returns how it ends: the connection, or why there is none */
function attempt(uri: string): Promise<Connection | string> {
  return new Promise((resolve) => {
    dialLibvirt(
      { kind: 'libvirt', domain: 'web1', uri },
      { connected: resolve, failed: resolve, said: () => undefined },
    );
  });
}

async function greeting(t: TestContext, uri: string): Promise<string> {
  const connection = await attempt(uri);
  if (typeof connection === 'string') return connection;
  t.after(() => connection.close(true));
  return new Promise((resolve) => {
    connection.attach({ receive: (chunk) => resolve(Buffer.from(chunk).toString()), closed: resolve });
  });
}

function isVersion({ program, procedure }: Call): boolean {
  return program === Program.qemu && procedure === Procedure.monitorCommand;
}

test('a daemon that ends in nonsense right behind its last answer is not taken for a connection', async (t) => {
  const uri = await fakeLibvirt(t, (socket, call) => {
    if (!isVersion(call)) return false;
    socket.write(Buffer.concat([reply(call, usualAnswer(call)), Buffer.alloc(28)]));
    return true;
  });
  assert.equal(await greeting(t, uri), 'what answers there is no libvirt daemon');
});

test('answers that come a byte at a time are put together', async (t) => {
  const uri = await fakeLibvirt(t, (socket, call) => {
    socket.setNoDelay();
    for (const byte of reply(call, usualAnswer(call))) socket.write(Buffer.of(byte));
    return true;
  });
  assert.match(await greeting(t, uri), /^\{"QMP": \{"version": /);
});
