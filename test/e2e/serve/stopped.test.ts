/** Clients of a daemon that was stopped for a while, and clients that read slowly: nobody pays for what is no fault of theirs. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { type Daemon, startDaemon } from '../../support/daemon/daemon.js';
import { scratch } from '../../support/files/scratch.js';
import { RawClient } from '../../support/world/raw-client.js';
import { GREETING } from '../../support/world/scripted-server.js';

const BIG = 8 * 1024 * 1024;

/** A daemon with these limits, before a QEMU that answers `big` by as many bytes, and nothing else. */
async function serve(t: TestContext, ...limits: readonly string[]): Promise<{ daemon: Daemon; path: string }> {
  const folder = scratch(t);
  const path = join(folder, 'mux');
  const qemu = createServer((socket) => {
    socket.on('error', () => {
      // the daemon went away first
    });
    socket.setEncoding('latin1').on('data', (text: string) => {
      const [, id] = /"execute":"big","id":(\d+)/.exec(text) ?? [];
      if (id !== undefined) socket.write(`{"return": "${'x'.repeat(BIG)}", "id": ${id}}\r\n`);
      const handshake = text.split('"execute":"qmp_capabilities"').at(-1) ?? '';
      const [, word] = /"id":"([^"]+)"\}\n?$/.exec(handshake) ?? [];
      if (word !== undefined) socket.write(`{"return": {}, "id": "${word}"}\r\n`);
    });
    socket.write(GREETING);
  });
  qemu.listen(join(folder, 'qmp'));
  await once(qemu, 'listening');
  t.after(() => qemu.close());
  const flags = limits.flatMap((limit) => ['--limit', limit]);
  const daemon = startDaemon(t, ['--upstream', join(folder, 'qmp'), '--listen', `unix:${path}`, ...flags]);
  await daemon.ready();
  return { daemon, path };
}

describe('a client', { concurrency: 2 }, () => {
  test('loses nothing when the daemon is stopped for longer than all limits, and goes on', async (t) => {
    const { daemon, path } = await serve(t, 'negotiation-time=5s', 'output-grace=5s', 'output-high-water=64k');
    const reader = await RawClient.negotiated(path);
    reader.pause();
    await reader.write('{"execute":"big"}');
    const late = await RawClient.connect(path);
    await late.readLine();
    daemon.kill('SIGSTOP');
    await pause(8000);
    daemon.kill('SIGCONT');
    // Time for the daemon to look at its clock.
    await pause(1500);
    await late.write('{"execute":"qmp_capabilities"}');
    assert.equal(await late.readLine(), '{"return": {}}');
    reader.resume();
    assert.ok((await reader.readLine()).length > BIG);
  });

  test('that reads slowly, but reads, gets all of a long reply', async (t) => {
    const { daemon, path } = await serve(t, 'output-grace=2s', 'output-high-water=64k');
    const socket = connect({ path });
    t.after(() => socket.destroy());
    await once(socket, 'connect');
    socket.write('{"execute":"qmp_capabilities"}{"execute":"big"}');
    let bytes = 0;
    const started = performance.now();
    while (bytes < BIG) {
      const chunk: unknown = socket.read();
      if (chunk instanceof Uint8Array) bytes += chunk.length;
      assert.ok(!socket.readableEnded, `cut after ${bytes} bytes: ${daemon.errors}`);
      await pause(40);
    }
    assert.ok(performance.now() - started > 2000, 'it took longer than the grace');
  });
});
