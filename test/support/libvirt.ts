/**
 * A libvirt daemon of a test file's own, with software-emulated VMs: everything it reads, writes and listens on is in one folder.
 * It runs as a session daemon, since those take all their paths from the environment: as ourselves, or, for root, as nobody.
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
import { available, missing, qemuProgram } from './programs.js';
import type { Target } from './raw-client.js';
import { removeFolder, type Scope } from './scratch.js';

const DAEMON = available('libvirtd') ? 'libvirtd' : '/usr/sbin/libvirtd';
/** How long the daemon may take to listen, in milliseconds. Only a bound. */
const PATIENCE = 30_000;
/** Of nobody and nogroup. */
const NOBODY = 65_534;
const account = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};

export interface LibvirtVm {
  readonly name: string;
  readonly uuid: string;
  /** A QMP monitor of the same QEMU that libvirt does not know of: what it says is what QEMU says. */
  readonly direct: Target;
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
  readonly folder: string;
  readonly socket: string;
  /** As `libvirt:DOMAIN?uri=` takes it. */
  readonly uri: string;
  #child: ChildProcess | null = null;
  #exited: Promise<void> = Promise.resolve();
  #errors = '';
  #vms = 0;

  constructor(settings: readonly string[] = []) {
    this.folder = mkdtempSync(join(tmpdir(), 'qm-lv-'));
    this.socket = join(this.folder, 'run/libvirt/libvirt-sock');
    this.uri = `qemu:///session?socket=${this.socket}`;
    for (const name of ['home', 'run', 'config', 'config/libvirt', 'cache', 'data', 'vm']) this.#makeFolder(name);
    this.#give(this.folder);
    chmodSync(this.folder, 0o755);
    // logd would be another daemon, which outlives this one.
    const lines = ['security_driver = "none"', 'cgroup_controllers = []', 'namespaces = []', 'stdio_handler = "file"'];
    writeFileSync(join(this.folder, 'config/libvirt/qemu.conf'), `${lines.join('\n')}\n`);
    writeFileSync(join(this.folder, 'libvirtd.conf'), `${['auth_unix_rw = "none"', ...settings].join('\n')}\n`);
    started.add(this);
  }

  /** Starts the daemon, for the first time or again. @throws Error with what it wrote when it does not come up */
  async start(): Promise<void> {
    const environment = { ...process.env, HOME: join(this.folder, 'home'), XDG_RUNTIME_DIR: join(this.folder, 'run') };
    const child = spawn(DAEMON, ['-f', join(this.folder, 'libvirtd.conf'), '-p', join(this.folder, 'run/pid')], {
      ...account,
      stdio: ['ignore', 'ignore', 'pipe'],
      env: {
        ...environment,
        XDG_CONFIG_HOME: join(this.folder, 'config'),
        XDG_CACHE_HOME: join(this.folder, 'cache'),
        XDG_DATA_HOME: join(this.folder, 'data'),
      },
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
    const folder = join(this.folder, 'run/libvirt/qemu/run');
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

  /** Runs virsh. @returns its output; fails with what it says */
  virsh(...words: readonly string[]): Promise<string> {
    return new Promise((resolve, reject) => {
      execFile('virsh', ['-q', '-c', this.uri, ...words], { encoding: 'utf8' }, (error, output, errors) => {
        if (error === null) resolve(output.trim());
        else reject(new Error(`virsh ${words.join(' ')}: ${errors.trim() || error.message}`));
      });
    });
  }

  /** Defines a VM with a fresh name, and starts it, paused, unless told otherwise. */
  async newVm(scope: Scope, start = true): Promise<LibvirtVm> {
    const name = `vm${++this.#vms}`;
    const direct = join(this.folder, 'vm', name);
    const file = join(this.folder, `${name}.xml`);
    writeFileSync(file, domainXml(name, direct));
    await this.virsh('define', file);
    scope.after(async () => {
      await this.virsh('destroy', name).catch(() => null);
      await this.virsh('undefine', name).catch(() => null);
    });
    const uuid = await this.virsh('domuuid', name);
    if (start) await this.virsh('start', '--paused', name);
    return { name, uuid, direct };
  }

  /** A text file that the daemon's user may read, and run. @returns its path */
  script(name: string, text: string): string {
    const path = join(this.folder, name);
    writeFileSync(path, text);
    chmodSync(path, 0o755);
    return path;
  }

  #makeFolder(name: string): void {
    const path = join(this.folder, name);
    mkdirSync(path);
    this.#give(path);
  }

  #give(path: string): void {
    if (account.uid !== undefined) chownSync(path, account.uid, account.gid);
  }
}

/** A PC with next to nothing in it. */
function domainXml(name: string, monitor: string): string {
  const emulator = qemuProgram.includes('/') ? qemuProgram : `/usr/bin/${qemuProgram}`;
  return `<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>${name}</name><memory unit='MiB'>16</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices><emulator>${emulator}</emulator><controller type='usb' model='none'/><memballoon model='none'/></devices>
  <qemu:commandline><qemu:arg value='-qmp'/><qemu:arg value='unix:${monitor},server=on,wait=off'/></qemu:commandline>
</domain>
`;
}

/**
 * Starts a daemon for a whole test file: `const libvirt = await startLibvirt();`, and `{ skip: libvirt.skip }` for its suites.
 * @param settings lines of libvirtd.conf
 */
export async function startLibvirt(
  settings: readonly string[] = [],
): Promise<{ readonly skip: string | false; readonly libvirt: Libvirt }> {
  const absent = missing('qemu', DAEMON, 'virsh');
  const libvirt = new Libvirt(settings);
  if (absent !== false) return { skip: absent, libvirt };
  try {
    await libvirt.start();
    return { skip: false, libvirt };
  } catch (error) {
    await libvirt.stop();
    const reason = error instanceof Error ? error.message : String(error);
    if ((process.env['QMPMUX_REQUIRE_QEMU'] ?? '') !== '') throw error;
    return { skip: reason.split('\n').at(-1) ?? reason, libvirt };
  }
}
