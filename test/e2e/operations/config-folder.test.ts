/** One broken file in a folder of configs takes no other VM's monitor away, at a start either. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startDaemon } from '../../support/daemon/daemon.js';
import { DatagramReceiver } from '../../support/daemon/datagrams.js';
import { scratch } from '../../support/files/scratch.js';
import { missing, startQemu } from '../../support/qemu/qemu.js';
import { RawClient } from '../../support/world/raw-client.js';

const PROGRAM = fileURLToPath(new URL('../../../bin/qmpmux.js', import.meta.url));

function put(file: string, content: string): void {
  writeFileSync(`${file}.new`, content);
  renameSync(`${file}.new`, file);
}

function scrape(socketPath: string): Promise<string> {
  return new Promise((resolve, reject) => {
    request({ socketPath, path: '/metrics' }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => {
        resolve(text);
      });
    })
      .once('error', reject)
      .end();
  });
}

async function greets(mux: string): Promise<boolean> {
  const client = await RawClient.connect(mux);
  const isGreeting = (await client.readLine()).startsWith('{"QMP"');
  await client.close();
  return isGreeting;
}

describe('a folder with a config that cannot be used', { skip: missing('qemu', 'socat') }, () => {
  test('is served without it, which the log, the status and the metrics say, until it is mended', async (t) => {
    const folder = scratch(t);
    const configs = join(folder, 'conf.d');
    mkdirSync(configs);
    const qemu = await startQemu(t);
    const second = await startQemu(t);
    const third = await startQemu(t);
    const at = (name: string) => join(folder, `${name}.mux`);
    const monitor = (name: string, upstream: string, more = '') =>
      `[monitor.${name}]\nupstream = "${upstream}"\nlisten = ["${at(name)}"]\n${more}`;
    put(join(configs, 'good.toml'), monitor('good', qemu.monitor));
    put(join(configs, 'zz.toml'), '[monitor.zz]\n');
    put(join(configs, 'metrics.toml'), `[metrics]\nlisten = "${join(folder, 'metrics')}"\n`);
    const notify = join(folder, 'notify');
    const manager = await DatagramReceiver.open(t, notify);
    const daemon = startDaemon(t, ['--config-dir', configs, '--watch'], { NOTIFY_SOCKET: notify });
    assert.deepEqual(await daemon.ready(), [`unix:${at('good')}`]);
    const said = await daemon.logged(({ msg }) => msg === 'skipped a config file that cannot be used');
    assert.equal(said['file'], join(configs, 'zz.toml'));
    assert.match(said.reason ?? '', /zz\.toml:1: monitor\.zz\.upstream: is missing$/);
    await manager.until(/READY=1\nSTATUS=skipped: \S+zz\.toml:1: monitor\.zz\.upstream: is missing; good: /);
    assert.match(await scrape(join(folder, 'metrics')), /^qmpmux_config_errors 1$/m);
    assert.ok(await greets(at('good')));

    const checked = spawnSync(process.execPath, [PROGRAM, 'config', 'check', configs], { encoding: 'utf8' });
    assert.equal(checked.status, 78);
    assert.match(checked.stdout, /^good: /m);
    assert.match(checked.stderr, /^qmpmux: \S+zz\.toml:1: monitor\.zz\.upstream: is missing$/m);
    const serve = [PROGRAM, 'serve', '--check', '--config-dir', configs];
    assert.equal(spawnSync(process.execPath, serve).status, 78);

    // It keeps no other file from being carried out.
    put(join(configs, 'more.toml'), monitor('more', second.monitor));
    await daemon.logged(({ msg }) => msg === 'config reloaded');
    assert.deepEqual(await daemon.ready(), [`unix:${at('more')}`]);
    // One that worked goes on when it is broken.
    put(join(configs, 'more.toml'), '[monitor.more]\n');
    await daemon.logged(({ msg }) => msg === 'cannot use the new config; the old one stays in effect');
    assert.match(await scrape(join(folder, 'metrics')), /^qmpmux_config_errors 2$/m);
    assert.ok(await greets(at('more')));
    put(join(configs, 'more.toml'), monitor('more', second.monitor));
    await daemon.logged(({ msg }) => msg === 'the config has not changed');
    put(join(configs, 'zz.toml'), monitor('zz', third.monitor));
    assert.deepEqual(await daemon.ready(), [`unix:${at('zz')}`]);
    assert.match(await scrape(join(folder, 'metrics')), /^qmpmux_config_errors 0$/m);
    assert.deepEqual(await daemon.stop(), { code: 0, signal: null });
  });

  test('is not served where nothing else is in it', async (t) => {
    const folder = scratch(t);
    writeFileSync(join(folder, 'a.toml'), '[monitor.a');
    const daemon = startDaemon(t, ['--config-dir', folder]);
    assert.deepEqual(await daemon.exited, { code: 78, signal: null });
    assert.match(daemon.errors, /a\.toml:1:\d+: not TOML: /);
  });

  test('is served though one of its sockets cannot be made, and that one when it can', async (t) => {
    const folder = scratch(t);
    const configs = join(folder, 'conf.d');
    mkdirSync(configs);
    const [qemu, second] = [await startQemu(t), await startQemu(t)];
    const at = (name: string) => join(folder, `${name}.mux`);
    const taken = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => taken.listen(at('dial'), resolve));
    t.after(() => taken.close());
    writeFileSync(join(configs, 'a.toml'), `[monitor.a]\nupstream = "${qemu.monitor}"\nlisten = ["${at('a')}"]\n`);
    writeFileSync(
      join(configs, 'b.toml'),
      `[monitor.b]\nupstream = "${second.monitor}"\nlisten = ["${join(folder, 'later', 'b.mux')}"]\n` +
        `[monitor.c]\nupstream = "${at('dial')},server"\nlisten = ["${at('c')}"]\n`,
    );
    const daemon = startDaemon(t, ['--config-dir', configs]);
    assert.deepEqual(await daemon.ready(), [`unix:${at('a')}`]);
    const said = await daemon.logged(({ msg, monitor }) => monitor === 'b' && msg.startsWith('cannot create a socket'));
    assert.match(said.reason ?? '', /the folder .*later does not exist; make it first/);
    mkdirSync(join(folder, 'later'));
    assert.deepEqual(await daemon.ready(), [`unix:${join(folder, 'later', 'b.mux')}`]);
    await new Promise((resolve) => taken.close(resolve));
    rmSync(at('dial'), { force: true });
    await daemon.logged(({ msg }) => msg.startsWith('waiting for QEMU to connect to'));
    assert.deepEqual(await daemon.stop(), { code: 0, signal: null });
  });
});

test('--check finds in flags what it finds in a file', () => {
  for (const flags of [
    ['--listen', 'tcp:0.0.0.0:4444'],
    ['--listen', '/nowhere/mux,user=nobody-here'],
    ['--listen', '/nowhere/mux', '--metrics', 'tcp:0.0.0.0:9177'],
  ]) {
    const words = [PROGRAM, 'serve', '--check', '--upstream', '/nowhere/qmp', ...flags];
    const { status, stderr } = spawnSync(process.execPath, words, { encoding: 'utf8' });
    assert.equal(status, 69, stderr);
    assert.match(
      stderr,
      /^qmpmux: cannot listen on .*(can be reached from other machines|there is no user "nobody-here")/,
    );
  }
});
