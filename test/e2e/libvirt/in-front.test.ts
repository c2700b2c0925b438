/** libvirtd itself as a client of qmpmux: docs/how-to/libvirt-in-front.md, with a real libvirtd, and two others on the same monitor. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { after, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { missing, qemuProgram } from '../../support/daemon/programs.js';
import { type Scope, scratch } from '../../support/files/scratch.js';
import { type Libvirt, startLibvirt } from '../../support/libvirt/libvirt.js';
import { cannotBeSystem, systemLibvirt } from '../../support/libvirt/system-libvirt.js';
import type { LooseRecord } from '../../support/text/audit.js';
import { RawClient } from '../../support/world/raw-client.js';

const repository = fileURLToPath(new URL('../../..', import.meta.url));
const { skip, libvirt } = await prepare();
after(async () => {
  await libvirt?.stop();
});

async function prepare(): Promise<{ skip: string | false; libvirt: Libvirt | null }> {
  const reason = cannotBeSystem();
  if (reason !== false) return { skip: reason, libvirt: null };
  return await startLibvirt(systemLibvirt({ settings: ['auth_unix_rw = "none"'], taps: ['qmtap0'] }));
}

/** The emulator of the recipe, with a config for this folder. @returns its path */
function installEmulator(folder: string): string {
  const emulator = join(folder, 'qemu-behind-qmpmux');
  copyFileSync(join(repository, 'libvirt/qemu-behind-qmpmux'), emulator);
  const qmpmux = join(folder, 'qmpmux');
  writeFileSync(qmpmux, `#!/bin/sh\nexec ${process.execPath} ${join(repository, 'bin/qmpmux.js')} "$@"\n`);
  chmodSync(qmpmux, 0o755);
  mkdirSync(join(folder, 'mux'));
  const qemu = qemuProgram.includes('/') ? qemuProgram : `/usr/bin/${qemuProgram}`;
  const lines = [
    `QEMU=${qemu}`,
    `QMPMUX=${qmpmux}`,
    `LISTEN=unix:${folder}/mux/%s`,
    `AUDIT=${folder}/mux/%s.audit`,
    `LOG=${folder}/mux/%s.log`,
  ];
  writeFileSync(`${emulator}.conf`, `${lines.join('\n')}\n`);
  return emulator;
}

class Domain {
  readonly name: string;
  readonly folder: string;
  readonly #libvirt: Libvirt;

  private constructor(daemon: Libvirt, name: string) {
    this.#libvirt = daemon;
    this.name = name;
    this.folder = daemon.folder;
  }

  static async define(scope: Scope, daemon: Libvirt, name: string): Promise<Domain> {
    const domain = new Domain(daemon, name);
    const disk = domain.path('disk.qcow2');
    execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', disk, '4M']);
    const emulator = existsSync(join(daemon.folder, 'mux'))
      ? join(daemon.folder, 'qemu-behind-qmpmux')
      : installEmulator(daemon.folder);
    await domain.virsh('define', domain.file('domain', domainXml(name, emulator, disk)));
    scope.after(async () => {
      await domain.virsh('destroy', name).catch(() => null);
      await domain.virsh('undefine', '--snapshots-metadata', '--managed-save', name).catch(() => null);
    });
    return domain;
  }

  path(name: string): string {
    return join(this.folder, 'vm', `${this.name}-${name}`);
  }

  file(name: string, text: string): string {
    writeFileSync(this.path(name), text);
    return this.path(name);
  }

  virsh(...words: readonly string[]): Promise<string> {
    return this.#libvirt.virsh(...words);
  }

  /** Runs lines of virsh with `image` open as its descriptor 3. */
  virshWith(image: string, lines: string): void {
    const script = `exec 3<>'${image}'; exec virsh -q -c '${this.#libvirt.uri}' "$1"`;
    execFileSync('sh', ['-c', script, 'sh', lines], { stdio: ['ignore', 'pipe', 'pipe'], encoding: 'utf8' });
  }

  /** Another client of the domain's monitor, negotiated. */
  async client(scope: Scope): Promise<RawClient> {
    const client = await RawClient.connect(join(this.folder, 'mux', this.name));
    scope.after(() => client.close());
    await client.readLine();
    await client.write('{"execute":"qmp_capabilities"}');
    await client.readLine();
    return client;
  }

  /** Waits for a record of the audit. */
  async audited(isWanted: (record: LooseRecord) => boolean): Promise<void> {
    for (const end = Date.now() + 20_000; !this.audit.some(isWanted); await pause(20)) {
      assert.ok(Date.now() < end, 'no such record in the audit');
    }
  }

  get audit(): LooseRecord[] {
    const lines = readFileSync(join(this.folder, 'mux', `${this.name}.audit`), 'utf8')
      .trimEnd()
      .split('\n');
    return lines.map((line): LooseRecord => JSON.parse(line));
  }
}

function domainXml(name: string, emulator: string, disk: string): string {
  return `<domain type='qemu'>
  <name>${name}</name><memory unit='MiB'>16</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <features><acpi/></features>
  <devices><emulator>${emulator}</emulator><controller type='usb' model='none'/><memballoon model='none'/>
    <disk type='file'><driver name='qemu' type='qcow2'/><source file='${disk}'/><target dev='vda' bus='virtio'/></disk>
  </devices>
</domain>
`;
}

describe('libvirtd before qmpmux', { skip, concurrency: 1 }, () => {
  test('manages a VM while others share its monitor, and the audit says who did what', async (t) => {
    assert.ok(libvirt !== null);
    const vm = await Domain.define(t, libvirt, 'front');
    await vm.virsh('start', vm.name);
    const one = await vm.client(t);
    const two = await vm.client(t);

    await vm.virsh('suspend', vm.name);
    assert.equal(await vm.virsh('domstate', vm.name), 'paused');
    for (const client of [one, two]) await client.readLinesUntil((line) => line.includes('"event": "STOP"'));
    assert.equal(await ask(one, 'query-status'), '{"status": "paused", "singlestep": false, "running": false}');
    await vm.virsh('resume', vm.name);
    for (const client of [one, two]) await client.readLinesUntil((line) => line.includes('"event": "RESUME"'));
    assert.match(
      await vm.virsh('qemu-monitor-command', vm.name, '{"execute":"query-name"}'),
      /^\{"return":\{"name":"front"\}/,
    );
    assert.match(await vm.virsh('qemu-monitor-command', vm.name, '--hmp', 'info name'), /^front/);

    await vm.virsh('snapshot-create-as', vm.name, 'inside');
    await vm.virsh(
      'snapshot-create-as',
      vm.name,
      'outside',
      '--disk-only',
      '--diskspec',
      `vda,file=${vm.path('outside.qcow2')}`,
    );
    assert.match(await ask(one, 'query-block'), /outside\.qcow2/);

    // A disk by its path; another, and a network card, each handed to QEMU as a descriptor. (libvirt 9.0 passes a disk's own
    // fdgroup at the start of a VM only.)
    const image = vm.path('extra.img');
    execFileSync('qemu-img', ['create', '-q', '-f', 'raw', image, '1M']);
    const disk = vm.file(
      'disk.xml',
      `<disk type='file'><source file='${image}'/><target dev='vdb' bus='virtio'/></disk>`,
    );
    await vm.virsh('attach-device', vm.name, disk);
    const other = vm.path('other.img');
    execFileSync('qemu-img', ['create', '-q', '-f', 'raw', other, '1M']);
    vm.virshWith(
      other,
      `qemu-monitor-command ${vm.name} --pass-fds 3 '{"execute":"add-fd","arguments":{"fdset-id":7}}'`,
    );
    const node = '{"driver":"raw","node-name":"other","file":{"driver":"file","filename":"/dev/fdset/7"}}';
    await vm.virsh('qemu-monitor-command', vm.name, `{"execute":"blockdev-add","arguments":${node}}`);
    await vm.virsh('qemu-monitor-command', vm.name, '{"execute":"blockdev-del","arguments":{"node-name":"other"}}');
    const card = vm.file(
      'card.xml',
      `<interface type='ethernet'><target dev='qmtap0' managed='no'/><model type='virtio'/></interface>`,
    );
    await vm.virsh('attach-device', vm.name, card);
    assert.match(await ask(two, 'human-monitor-command', '{"command-line":"info network"}'), /tap,fds?=/);

    await vm.virsh('dump', vm.name, vm.path('dump'));
    assert.ok(statSync(vm.path('dump')).size > 10_000);

    await vm.virsh('save', vm.name, vm.path('saved'));
    assert.equal(await vm.virsh('domstate', vm.name), 'shut off');
    for (const client of [one, two]) await client.readToEnd();
    await vm.virsh('restore', vm.path('saved'));
    assert.equal(await vm.virsh('domstate', vm.name), 'running');
    const later = await vm.client(t);
    assert.match(await ask(later, 'query-status'), /running/);

    await vm.virsh('destroy', vm.name);
    await later.readToEnd();
    await vm.audited((record) => record['kind'] === 'daemon' && record['action'] === 'stop');

    const commands = vm.audit.filter((record) => record['kind'] === 'command');
    const by = (command: string) => [...new Set(commands.filter((each) => each['command'] === command).map(programOf))];
    for (const command of ['stop', 'cont', 'device_add', 'blockdev-add', 'getfd', 'add-fd', 'netdev_add', 'migrate']) {
      assert.deepEqual(by(command), ['libvirtd'], command);
    }
    for (const command of ['query-status', 'query-block'])
      assert.ok(by(command).includes(basename(process.argv[1] ?? '')), `${command}: ${by(command).join()}`);
    const files = commands.flatMap(({ command, descriptor }) =>
      descriptor === undefined ? [] : [[command, descriptor]],
    );
    assert.deepEqual(files.slice(0, 4), [
      ['add-fd', { type: 'file', path: other }],
      ['getfd', { type: 'character device', path: '/dev/net/tun' }],
      ['getfd', { type: 'pipe' }],
      ['getfd', { type: 'pipe' }],
    ]);
  });

  test('finds its VM again after it was restarted, and others notice nothing', async (t) => {
    assert.ok(libvirt !== null);
    const vm = await Domain.define(t, libvirt, 'restarted');
    await vm.virsh('start', vm.name);
    const client = await vm.client(t);
    await libvirt.stopDaemon();
    assert.match(await ask(client, 'query-status'), /running/);
    await libvirt.start();
    assert.equal(await vm.virsh('domstate', vm.name), 'running');
    await vm.virsh('suspend', vm.name);
    await client.readLinesUntil((line) => line.includes('"event": "STOP"'));
  });

  test('is told when a VM cannot be started with qmpmux, and why', async (t) => {
    assert.ok(libvirt !== null);
    const vm = await Domain.define(t, libvirt, 'broken');
    const config = join(libvirt.folder, 'qemu-behind-qmpmux.conf');
    const good = readFileSync(config, 'utf8');
    t.after(() => {
      writeFileSync(config, good);
    });
    writeFileSync(config, `${good}QMPMUX=/no/such/qmpmux\n`);
    await assert.rejects(vm.virsh('start', vm.name), /Failed to start domain/);
    const said = readFileSync(join(libvirt.folder, 'log/qemu/broken.log'), 'utf8');
    assert.match(said, /there is no \/no\/such\/qmpmux; write QMPMUX=/);
    writeFileSync(config, `${good}LISTEN=unix:/no/such/folder/%s\n`);
    await assert.rejects(vm.virsh('start', vm.name), /Failed to start domain/);
    assert.match(readFileSync(join(libvirt.folder, 'mux/broken.log'), 'utf8'), /\/no\/such\/folder/);
    writeFileSync(config, good);
    await vm.virsh('start', vm.name);
  });
});

function programOf({ peer }: LooseRecord): unknown {
  return typeof peer === 'object' && peer !== null ? Reflect.get(peer, 'program') : undefined;
}

async function ask(client: RawClient, command: string, args = '{}'): Promise<string> {
  await client.write(`{"execute":"${command}","arguments":${args},"id":"asked"}`);
  const lines = await client.readLinesUntil((line) => line.includes('"id": "asked"'));
  return (lines.at(-1) ?? '').replace(/^\{"return": |, "id": "asked"\}$/g, '');
}

describe('the emulator script', { skip: missing('qemu', 'setpriv'), concurrency: 1 }, () => {
  test('puts qmpmux at the path of the monitor where that is what it is given, and ends it with QEMU', async (t) => {
    const folder = scratch(t);
    const emulator = installEmulator(folder);
    const socket = join(folder, 'monitor.sock');
    const words = [
      '-name',
      'guest=by-path,debug-threads=on',
      '-machine',
      'none',
      '-S',
      '-display',
      'none',
      '-nodefaults',
    ];
    const monitor = [
      '-chardev',
      `socket,id=charmonitor,path=${socket},server=on,wait=off`,
      '-mon',
      'chardev=charmonitor,mode=control',
    ];
    const qemu = spawn(emulator, [...words, ...monitor], { stdio: 'ignore' });
    t.after(() => {
      qemu.kill('SIGKILL');
    });
    for (const end = Date.now() + 20_000; !existsSync(socket); await pause(20)) assert.ok(Date.now() < end);
    const [one, two] = [await RawClient.connect(socket), await RawClient.connect(join(folder, 'mux/by-path'))];
    for (const client of [one, two]) {
      await client.readLine();
      await client.write('{"execute":"qmp_capabilities"}{"execute":"query-name"}');
      assert.deepEqual(await client.readLines(2), ['{"return": {}}', '{"return": {"name": "by-path"}}']);
    }
    qemu.kill('SIGKILL');
    for (const client of [one, two]) await client.readToEnd();
    for (const end = Date.now() + 20_000; existsSync(socket); await pause(20)) assert.ok(Date.now() < end);
  });
});
