/**
 * A system daemon of libvirt's for tests: it has a socket that allows reading only, and asks polkit who may manage VMs. Its folders, which
 * are compiled into it, are bound to those of the test in a separate mount name space; so it needs root, who may mount.
 */
import { chmodSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { missing, skippable } from '../daemon/programs.js';
import { mountingFault } from '../files/filesystem.js';
import { DAEMON, Libvirt, QEMU_CONF } from './libvirt.js';

const POLKITD = '/usr/lib/polkit-1/polkitd';
/** Paths compiled into libvirt, and the folders bound there instead. */
const BOUND = [
  ['run', '/run/libvirt'],
  ['etc', '/etc/libvirt'],
  ['lib', '/var/lib/libvirt'],
  ['cache', '/var/cache/libvirt'],
  ['log', '/var/log/libvirt'],
  ['rules', '/etc/polkit-1/rules.d'],
] as const;

/**
 * For the `skip` option: false where there can be a system daemon, otherwise the line to skip with. Others than root always skip.
 * @throws Error with that line when we are root and QMPMUX_REQUIRE_QEMU is set
 */
export function cannotBeSystem(isRoot = process.getuid?.() === 0, mounting = mountingFault()): string | false {
  if (!isRoot) return 'needs root for a system daemon of libvirt';
  if (mounting !== false) return skippable(`${mounting}: a system daemon of libvirt needs that`);
  return missing(POLKITD, 'dbus-daemon', 'setpriv', 'unshare');
}

export interface SystemOptions {
  /** Lines of libvirtd.conf. */
  readonly settings?: readonly string[];
  /** JavaScript of a rule of polkit's: a function's body with `action` and `subject`, that may return a `polkit.Result`. */
  readonly rule?: string;
  /** The tap devices of its own network; it shares ours if not given. */
  readonly taps?: readonly string[];
}

/** A system daemon in a new folder, whose two sockets everybody may open. */
export function systemLibvirt({ settings = [], rule = '', taps }: SystemOptions = {}): Libvirt {
  const folder = mkdtempSync(join(tmpdir(), 'qm-ls-'));
  chmodSync(folder, 0o755);
  for (const [name] of BOUND) mkdirSync(join(folder, name));
  mkdirSync(join(folder, 'vm'));
  const inFolder = (name: string) => join(folder, name);
  writeFileSync(inFolder('etc/qemu.conf'), `${QEMU_CONF}user = "root"\ngroup = "root"\n`);
  const lines = [`unix_sock_dir = "${folder}"`, 'unix_sock_ro_perms = "0777"', 'unix_sock_rw_perms = "0777"'];
  writeFileSync(inFolder('libvirtd.conf'), `${[...lines, 'auth_unix_ro = "none"', ...settings].join('\n')}\n`);
  writeFileSync(inFolder('rules/1.rules'), `polkit.addRule(function (action, subject) { ${rule} });\n`);
  const bus = inFolder('bus');
  writeFileSync(
    inFolder('bus.conf'),
    `<busconfig><type>system</type><listen>unix:path=${bus}</listen><auth>EXTERNAL</auth>
    <policy context="default"><allow user="*"/><allow own="*"/>
    <allow send_destination="*" eavesdrop="true"/><allow receive_sender="*"/><allow eavesdrop="true"/></policy></busconfig>`,
  );
  // The bus goes with libvirtd, which this shell becomes, and polkitd with the bus.
  const script = `set -e
    ${BOUND.map(([name, path]) => `mkdir -p ${path}; mount --bind ${inFolder(name)} ${path}`).join('\n')}
    ${(taps ?? []).map((tap) => `ip tuntap add dev ${tap} mode tap`).join('\n')}
    rm -f ${bus}
    setpriv --pdeathsig KILL dbus-daemon --config-file=${inFolder('bus.conf')} --nofork --nopidfile 2>/dev/null &
    until [ -S ${bus} ]; do sleep 0.05; done
    ${POLKITD} >/dev/null 2>&1 &
    exec ${DAEMON} -f ${inFolder('libvirtd.conf')} -p ${inFolder('pid')}`;
  const socket = inFolder('libvirt-sock');
  return new Libvirt({
    folder,
    socket,
    uri: `qemu:///system?socket=${socket}`,
    pids: inFolder('run/qemu'),
    command: ['unshare', '--mount', ...(taps === undefined ? [] : ['--net']), 'sh', '-c', script],
    environment: { DBUS_SYSTEM_BUS_ADDRESS: `unix:path=${bus}` },
    account: {},
  });
}
