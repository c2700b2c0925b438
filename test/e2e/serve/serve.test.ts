import assert from 'node:assert/strict';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { startDaemon } from '../../support/daemon/daemon.js';
import { untilEnded } from '../../support/daemon/process-state.js';
import { scratch } from '../../support/files/scratch.js';
import { missing, startQemu } from '../../support/qemu/qemu.js';
import { RawClient } from '../../support/world/raw-client.js';

/** Starts QEMU with its monitor at `path`. */
function qemuAt(scope: Parameters<typeof startQemu>[0], path: string, name = 'vm') {
  return startQemu(scope, { name, monitors: [], extraArgs: ['-qmp', `unix:${path},server=on,wait=off`] });
}

/** Connects, negotiates and asks for the VM's name. */
async function nameOverMux(target: string): Promise<string> {
  const client = await RawClient.connect(target);
  await client.readLine();
  await client.write('{"execute":"qmp_capabilities"}{"execute":"query-name"}');
  await client.readLine();
  const line = await client.readLine();
  await client.close();
  return line;
}

describe('qmpmux serve', { skip: missing('qemu') }, () => {
  test('shares a monitor, says so when it does, and removes its socket at the end', async (t) => {
    const mux = join(scratch(t), 'mux');
    const qemu = await startQemu(t, { name: 'web' });
    const daemon = startDaemon(t, ['--upstream', qemu.monitor, '--listen', mux]);
    assert.deepEqual(await daemon.ready(), [`unix:${mux}`]);
    assert.equal(statSync(mux).mode & 0o777, 0o600);

    const clients = await Promise.all([1, 2, 3].map(() => RawClient.connect(mux)));
    for (const [index, client] of clients.entries()) {
      assert.match(await client.readLine(), /^\{"QMP": /);
      await client.write(`{"execute":"qmp_capabilities"}{"execute":"query-name","id":"same ${index}"}`);
      assert.equal(await client.readLine(), '{"return": {}}');
    }
    for (const [index, client] of clients.entries()) {
      assert.equal(await client.readLine(), `{"return": {"name": "web"}, "id": "same ${index}"}`);
    }

    assert.deepEqual(await daemon.stop(), { code: 0, signal: null });
    assert.ok(!existsSync(mux));
    for (const client of clients) {
      await client.readToEnd();
      assert.equal(client.failure, null);
    }
    assert.equal(daemon.output, `qmpmux: ready: m0: unix:${mux}\n`);
  });

  test('may be started before QEMU, and outlives it: no socket while it is away, and EOF for its clients', async (t) => {
    const folder = scratch(t);
    const mux = join(folder, 'mux');
    const daemon = startDaemon(t, ['--upstream', join(folder, 'qmp'), '--listen', mux]);
    const waiting = await daemon.logged((line) => line.msg === 'waiting for QEMU');
    assert.equal(waiting.reason, 'there is no such file');
    assert.equal(waiting.monitor, 'qmp');
    assert.deepEqual(readdirSync(folder), []);
    assert.equal(daemon.output, '');

    for (const name of ['first', 'second', 'third']) {
      const qemu = await qemuAt(t, join(folder, 'qmp'), name);
      await daemon.ready();
      assert.match(await nameOverMux(mux), new RegExp(`"${name}"`));
      const idle = await RawClient.connect(mux);
      await idle.readLine();
      await qemu.kill(name === 'second' ? 'SIGTERM' : 'SIGKILL');
      assert.equal((await idle.readToEnd()).toString(), '');
      assert.equal(idle.failure, null);
      await daemon.logged((line) => line.msg.startsWith('lost QEMU'));
      assert.ok(!existsSync(mux));
      await daemon.logged((line) => line.msg === 'waiting for QEMU');
    }
    assert.deepEqual(await daemon.stop(), { code: 0, signal: null });
  });

  test('tells of commands that were under way when QEMU went away', async (t) => {
    const folder = scratch(t);
    const qemu = await qemuAt(t, join(folder, 'qmp'));
    const daemon = startDaemon(t, ['--upstream', join(folder, 'qmp'), '--listen', join(folder, 'mux')]);
    await daemon.ready();
    const client = await RawClient.connect(join(folder, 'mux'));
    await client.readLine();
    await client.write('{"execute":"qmp_capabilities"}');
    await client.readLine();
    // A stopped QEMU reads no more.
    process.kill(qemu.pid, 'SIGSTOP');
    await client.write('{"execute":"query-status"}');
    const second = await RawClient.connect(join(folder, 'mux'));
    // When the second client has its greeting, the command of the first is on its way.
    await second.readLine();
    await qemu.kill();
    const line = await daemon.logged((logged) => logged.msg === 'a command was sent and will not be answered');
    assert.equal(line['command'], 'query-status');
    assert.equal(line['client'], 1);
    await client.readToEnd();
    const lost = await daemon.logged(({ msg }) => msg.startsWith('lost QEMU'));
    assert.equal(lost.msg, 'lost QEMU; its clients are disconnected');
    assert.ok(!existsSync(join(folder, 'mux')));
  });

  test('executes what a client sent before it closed, though nobody is there for the answers', async (t) => {
    const folder = scratch(t);
    const qemu = await startQemu(t);
    const daemon = startDaemon(t, ['--upstream', qemu.monitor, '--listen', join(folder, 'mux')]);
    await daemon.ready();
    for (let round = 0; round < 10; round++) {
      const client = await RawClient.connect(join(folder, 'mux'));
      await client.write(
        `{"execute":"qmp_capabilities"}{"execute":"object-add","arguments":{"qom-type":"iothread","id":"t${round}"}}`,
      );
      await client.close();
    }
    await daemon.logged((line) => line.msg === 'dropped the answer to a client that has left' && line['client'] === 10);
    const threads = await qemu.execute('query-iothreads');
    assert.ok(Array.isArray(threads));
    assert.equal(threads.length, 10);
  });

  test('ends although a client takes nothing of what it is due', async (t) => {
    const mux = join(scratch(t), 'mux');
    const qemu = await startQemu(t);
    const daemon = startDaemon(t, ['--upstream', qemu.monitor, '--listen', mux]);
    await daemon.ready();
    const stalled = await RawClient.connect(mux);
    stalled.pause();
    await stalled.write(`{"execute":"qmp_capabilities"}${'{"execute":"query-qmp-schema"}'.repeat(20)}`);
    const other = await RawClient.connect(mux);
    await other.readLine();
    // Answered in turns, so when the other one's twentieth answer is here the stalled one's are on their way.
    await other.write(`{"execute":"qmp_capabilities"}${'{"execute":"query-status"}'.repeat(20)}`);
    await other.readLines(21);
    assert.deepEqual(await daemon.stop(), { code: 0, signal: null });
  });

  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    test(`ends cleanly on ${signal} while it waits for QEMU`, async (t) => {
      const folder = scratch(t);
      const daemon = startDaemon(t, ['--upstream', join(folder, 'qmp'), '--listen', join(folder, 'mux')]);
      await daemon.logged((line) => line.msg === 'waiting for QEMU');
      assert.deepEqual(await daemon.stop(signal), { code: 0, signal: null });
      assert.equal((await daemon.logged((line) => line.msg === 'ending'))['signal'], signal);
    });
  }

  test('ends at once on a second signal, whatever the first one waits for', async (t) => {
    const folder = scratch(t);
    const stubborn = `exec:sh -c 'trap "" TERM; echo up >&2; while :; do sleep 1; done'`;
    const daemon = startDaemon(t, ['--upstream', stubborn, '--listen', join(folder, 'mux')]);
    const { pid } = await daemon.logged((line) => line['line'] === 'up');
    daemon.kill('SIGINT');
    await daemon.logged((line) => line.msg === 'ending');
    assert.deepEqual(await daemon.stop('SIGINT'), { code: 130, signal: null });
    // Its command went with it; the number of a process that has ended may live on until init has asked.
    assert.equal(typeof pid, 'number');
    await untilEnded(Number(pid));
  });
});
