/** Runs a program of the system in a test, with a hand on its standard input and an eye on its output. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import type { Scope } from '../files/scratch.js';

/** How long a wait may take before the test is given up, in milliseconds. Only a bound against hanging, never a measure. */
const patience = 60_000;

export class Program {
  /** The whole of its output so far. */
  output = '';
  errors = '';
  /** Its exit code, or the signal that ended it. */
  readonly exited: Promise<number | NodeJS.Signals | null>;
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #name: string;
  readonly #checks = new Set<() => void>();
  #seen = 0;
  #isOver = false;

  constructor(name: string, args: readonly string[]) {
    this.#name = name;
    const environment = { ...process.env, TERM: 'xterm', LC_ALL: 'C.UTF-8' };
    const child = spawn(name, args, { stdio: ['pipe', 'pipe', 'pipe'], env: environment });
    this.#child = child;
    child.stdout.setEncoding('latin1').on('data', (text: string) => {
      this.output += text;
      this.#check();
    });
    child.stderr.setEncoding('latin1').on('data', (text: string) => {
      this.errors += text;
    });
    child.stdin.on('error', () => {
      // it went away first
    });
    this.exited = new Promise((resolve) => {
      child.once('error', (error) => {
        this.errors += error.message;
      });
      child.once('close', (code, signal) => {
        this.#isOver = true;
        this.#check();
        resolve(code ?? signal);
      });
    });
  }

  /** Writes to its standard input. */
  type(text: string): Promise<void> {
    return new Promise((resolve) => {
      this.#child.stdin.write(text, () => {
        resolve();
      });
    });
  }

  /** Ends its standard input. */
  endInput(): void {
    this.#child.stdin.end();
  }

  /** Waits until `text` has been output, after the match of the last such wait. @returns the output up to there. */
  reads(text: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const giveUp = (why: string) => {
        finish();
        reject(
          new Error(
            `waited for ${JSON.stringify(text)} from ${this.#name}, ${why}; output so far: ${JSON.stringify(this.output.slice(-2000))} ${this.errors}`,
          ),
        );
      };
      const check = () => {
        const at = this.output.indexOf(text, this.#seen);
        if (at >= 0) {
          finish();
          const found = this.output.slice(this.#seen, at + text.length);
          this.#seen = at + text.length;
          resolve(found);
        } else if (this.#isOver) giveUp('it ended');
      };
      const finish = () => {
        clearTimeout(bound);
        this.#checks.delete(check);
      };
      const bound = setTimeout(() => {
        giveUp(`not there after ${patience / 1000} s`);
      }, patience);
      this.#checks.add(check);
      check();
    });
  }

  kill(signal: NodeJS.Signals = 'SIGKILL'): void {
    this.#child.kill(signal);
  }

  #check(): void {
    for (const check of this.#checks) check();
  }
}

/** Starts a program; it is killed with `scope` if it still runs then. */
export function startProgram(scope: Scope, name: string, ...args: readonly string[]): Program {
  const program = new Program(name, args);
  scope.after(async () => {
    program.kill();
    await program.exited;
  });
  return program;
}
