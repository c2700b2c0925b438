/** Crowds that are not let in, or never say who they are, do not take from others what these need: descriptors, above all. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { type Daemon, startDaemon } from '../../support/daemon/daemon.js';
import { makeCertificates, tlsOptions } from '../../support/files/certificates.js';
import { missing, startQemu } from '../../support/qemu/qemu.js';
import { RawClient } from '../../support/world/raw-client.js';

/** More than the daemon may have files open. */
const CROWD = 800;
const OPEN_FILES = 400;

async function serve(
  context: TestContext,
  listeners: readonly string[],
): Promise<{ daemon: Daemon; places: readonly string[] }> {
  const qemu = await startQemu(context);
  const daemon = startDaemon(
    context,
    ['--upstream', qemu.monitor, ...listeners.flatMap((each) => ['--listen', each.replace('%', qemu.folder)])],
    {},
    ['sh', '-c', `ulimit -n ${OPEN_FILES} && exec "$0" "$@"`],
  );
  return { daemon, places: await daemon.ready() };
}

/** Connections that are made, and made again when they are closed, and say nothing. */
function crowd(context: TestContext, target: { path: string } | { port: number; host: string }): void {
  const sockets = new Set<Socket>();
  let isOver = false;
  const enter = (): void => {
    if (isOver) return;
    const socket = connect(target);
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('close', () => {
      sockets.delete(socket);
      setTimeout(enter, 1000).unref();
    });
  };
  for (let i = 0; i < CROWD; i++) enter();
  context.after(() => {
    isOver = true;
    for (const socket of sockets) socket.destroy();
  });
}

async function isServed(target: string): Promise<void> {
  const client = await RawClient.connect(target);
  await client.write('{"execute":"qmp_capabilities"}{"execute":"query-name","id":1}');
  await client.readLinesUntil((line) => line.endsWith('"id": 1}'));
  await client.close();
}

function openFiles({ pid }: Daemon): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

describe('a crowd', { skip: missing('qemu', 'openssl') }, () => {
  it('that may not connect takes no descriptors from those who may', async (context) => {
    const stranger = (process.getuid?.() ?? 0) + 1;
    const { daemon, places } = await serve(context, [`unix:%/closed,allow-uid=${stranger}`, 'unix:%/open']);
    crowd(context, { path: (places[0] ?? '').replace('unix:', '') });
    for (let round = 0; round < 30; round++) {
      await isServed(places[1] ?? '');
      const files = openFiles(daemon);
      assert.ok(files < OPEN_FILES - 20, `${files} files open`);
    }
  });

  it('that never agrees on TLS takes no descriptors from those who are somewhere else, and those who do agree get in', async (context) => {
    const folder = makeCertificates(context);
    const { daemon, places } = await serve(context, [`tcp:127.0.0.1:0,tls=${folder},connection-rate=0`, 'unix:%/open']);
    const port = Number(/:(\d+)$/.exec(places[0] ?? '')?.[1]);
    crowd(context, { port, host: '127.0.0.1' });
    for (let round = 0; round < 30; round++) {
      await isServed(places[1] ?? '');
      const files = openFiles(daemon);
      assert.ok(files < OPEN_FILES - 20, `${files} files open`);
    }
    // More, one after the other, than there are descriptors: each is given back. Where this process comes to a halt for a while, the
    // crowd can be faster, and it is tried again.
    for (let served = 0, tries = 0; served < OPEN_FILES; tries++) {
      assert.ok(tries < 2 * OPEN_FILES, `${served} served in ${tries} tries`);
      const known = connectTls({ host: '127.0.0.1', port, ...tlsOptions(folder, true) });
      const greeting = await new Promise<string>((resolve) => {
        known.once('data', (chunk: Buffer) => resolve(chunk.toString()));
        known.on('error', () => resolve(''));
        known.once('end', () => resolve(''));
      });
      if (greeting.startsWith('{"QMP"')) served++;
      known.destroy();
    }
    const line = await daemon.logged(({ msg }) => msg === 'refused a connection');
    assert.equal(line['limit'], 'unnegotiated');
  });

  it('whose certificates are not signed is told of in the log', async (context) => {
    const [folder, other] = [makeCertificates(context), makeCertificates(context)];
    const { daemon, places } = await serve(context, [`tcp:127.0.0.1:0,tls=${folder}`]);
    const port = Number(/:(\d+)$/.exec(places[0] ?? '')?.[1]);
    const stranger = connectTls({
      host: '127.0.0.1',
      port,
      ...tlsOptions(other, true),
      ca: tlsOptions(folder, false).ca,
    });
    stranger.on('error', () => {});
    const line = await daemon.logged(({ msg }) => msg === 'refused a connection');
    assert.equal(line['limit'], 'refusedByOwner');
    assert.match(String(line['what']), /^no TLS with 127\.0\.0\.1 port \d+: its certificate was refused/);
    stranger.destroy();
  });
});
