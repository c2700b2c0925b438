/**
 * Runs the real daemon, `node bin/qmpmux.js serve …`, for tests: waits for its ready lines and its log lines, and ends it. Its output is
 * shown when a wait is not met.
 */
import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { Scope } from '../files/scratch.js';

const program = fileURLToPath(new URL('../../../bin/qmpmux.js', import.meta.url));

/** How long a wait may take before the test is given up, in milliseconds. Only a bound against hanging, never a measure. */
const patience = 60_000;

/** One line of the log; further fields depend on the line. */
export interface LogLine {
  readonly level: number;
  readonly msg: string;
  readonly monitor?: string;
  readonly reason?: string;
  readonly [field: string]: unknown;
}

/** How the process ended. */
export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

const running = new Set<number>();
process.once('exit', () => {
  for (const pid of running) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // already gone
    }
  }
});

export class Daemon {
  /** The whole of its standard output and error so far. */
  output = '';
  errors = '';
  readonly exited: Promise<Exit>;
  readonly #child: ChildProcess & { readonly stdout: Readable; readonly stderr: Readable };
  readonly #waits = new Set<() => void>();
  #isOver = false;
  /** Lines of the log that the last wait has passed. */
  #linesPassed = 0;
  #readyPassed = 0;

  constructor(
    words: readonly string[],
    environment: Readonly<Record<string, string>>,
    descriptor: number | null = null,
  ) {
    const [first = process.execPath, ...rest] = words;
    const stdio: StdioOptions = ['ignore', 'pipe', 'pipe', ...(descriptor === null ? [] : [descriptor])];
    // Pipes were asked for, whatever follows them.
    const child = spawn(first, rest, {
      stdio,
      env: { ...process.env, ...environment },
    }) as ChildProcess & { readonly stdout: Readable; readonly stderr: Readable };
    this.#child = child;
    if (child.pid !== undefined) running.add(child.pid);
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.output += text;
      this.#check();
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.errors += text;
      this.#check();
    });
    this.exited = new Promise((resolve) => {
      child.once('close', (code, signal) => {
        if (child.pid !== undefined) running.delete(child.pid);
        this.#isOver = true;
        this.#check();
        resolve({ code, signal });
      });
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** The lines of the log so far; empty unless its format is json, which it is when nothing else is asked for. */
  get log(): readonly LogLine[] {
    const lines = this.errors.split('\n').slice(0, -1);
    return lines.filter((line) => line.startsWith('{')).map((line): LogLine => JSON.parse(line));
  }

  /**
   * Waits for the next ready line.
   * @returns where clients can connect to: places such as `unix:/path` and `tcp:127.0.0.1:4444`, in the order of the listeners.
   */
  async ready(): Promise<readonly string[]> {
    const line = await this.#wait('a ready line', () => {
      const lines = this.output.split('\n').slice(0, -1);
      const next = lines.slice(this.#readyPassed).findIndex((text) => text.startsWith('qmpmux: ready: '));
      if (next < 0) return null;
      this.#readyPassed += next + 1;
      return lines[this.#readyPassed - 1] ?? '';
    });
    return line.split(': ').slice(3).join(': ').split(' ');
  }

  /** Waits for a line of the log, after the one that the last such wait found. */
  logged(wanted: (line: LogLine) => boolean): Promise<LogLine> {
    return this.#wait('a line of the log', () => {
      const lines = this.log;
      const next = lines.slice(this.#linesPassed).findIndex(wanted);
      if (next < 0) return null;
      this.#linesPassed += next + 1;
      return lines[this.#linesPassed - 1] ?? null;
    });
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Reads its log no more, until `resumeLog`. */
  pauseLog(): void {
    this.#child.stderr.pause();
  }

  resumeLog(): void {
    this.#child.stderr.resume();
  }

  /** Closes our end of its log. */
  leaveLog(): void {
    this.#child.stderr.destroy();
  }

  /** Sends a signal and waits for the end. */
  stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<Exit> {
    this.#child.kill(signal);
    return this.exited;
  }

  #wait<T>(what: string, look: () => T | null): Promise<T> {
    return new Promise((resolve, reject) => {
      const finish = () => {
        clearTimeout(bound);
        this.#waits.delete(check);
      };
      const giveUp = (why: string) => {
        finish();
        reject(new Error(`waited for ${what} of qmpmux, ${why}; it wrote:\n${this.output}${this.errors}`));
      };
      const check = () => {
        const found = look();
        if (found !== null) {
          finish();
          resolve(found);
        } else if (this.#isOver) giveUp('it ended');
      };
      const bound = setTimeout(() => {
        giveUp(`not there after ${patience / 1000} s`);
      }, patience);
      this.#waits.add(check);
      check();
    });
  }

  #check(): void {
    for (const check of this.#waits) check();
  }
}

/**
 * Starts `qmpmux serve` with these arguments. It is killed with `scope` if it still runs then.
 * @param environment variables to set besides our own.
 * @param through words before the command line, of a program that becomes it.
 * @param descriptor of ours that becomes its descriptor 3.
 */
export function startDaemon(
  scope: Scope,
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
  through: readonly string[] = [],
  descriptor: number | null = null,
): Daemon {
  return startQmpmux(scope, ['serve', ...args], environment, through, descriptor);
}

/** Starts qmpmux with any arguments. It is killed with `scope` if it still runs then. */
export function startQmpmux(
  scope: Scope,
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
  through: readonly string[] = [],
  descriptor: number | null = null,
): Daemon {
  return startCommand(scope, [...through, process.execPath, program, ...args], environment, descriptor);
}

/** Starts a command that is qmpmux, or becomes it. It is killed with `scope` if it still runs then. */
export function startCommand(
  scope: Scope,
  words: readonly string[],
  environment: Readonly<Record<string, string>> = {},
  descriptor: number | null = null,
): Daemon {
  const daemon = new Daemon(words, environment, descriptor);
  scope.after(async () => {
    await daemon.stop('SIGKILL');
  });
  return daemon;
}
