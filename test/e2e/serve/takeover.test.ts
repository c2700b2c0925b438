/** `--takeover` with a real QEMU and a real daemon, killed at every step. */
import assert from 'node:assert/strict';
import { existsSync, lstatSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { type Daemon, startDaemon } from '../../support/daemon/daemon.js';
import { untraceable } from '../../support/daemon/programs.js';
import { makeDeadSocket } from '../../support/files/dead-socket.js';
import { missing, type Qemu, startQemu } from '../../support/qemu/qemu.js';
import { RawClient } from '../../support/world/raw-client.js';

async function named(target: string): Promise<string> {
  const client = await RawClient.connect(target);
  await client.readLine();
  await client.write('{"execute":"qmp_capabilities"}{"execute":"query-name"}');
  await client.readLine();
  const line = await client.readLine();
  await client.close();
  return line;
}

function takeOver(context: TestContext, qemu: Qemu, flags: readonly string[] = []): Daemon {
  return startDaemon(context, ['--upstream', qemu.monitor, '--takeover', ...flags]);
}

async function assertTakenOver(qemu: Qemu): Promise<void> {
  // Two at once: QEMU itself would not serve the second.
  const names = await Promise.all([named(qemu.monitor), named(qemu.monitor)]);
  assert.deepEqual(names, ['{"return": {"name": "vm"}}', '{"return": {"name": "vm"}}']);
  assert.ok(existsSync(`${qemu.monitor}.qemu`));
}

/** QEMU is where it was, and nothing is left of us. */
async function assertRestored(qemu: Qemu, inode: number): Promise<void> {
  assert.equal(lstatSync(qemu.monitor).ino, inode);
  assert.ok(!existsSync(`${qemu.monitor}.qemu`));
  assert.equal(await named(qemu.monitor), '{"return": {"name": "vm"}}');
}

describe('qmpmux serve --takeover', { skip: missing('qemu') }, () => {
  it('serves many clients at QEMU’s own path, with the permissions it had, and puts everything back at its end', async (context) => {
    const qemu = await startQemu(context, { name: 'vm' });
    const before = statSync(qemu.monitor);
    const daemon = takeOver(context, qemu);
    assert.deepEqual(await daemon.ready(), [`unix:${qemu.monitor}`]);
    await assertTakenOver(qemu);
    const ours = statSync(qemu.monitor);
    assert.notEqual(ours.ino, before.ino);
    assert.deepEqual([ours.mode, ours.uid, ours.gid], [before.mode, before.uid, before.gid]);
    assert.deepEqual(await daemon.stop(), { code: 0, signal: null });
    await assertRestored(qemu, before.ino);
  });

  it('takes over again when QEMU has been started again at its path', async (context) => {
    const qemu = await startQemu(context, { name: 'old' });
    const daemon = takeOver(context, qemu);
    await daemon.ready();
    await qemu.kill();
    await daemon.logged(({ msg }) => msg.startsWith('lost QEMU'));
    const next = await startQemu(context, { name: 'vm' });
    renameSync(next.monitor, qemu.monitor);
    await daemon.ready();
    await assertTakenOver({ ...next, monitor: qemu.monitor });
  });

  /** What a crash between two steps leaves, made from a QEMU that has just started. */
  const crashes: readonly (readonly [
    when: string,
    crash: (qemu: Qemu, context: TestContext) => void | Promise<void>,
  ])[] = [
    ['before it did anything', () => undefined],
    [
      'when QEMU’s socket is aside, and ours is not there yet',
      (qemu) => {
        renameSync(qemu.monitor, `${qemu.monitor}.qemu`);
      },
    ],
    [
      'when both are there',
      async (qemu, context) => {
        const daemon = takeOver(context, qemu);
        await daemon.ready();
        await daemon.stop('SIGKILL');
        assert.ok(existsSync(qemu.monitor) && existsSync(`${qemu.monitor}.qemu`));
      },
    ],
    [
      'of both, with a dead socket at the path',
      (qemu) => {
        renameSync(qemu.monitor, `${qemu.monitor}.qemu`);
        makeDeadSocket(qemu.monitor);
      },
    ],
  ];
  for (const [when, crash] of crashes) {
    it(`goes on after a crash ${when}`, async (context) => {
      const qemu = await startQemu(context, { name: 'vm' });
      const { ino } = lstatSync(qemu.monitor);
      await crash(qemu, context);
      const daemon = takeOver(context, qemu);
      await daemon.ready();
      await assertTakenOver(qemu);
      await daemon.stop();
      await assertRestored(qemu, ino);
    });

    it(`is undone by --restore after a crash ${when}`, async (context) => {
      const qemu = await startQemu(context, { name: 'vm' });
      const { ino } = lstatSync(qemu.monitor);
      await crash(qemu, context);
      const isMoved = existsSync(`${qemu.monitor}.qemu`);
      const restore = startDaemon(context, ['--upstream', qemu.monitor, '--restore']);
      assert.equal((await restore.exited).code, 0);
      assert.match(restore.output, isMoved ? /^qmpmux: restored: / : /^qmpmux: nothing to restore: /);
      await assertRestored(qemu, ino);
    });
  }

  /** Each step is a system call; it is killed as it is about to make the first of each kind, or a later one. */
  const kills: readonly (readonly [before: string, inject: string, isAtEnd: boolean])[] = [
    ['it moves QEMU’s socket aside', 'rename:signal=KILL:when=1', false],
    ['it makes its own', 'bind:signal=KILL:when=1', false],
    ['its own gets its owner', 'chown,fchownat:signal=KILL:when=1', false],
    ['its own gets its mode', 'chmod,fchmodat:signal=KILL:when=1', false],
    ['it removes its own', 'unlink:signal=KILL:when=2', true],
    ['it puts QEMU’s back', 'rename:signal=KILL:when=2', true],
  ];
  for (const [before, inject, isAtEnd] of kills) {
    it(`goes on, and comes to its end, after it was killed before ${before}`, {
      skip: untraceable(),
    }, async (context) => {
      const qemu = await startQemu(context, { name: 'vm' });
      const { ino } = lstatSync(qemu.monitor);
      const names = inject.split(':')[0] ?? '';
      const through = [
        'strace',
        '-D',
        '-f',
        '-qq',
        '-o',
        '/dev/null',
        '-e',
        `trace=${names}`,
        '-e',
        `inject=${inject}`,
      ];
      const killed = startDaemon(context, ['--upstream', qemu.monitor, '--takeover'], {}, through);
      if (isAtEnd) {
        await killed.ready();
        killed.kill('SIGTERM');
      }
      assert.deepEqual(await killed.exited, { code: null, signal: 'SIGKILL' });
      const daemon = takeOver(context, qemu);
      await daemon.ready();
      await assertTakenOver(qemu);
      await daemon.stop();
      assert.ok(daemon.log.some(({ msg }) => msg === "moved QEMU's socket back"));
      await assertRestored(qemu, ino);
    });
  }

  it('is refused where another one stands already, and so is --restore while it does', async (context) => {
    const qemu = await startQemu(context, { name: 'vm' });
    const first = takeOver(context, qemu);
    await first.ready();
    const second = takeOver(context, qemu);
    assert.equal((await second.exited).code, 69);
    assert.match(second.errors, /two programs listen: qmpmux serve \(pid \d+, [^()]+\) at that path, and qemu-system/);
    const restore = startDaemon(context, ['--upstream', qemu.monitor, '--restore']);
    assert.equal((await restore.exited).code, 69);
    assert.match(
      restore.errors,
      new RegExp(`qmpmux serve \\(pid ${first.pid}, [^()]+\\) listens there; stop it first`),
    );
    await assertTakenOver(qemu);
  });

  it('is not begun by a changed config that cannot be used', async (context) => {
    const qemu = await startQemu(context, { name: 'vm' });
    const { ino } = lstatSync(qemu.monitor);
    const [file, mux, taken] = ['config.toml', 'mux', 'taken'].map((name) => join(qemu.folder, name)) as [
      string,
      string,
      string,
    ];
    const config = (listen: readonly string[], takeover: boolean) =>
      `[monitor.vm]\nupstream = "${qemu.monitor}"\ntakeover = ${takeover}\nlisten = ${JSON.stringify(listen)}\n`;
    writeFileSync(file, config([mux], false));
    writeFileSync(taken, 'in the way');
    const daemon = startDaemon(context, ['--config', file]);
    await daemon.ready();
    writeFileSync(file, config([mux, taken], true));
    daemon.kill('SIGHUP');
    await daemon.logged(({ msg }) => msg === 'cannot use the new config; the old one stays in effect');
    assert.equal(lstatSync(qemu.monitor).ino, ino);
    assert.ok(!existsSync(`${qemu.monitor}.qemu`));
    assert.equal(await named(mux), '{"return": {"name": "vm"}}');
  });

  it('has the options of its own socket, where it is named', async (context) => {
    const qemu = await startQemu(context, { name: 'vm' });
    const daemon = takeOver(context, qemu, ['--listen', `${qemu.monitor},mode=0640,policy=read-only`]);
    assert.deepEqual(await daemon.ready(), [`unix:${qemu.monitor}`]);
    assert.equal(statSync(qemu.monitor).mode & 0o777, 0o640);
    const client = await RawClient.connect(qemu.monitor);
    await client.readLine();
    await client.write('{"execute":"qmp_capabilities"}{"execute":"stop"}');
    await client.readLine();
    assert.match(await client.readLine(), /is not allowed here \(policy read-only\)/);
  });
});
