/**
 * Sends the commands of a log to another VM, in the order in which they were sent to the first, and compares the answers. What cannot be
 * sent as it was (something was removed from it) is left out and counted.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { isJsonArray, isJsonObject, type JsonObject, type JsonValue, parseJson } from '../qmp/value.js';
import { type Filter, matches } from './filter.js';
import { type AuditRecord, exactMessage, memberText, numberOf, parseRecord, textOf } from './record.js';

/** Where commands are sent: a QMP client. */
export interface ReplayTarget {
  /** @returns the answer, without the end of its line. Fails when the connection has ended. */
  executeRaw(command: Uint8Array): Promise<{ readonly bytes: Uint8Array }>;
}

export interface ReplayOptions {
  readonly filter: Filter;
  /** How many times as fast as it was recorded; Infinity for as fast as the VM answers. */
  readonly speed: number;
  /** Members of answers that may differ: paths such as `return.*.timestamp`. */
  readonly ignore: readonly string[];
  readonly tell: (difference: Difference) => void;
}

export interface Difference {
  /** Of the command, in the log. */
  readonly seq: number;
  readonly command: string;
  /** Where the answers differ, and how; `return.status: "running" → "paused"`. */
  readonly where: readonly string[];
}

export interface ReplayResult {
  readonly sent: number;
  readonly same: number;
  readonly different: number;
  /** Answers that were not recorded whole, or had not come. */
  readonly incomparable: number;
  /** Commands that could not be sent as they were. */
  readonly skipped: number;
}

/** So many commands are unanswered at a time: below what QEMU queues. */
const WINDOW = 7;
/** Commands whose recorded answer has not been met; a log without answers would have no end of them. */
const MOST_OPEN = 10_000;
/** So many differences of one answer are told. */
const MOST_TOLD = 4;

interface Sent {
  readonly seq: number;
  readonly name: string;
  /** Either is there first. */
  recorded: JsonValue | null | undefined;
  received: JsonValue | null | undefined;
}

export class Replay {
  readonly #target: ReplayTarget;
  readonly #options: ReplayOptions;
  readonly #ignored: readonly (readonly string[])[];
  /** By the command's number in the log: those that lack an answer, the log's or the VM's. */
  readonly #open = new Map<number, Sent>();
  readonly #running = new Set<Promise<void>>();
  /** The monotonic time of the first command in the log, and ours when it was sent. */
  #begin: { readonly recorded: number; readonly now: number } | null = null;
  #failure: unknown = null;
  #sent = 0;
  #same = 0;
  #different = 0;
  #incomparable = 0;
  #skipped = 0;

  constructor(target: ReplayTarget, options: ReplayOptions) {
    this.#target = target;
    this.#options = options;
    this.#ignored = options.ignore.map((path) => path.split('.'));
  }

  /** Takes the next line of the log. @throws what the target fails with */
  async line(text: string): Promise<void> {
    if (this.#failure !== null) throw this.#failure;
    const record = parseRecord(text);
    if (record === null) return;
    const of = numberOf(record, 'of');
    if (record.kind === 'command') await this.#send(record, text);
    else if (of !== null) this.#recorded(of, record, text);
  }

  /** The log is over: waits for what is still to be answered. @throws what the target fails with */
  async finish(): Promise<ReplayResult> {
    await Promise.all(this.#running);
    if (this.#failure !== null) throw this.#failure;
    this.#incomparable += this.#open.size;
    this.#open.clear();
    return {
      sent: this.#sent,
      same: this.#same,
      different: this.#different,
      incomparable: this.#incomparable,
      skipped: this.#skipped,
    };
  }

  async #send(record: AuditRecord, text: string): Promise<void> {
    // What it was answered is not known yet.
    if (!matches({ ...this.#options.filter, slow: null, errors: false }, { record, answer: null })) return;
    const message = exactMessage(text, record);
    if (message === null) {
      this.#skipped++;
      return;
    }
    await this.#wait(record.mono);
    while (this.#running.size >= WINDOW) await Promise.race(this.#running);
    const sent: Sent = {
      seq: record.seq,
      name: textOf(record, 'command') ?? '',
      recorded: undefined,
      received: undefined,
    };
    this.#open.set(record.seq, sent);
    this.#sent++;
    const [oldest] = this.#open.keys();
    if (this.#open.size > MOST_OPEN && oldest !== undefined) {
      this.#open.delete(oldest);
      this.#incomparable++;
    }
    const running = this.#execute(sent, message).finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  /** Never fails: what goes wrong is thrown by whoever comes next. */
  async #execute(sent: Sent, message: Uint8Array): Promise<void> {
    try {
      const { bytes } = await this.#target.executeRaw(message);
      sent.received = parsed(Buffer.from(bytes).toString('utf8'));
      this.#compare(sent);
    } catch (error) {
      this.#failure ??= error;
    }
  }

  async #wait(recorded: number): Promise<void> {
    const now = performance.now();
    this.#begin ??= { recorded, now };
    const due = this.#begin.now + (recorded - this.#begin.recorded) / 1000 / this.#options.speed;
    if (due - now >= 1) await delay(due - now);
  }

  #recorded(of: number, record: AuditRecord, text: string): void {
    const sent = this.#open.get(of);
    if (sent === undefined || sent.recorded !== undefined) return;
    const { cut, redacted } = record.members;
    const isWhole = (record.kind === 'reply' || record.kind === 'error') && cut === undefined && redacted === undefined;
    sent.recorded = isWhole ? parsed(memberText(text, 'message') ?? textOf(record, 'text') ?? '') : null;
    this.#compare(sent);
  }

  #compare(sent: Sent): void {
    const { recorded, received } = sent;
    if (recorded === undefined || received === undefined) return;
    this.#open.delete(sent.seq);
    if (recorded === null || received === null) {
      this.#incomparable++;
      return;
    }
    const where: string[] = [];
    this.#differences(recorded, received, [], where);
    if (where.length === 0) {
      this.#same++;
      return;
    }
    this.#different++;
    const more = where.length - MOST_TOLD;
    const told = more > 0 ? [...where.slice(0, MOST_TOLD), `and ${more} more`] : where;
    this.#options.tell({ seq: sent.seq, command: sent.name, where: told });
  }

  #differences(before: JsonValue | undefined, after: JsonValue | undefined, path: string[], found: string[]): void {
    if (path.length === 1 && path[0] === 'id') return;
    if (this.#ignored.some((ignored) => covers(ignored, path))) return;
    if (isJsonObject(before) && isJsonObject(after)) {
      for (const name of new Set([...Object.keys(before), ...Object.keys(after)])) {
        this.#differences(before[name], after[name], [...path, name], found);
      }
      return;
    }
    if (isJsonArray(before) && isJsonArray(after)) {
      for (let i = 0; i < Math.max(before.length, after.length); i++)
        this.#differences(before[i], after[i], [...path, String(i)], found);
      return;
    }
    if (before !== after) found.push(`${path.join('.')}: ${brief(before)} → ${brief(after)}`);
  }
}

/** @returns a message without what differs anyway, or null where it is no JSON. */
function parsed(text: string): JsonObject | null {
  const result = parseJson(text);
  return result.ok && isJsonObject(result.value) ? result.value : null;
}

function covers(pattern: readonly string[], path: readonly string[]): boolean {
  return (
    pattern.length === path.length && pattern.every((segment, index) => segment === '*' || segment === path[index])
  );
}

const LONGEST_SHOWN = 60;

function brief(value: JsonValue | undefined): string {
  if (value === undefined) return '(nothing)';
  const text = JSON.stringify(value, (_, item: unknown) => (typeof item === 'bigint' ? String(item) : item));
  return text.length > LONGEST_SHOWN ? `${text.slice(0, LONGEST_SHOWN)}…` : text;
}
