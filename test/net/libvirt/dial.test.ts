/** Attempts to reach a libvirt daemon, where something else answers that means no good. */
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { dialLibvirt } from '../../../dist/net/libvirt/dial.js';
import { XdrWriter } from '../../../dist/net/libvirt/xdr.js';
import type { Connection } from '../../../dist/net/link/connection.js';
import {
  type Call,
  fakeLibvirt,
  message,
  Procedure,
  Program,
  reply,
  Type,
  usualAnswer,
} from '../../support/libvirt/fake-libvirt.js';

/** @returns how it ends: the connection, or why there is none */
function attempt(uri: string): Promise<Connection | string> {
  return new Promise((resolve) => {
    dialLibvirt(
      { kind: 'libvirt', domain: 'web1', uri },
      { connected: resolve, failed: resolve, said: () => undefined, exposed: () => undefined },
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

test('a daemon that ends in nonsense right after its last answer is not taken for a connection', async (t) => {
  const uri = await fakeLibvirt(t, (socket, call) => {
    if (!isVersion(call)) return false;
    socket.write(Buffer.concat([reply(call, usualAnswer(call)), Buffer.alloc(28)]));
    return true;
  });
  assert.equal(await greeting(t, uri), 'the peer is not a libvirt daemon');
});

test('answers that come a byte at a time are put together', async (t) => {
  const uri = await fakeLibvirt(t, (socket, call) => {
    socket.setNoDelay();
    for (const byte of reply(call, usualAnswer(call))) socket.write(Buffer.of(byte));
    return true;
  });
  assert.match(await greeting(t, uri), /^\{"QMP": \{"version": /);
});

test('a server that sends more unrequested messages than a daemon would is left', async (t) => {
  const event = message(Program.remote, 318, Type.message, 0, 0, Buffer.alloc(1024 * 1024));
  const uri = await fakeLibvirt(t, (socket) => {
    flood(socket, event);
    return true;
  });
  assert.equal(await greeting(t, uri), 'the peer is not a libvirt daemon: it sends too much unasked');
});

test('a fault that the server reports is cut to the length of a log line', async (t) => {
  const fault = new XdrWriter()
    .int(1)
    .int(7)
    .optionalText('x'.repeat(1024 * 1024))
    .finish();
  const uri = await fakeLibvirt(t, (socket, call) => socket.write(reply(call, fault, 1)) || true);
  const reason = await greeting(t, uri);
  assert.match(reason, /^libvirt: x{1500}…$/);
});

/** Writes the same for as long as there is somebody. */
function flood(socket: Socket, bytes: Buffer): void {
  const go = () => {
    while (!socket.destroyed && socket.write(bytes));
    if (!socket.destroyed) socket.once('drain', go);
  };
  go();
}
