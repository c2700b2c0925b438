/** A newcomer's path: the package installed, the unit started as systemd does it, a VM shared, three tools on it, the audit log read. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { chownSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startCommand } from '../../support/daemon/daemon.js';
import { DatagramReceiver } from '../../support/daemon/datagrams.js';
import { buildDebianPackage } from '../../support/files/debian-package.js';
import { scratch, suiteScope } from '../../support/files/scratch.js';
import { missing, startQemu } from '../../support/qemu/qemu.js';
import { RawClient } from '../../support/world/raw-client.js';

const absent = missing('qemu', 'socat', 'nc', 'dpkg-deb', 'systemd-socket-activate', 'systemd-sysusers');
const repository = fileURLToPath(new URL('../../..', import.meta.url));
const isRoot = process.getuid?.() === 0;

describe('the Debian package', { skip: absent || (!isRoot && 'dpkg installs as root only'), timeout: 300_000 }, () => {
  const scope = suiteScope();
  let root = '';
  let deb = '';
  before(() => {
    const folder = scratch(scope);
    deb = buildDebianPackage(scope);
    root = join(folder, 'root');
    mkdirSync(join(root, 'var/lib/dpkg'), { recursive: true });
    writeFileSync(join(root, 'var/lib/dpkg/status'), '');
    const args = [
      `--root=${root}`,
      '--force-depends',
      '--force-script-chrootless',
      '--log=/dev/null',
      '--install',
      deb,
    ];
    const { status, stderr } = spawnSync('dpkg', args, { encoding: 'utf8' });
    assert.equal(status, 0, stderr);
  });

  test('has everything in its place, and nothing anyone could change', () => {
    for (const path of [
      'usr/bin/qmpmux',
      'usr/lib/systemd/system/qmpmux.service',
      'usr/lib/systemd/system/qmpmux@.service',
      'usr/lib/systemd/system/qmpmux@.socket',
      'usr/lib/qmpmux/libvirt/qemu-behind-qmpmux',
      'usr/lib/sysusers.d/qmpmux.conf',
      'usr/lib/tmpfiles.d/qmpmux.conf',
      'etc/logrotate.d/qmpmux',
      'usr/share/doc/qmpmux/copyright',
      'usr/share/doc/qmpmux/examples/web1.toml',
      'usr/share/doc/qmpmux/changelog.gz',
      'usr/share/doc/qmpmux/changelog.Debian.gz',
      'usr/share/doc/qmpmux/monitoring/alerts.yml',
    ]) {
      assert.ok(existsSync(join(root, path)), path);
    }
    // Each page of the manual, and each script of the completion, where man and the shells look.
    const pages = readdirSync(join(repository, 'man'));
    assert.ok(pages.includes('qmpmux-audit-show.1'), pages.join());
    const installed = readdirSync(join(root, 'usr/share/man'), { recursive: true, encoding: 'utf8' });
    assert.deepEqual(
      installed.filter((path) => path.endsWith('.gz')).toSorted(),
      pages.map((page) => `man${page.at(-1)}/${page}.gz`).toSorted(),
    );
    for (const [script, place] of [
      ['qmpmux.bash', 'bash-completion/completions/qmpmux'],
      ['_qmpmux', 'zsh/vendor-completions/_qmpmux'],
    ] as const) {
      const there = readFileSync(join(root, 'usr/share', place), 'utf8');
      assert.equal(there, readFileSync(join(repository, 'completions', script), 'utf8'), place);
    }
    assert.match(readFileSync(join(root, 'etc/passwd'), 'utf8'), /^qmpmux:/m);
    assert.equal(statSync(join(root, 'var/log/qmpmux')).mode & 0o777, 0o750);
    const listed = execFileSync('dpkg-deb', ['--contents', deb], { encoding: 'utf8', maxBuffer: 1e8 });
    for (const line of listed.trim().split('\n'))
      assert.match(line, /^(l|[d-]...(r-x|r--)(r-x|r--)) ?.*root\/root/, line);
    assert.doesNotMatch(listed, /node_modules\/(typescript|esbuild|oxlint|fast-check)\//);
  });

  test('has the guide’s config as an example', () => {
    const example = readFileSync(join(root, 'usr/share/doc/qmpmux/examples/web1.toml'), 'utf8');
    const guide = readFileSync(join(repository, 'docs/how-to/share-one-vm.md'), 'utf8');
    assert.ok(guide.includes(`\`\`\`toml\n${example.replace(/^(#.*\n)*\n/, '')}\`\`\``), example);
  });

  test('needs the Nodes that package.json says', () => {
    const { engines }: { engines: { node: string } } = JSON.parse(
      readFileSync(join(repository, 'package.json'), 'utf8'),
    );
    assert.equal(engines.node, '^20.19 || ^22.12 || >=24');
    const depends = execFileSync('dpkg-deb', ['--field', deb, 'Depends'], { encoding: 'utf8' });
    assert.equal(
      depends.trim(),
      'nodejs (>= 20.19), nodejs (<< 21~) | nodejs (>= 22.12), nodejs (<< 23~) | nodejs (>= 24), libc6 (>= 2.25)',
    );
  });

  test('is one in which lintian finds nothing to mend', { skip: missing('lintian') }, () => {
    const { status, stdout } = spawnSync('lintian', ['--allow-root', '--fail-on', 'error,warning', deb], {
      encoding: 'utf8',
    });
    assert.equal(stdout, '');
    assert.equal(status, 0);
  });

  test('is the same, byte for byte, when it is built again, also by another than whom the clone belongs to', () => {
    const again = buildDebianPackage(scope, undefined, { GIT_TEST_ASSUME_DIFFERENT_OWNER: '1' });
    assert.ok(readFileSync(again).equals(readFileSync(deb)));
  });

  test('has all that its parts need: machine code, help, pretty logs, configs, metrics, a transport of the audit log', async (t) => {
    const folder = scratch(t);
    const program = join(root, 'usr/bin/qmpmux');
    const log = join(folder, 'log');
    assert.match(execFileSync(program, ['serve', '--help'], { encoding: 'utf8' }), /--upstream/);
    const config = join(folder, 'vm.toml');
    writeFileSync(config, `[monitor.vm]\nupstream = "${folder}/qmp"\nlisten = ["${folder}/mux"]\n`);
    const daemon = startCommand(t, [
      program,
      'serve',
      `--config=${config}`,
      `--metrics=${join(folder, 'metrics')}`,
      '--log-format=pretty',
      `--audit=transport:pino/file,destination=${log}`,
    ]);
    const qemu = await startQemu(t, { monitors: [], extraArgs: ['-qmp', `unix:${folder}/qmp,server=on,wait=off`] });
    assert.ok(qemu.pid > 0);
    await daemon.ready();
    const client = await RawClient.connect(join(folder, 'mux'));
    await client.readLine();
    const metrics = await RawClient.connect(join(folder, 'metrics'));
    await metrics.write('GET /metrics HTTP/1.0\r\n\r\n');
    assert.match((await metrics.readToEnd()).toString(), /qmpmux_clients\{.*\} 1/);
    await client.close();
    assert.equal((await daemon.stop()).code, 0);
    assert.match(daemon.errors, /INFO.*accepting clients/);
    const records = readFileSync(log, 'utf8');
    // The kernel was asked who connects, which takes koffi.
    assert.match(records, /"pid":\d+/);
  });

  test('says what it is made of: each package with version and licence', () => {
    const folder = join(root, 'usr/share/doc/qmpmux');
    const bom: { components: { name: string }[] } = JSON.parse(readFileSync(join(folder, 'sbom.cdx.json'), 'utf8'));
    const named = new Set(bom.components.map(({ name }) => name));
    const licences = readFileSync(join(folder, 'licences.txt'), 'utf8');
    for (const name of readdirSync(join(root, 'usr/lib/qmpmux/node_modules'))) {
      if (name.startsWith('@') || name.startsWith('.')) continue;
      assert.ok(named.has(name), `${name} in the bill of materials`);
      assert.match(licences, new RegExp(`^${name} \\d+\\.\\d+\\.\\d+\\S*: \\S`, 'm'));
    }
  });

  test('shares a VM once its unit is started, among nc, socat and qmpmux exec, and its audit log tells who did what', async (t) => {
    const folder = scratch(t);
    const clients = join(folder, 'web1.mux');
    const qemu = await startQemu(t, { name: 'web1' });
    const log = join(root, 'var/log/qmpmux/web1.audit');
    // Here it runs as root, not as the account, and root keeps no audit log where another user could replace it.
    chownSync(join(root, 'var/log/qmpmux'), 0, 0);
    writeFileSync(
      join(root, 'etc/qmpmux/web1.toml'),
      `[audit]\nto = "${log}"\nchain = true\n[monitor.web1]\nupstream = "${qemu.monitor}"\nlisten = ["fd:clients"]\n`,
    );
    const program = join(root, 'usr/bin/qmpmux');
    assert.match(
      execFileSync(program, ['config', 'check', join(root, 'etc/qmpmux/web1.toml')], { encoding: 'utf8' }),
      /^web1: /,
    );

    // As systemd would: the unit's own command line, with its socket and its place for messages.
    const unit = readFileSync(join(root, 'usr/lib/systemd/system/qmpmux@.service'), 'utf8');
    const served = /^Environment="QMPMUX_SERVE=(.*)"$/m.exec(unit)?.[1] ?? '';
    const command = (/^ExecStart=(.*)$/m.exec(unit)?.[1] ?? '')
      .replace('$QMPMUX_SERVE', served)
      .replace(' $QMPMUX_OPTIONS', '')
      .replaceAll('%i', 'web1');
    const [first, ...rest] = command.split(' ').map((word) => (word.startsWith('/') ? root + word : word));
    assert.equal(first, program);
    const manager = await DatagramReceiver.open(t, join(folder, 'notify'));
    const daemon = startCommand(
      t,
      ['systemd-socket-activate', '-E', 'NOTIFY_SOCKET', '-l', clients, '--fdname=clients', program, ...rest],
      { NOTIFY_SOCKET: join(folder, 'notify') },
    );
    // The first one starts the daemon, and waits.
    const waiting = await RawClient.soon(clients);
    await manager.until(/READY=1/);
    assert.match(await waiting.readLine(), /^\{"QMP"/);
    await manager.until(/STATUS=web1: QEMU \d/);

    const input = '{"execute":"qmp_capabilities"}{"execute":"query-name"}\n';
    for (const tool of [
      ['nc', '-N', '-U', clients],
      ['socat', '-t5', '-', `UNIX-CONNECT:${clients}`],
    ]) {
      const [name = '', ...args] = tool;
      const { stdout } = spawnSync(name, args, { input, encoding: 'utf8', timeout: 60_000 });
      assert.match(stdout, /\{"return": \{"name": "web1"\}\}\r\n$/, name);
    }
    assert.match(execFileSync(program, ['exec', clients, 'stop'], { encoding: 'utf8' }), /"return": \{\}/);
    assert.equal((await daemon.stop()).code, 0);
    await manager.until(/STOPPING=1/);

    const shown = execFileSync(program, ['audit', 'show', log], { encoding: 'utf8' });
    assert.match(shown, /query-name/);
    assert.match(shown, /stop/);
    const verified = spawnSync(program, ['audit', 'verify', log], { encoding: 'utf8' });
    assert.equal(verified.status, 0, verified.stdout + verified.stderr);
    const programs = new Set([...readFileSync(log, 'utf8').matchAll(/"program":"([^"]+)"/g)].map((match) => match[1]));
    assert.ok(programs.has('nc') || programs.has('nc.openbsd'), [...programs].join());
    assert.ok(programs.has('socat'));
  });
});
