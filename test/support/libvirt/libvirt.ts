/**
 * A libvirt daemon of a test file's own, with software-emulated VMs: everything it reads, writes and listens on is in one folder.
 * It runs as a session daemon, since those take all their paths from the environment: as ourselves, or, for root, as nobody.
 * system-libvirt.ts has the other kind.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { available, missing, qemuProgram, skippable } from '../daemon/programs.js';
import { removeFolder, type Scope } from '../files/scratch.js';
import type { Target } from '../world/raw-client.js';

export const DAEMON = available('libvirtd') ? 'libvirtd' : '/usr/sbin/libvirtd';
/** How long the daemon may take to listen, in milliseconds. Only a bound. */
const PATIENCE = 30_000;
/** Of nobody and nogroup. */
const NOBODY = 65_534;
const account = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
/** Lines of every qemu.conf here. logd would be another daemon, which outlives this one. */
export const QEMU_CONF = `security_driver = "none"
cgroup_controllers = []
namespaces = []
stdio_handler = "file"
`;

/** Where a daemon keeps its things, and how it is started. */
export interface LibvirtPlace {
  readonly folder: string;
  readonly socket: string;
  /** As `libvirt:DOMAIN?uri=` takes it. */
  readonly uri: string;
  /** Where the process ids of its QEMUs are written down. */
  readonly pids: string;
  readonly command: readonly [string, ...string[]];
  readonly environment: NodeJS.ProcessEnv;
  /** Whose process it is, and whose its files are; empty for ourselves. */
  readonly account: { readonly uid?: number; readonly gid?: number };
}

export interface LibvirtVm {
  readonly name: string;
  readonly uuid: string;
  /** A QMP monitor of the same QEMU that libvirt does not know of: its answers are QEMU's own. */
  readonly direct: Target;
  /** Its human monitor, which libvirt does not know of either. */
  readonly human: Target;
}

export interface LibvirtVmOptions {
  /** Whether it is started, paused; true by default. */
  readonly start?: boolean;
  /** A guest that crashes as soon as it runs, in its firmware's boot; libvirt then destroys the domain. */
  readonly crashes?: boolean;
  /** Its disk's content, a multiple of 512 bytes; no disk by default. */
  readonly disk?: Uint8Array;
}

const started = new Set<Libvirt>();
process.once('exit', () => {
  for (const libvirt of started) libvirt.killAll();
});
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.once(signal, () => {
    for (const libvirt of started) libvirt.killAll();
    process.kill(process.pid, signal);
  });
}

export class Libvirt {
  readonly #place: LibvirtPlace;
  #child: ChildProcess | null = null;
  #exited: Promise<void> = Promise.resolve();
  #errors = '';
  #vms = 0;

  constructor(place: LibvirtPlace) {
    this.#place = place;
    started.add(this);
  }

  get folder(): string {
    return this.#place.folder;
  }

  get socket(): string {
    return this.#place.socket;
  }

  get uri(): string {
    return this.#place.uri;
  }

  /** Starts the daemon, for the first time or again. @throws Error with its output when it does not come up */
  async start(): Promise<void> {
    const [program, ...words] = this.#place.command;
    const child = spawn(program, words, {
      ...this.#place.account,
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, ...this.#place.environment },
    });
    this.#child = child;
    let isOver = false;
    this.#exited = new Promise((resolve) => {
      const over = () => {
        isOver = true;
        resolve();
      };
      child.once('error', over);
      child.once('exit', over);
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#errors += text;
    });
    for (const end = Date.now() + PATIENCE; ; await pause(20)) {
      if (isOver || Date.now() > end) throw new Error(`libvirtd does not come up: ${this.#errors.trim()}`);
      if (existsSync(this.socket) && (await this.virsh('uri').catch(() => null)) !== null) return;
    }
  }

  /** Ends the daemon and waits until it is gone. Its VMs go on. */
  async stopDaemon(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    this.#child?.kill(signal);
    await this.#exited;
    this.#child = null;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  /** Ends everything and removes the folder. */
  async stop(): Promise<void> {
    await this.stopDaemon('SIGKILL');
    this.killAll();
    started.delete(this);
    removeFolder(this.folder);
  }

  /** Ends the daemon and its QEMUs, by the process ids that libvirt has written down. */
  killAll(): void {
    this.#child?.kill('SIGKILL');
    const folder = this.#place.pids;
    if (!existsSync(folder)) return;
    for (const file of readdirSync(folder)) {
      if (!file.endsWith('.pid') || file === 'driver.pid') continue;
      const pid = Number(readFileSync(join(folder, file), 'utf8'));
      try {
        if (pid > 1) process.kill(pid, 'SIGKILL');
      } catch {
        // already gone
      }
    }
  }

  /** The id of the process that is the domain's QEMU. */
  qemuPid(name: string): number {
    return Number(readFileSync(join(this.#place.pids, `${name}.pid`), 'utf8'));
  }

  /** Runs virsh. @returns its output; fails with its error text */
  virsh(...words: readonly string[]): Promise<string> {
    return new Promise((resolve, reject) => {
      execFile('virsh', ['-q', '-c', this.uri, ...words], { encoding: 'utf8' }, (error, output, errors) => {
        if (error === null) resolve(output.trim());
        else reject(new Error(`virsh ${words.join(' ')}: ${errors.trim() || error.message}`));
      });
    });
  }

  /** Defines a VM with a fresh name, and starts it, paused, by default. */
  async newVm(scope: Scope, { start = true, crashes = false, disk }: LibvirtVmOptions = {}): Promise<LibvirtVm> {
    const name = `vm${++this.#vms}`;
    const direct = join(this.folder, 'vm', name);
    const human = `${direct}.hmp`;
    const file = join(this.folder, `${name}.xml`);
    const content = crashes ? PANIC : disk;
    let devices = crashes ? "<panic model='isa'/>" : '';
    if (content !== undefined) {
      const image = join(this.folder, 'vm', `${name}.img`);
      writeFileSync(image, content);
      this.#give(image);
      devices += `<disk type='file'><driver name='qemu' type='raw'/><source file='${image}'/><target dev='hda' bus='ide'/></disk>`;
    }
    writeFileSync(file, domainXml(name, direct, human, devices));
    await this.virsh('define', file);
    scope.after(async () => {
      await this.virsh('destroy', name).catch(() => null);
      await this.virsh('undefine', '--managed-save', name).catch(() => null);
    });
    const uuid = await this.virsh('domuuid', name);
    if (start) await this.virsh('start', '--paused', name);
    return { name, uuid, direct, human };
  }

  /** A text file that the daemon's user may read, and run. @returns its path */
  script(name: string, text: string): string {
    const path = join(this.folder, name);
    writeFileSync(path, text);
    chmodSync(path, 0o755);
    return path;
  }

  #give(path: string): void {
    give(path, this.#place.account);
  }
}

function give(path: string, { uid, gid }: LibvirtPlace['account']): void {
  if (uid !== undefined) chownSync(path, uid, gid ?? uid);
}

/**
 * A session daemon in a new folder.
 * @param settings lines of libvirtd.conf
 * @param flags more words of its command line
 */
export function sessionLibvirt(settings: readonly string[] = [], flags: readonly string[] = []): Libvirt {
  const folder = mkdtempSync(join(tmpdir(), 'qm-lv-'));
  for (const name of ['home', 'run', 'config', 'config/libvirt', 'cache', 'data', 'vm']) {
    mkdirSync(join(folder, name));
    give(join(folder, name), account);
  }
  give(folder, account);
  chmodSync(folder, 0o755);
  writeFileSync(join(folder, 'config/libvirt/qemu.conf'), QEMU_CONF);
  writeFileSync(join(folder, 'libvirtd.conf'), `${['auth_unix_rw = "none"', ...settings].join('\n')}\n`);
  const socket = join(folder, 'run/libvirt/libvirt-sock');
  return new Libvirt({
    folder,
    socket,
    uri: `qemu:///session?socket=${socket}`,
    pids: join(folder, 'run/libvirt/qemu/run'),
    command: [DAEMON, '-f', join(folder, 'libvirtd.conf'), '-p', join(folder, 'run/pid'), ...flags],
    environment: {
      HOME: join(folder, 'home'),
      XDG_RUNTIME_DIR: join(folder, 'run'),
      XDG_CONFIG_HOME: join(folder, 'config'),
      XDG_CACHE_HOME: join(folder, 'cache'),
      XDG_DATA_HOME: join(folder, 'data'),
      SASL_CONF_PATH: folder,
    },
    account,
  });
}

/** The first sector of a disk: it writes 1 to the port of the pvpanic device, and halts. */
const PANIC = Buffer.concat([Buffer.from('ba0505b001eef4ebfd', 'hex'), Buffer.alloc(501), Buffer.from([0x55, 0xaa])]);

/** A PC with next to nothing in it. */
function domainXml(name: string, monitor: string, human: string, devices: string): string {
  const emulator = qemuProgram.includes('/') ? qemuProgram : `/usr/bin/${qemuProgram}`;
  return `<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>${name}</name><memory unit='MiB'>16</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <on_crash>destroy</on_crash>
  <devices><emulator>${emulator}</emulator><controller type='usb' model='none'/><memballoon model='none'/>${devices}</devices>
  <qemu:commandline><qemu:arg value='-qmp'/><qemu:arg value='unix:${monitor},server=on,wait=off'/>
  <qemu:arg value='-monitor'/><qemu:arg value='unix:${human},server=on,wait=off'/></qemu:commandline>
</domain>
`;
}

/**
 * Starts a daemon for a whole test file: `const { skip, libvirt } = await startLibvirt();`, and `{ skip }` for its suites.
 * @param libvirt one that is not started yet.
 */
export async function startLibvirt(
  libvirt: Libvirt = sessionLibvirt(),
): Promise<{ readonly skip: string | false; readonly libvirt: Libvirt }> {
  const absent = missing('qemu', DAEMON, 'virsh');
  if (absent !== false) return { skip: absent, libvirt };
  try {
    await libvirt.start();
    return { skip: false, libvirt };
  } catch (error) {
    await libvirt.stop();
    const reason = error instanceof Error ? error.message : String(error);
    return { skip: skippable(reason.split('\n').at(-1) ?? reason), libvirt };
  }
}
