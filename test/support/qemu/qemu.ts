/**
 * Real paused QEMUs for tests. Each has, besides the monitors a test asks for, a separate QMP monitor on stdio: its greeting
 * says that QEMU is up and all its sockets listen (nothing is spent on a socket to find out), and a test can have a word with
 * the VM there without touching what it tests.
 */
import { type ChildProcessByStdio, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { isAtLeast } from '../../../dist/qmp/qemu-version.js';
import { qemuProgram } from '../daemon/programs.js';
import { removeFolder, type Scope, scratch } from '../files/scratch.js';
import type { Target } from '../world/raw-client.js';

export { missing, qemuAvailable } from '../daemon/programs.js';

export interface MonitorOptions {
  /** `unix`: a socket in the QEMU's own folder. `tcp`: a free port of 127.0.0.1. */
  readonly kind?: 'unix' | 'tcp';
  /** Messages over several lines. */
  readonly pretty?: boolean;
  /** The text monitor instead of QMP. */
  readonly hmp?: boolean;
}

export interface QemuOptions {
  /** `none` starts fastest; `q35` has devices, a guest and a clock. Default `none`. */
  readonly machine?: 'none' | 'q35';
  /** The answer to `query-name`; none if not given. */
  readonly name?: string;
  /** The monitors to listen with; by default one on a Unix socket. */
  readonly monitors?: readonly MonitorOptions[];
  /** Further arguments, appended. */
  readonly extraArgs?: readonly string[];
}

/** A running QEMU. */
export interface Qemu {
  readonly pid: number;
  /** Its own folder, removed with it. */
  readonly folder: string;
  /** Where the first monitor listens: a path or `tcp:127.0.0.1:port`. */
  readonly monitor: Target;
  /** Where each monitor listens, in the order of the options. */
  readonly monitors: readonly Target[];
  /** From its greeting, such as `7.2.22`. */
  readonly version: string;
  /** Resolves when the process has ended, for whatever reason. */
  readonly exited: Promise<void>;
  /** Its standard error so far. */
  readonly errors: () => string;
  /**
   * Executes a command on its own monitor.
   * @returns the value of `return`; fails with `class: desc` for an error.
   */
  execute(command: string, args?: object): Promise<unknown>;
  /** Ends the process (SIGKILL by default) and waits until it is gone. The folder stays. */
  kill(signal?: NodeJS.Signals): Promise<void>;
}

/** @returns a value that `execute` returned as QEMU writes it; for values without commas and colons in their texts. */
export function written(value: unknown): string {
  return JSON.stringify(value).replaceAll(',', ', ').replaceAll(':', ': ');
}

/**
 * For a chardev by which QEMU connects, and tries again each second, as the QEMU of the tests spells it: 9.2 has `reconnect-ms`, and 10.2
 * has no `reconnect` any more. Runs QEMU, to ask it its version.
 */
export function reconnectOption(): string {
  const { stdout } = spawnSync(qemuProgram, ['--version'], { encoding: 'utf8' });
  const version = /version (\d+\.\d+)/.exec(stdout)?.[1];
  if (version === undefined) throw new Error(`${qemuProgram} --version says ${JSON.stringify(stdout)}`);
  return isAtLeast(version, 9, 2) ? 'reconnect-ms=1000' : 'reconnect=1';
}

/**
 * For programs that look for their QEMU by name.
 * @param extraArgs come before the program's own arguments
 * @returns a PATH whose `qemu-system-x86_64` is the QEMU of the tests
 */
export function pathWithQemu(scope: Scope, extraArgs: readonly string[] = []): string {
  const folder = scratch(scope);
  const path = process.env['PATH'] ?? '';
  const script = `#!/bin/sh\nPATH='${path}' exec ${qemuProgram} ${extraArgs.join(' ')} "$@"\n`;
  writeFileSync(join(folder, 'qemu-system-x86_64'), script, { mode: 0o755 });
  return `${folder}:${path}`;
}

const running = new Set<number>();

function killAll(): void {
  for (const pid of running) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // already gone
    }
  }
}
process.once('exit', killAll);
// The test runner ends a test file that takes too long by SIGTERM; without this its QEMUs would live on.
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.once(signal, () => {
    killAll();
    process.kill(process.pid, signal);
  });
}

/** Starts a QEMU and waits until it listens. It is stopped, and its folder removed, with `scope`. */
export async function startQemu(scope: Scope, options: QemuOptions = {}): Promise<Qemu> {
  const folder = mkdtempSync(join(tmpdir(), 'qm-vm-'));
  const wanted = options.monitors ?? [{}];
  const args = ['-machine', options.machine ?? 'none', '-S', '-display', 'none', '-nodefaults'];
  if (options.name !== undefined) args.push('-name', options.name);
  if (options.machine === 'q35') args.push('-m', '16');
  wanted.forEach((monitor, index) => {
    args.push(...monitorArguments(monitor, index, folder));
  });
  args.push('-qmp', 'stdio', ...(options.extraArgs ?? []));

  const child = spawn(qemuProgram, args, { stdio: ['pipe', 'pipe', 'pipe'], cwd: folder });
  const exited = new Promise<void>((resolve) => {
    child.once('close', () => {
      if (child.pid !== undefined) running.delete(child.pid);
      resolve();
    });
  });
  if (child.pid !== undefined) running.add(child.pid);
  const kill = async (signal: NodeJS.Signals = 'SIGKILL') => {
    child.kill(signal);
    await exited;
  };
  scope.after(async () => {
    await kill();
    removeFolder(folder);
  });

  const control = new Control(child);
  const version = await control.greeting;
  await control.execute('qmp_capabilities');
  const monitors: Target[] = [];
  for (const [index, monitor] of wanted.entries()) {
    monitors.push(monitor.kind === 'tcp' ? await tcpTarget(control, index) : join(folder, `m${index}`));
  }
  return {
    pid: child.pid ?? 0,
    folder,
    monitor: monitors[0] ?? '',
    monitors,
    version,
    exited,
    errors: () => control.errors,
    execute: (command, parameters) => control.execute(command, parameters),
    kill,
  };
}

function monitorArguments(monitor: MonitorOptions, index: number, folder: string): string[] {
  const plain = monitor.kind !== 'tcp' && monitor.pretty !== true && monitor.hmp !== true;
  const path = join(folder, `m${index}`);
  // The short form where it will do: QEMU then names the device compat_monitorN, as most users see it.
  if (plain) return ['-qmp', `unix:${path},server=on,wait=off`];
  const where = monitor.kind === 'tcp' ? 'host=127.0.0.1,port=0' : `path=${path}`;
  return [
    '-chardev',
    `socket,id=mon${index},${where},server=on,wait=off`,
    '-mon',
    `chardev=mon${index},mode=${monitor.hmp === true ? 'readline' : `control${monitor.pretty === true ? ',pretty=on' : ''}`}`,
  ];
}

async function tcpTarget(control: Control, index: number): Promise<Target> {
  // query-chardev's answer has this shape (qapi/char.json)
  const devices = (await control.execute('query-chardev')) as { label: string; filename: string }[];
  const filename = devices.find((device) => device.label === `mon${index}`)?.filename ?? '';
  const port = /:(\d+),server/.exec(filename)?.[1];
  if (port === undefined) throw new Error(`no port in ${JSON.stringify(filename)}`);
  return `tcp:127.0.0.1:${port}`;
}

/** The monitor on stdio. */
class Control {
  readonly greeting: Promise<string>;
  errors = '';
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #waiting: { resolve: (message: Message) => void; reject: (error: Error) => void }[] = [];
  #text = '';

  constructor(child: ChildProcessByStdio<Writable, Readable, Readable>) {
    this.#child = child;
    this.greeting = this.#next().then((message) => {
      const qemu = message.QMP?.version.qemu;
      if (qemu === undefined) throw new Error(`no QMP greeting from QEMU: ${JSON.stringify(message)}`);
      return `${qemu.major}.${qemu.minor}.${qemu.micro}`;
    });
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      const lines = (this.#text + text).split('\n');
      this.#text = lines.pop() ?? '';
      for (const line of lines) {
        // QEMU prints there as well, such as that it makes an image.
        if (!line.startsWith('{')) continue;
        // the shape of a line of QMP is QEMU's promise
        const message: Message = JSON.parse(line);
        if (message.event === undefined) this.#waiting.shift()?.resolve(message);
      }
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.errors += text;
    });
    child.stdin.on('error', () => {
      // QEMU went away; 'close' reports it
    });
    child.once('error', (error) => {
      for (const wait of this.#waiting.splice(0)) wait.reject(error);
    });
    child.once('close', (code, signal) => {
      const error = new Error(`QEMU ended (${signal ?? code}): ${this.errors.trim()}`);
      for (const wait of this.#waiting.splice(0)) wait.reject(error);
    });
  }

  async execute(command: string, args: object = {}): Promise<unknown> {
    const answer = this.#next();
    this.#child.stdin.write(`${JSON.stringify({ execute: command, arguments: args })}\n`);
    const message = await answer;
    if (message.error !== undefined) throw new Error(`${message.error.class}: ${message.error.desc}`);
    return message.return;
  }

  #next(): Promise<Message> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
    });
  }
}

interface Message {
  readonly QMP?: { readonly version: { readonly qemu: { major: number; minor: number; micro: number } } };
  readonly event?: string;
  readonly error?: { readonly class: string; readonly desc: string };
  readonly return?: unknown;
}
