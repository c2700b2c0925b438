/**
 * A machine with a real systemd: this one's own files with an overlay in memory above them, booted by systemd-nspawn beside it. Changes in
 * there do not reach this machine, and it has its own network. Needs root, and the rights to mount and to make namespaces.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { available } from '../daemon/programs.js';
import type { Scope } from '../files/scratch.js';

/** How long the machine, or a command in it, may take before the test is given up, in milliseconds. Only a bound against hanging. */
const PATIENCE = 120_000;
/** All that is started: no service of this machine's own. */
const TARGET = '[Unit]\nRequires=basic.target\nAfter=basic.target\nAllowIsolate=yes\n';

export interface Outcome {
  readonly status: number | null;
  readonly output: string;
  readonly errors: string;
}

/** @returns why no machine can be booted here, or false. */
export function cannotBoot(): string | false {
  if (process.getuid?.() !== 0) return 'only root can boot a system';
  const absent = ['systemd-nspawn', 'nsenter', 'mount', '/lib/systemd/systemd'].filter((name) => !available(name));
  if (absent.length > 0) return `not installed: ${absent.join(', ')}`;
  const folder = mkdtempSync(join(tmpdir(), 'qm-'));
  try {
    const { status, stderr } = mountOverlay(folder);
    if (status !== 0) return `no overlay can be mounted: ${stderr.trim()}`;
    // A container that is not booted shows whether namespaces can be had.
    const words = ['--quiet', '--register=no', '--keep-unit', '--private-network', '-D', join(folder, 'root'), 'true'];
    const tried = spawnSync('systemd-nspawn', words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
    return tried.status === 0 ? false : `systemd-nspawn does not work here: ${tried.stderr.trim()}`;
  } finally {
    unmount(folder);
  }
}

export class BootedSystem {
  /** Its files, seen from here. */
  readonly root: string;
  readonly #folder: string;
  readonly #container: ChildProcess;
  readonly #gone: Promise<void>;
  #leader = 0;
  #console = '';

  /** Boots one; it is switched off with `scope`. */
  static async boot(scope: Scope): Promise<BootedSystem> {
    const system = new BootedSystem();
    scope.after(() => system.#switchOff());
    const isThere = () =>
      system.#leader > 0 && system.run('systemctl', 'is-active', '--quiet', 'bare.target').status === 0;
    const end = Date.now() + PATIENCE;
    while (!isThere()) {
      if (Date.now() > end || system.#container.exitCode !== null) throw new Error(`no system: ${system.#console}`);
      await pause(50);
      system.#leader ||= system.#findLeader();
    }
    return system;
  }

  private constructor() {
    this.#folder = mkdtempSync(join(tmpdir(), 'qm-'));
    this.root = join(this.#folder, 'root');
    const { status, stderr } = mountOverlay(this.#folder);
    if (status !== 0) throw new Error(stderr);
    writeFileSync(join(this.root, 'etc/systemd/system/bare.target'), TARGET);
    // Another machine than this one.
    writeFileSync(join(this.root, 'etc/machine-id'), `${process.pid}`.padStart(32, '0'));
    const words = ['--register=no', '--keep-unit', '--private-network', '--link-journal=no'];
    const node = process.execPath === '/usr/bin/node' ? [] : [`--bind-ro=${process.execPath}:/usr/bin/node`];
    const machine = `--machine=qmpmux-test-${process.pid}`;
    this.#container = spawn(
      'systemd-nspawn',
      ['--quiet', ...words, ...node, machine, '-D', this.root, '--boot', 'systemd.unit=bare.target'],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    for (const stream of [this.#container.stdout, this.#container.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.#console += text;
      });
    }
    this.#gone = new Promise((resolve) => {
      this.#container.once('close', () => {
        resolve();
      });
    });
  }

  /** Runs a command in there, as root. */
  run(...words: readonly string[]): Outcome {
    const enter = ['--target', String(this.#leader), '--mount', '--uts', '--ipc', '--net', '--pid', '--cgroup', '--'];
    const environment = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C.UTF-8' };
    const { status, stdout, stderr } = spawnSync('nsenter', [...enter, ...words], {
      encoding: 'utf8',
      env: environment,
      timeout: PATIENCE,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    return { status, output: stdout, errors: stderr };
  }

  /** The same; the test fails where the command does. @returns its output */
  must(...words: readonly string[]): string {
    const { status, output, errors } = this.run(...words);
    if (status !== 0) throw new Error(`${words.join(' ')}: exit code ${status}: ${output}${errors}${this.#journal()}`);
    return output;
  }

  /** Waits until the output of a command matches. */
  async until(wanted: RegExp, ...words: readonly string[]): Promise<string> {
    const end = Date.now() + PATIENCE;
    for (;;) {
      const { output, errors } = this.run(...words);
      if (wanted.test(output)) return output;
      if (Date.now() > end) {
        throw new Error(
          `waited for ${wanted} from ${words.join(' ')}, which said: ${output}${errors}${this.#journal()}`,
        );
      }
      await pause(50);
    }
  }

  /** Writes one of its files. @param path as seen in there */
  write(path: string, content: string): void {
    this.must('sh', '-c', 'printf %s "$2" > "$1"', 'sh', path, content);
  }

  #journal(): string {
    return `\n${this.run('journalctl', '--no-pager', '--lines=30', '--output=cat', '--unit=q*').output}`;
  }

  /** Its first process, once it is systemd: a child of systemd-nspawn, which has others at first. @returns 0 until then */
  #findLeader(): number {
    const { pid } = this.#container;
    try {
      const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
      const leader = children.find((child) =>
        /^Name:\tsystemd\n[^]*^NSpid:.*\t1$/m.test(readFileSync(`/proc/${child}/status`, 'utf8')),
      );
      return Number(leader ?? 0);
    } catch {
      return 0;
    }
  }

  async #switchOff(): Promise<void> {
    if (this.#leader > 0 && this.#container.exitCode === null) process.kill(this.#leader, 'SIGKILL');
    else this.#container.kill('SIGKILL');
    await this.#gone;
    unmount(this.#folder);
  }
}

function mountOverlay(folder: string): { readonly status: number | null; readonly stderr: string } {
  const [upper, work, root] = ['memory/upper', 'memory/work', 'root'].map((name) => join(folder, name));
  mkdirSync(join(folder, 'memory'));
  const memory = spawnSync('mount', ['-t', 'tmpfs', 'tmpfs', join(folder, 'memory')], { encoding: 'utf8' });
  if (memory.status !== 0) return memory;
  for (const name of [upper, work, root]) mkdirSync(name ?? '');
  const layers = `lowerdir=/,upperdir=${upper},workdir=${work}`;
  return spawnSync('mount', ['-t', 'overlay', 'overlay', '-o', layers, root ?? ''], { encoding: 'utf8' });
}

function unmount(folder: string): void {
  for (const name of ['root', 'memory']) spawnSync('umount', ['--lazy', join(folder, name)], { stdio: 'ignore' });
  rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 20 });
}
