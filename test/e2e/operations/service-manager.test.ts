import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startDaemon } from '../../support/daemon/daemon.js';
import { DatagramReceiver } from '../../support/daemon/datagrams.js';
import { scratch } from '../../support/files/scratch.js';
import { missing, startQemu } from '../../support/qemu/qemu.js';

const units = fileURLToPath(new URL('../../../systemd/', import.meta.url));

describe('a service manager', { skip: missing('qemu', 'socat') }, () => {
  for (const kind of ['a path', 'an abstract name'] as const) {
    test(`at ${kind} is told that the daemon is up, how it stands, and that it ends`, async (t) => {
      const folder = scratch(t);
      const socket = kind === 'a path' ? join(folder, 'notify') : `@qmpmux-test-${process.pid}`;
      const manager = await DatagramReceiver.open(t, socket);
      const qmp = join(folder, 'qmp');
      const daemon = startDaemon(t, ['--upstream', qmp, '--listen', join(folder, 'mux'), '--name', 'web'], {
        NOTIFY_SOCKET: socket,
      });
      await manager.until(/READY=1\nSTATUS=web: waiting for QEMU/);
      assert.doesNotMatch(manager.text, /WATCHDOG/);
      await startQemu(t, { monitors: [], extraArgs: ['-qmp', `unix:${qmp},server=on,wait=off`] });
      await manager.until(/STATUS=web: QEMU \d+\.\d+\.\d+, 0 clients/);
      assert.deepEqual(await daemon.stop(), { code: 0, signal: null });
      await manager.until(/STOPPING=1\nSTATUS=ended by SIGTERM\nEXTEND_TIMEOUT_USEC=30000000/);
    });
  }

  test('that keeps a watchdog is patted', async (t) => {
    const folder = scratch(t);
    const socket = join(folder, 'notify');
    const manager = await DatagramReceiver.open(t, socket);
    startDaemon(t, ['--upstream', join(folder, 'qmp'), '--listen', join(folder, 'mux')], {
      NOTIFY_SOCKET: socket,
      WATCHDOG_USEC: '20000',
    });
    await manager.until(/WATCHDOG=1(.|\n)*WATCHDOG=1/);
  });

  test('keeps its watchdog for the process it means', async (t) => {
    const folder = scratch(t);
    const socket = join(folder, 'notify');
    const manager = await DatagramReceiver.open(t, socket);
    const daemon = startDaemon(t, ['--upstream', join(folder, 'qmp'), '--listen', join(folder, 'mux')], {
      NOTIFY_SOCKET: socket,
      WATCHDOG_USEC: '20000',
      WATCHDOG_PID: '1',
    });
    await manager.until(/READY=1/);
    await daemon.stop();
    await manager.until(/STOPPING=1/);
    assert.doesNotMatch(manager.text, /WATCHDOG/);
  });

  test('is told in one sentence of many monitors, with the names of those that wait', async (t) => {
    const folder = scratch(t);
    const qemu = await startQemu(t);
    const manager = await DatagramReceiver.open(t, join(folder, 'notify'));
    const monitor = (name: string, upstream: string) =>
      `[monitor.${name}]\nupstream = "${upstream}"\nlisten = ["${join(folder, name)}"]\n`;
    const config = Array.from({ length: 11 }, (_, index) => monitor(`vm${index}`, join(folder, `q${index}`)));
    writeFileSync(join(folder, 'a.toml'), config.join(''));
    const daemon = startDaemon(t, ['--config', join(folder, 'a.toml')], { NOTIFY_SOCKET: join(folder, 'notify') });
    await manager.until(/STATUS=11 monitors, 0 clients; waiting for QEMU: vm0, vm1, .*, vm9 and 1 more/);
    writeFileSync(join(folder, 'a.toml'), [...config.slice(0, 4), monitor('web', qemu.monitor)].join(''));
    daemon.kill('SIGHUP');
    await manager.until(/STATUS=5 monitors, 0 clients; waiting for QEMU: vm0, vm1, vm2, vm3$/m);
    await daemon.stop();
  });

  test('that is not there does not keep the daemon from serving', async (t) => {
    const folder = scratch(t);
    const qemu = await startQemu(t);
    for (const socket of [join(folder, 'nobody'), 'relative', `/${'long'.repeat(40)}`]) {
      const daemon = startDaemon(t, ['--upstream', qemu.monitor, '--listen', join(folder, 'mux')], {
        NOTIFY_SOCKET: socket,
      });
      await daemon.ready();
      await daemon.stop();
    }
  });
});

describe('the units', { skip: missing('systemd-analyze') }, () => {
  const names = readdirSync(units).filter((name) => /\.(service|socket)$/.test(name));

  test('are there', () => {
    assert.deepEqual(names.sort(), ['qmpmux.service', 'qmpmux@.service', 'qmpmux@.socket']);
  });

  for (const name of names) {
    test(`${name} is one systemd finds no fault with`, (t) => {
      // The program and its manual are looked up, so they are put where this copy of the unit says.
      const folder = scratch(t);
      const program = join(folder, 'qmpmux');
      writeFileSync(program, '#!/bin/sh\n', { mode: 0o755 });
      mkdirSync(join(folder, 'units'));
      for (const each of names) {
        const text = readFileSync(join(units, each), 'utf8')
          .replaceAll('/usr/bin/qmpmux', program)
          .replace(/^Documentation=.*\n/m, '');
        writeFileSync(join(folder, 'units', each), text);
      }
      const unit = join(folder, 'units', name.replace('@.', '@web1.'));
      if (name.includes('@.')) writeFileSync(unit, readFileSync(join(folder, 'units', name)));
      const { status, stdout, stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', unit], {
        encoding: 'utf8',
      });
      const told = `${stdout}${stderr}`.split('\n').filter((line) => line.includes('qmpmux'));
      assert.deepEqual(told, []);
      assert.equal(status, 0);
    });
  }

  for (const name of names.filter((each) => each.endsWith('.service'))) {
    test(`${name} leaves no core with secrets in it, and takes no more memory than it may`, () => {
      const text = readFileSync(join(units, name), 'utf8');
      assert.match(text, /^LimitCORE=0$/m);
      assert.match(text, /^MemoryMax=4G$/m);
    });

    test(`${name} exposes little: at most 1.5 of 10`, () => {
      const { stdout } = spawnSync('systemd-analyze', ['security', '--offline=true', '--no-pager', join(units, name)], {
        encoding: 'utf8',
      });
      const level = /Overall exposure level for .*: ([\d.]+)/.exec(stdout)?.[1];
      assert.ok(level !== undefined, stdout);
      assert.ok(Number(level) <= 1.5, `exposure ${level}`);
    });
  }

  for (const name of names) {
    test(`${name} says why, above each directive`, () => {
      const lines = readFileSync(join(units, name), 'utf8').split('\n');
      for (const [index, line] of lines.entries()) {
        if (!/^[A-Z]/.test(line)) continue;
        assert.ok(lines[index - 1]?.startsWith('# '), `${line} has no comment above it`);
      }
    });
  }

  test('are hardened alike', () => {
    const hardening = names
      .filter((name) => name.endsWith('.service'))
      .map((name) => readFileSync(join(units, name), 'utf8').replace(/^[^]*?(?=^User=)/m, ''));
    assert.equal(hardening.length, 2);
    assert.equal(hardening[0], hardening[1]);
  });
});
