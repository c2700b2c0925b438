/**
 * Audit records for a pino transport: a package of that kind, or a module of the user's, run by pino in its own thread. Each record
 * goes out as a line of pino's, in which it is the member `audit`, so that transports find the level and time they expect.
 *
 * Nothing waits for a transport. It gets one batch at a time, the next when it has taken that; its queue has a bound in bytes, and records
 * beyond it are lost and counted. One that fails is started again, later each time; records handed to it and not taken count as lost.
 * Losses after a transport has taken a record cannot be seen from here.
 */

import { hostname } from 'node:os';
import { pino } from 'pino';
import { systemReason } from '../../system/system-error.js';
import type { Kind } from '../log/kinds.js';
import type { Report, Tap } from '../log/sink.js';
import { transportFile } from './transport-file.js';

export interface TransportSettings {
  /** A package's name or a file's path. */
  readonly target: string;
  readonly options: Readonly<Record<string, unknown>>;
}

const INFO = 30;
const WARN = 40;
const warnings: ReadonlySet<string> = new Set<Kind>(['error', 'denied', 'malformed', 'unanswered', 'stray']);

/** The longest queue of a transport, in bytes: some ten thousand records. */
const MOST_QUEUED = 8 * 1024 * 1024;
/** A batch takes no further lines beyond this, in bytes. */
const BATCH_BYTES = 256 * 1024;
/** Before one that failed is started again, in milliseconds. */
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 60_000;
/** The wait for the queue at the end, in milliseconds. */
const END_WAIT_MS = 5000;

interface Batch {
  readonly bytes: Buffer;
  readonly records: number;
}

type Stream = ReturnType<typeof pino.transport>;

export class TransportTap implements Tap {
  readonly name: string;
  readonly #settings: TransportSettings;
  readonly #file: string;
  readonly #report: Report;
  readonly #envelope = `,"pid":${process.pid},"hostname":${JSON.stringify(hostname())},"name":"qmpmux-audit"`;
  /** Null while it is down. */
  #stream: Stream | null = null;
  #isClosed = false;
  readonly #queue: Batch[] = [];
  #queuedBytes = 0;
  /** Records that the transport was given and has not taken yet. */
  #handed = 0;
  #lost = 0;
  /** How many of these have been reported. */
  #told = 0;
  #isLosing = false;
  #pause = FIRST_PAUSE_MS;
  #timer: NodeJS.Timeout | null = null;
  /** Called when the queue is empty, or given up. */
  #emptied: ((isEmpty: boolean) => void) | null = null;

  /** @throws Error when there is no such transport */
  constructor(settings: TransportSettings, report: Report) {
    this.name = `transport ${settings.target}`;
    this.#settings = settings;
    this.#file = transportFile(settings.target);
    this.#report = report;
    this.#start();
  }

  get lost(): number {
    return this.#lost;
  }

  get isUp(): boolean {
    return this.#stream !== null;
  }

  write(lines: Buffer): void {
    let text = '';
    let records = 0;
    try {
      for (const line of lines.toString('utf8').split('\n')) {
        if (line === '') continue;
        records++;
        text += this.#wrap(line);
      }
    } catch {
      // Too long for one string. The log itself has them.
      this.#lose(Math.max(1, records), 'a batch is too large');
      return;
    }
    const bytes = Buffer.from(text);
    if (this.#isClosed || (this.#queuedBytes > 0 && this.#queuedBytes + bytes.length > MOST_QUEUED)) {
      this.#lose(records, this.#stream === null ? 'it is down' : 'it does not keep up');
      return;
    }
    this.#queue.push({ bytes, records });
    this.#queuedBytes += bytes.length;
    this.#pump();
  }

  async close(): Promise<void> {
    const isEmpty = await this.#drained();
    this.#isClosed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    const stream = this.#stream;
    if (stream !== null) {
      const closed = new Promise<boolean>((resolve) => {
        stream.once('close', () => {
          resolve(true);
        });
      });
      if (isEmpty) stream.end();
      if (!isEmpty || !(await inTime(closed))) await terminate(stream);
    }
    const left = this.#queue.reduce((sum, { records }) => sum + records, this.#handed);
    this.#lost += left;
    if (this.#lost > 0) this.#report('error', `audit records that ${this.name} did not get: ${this.#lost}`);
  }

  /** @returns whether everything has been taken; false when that took too long */
  #drained(): Promise<boolean> {
    if (this.#queue.length === 0 && this.#handed === 0) return Promise.resolve(true);
    if (this.#stream === null) return Promise.resolve(false);
    return inTime(
      new Promise<boolean>((resolve) => {
        this.#emptied = resolve;
      }),
    );
  }

  #start(): void {
    this.#timer = null;
    const stream: Stream = pino.transport({ target: this.#file, options: { ...this.#settings.options } });
    this.#stream = stream;
    stream.on('error', (error: unknown) => {
      this.#fail(stream, systemReason(error));
    });
    stream.on('close', () => {
      // The error that it ended with may come right after it, and is the better reason.
      setImmediate(() => {
        this.#fail(stream, 'it ended');
      });
    });
    this.#pump();
  }

  #pump(): void {
    const stream = this.#stream;
    if (stream === null || this.#handed > 0) return;
    const pieces: Buffer[] = [];
    let length = 0;
    while (length < BATCH_BYTES) {
      const next = this.#queue.shift();
      if (next === undefined) break;
      pieces.push(next.bytes);
      length += next.bytes.length;
      this.#handed += next.records;
    }
    if (length === 0) {
      this.#emptied?.(true);
      return;
    }
    this.#queuedBytes -= length;
    try {
      stream.write(Buffer.concat(pieces).toString('utf8'));
    } catch (error) {
      this.#fail(stream, systemReason(error));
      return;
    }
    // Called when the thread has passed all of it on and takes more.
    stream.flush((error?: Error) => {
      if (error === undefined && stream === this.#stream) this.#taken();
    });
  }

  #taken(): void {
    this.#handed = 0;
    this.#pause = FIRST_PAUSE_MS;
    if (this.#isLosing && this.#queuedBytes < MOST_QUEUED / 2) {
      this.#isLosing = false;
      this.#report('warn', `${this.name} takes audit records again; lost: ${this.#lost - this.#told}`);
      this.#told = this.#lost;
    }
    this.#pump();
  }

  #fail(stream: Stream, why: string): void {
    if (this.#isClosed || stream !== this.#stream) return;
    this.#stream = null;
    this.#emptied?.(false);
    const seconds = this.#pause / 1000;
    this.#report('error', `${this.name} has failed (${why}); restarting it in ${seconds} s`);
    if (this.#handed > 0) this.#lose(this.#handed, 'it failed with them');
    this.#handed = 0;
    this.#timer = setTimeout(() => {
      try {
        this.#start();
      } catch (error) {
        this.#report('error', `${this.name} cannot be restarted: ${systemReason(error)}`);
      }
    }, this.#pause).unref();
    this.#pause = Math.min(LONGEST_PAUSE_MS, this.#pause * 2);
  }

  #lose(records: number, why: string): void {
    this.#lost += records;
    if (this.#isLosing) return;
    this.#isLosing = true;
    this.#report('error', `${this.name} loses audit records: ${why}`);
  }

  /** @returns `line`, which is one of our records, within a line as pino writes them. */
  #wrap(line: string): string {
    // Our own records, whose members these are.
    const record: { time: string; kind: string; command?: string; event?: string; action?: string } = JSON.parse(line);
    const level = warnings.has(record.kind) ? WARN : INFO;
    const what = record.command ?? record.event ?? record.action;
    const msg = JSON.stringify(what === undefined ? record.kind : `${record.kind} ${what}`);
    return `{"level":${level},"time":${Date.parse(record.time)}${this.#envelope},"msg":${msg},"audit":${line}}\n`;
  }
}

/** @returns the result of `done`, or false when that takes too long */
async function inTime(done: Promise<boolean>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => {
      resolve(false);
    }, END_WAIT_MS);
  });
  try {
    return await Promise.race([done, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Ends the thread of a transport that does not end: it must not hold up the end of the daemon. */
async function terminate(stream: Stream): Promise<void> {
  const worker: unknown = Reflect.get(stream, 'worker');
  const end: unknown = typeof worker === 'object' && worker !== null ? Reflect.get(worker, 'terminate') : null;
  if (typeof end === 'function') await Reflect.apply(end, worker, []);
}
