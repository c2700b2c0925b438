/**
 * Audit records for a pino transport: any package of that kind (syslog, Loki, OpenTelemetry, Kafka …), run by pino in a thread of its
 * own. Each record goes out as a line of pino's, in which it is the member `audit`, so that transports find the level and time they
 * expect. Nothing waits for a transport, and what it loses is lost there.
 */
import { hostname } from 'node:os';
import { pino } from 'pino';
import { systemReason } from './errors.js';
import type { Kind } from './kinds.js';
import type { Report, Tap } from './sink.js';

export interface TransportSettings {
  /** A package's name or a file's path, as pino takes it. */
  readonly target: string;
  readonly options: Readonly<Record<string, unknown>>;
}

const INFO = 30;
const WARN = 40;
const warnings: ReadonlySet<string> = new Set<Kind>(['error', 'denied', 'malformed', 'unanswered', 'stray']);

export class TransportTap implements Tap {
  readonly name: string;
  readonly #stream: ReturnType<typeof pino.transport>;
  readonly #report: Report;
  readonly #envelope = `,"pid":${process.pid},"hostname":${JSON.stringify(hostname())},"name":"qmpmux-audit"`;
  #state: 'open' | 'failed' | 'closed' = 'open';
  #lost = 0;

  /** @throws Error of pino's when there is no such transport */
  constructor({ target, options }: TransportSettings, report: Report) {
    this.name = `transport ${target}`;
    this.#report = report;
    this.#stream = pino.transport({ target, options: { ...options } });
    this.#stream.on('error', (error: unknown) => {
      this.#fail(error);
    });
  }

  write(lines: Buffer): void {
    if (this.#state !== 'open') {
      this.#lost++;
      return;
    }
    let text = '';
    try {
      for (const line of lines.toString('utf8').split('\n')) if (line !== '') text += this.#wrap(line);
    } catch {
      // Too long for one string. The log itself has them.
      this.#lost++;
      return;
    }
    try {
      this.#stream.write(text);
    } catch (error) {
      this.#fail(error);
    }
  }

  async close(): Promise<void> {
    if (this.#state === 'open') {
      const closed = new Promise((resolve) => {
        this.#stream.once('close', resolve);
      });
      this.#state = 'closed';
      this.#stream.end();
      await closed;
    }
    if (this.#lost > 0) this.#report('error', `batches of audit records that ${this.name} did not get: ${this.#lost}`);
  }

  #fail(error: unknown): void {
    if (this.#state !== 'open') return;
    this.#state = 'failed';
    this.#report('error', `${this.name} has failed and gets no more audit records: ${systemReason(error)}`);
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
