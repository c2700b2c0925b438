/**
 * QMP over the standard input and output of a command (`exec:ssh host socat - UNIX:/run/vm.qmp`).
 *
 * The command has its own session and process group: a Ctrl-C at our terminal reaches it through us alone, and ending it ends the processes
 * it started. Its standard error is reported line by line. Its end is the end of the connection.
 */

import { type ChildProcessByStdio, spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import type { Link } from '../../mux/ports/link.js';
import { describeSystemError, errorCode } from '../../system/system-error.js';
import type { Connection, ConnectionReceiver } from './connection.js';
import { SocketLink } from './socket-link.js';

/** How long a command may take to end by itself when its input and output are closed, then by SIGTERM; in milliseconds. */
const EXIT_WAIT_MS = 500;
const SIGTERM_WAIT_MS = 2000;
/** How long its exit status is waited for after its output has ended, to be able to name it. */
const STATUS_WAIT_MS = 250;
/** Of a line of its standard error. */
const LINE_BYTES = 2000;

interface CommandOptions {
  readonly command: readonly [string, ...string[]];
  /** A line of the command's standard error. */
  readonly said: (line: string, pid: number) => void;
  readonly started: (connection: CommandConnection) => void;
  /** The command could not be started. */
  readonly failed: (reason: string) => void;
}

export class CommandConnection implements Connection {
  readonly link: Link;
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #link: SocketLink;
  readonly #name: string;
  readonly #exited: Promise<void>;
  #status: string | null = null;
  #receiver: ConnectionReceiver | null = null;

  private constructor(child: ChildProcessByStdio<Writable, Readable, Readable>, options: CommandOptions) {
    this.#child = child;
    [this.#name] = options.command;
    this.#link = new SocketLink(child.stdin, child.stdout);
    this.link = this.#link;
    // However we end, no command is left behind.
    const killWithUs = () => {
      this.#signal('SIGKILL');
    };
    process.once('exit', killWithUs);
    this.#exited = new Promise((resolve) => {
      child.once('exit', (code, signal) => {
        process.off('exit', killWithUs);
        this.#status = signal === null ? `exited with status ${code ?? 0}` : `was ended by ${signal}`;
        resolve();
      });
    });
    tellLines(child.stderr, (line) => {
      options.said(line, child.pid ?? 0);
    });
  }

  /** Starts a command; one of the two callbacks of the options follows. */
  static start(options: CommandOptions): { readonly abort: () => void } {
    const [program, ...words] = options.command;
    let connection: CommandConnection | null = null;
    let aborted = false;
    const child = spawn(program, words, { stdio: ['pipe', 'pipe', 'pipe'], detached: true });
    child.once('spawn', () => {
      connection = new CommandConnection(child, options);
      // Nobody waits for the end of an aborted connection.
      if (aborted) void connection.close(true);
      else options.started(connection);
    });
    child.once('error', (error) => {
      if (connection === null && !aborted) options.failed(describeStart(program, error));
    });
    return {
      abort: () => {
        aborted = true;
      },
    };
  }

  attach(receiver: ConnectionReceiver): void {
    this.#receiver = receiver;
    const ended = () => {
      // Reports the end by itself, when the command has had time to exit.
      void this.#outputEnded();
    };
    this.#link.attach({
      receive: (chunk) => {
        this.#receiver?.receive(chunk);
      },
      receiveEnd: ended,
      closed: ended,
    });
  }

  async close(atOnce: boolean): Promise<void> {
    this.#receiver = null;
    this.#link.destroy();
    if (!atOnce && (await this.#exitsWithin(EXIT_WAIT_MS))) return;
    this.#signal('SIGTERM');
    if (await this.#exitsWithin(SIGTERM_WAIT_MS)) return;
    this.#signal('SIGKILL');
    await this.#exited;
  }

  async #outputEnded(): Promise<void> {
    await this.#exitsWithin(STATUS_WAIT_MS);
    const receiver = this.#receiver;
    this.#receiver = null;
    receiver?.closed(`${JSON.stringify(this.#name)} ${this.#status ?? 'closed its output'}`);
  }

  /** @returns whether the command has exited before `milliseconds` have passed. */
  async #exitsWithin(milliseconds: number): Promise<boolean> {
    if (this.#status !== null) return true;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, milliseconds);
    });
    await Promise.race([this.#exited, late]);
    clearTimeout(timer);
    return this.#status !== null;
  }

  #signal(signal: NodeJS.Signals): void {
    const { pid } = this.#child;
    if (pid === undefined || this.#status !== null) return;
    try {
      // The group: includes the processes that the command has started.
      process.kill(-pid, signal);
    } catch {
      // It has just ended.
    }
  }
}

function describeStart(program: string, error: Error): string {
  const name = JSON.stringify(program);
  if (errorCode(error) === 'ENOENT') return `there is no program ${name}`;
  if (errorCode(error) === 'EACCES') return `${name} is not executable`;
  return `${name} cannot be started: ${describeSystemError(error)}`;
}

/** Calls `tell` with each line that is not blank, and with the rest at the end. */
function tellLines(stream: Readable, tell: (line: string) => void): void {
  let rest = '';
  const flush = () => {
    if (rest.trim() !== '') tell(rest.trimEnd());
    rest = '';
  };
  stream.setEncoding('utf8');
  stream.on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    const last = lines.pop() ?? '';
    for (rest of lines) flush();
    rest = last;
    if (rest.length > LINE_BYTES) flush();
  });
  stream.on('end', flush);
  stream.on('error', flush);
}
