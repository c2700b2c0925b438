/** Audit logs made up for tests of their readers: records in one second's distance or another, of any monitor and client. */
import { createHash } from 'node:crypto';

interface ClientOptions {
  readonly monitor?: string;
  readonly client?: number;
}

interface CommandOptions extends ClientOptions {
  readonly given?: object;
}

interface ReplyOptions extends ClientOptions {
  readonly value?: unknown;
}

/** Puts a log together, line by line. */
export class LogText {
  #seq: number;
  #time: number;
  #lines: string[] = [];
  readonly #isChained: boolean;
  readonly #step: number;
  #hash: string;

  /**
   * @param start of its first record, in milliseconds since 1970
   * @param step between two records, in milliseconds
   */
  constructor(start: number, step: number, { seq = 0, hash = '0'.repeat(64), isChained = false } = {}) {
    this.#time = start - step;
    this.#step = step;
    this.#seq = seq;
    this.#isChained = isChained;
    this.#hash = hash;
  }

  get lines(): readonly string[] {
    return this.#lines;
  }

  get text(): string {
    return this.#lines.map((line) => `${line}\n`).join('');
  }

  get seq(): number {
    return this.#seq;
  }

  get hash(): string {
    return this.#hash;
  }

  get time(): number {
    return this.#time;
  }

  /** Sets the clock of the records that follow, while the host goes on. */
  setClock(time: number): void {
    this.#clockDifference += time - this.#time - this.#step;
    this.#time = time - this.#step;
  }

  #clockDifference = 0;

  /** Adds a record. @returns its number */
  add(kind: string, members: object = {}): number {
    this.#time += this.#step;
    const mono = (this.#time - this.#clockDifference - 1.7e12) * 1000;
    const time = new Date(this.#time).toISOString().replace('Z', '000Z');
    const record = JSON.stringify({ v: 1, seq: ++this.#seq, time, mono, kind, ...members });
    this.#lines.push(this.#isChained ? this.#chained(record) : record);
    return this.#seq;
  }

  #chained(record: string): string {
    const content = record.slice(0, -1);
    this.#hash = createHash('sha256').update(`${this.#hash}"}\n${content}`).digest('hex');
    return `${content},"hash":"${this.#hash}"}`;
  }

  start(pid = 1): number {
    return this.add('daemon', { action: 'start', version: '0.1.0', pid, settings: {} });
  }

  stop(): number {
    return this.add('daemon', { action: 'stop', reason: 'the test is over' });
  }

  command(name: string, { monitor = 'vm1', client = 1, given = {} }: CommandOptions = {}): number {
    const message = Object.keys(given).length === 0 ? { execute: name } : { execute: name, arguments: given };
    return this.add('command', { ...who(monitor, client), command: name, message });
  }

  reply(of: number, { monitor = 'vm1', client = 1, value = {} }: ReplyOptions = {}): number {
    return this.add('reply', {
      ...who(monitor, client),
      of,
      latency: 500,
      source: 'upstream',
      message: { return: value },
    });
  }
}

function who(monitor: string, client: number): object {
  return {
    monitor,
    listener: `unix:/run/${monitor}.mux`,
    client,
    peer: { kind: 'unix', pid: 7, uid: 1000, gid: 100, program: 'backup' },
  };
}
