import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, lstatSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { startDaemon } from '../../support/daemon/daemon.js';
import { scratch } from '../../support/files/scratch.js';
import { missing, startQemu } from '../../support/qemu/qemu.js';
import { RawClient } from '../../support/world/raw-client.js';

async function greets(place: string): Promise<void> {
  const client = await RawClient.connect(place);
  assert.match(await client.readLine(), /^\{"QMP": /);
  await client.close();
}

describe('the listeners of qmpmux serve', { skip: missing('qemu', 'socat') }, () => {
  test('are as many as wanted, on unix sockets and on the loopback addresses of TCP', async (t) => {
    const folder = scratch(t);
    const qemu = await startQemu(t);
    const group = String(process.getgid?.() ?? 0);
    const addresses = [
      `${folder}/plain`,
      `unix:${folder}/wide,mode=0666,group=${group}`,
      `UNIX-LISTEN:${folder}/socat`,
      'tcp:127.0.0.1:0',
      'tcp:[::1]:0',
      'tcp:localhost:0',
    ];
    const daemon = startDaemon(t, [
      '--upstream',
      qemu.monitor,
      ...addresses.flatMap((address) => ['--listen', address]),
    ]);
    const places = await daemon.ready();
    assert.deepEqual(
      places.map((place) => place.replace(/:[1-9]\d*$/, ':PORT')),
      [
        `unix:${folder}/plain`,
        `unix:${folder}/wide`,
        `unix:${folder}/socat`,
        'tcp:127.0.0.1:PORT',
        'tcp:[::1]:PORT',
        'tcp:localhost:PORT',
      ],
    );
    for (const place of places) await greets(place);
    assert.equal(statSync(`${folder}/plain`).mode & 0o777, 0o600);
    assert.equal(statSync(`${folder}/wide`).mode & 0o777, 0o666);

    await daemon.stop();
    for (const name of ['plain', 'wide', 'socat']) assert.ok(!existsSync(join(folder, name)));
  });

  test('replace a stale socket, also one that qmpmux itself has left', async (t) => {
    const mux = join(scratch(t), 'mux');
    const qemu = await startQemu(t);
    const killed = startDaemon(t, ['--upstream', qemu.monitor, '--listen', mux]);
    await killed.ready();
    await killed.stop('SIGKILL');
    assert.ok(lstatSync(mux).isSocket());

    const daemon = startDaemon(t, ['--upstream', qemu.monitor, '--listen', mux]);
    await daemon.ready();
    await greets(mux);
  });

  test('are refused at the start where another program listens', async (t) => {
    const path = join(scratch(t), 'mux');
    const other = spawn('socat', [`UNIX-LISTEN:${path},fork`, 'EXEC:true'], { stdio: 'ignore' });
    t.after(async () => {
      other.kill('SIGKILL');
      if (other.exitCode === null && other.signalCode === null) await once(other, 'exit');
    });
    while (!existsSync(path)) await new Promise(setImmediate);
    const daemon = startDaemon(t, ['--upstream', '/nowhere', '--listen', path]);
    assert.deepEqual(await daemon.exited, { code: 69, signal: null });
    assert.match(
      daemon.errors,
      /^qmpmux: cannot listen on unix:\/.*: it is in use by socat \(pid \d+, [^()]+\); .*\n$/,
    );
    assert.ok(lstatSync(path).isSocket());
  });

  test('are made by the next daemon when the first one still runs, and then only when it has ended', async (t) => {
    const mux = join(scratch(t), 'mux');
    const qemu = await startQemu(t, { monitors: [{}, {}] });
    const first = startDaemon(t, ['--upstream', qemu.monitors[0] ?? '', '--listen', mux]);
    await first.ready();
    const secondArgs = ['--upstream', qemu.monitors[1] ?? '', '--listen', mux];
    assert.equal((await startDaemon(t, secondArgs).exited).code, 69);
    await greets(mux);
    await first.stop();
    const second = startDaemon(t, secondArgs);
    await second.ready();
    await greets(mux);
  });

  test('are made anew when somebody has removed their files, and who is in stays in', async (t) => {
    const qemu = await startQemu(t);
    const [mux, other] = [join(qemu.folder, 'mux'), join(qemu.folder, 'other')];
    const daemon = startDaemon(t, ['--upstream', qemu.monitor, '--listen', `unix:${mux},mode=0660`, '--listen', other]);
    await daemon.ready();
    const client = await RawClient.negotiated(mux);
    const { ino } = lstatSync(other);
    rmSync(mux);
    await daemon.logged(({ msg }) => msg === 'the file of a socket was removed; creating it again');
    while (!existsSync(mux)) await new Promise(setImmediate);
    assert.equal(lstatSync(mux).mode & 0o777, 0o660);
    await greets(mux);
    await client.write('{"execute":"query-name","id":1}');
    assert.equal(await client.readLine(), '{"return": {}, "id": 1}');
    await client.close();
    assert.equal(lstatSync(other).ino, ino, 'the others are left alone');
    // What stands in the place of one is not ours to remove.
    rmSync(other);
    writeFileSync(other, 'precious');
    await daemon.stop();
    assert.equal(readFileSync(other, 'utf8'), 'precious');
    assert.equal(daemon.log.filter(({ level }) => level >= 40).length, 1);
  });

  test('are tried again when their place is taken while QEMU was away', async (t) => {
    const folder = scratch(t);
    const daemon = startDaemon(t, ['--upstream', join(folder, 'qmp'), '--listen', join(folder, 'mux')]);
    await daemon.logged((line) => line.msg === 'waiting for QEMU');
    writeFileSync(join(folder, 'mux'), 'precious');
    await startQemu(t, { monitors: [], extraArgs: ['-qmp', `unix:${join(folder, 'qmp')},server=on,wait=off`] });
    const line = await daemon.logged((logged) => logged.msg === 'cannot create a socket');
    assert.match(line.reason ?? '', /a regular file is there/);
    assert.equal(readFileSync(join(folder, 'mux'), 'utf8'), 'precious');
    assert.equal(daemon.output, '');
    rmSync(join(folder, 'mux'));
    await daemon.ready();
    await greets(join(folder, 'mux'));
  });
});
