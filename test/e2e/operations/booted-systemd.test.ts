/** The package and its units under a real systemd, from the installation to the purge. In order: each test goes on from the one before. */
import assert from 'node:assert/strict';
import { cpSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { before as beforeAll, describe, test } from 'node:test';
import { available, missing, qemuProgram } from '../../support/daemon/programs.js';
import { buildDebianPackage } from '../../support/files/debian-package.js';
import { suiteScope } from '../../support/files/scratch.js';
import { BootedSystem, cannotBoot } from '../../support/libvirt/booted-system.js';

const guide = ['operating.md', 'share-one-vm.md']
  .map((name) => readFileSync(new URL(`../../../docs/how-to/${name}`, import.meta.url), 'utf8'))
  .join('\n');

function block(language: string): string {
  const text = new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\`$`, 'm').exec(guide)?.[1];
  assert.ok(text !== undefined, `a block of ${language}`);
  return text;
}

const CAPABILITIES = '{"execute":"qmp_capabilities"}';
const NAME = `${CAPABILITIES}{"execute":"query-name"}`;

describe('under a real systemd', {
  skip: missing('qemu', 'nc', 'socat', 'dpkg-deb') || cannotBoot(),
  timeout: 600_000,
}, () => {
  const scope = suiteScope();
  let system: BootedSystem;
  const unit = (name: string, property: string) =>
    system.must('systemctl', 'show', '--property', property, '--value', name).trim();
  const install = (deb: string) => {
    cpSync(deb, join(system.root, 'var/tmp/qmpmux.deb'));
    // Node.js is there, but not as a package of Debian 12's.
    return system.run('dpkg', '--force-depends', '--install', '/var/tmp/qmpmux.deb');
  };
  const startQemu = (name: string) =>
    system.must(
      'systemd-run',
      `--unit=qemu-${name}`,
      '--property=Group=kvm',
      '--property=UMask=0007',
      qemuProgram,
      ...`-name ${name} -machine none -display none -nodefaults -S`.split(' '),
      '-qmp',
      `unix:/run/qmpmux/${name}.qmp,server=on,wait=off`,
    );
  const ask = (text: string, socket: string) =>
    system.run('sh', '-c', 'printf %s "$1" | nc -N -U "$2"', 'sh', text, socket).output;

  beforeAll(async () => {
    system = await BootedSystem.boot(scope);
    const { status, output, errors } = install(buildDebianPackage(scope));
    assert.equal(status, 0, output + errors);
  });

  test('the package makes the account and the folders, and systemd finds no fault with the units', () => {
    assert.match(system.must('id', 'qmpmux'), /\(kvm\).*\(qmpmux-clients\)|\(qmpmux-clients\).*\(kvm\)/);
    assert.equal(system.must('stat', '-c', '%U:%G %a', '/run/qmpmux/qemu').trim(), 'qmpmux:kvm 2770');
    assert.equal(system.must('stat', '-c', '%U:%G %a', '/var/log/qmpmux').trim(), 'qmpmux:qmpmux 750');
    assert.equal(system.must('stat', '-c', '%U:%G %a', '/etc/qmpmux/conf.d').trim(), 'root:qmpmux 750');
    // The manual pages that the units name are there, too.
    for (const name of ['qmpmux.service', 'qmpmux@web1.service', 'qmpmux@web1.socket']) {
      const { status, errors } = system.run('systemd-analyze', 'verify', `/lib/systemd/system/${name}`);
      const told = errors.split('\n').filter((line) => line.includes('qmpmux'));
      assert.deepEqual([status, told], [0, []], name);
    }
  });

  test('the guide works as pasted: a QEMU, its config, and the three sockets for those who share it', async () => {
    const stop = (...units: readonly string[]) => system.must('systemctl', 'stop', ...units);
    system.must('systemd-run', '--unit=qemu-guide', 'sh', '-c', block('sh').replace('qemu-system-x86_64', qemuProgram));
    await system.until(/web1\.qmp/, 'ls', '/run/qmpmux/qemu');
    assert.equal(system.must('stat', '-c', '%G %a', '/run/qmpmux/qemu/web1.qmp').trim(), 'kvm 770');
    system.write('/etc/qmpmux/web1.toml', block('toml'));
    system.must('systemctl', 'enable', '--now', 'qmpmux@web1');
    await system.until(/^web1: QEMU/, 'systemctl', 'show', '-P', 'StatusText', 'qmpmux@web1');
    // Who is in the group, or has the account, gets in where it may, and nowhere else.
    const as = (account: string, group: string, name: string) => {
      const who = ['setpriv', `--reuid=${account}`, `--regid=${group}`, '--clear-groups'];
      const { output, errors } = system.run(...who, 'nc', '-N', '-U', `/run/qmpmux/web1.${name}`);
      return output.startsWith('{"QMP"')
        ? 'in'
        : /Permission denied|is not allowed on this socket/.test(output + errors)
          ? 'out'
          : output + errors;
    };
    const doors = (account: string, group: string) =>
      ['mux', 'exporter', 'backup', 'ctl'].map((name) => as(account, group, name)).join(' ');
    assert.equal(doors('daemon', 'qmpmux-clients'), 'in out out in');
    assert.equal(doors('nobody', 'nogroup'), 'out in out out');
    assert.equal(doors('backup', 'backup'), 'out out in out');
    assert.equal(doors('daemon', 'kvm'), 'out out out out');
    assert.match(ask(NAME, '/run/qmpmux/web1.mux'), /"web1"/);
    assert.match(system.must('qmpmux', 'status', '--check', '/run/qmpmux/web1.ctl'), /^QMPMUX OK - web1: QEMU/);
    system.must('systemctl', 'disable', '--now', 'qmpmux@web1');
    stop('qemu-guide');
    system.must('rm', '/var/log/qmpmux/web1.audit');
  });

  const noLibvirt = available('libvirtd') || available('/usr/sbin/libvirtd') ? false : 'not installed: libvirtd';
  test('so does its domain, in the libvirt of the system', { skip: noLibvirt }, async () => {
    const virsh = (...words: readonly string[]) => system.must('virsh', '-q', '-c', 'qemu:///system', ...words);
    // The folders of libvirt-in-front.md stand beside those of the units, and neither takes the other's.
    const places = readFileSync(new URL('../../../docs/how-to/libvirt-in-front.md', import.meta.url), 'utf8').match(
      /^ +d \/.*$/gm,
    );
    system.write('/etc/tmpfiles.d/qmpmux-libvirt.conf', `${places?.map((line) => line.trim()).join('\n')}\n`);
    for (let times = 0; times < 2; times++) system.must('systemd-tmpfiles', '--create', 'qmpmux-libvirt.conf');
    const owners = ['/run/qmpmux', '/run/qmpmux-libvirt', '/var/log/qmpmux', '/var/log/qmpmux-libvirt'];
    assert.equal(
      system.must('stat', '-c', '%U:%G %a', ...owners),
      'qmpmux:qmpmux 755\nlibvirt-qemu:qmpmux-clients 2750\nqmpmux:qmpmux 750\nlibvirt-qemu:adm 750\n',
    );
    // There are no control groups to be had, nor KVM, in here.
    system.must('sh', '-c', 'echo "cgroup_controllers = []" >> /etc/libvirt/qemu.conf');
    system.write('/root/web1.xml', block('xml').replace("type='kvm'", "type='qemu'"));
    system.must('systemctl', 'start', 'dbus', 'libvirtd');
    virsh('define', '/root/web1.xml');
    virsh('start', 'web1');
    // QEMU's own account made it, and the folder its group.
    assert.match(system.must('stat', '-c', '%U:%G', '/run/qmpmux/qemu/web1.qmp'), /^(?!root).*:kvm$/m);
    system.must('systemctl', 'start', 'qmpmux@web1');
    await system.until(/^web1: QEMU/, 'systemctl', 'show', '-P', 'StatusText', 'qmpmux@web1');
    assert.match(ask(NAME, '/run/qmpmux/web1.mux'), /"web1"/);
    assert.equal(virsh('domstate', 'web1').trim(), 'running');
    system.must('systemctl', 'stop', 'qmpmux@web1');
    virsh('destroy', 'web1');
    virsh('undefine', 'web1');
    system.must('systemctl', 'stop', 'libvirtd');
    system.must('rm', '/var/log/qmpmux/web1.audit');
  });

  test('an instance with its socket shares a VM among nc, socat and qmpmux exec, and the audit log tells who did what', async () => {
    startQemu('web1');
    system.write(
      '/etc/qmpmux/web1.toml',
      '[audit]\nto = "/var/log/qmpmux/web1.audit"\nchain = true\n' +
        '[monitor.web1]\nupstream = "/run/qmpmux/web1.qmp"\nlisten = ["fd:clients", "/run/qmpmux/web1.ro,policy=read-only"]\n',
    );
    system.must('systemctl', 'start', 'qmpmux@web1.socket');
    system.must('systemctl', 'start', 'qmpmux@web1.service');
    await system.until(
      /^web1: QEMU \d+\.\d+\.\d+, 0 clients$/m,
      'systemctl',
      'show',
      '-P',
      'StatusText',
      'qmpmux@web1',
    );
    assert.match(system.must('systemctl', 'status', '--no-pager', 'qmpmux@web1'), /Status: "web1: QEMU \d/);
    assert.equal(system.must('stat', '-c', '%U:%G %a', '/run/qmpmux/web1.mux').trim(), 'qmpmux:qmpmux-clients 660');

    assert.match(ask(NAME, '/run/qmpmux/web1.mux'), /\{"return": \{"name": "web1"\}\}\r\n$/);
    const bySocat = system.run('sh', '-c', 'printf %s "$1" | socat -t5 - UNIX:/run/qmpmux/web1.mux', 'sh', NAME);
    assert.match(bySocat.output, /\{"return": \{"name": "web1"\}\}\r\n$/);
    assert.match(system.must('qmpmux', 'exec', '/run/qmpmux/web1.mux', 'query-status'), /prelaunch/);
    assert.match(ask(`${CAPABILITIES}{"execute":"quit"}`, '/run/qmpmux/web1.ro'), /not allowed here/);

    const shown = system.must('qmpmux', 'audit', 'show', '/var/log/qmpmux/web1.audit');
    assert.match(shown, /query-name/);
    assert.match(shown, /quit/);
    const log = system.must('cat', '/var/log/qmpmux/web1.audit');
    // PrivateUsers is off for this: who connects is told as what they are.
    assert.match(log, /"uid":0,/);
    assert.match(log, /"program":"socat"/);
    system.must('qmpmux', 'audit', 'verify', '/var/log/qmpmux/web1.audit');
  });

  test('a reload changes what it is to change; one with a wrong config fails, says why, and changes nothing', async () => {
    const file = '/etc/qmpmux/web1.toml';
    const good = system.must('cat', file);
    const pid = unit('qmpmux@web1', 'MainPID');
    system.write(file, good.replace('policy=read-only', 'policy=raed-only'));
    assert.equal(system.run('systemctl', 'reload', 'qmpmux@web1').status, 1);
    assert.match(
      system.must('journalctl', '--no-pager', '--output=cat', '--unit=qmpmux@web1'),
      /web1\.toml:6: .*there is no policy "raed-only"; did you mean "read-only"\?/,
    );
    assert.match(ask(NAME, '/run/qmpmux/web1.ro'), /"web1"/);
    assert.equal(unit('qmpmux@web1', 'ActiveState'), 'active');

    system.write(file, good.replace('web1.ro,', 'web1.new,'));
    system.must('systemctl', 'reload', 'qmpmux@web1');
    await system.until(/web1\.new/, 'ls', '/run/qmpmux');
    assert.doesNotMatch(system.must('ls', '/run/qmpmux'), /web1\.ro/);
    assert.equal(unit('qmpmux@web1', 'MainPID'), pid);
  });

  test('logrotate moves the audit log away, and the daemon goes on in a new one', async () => {
    const log = '/var/log/qmpmux/web1.audit';
    const before = system.must('cat', log);
    system.must('logrotate', '--force', '/etc/logrotate.d/qmpmux');
    await system.until(/web1\.audit$/m, 'ls', '/var/log/qmpmux');
    assert.ok(system.must('cat', `${log}.1`).startsWith(before));
    ask(NAME, '/run/qmpmux/web1.mux');
    await system.until(/query-name/, 'cat', log);
    system.must('qmpmux', 'audit', 'verify', `${log}.1`, log);
  });

  test('a daemon that hangs is restarted by the watchdog, and one that ends by itself too', async () => {
    const dropIn = '/run/systemd/system/qmpmux@web1.service.d';
    system.must('mkdir', '-p', dropIn);
    system.write(`${dropIn}/short.conf`, '[Service]\nWatchdogSec=4s\nRestartSec=0\n');
    system.must('systemctl', 'daemon-reload');
    system.must('systemctl', 'restart', 'qmpmux@web1');
    system.must('systemctl', 'kill', '--kill-whom=main', '--signal=SIGSTOP', 'qmpmux@web1');
    await system.until(/^[1-9]/, 'systemctl', 'show', '-P', 'NRestarts', 'qmpmux@web1');
    // Who connects while it is away waits at systemd's socket.
    assert.match(ask(NAME, '/run/qmpmux/web1.mux'), /"web1"/);
    const pid = unit('qmpmux@web1', 'MainPID');
    system.must('systemctl', 'kill', '--kill-whom=main', '--signal=SIGKILL', 'qmpmux@web1');
    assert.match(ask(NAME, '/run/qmpmux/web1.mux'), /"web1"/);
    assert.notEqual(unit('qmpmux@web1', 'MainPID'), pid);
    system.must('rm', '-r', dropIn);
    system.must('systemctl', 'daemon-reload');
  });

  test('an instance may have flags instead of a config', async () => {
    startQemu('db1');
    system.write(
      '/etc/default/qmpmux-db1',
      'QMPMUX_SERVE="--upstream /run/qmpmux/db1.qmp --listen /run/qmpmux/db1.mux,mode=0660,group=qmpmux-clients"\nQMPMUX_OPTIONS="--log-level=debug --log-format=json"\n',
    );
    system.must('systemctl', 'start', 'qmpmux@db1');
    await system.until(/^db1: QEMU/, 'systemctl', 'show', '-P', 'StatusText', 'qmpmux@db1');
    assert.match(ask(NAME, '/run/qmpmux/db1.mux'), /"db1"/);
    system.must('systemctl', 'reload', 'qmpmux@db1');
    system.must('systemctl', 'stop', 'qmpmux@db1');
    assert.doesNotMatch(system.must('ls', '/run/qmpmux'), /db1\.mux/);
    assert.equal(unit('qmpmux@db1', 'Result'), 'success');
  });

  test('a config that is wrong from the start is tried once', () => {
    system.write('/etc/qmpmux/odd.toml', '[monitor.odd]\nupsteam = "/run/odd.qmp"\n');
    assert.notEqual(system.run('systemctl', 'start', 'qmpmux@odd').status, 0);
    assert.deepEqual(
      ['Result', 'ExecMainStatus', 'NRestarts', 'ActiveState'].map((property) => unit('qmpmux@odd', property)),
      ['exit-code', '78', '0', 'failed'],
    );
    system.write(
      '/etc/qmpmux/odd.toml',
      '[monitor.odd]\nupstream = "/run/odd.qmp"\nlisten = ["/run/qmpmux/odd.mux"]\n',
    );
    system.must('systemctl', 'start', 'qmpmux@odd.socket');
    assert.notEqual(system.run('systemctl', 'start', 'qmpmux@odd').status, 0);
    assert.match(
      system.must('journalctl', '--no-pager', '--output=cat', '--unit=qmpmux@odd'),
      /it is in use by systemd \(pid 1, root\); it is a \.socket unit: listen on fd:NAME/,
    );
    system.must('systemctl', 'stop', 'qmpmux@odd.socket', 'qmpmux@odd.service');
    system.must('rm', '/etc/qmpmux/odd.toml');
  });

  test('one daemon serves every file of a folder, and a file that is written adds a VM', async () => {
    system.must('systemctl', 'start', 'qmpmux.service');
    assert.equal(unit('qmpmux', 'StatusText'), 'the config has no monitor');
    const text = '[monitor.db1]\nupstream = "/run/qmpmux/db1.qmp"\nlisten = ["/run/qmpmux/db1.all"]\n';
    system.write('/etc/qmpmux/conf.d/db1.toml.new', text);
    system.must('mv', '/etc/qmpmux/conf.d/db1.toml.new', '/etc/qmpmux/conf.d/db1.toml');
    await system.until(/^db1: QEMU/, 'systemctl', 'show', '-P', 'StatusText', 'qmpmux');
    assert.match(ask(NAME, '/run/qmpmux/db1.all'), /"db1"/);
    system.must('systemctl', 'stop', 'qmpmux');
  });

  test('an upgrade restarts what runs, and nobody who comes to systemd’s socket meanwhile is refused', async () => {
    const pid = unit('qmpmux@web1', 'MainPID');
    const stopped = unit('qmpmux@db1', 'ActiveState');
    const { status, output, errors } = install(buildDebianPackage(scope, '99.0-1'));
    assert.equal(status, 0, output + errors);
    assert.match(ask(NAME, '/run/qmpmux/web1.mux'), /"web1"/);
    assert.notEqual(unit('qmpmux@web1', 'MainPID'), pid);
    assert.deepEqual([unit('qmpmux@web1', 'ActiveState'), unit('qmpmux@db1', 'ActiveState')], ['active', stopped]);
    await system.until(/^web1: QEMU/, 'systemctl', 'show', '-P', 'StatusText', 'qmpmux@web1');
  });

  test('an upgrade leaves a daemon alone whose config cannot be used any more, and says so', () => {
    const before = unit('qmpmux@web1', 'MainPID');
    system.must('sh', '-c', 'cp /etc/qmpmux/web1.toml /root/kept.toml; echo "[monitor.web1" > /etc/qmpmux/web1.toml');
    const { status, output, errors } = install(buildDebianPackage(scope, '99.0-2'));
    assert.equal(status, 0, output + errors);
    assert.match(errors, /qmpmux: qmpmux@web1\.service goes on with the old program: its config cannot be used/);
    assert.equal(unit('qmpmux@web1', 'MainPID'), before);
    assert.match(ask(NAME, '/run/qmpmux/web1.mux'), /"web1"/);
    system.must('cp', '/root/kept.toml', '/etc/qmpmux/web1.toml');
  });

  test('a removal ends what runs; configs and audit logs stay, even after a purge', () => {
    system.must('dpkg', '--purge', 'qmpmux');
    assert.equal(unit('qmpmux@web1.service', 'ActiveState'), 'inactive');
    assert.equal(unit('qmpmux@web1.socket', 'ActiveState'), 'inactive');
    system.must('ls', '/etc/qmpmux/web1.toml', '/var/log/qmpmux/web1.audit', '/var/log/qmpmux/web1.audit.1');
    for (const gone of ['usr/bin/qmpmux', 'run/qmpmux/web1.mux', 'etc/logrotate.d/qmpmux']) {
      assert.equal(system.run('test', '-e', `/${gone}`).status, 1, gone);
    }
    assert.throws(() => readFileSync(join(system.root, 'usr/lib/qmpmux/bin/qmpmux.js')));
  });
});
