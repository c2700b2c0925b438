import assert from 'node:assert/strict';
import { existsSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { type Daemon, startDaemon } from '../../support/daemon/daemon.js';
import { scratch } from '../../support/files/scratch.js';
import { missing, reconnectOption, startQemu } from '../../support/qemu/qemu.js';
import { RawClient } from '../../support/world/raw-client.js';

/** Starts the daemon before that upstream with one listener, whose path is the second of the pair. */
function share(t: TestContext, upstream: string): { readonly daemon: Daemon; readonly mux: string } {
  const mux = join(scratch(t), 'mux');
  return { daemon: startDaemon(t, ['--upstream', upstream, '--listen', mux]), mux };
}

async function assertServes(mux: string, name: string): Promise<void> {
  const client = await RawClient.connect(mux);
  await client.readLine();
  await client.write('{"execute":"qmp_capabilities"}{"execute":"query-name","id":1}');
  await client.readLine();
  assert.equal(await client.readLine(), `{"return": {"name": "${name}"}, "id": 1}`);
  await client.close();
}

describe('the upstream of qmpmux serve', { skip: missing('qemu', 'socat') }, () => {
  test('may be a QEMU that dials us, started before or after, again and again', async (t) => {
    const path = join(scratch(t), 'qmp');
    const monitor = ['-chardev', `socket,id=m,path=${path},${reconnectOption()}`, '-mon', 'chardev=m,mode=control'];
    const early = startQemu(t, { name: 'early', monitors: [], extraArgs: monitor });
    await early;
    const { daemon, mux } = share(t, `unix:${path},server`);
    await daemon.ready();
    await assertServes(mux, 'early');
    await (await early).kill();
    await daemon.logged((line) => line.msg.startsWith('lost QEMU'));
    assert.ok(!existsSync(mux));
    assert.ok(existsSync(path));

    await startQemu(t, { name: 'late', monitors: [], extraArgs: ['-qmp', `unix:${path},${reconnectOption()}`] });
    await daemon.ready();
    await assertServes(mux, 'late');
    await daemon.stop();
    assert.ok(!existsSync(path));
  });

  test('may be a QEMU that dials us over TCP', async (t) => {
    const { daemon, mux } = share(t, 'tcp:127.0.0.1:0,server');
    const line = await daemon.logged((logged) => logged.msg.startsWith('waiting for QEMU to connect to'));
    const port = /tcp:127\.0\.0\.1:(\d+)$/.exec(line.msg)?.[1];
    await startQemu(t, {
      name: 'tcp',
      monitors: [],
      extraArgs: ['-qmp', `tcp:127.0.0.1:${port},${reconnectOption()}`],
    });
    await daemon.ready();
    await assertServes(mux, 'tcp');
  });

  test('may be behind a command', async (t) => {
    const qemu = await startQemu(t, { name: 'exec' });
    const { daemon, mux } = share(t, `exec:socat - UNIX-CONNECT:${qemu.monitor}`);
    await daemon.ready();
    await assertServes(mux, 'exec');
    await qemu.kill();
    const lost = await daemon.logged((line) => line.msg.startsWith('lost QEMU'));
    assert.equal(lost.reason, '"socat" exited with status 0');
    const waiting = await daemon.logged((line) => line.msg === 'waiting for QEMU');
    assert.equal(waiting.reason, '"socat" exited with status 1, before the QMP handshake was done');
    const said = daemon.log.filter((line) => line.msg === 'upstream command wrote to stderr');
    assert.match(String(said[0]?.['line']), /socat.*Connection refused/);
    await daemon.stop();
  });

  test('may be on TCP', async (t) => {
    const qemu = await startQemu(t, { name: 'tcp', monitors: [{ kind: 'tcp' }] });
    for (const upstream of [qemu.monitor, qemu.monitor.replace('127.0.0.1', 'localhost')]) {
      const { daemon, mux } = share(t, upstream);
      await daemon.ready();
      await assertServes(mux, 'tcp');
      await daemon.stop();
    }
  });

  test('is waited for while another client holds it, and used when that one leaves', async (t) => {
    const qemu = await startQemu(t, { name: 'busy' });
    const holder = await RawClient.connect(qemu.monitor);
    await holder.readLine();
    const { daemon, mux } = share(t, qemu.monitor);
    const line = await daemon.logged((logged) => logged.msg === 'waiting for QEMU');
    const expected = 'no greeting within 10 s: another client probably holds this monitor (QEMU serves one at a time)';
    assert.ok(line.reason?.startsWith(expected), line.reason);
    assert.ok(!existsSync(mux));
    await holder.close();
    await daemon.ready();
    await assertServes(mux, 'busy');
  });

  test('that is no QMP server is told as such, and used when it is one', async (t) => {
    const qemu = await startQemu(t, { name: 'text', monitors: [{ hmp: true }] });
    const { daemon, mux } = share(t, qemu.monitor);
    const line = await daemon.logged((logged) => logged.msg === 'waiting for QEMU');
    assert.match(line.reason ?? '', /^not a QMP server: its first line is "QEMU \d/);
    assert.ok(!existsSync(mux));
    const right = await startQemu(t, { name: 'right' });
    renameSync(right.monitor, qemu.monitor);
    await daemon.ready();
    await assertServes(mux, 'right');
  });

  test('that is no socket is told as such', async (t) => {
    const path = join(scratch(t), 'file');
    writeFileSync(path, 'precious');
    const { daemon } = share(t, path);
    const line = await daemon.logged((logged) => logged.msg === 'waiting for QEMU');
    assert.equal(line.reason, 'it is a regular file, not a socket');
  });
});
