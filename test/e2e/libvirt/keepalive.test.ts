/** A libvirt daemon on the way to which nothing comes through any more. */
import assert from 'node:assert/strict';
import { connect, createServer, type Socket } from 'node:net';
import { after, before, describe, type TestContext, test } from 'node:test';
import { dialLibvirt } from '../../../dist/net/libvirt/dial.js';
import type { Connection } from '../../../dist/net/link/connection.js';
import { startDaemon } from '../../support/daemon/daemon.js';
import { scratch, suiteScope } from '../../support/files/scratch.js';
import { ask, negotiated } from '../../support/libvirt/domain.js';
import { type LibvirtVm, startLibvirt } from '../../support/libvirt/libvirt.js';
import { RemoteLibvirt } from '../../support/libvirt/remote-libvirt.js';

const remote = await RemoteLibvirt.make(['auth_tcp = "none"', 'auth_tls = "none"', 'keepalive_interval = 1']);
const { skip, libvirt } = await startLibvirt(remote.libvirt);
after(async () => {
  await libvirt.stop();
});

/** Of the keepalive program, with nothing behind it: the header of an answer. */
const PONG = Buffer.from('0000001c6b656570000000010000000200000002', 'hex');

describe('a libvirt on another host', { skip, concurrency: 1 }, () => {
  const scope = suiteScope();
  let vm: LibvirtVm;
  before(async () => {
    vm = await libvirt.newVm(scope);
  });

  for (const [way, uri] of [
    ['TCP', remote.tcp()],
    ['TLS', remote.tls()],
    ['a program', 'qemu+ext:///session?command='],
  ] as const) {
    test(`that hangs is given up, over ${way}`, async (t) => {
      const program = libvirt.script('to-libvirt', `#!/bin/sh\nexec nc -U ${libvirt.socket}\n`);
      const full = uri.endsWith('=') ? `${uri}${program}` : uri;
      const connection = await dialled(vm.name, full);
      t.after(() => connection.close(true));
      const closed = new Promise<string>((resolve) => {
        connection.attach({ receive: () => undefined, closed: resolve });
      });
      process.kill(libvirt.pid, 'SIGSTOP');
      t.after(() => process.kill(libvirt.pid, 'SIGCONT'));
      assert.equal(await closed, 'libvirtd has not answered for 0.4 s: its host or the network may be down');
    });
  }

  test('that asks whether we are there gets an answer, and goes on', async (t) => {
    let answers = 0;
    let seen: () => void = () => undefined;
    const enough = new Promise<void>((resolve) => {
      seen = resolve;
    });
    const port = await relay(t, remote.tcpPort, (chunk) => {
      if (chunk.includes(PONG) && ++answers === 3) seen();
    });
    const mux = `${scratch(t)}/mux`;
    const uri = `qemu+tcp://127.0.0.1:${port}/session`;
    const daemon = startDaemon(t, ['--upstream', `libvirt:${vm.name}?uri=${uri}`, '--listen', mux]);
    await daemon.ready();
    await enough;
    const client = await negotiated(t, mux);
    assert.equal(await ask(client, '{"execute":"query-name"}'), `{"return": {"name": "${vm.name}"}}`);
  });
});

/** A connection that gives up soon. */
function dialled(domain: string, uri: string): Promise<Connection> {
  return new Promise((resolve, reject) => {
    dialLibvirt(
      { kind: 'libvirt', domain, uri },
      {
        connected: resolve,
        failed: (reason) => {
          reject(new Error(reason));
        },
        said: () => undefined,
        exposed: () => undefined,
      },
      { interval: 100, count: 3 },
    );
  });
}

/** Passes on what comes to a port of its own, and shows what clients say. @returns the port */
async function relay(t: TestContext, to: number, said: (chunk: Buffer) => void): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(to, '127.0.0.1');
    near.on('data', said);
    near.pipe(far);
    far.pipe(near);
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
    }
  });
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const where = server.address();
  return where !== null && typeof where === 'object' ? where.port : 0;
}
