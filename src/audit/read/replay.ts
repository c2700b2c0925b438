/**
 * Sends the commands of a log to another VM, in the order in which they were sent to the first, and compares the answers. Commands that
 * cannot be sent unchanged (something was removed from them) are left out and counted, and so are qmpmux's own commands, which no QEMU
 * knows.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { isJsonArray, isJsonObject, type JsonObject, type JsonValue, parseJson } from '../../qmp/json/value.js';
import { memberText } from '../log/member-text.js';
import { type AuditRecord, exactMessage, numberOf, parseRecord, textOf } from '../log/record.js';
import { brief } from './brief.js';
import { type Filter, matches } from './filter.js';
import { isStart } from './join-replies.js';

/** Where commands are sent: a QMP client. */
interface ReplayTarget {
  /** @returns the answer, without the end of its line. Fails when the connection has ended. */
  executeRaw(command: Uint8Array): Promise<{ readonly bytes: Uint8Array }>;
}

interface ReplayOptions {
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
  /** The name of the log; empty where there is only one. */
  readonly log: string;
  readonly command: string;
  /** Where the answers differ, and how; `return.status: "running" → "paused"`. */
  readonly where: readonly string[];
}

interface ReplayResult {
  readonly sent: number;
  readonly same: number;
  readonly different: number;
  /** Answers that were not recorded whole, or had not come. */
  readonly incomparable: number;
  /** Commands that could not be sent as they were. */
  readonly skipped: number;
  /** Commands of qmpmux's own, which it had answered itself. */
  readonly own: number;
}

/** The most commands unanswered at a time: fewer than QEMU queues. */
const MOST_IN_FLIGHT = 7;
/** Commands whose recorded answer has not been met; a log without answers would have no end of them. */
const MOST_OPEN = 10_000;
/** How many differences of one answer are reported. */
const MOST_TOLD = 4;
/** Answers are compared so deep; QEMU's own are never deeper. */
const DEEPEST = 1100;
/** How the names of qmpmux's own commands begin. */
const OWN = '__org.qmpmux_';

interface Sent {
  readonly seq: number;
  readonly log: string;
  readonly key: string;
  readonly name: string;
  /** Either is there first. */
  recorded: JsonValue | null | undefined;
  received: JsonValue | null | undefined;
}

export class Replay {
  readonly #target: ReplayTarget;
  readonly #options: ReplayOptions;
  readonly #ignored: readonly (readonly string[])[];
  /** By log and number: those that lack an answer, the log's or the VM's. */
  readonly #open = new Map<string, Sent>();
  /** Runs of the daemon that were met, by log. */
  readonly #runs = new Map<string, number>();
  readonly #running = new Set<Promise<void>>();
  /** The monotonic time of the first command in the log, and ours when it was sent. */
  #begin: { readonly recorded: number; readonly now: number } | null = null;
  #failure: unknown = null;
  #sent = 0;
  #same = 0;
  #different = 0;
  #incomparable = 0;
  #skipped = 0;
  #own = 0;

  constructor(target: ReplayTarget, options: ReplayOptions) {
    this.#target = target;
    this.#options = options;
    this.#ignored = options.ignore.map((path) => path.split('.'));
  }

  /** Takes the next line of a log. @param log its name. @throws the target's error */
  async line(text: string, log = ''): Promise<void> {
    if (this.#failure !== null) throw this.#failure;
    const record = parseRecord(text);
    if (record === null) return;
    const run = this.#runs.get(log);
    if (run === undefined || isStart(record)) this.#runs.set(log, (run ?? 0) + 1);
    const of = numberOf(record, 'of');
    if (record.kind === 'command') await this.#send(record, text, log);
    else if (of !== null) this.#recorded(`${of} ${log}`, record, text);
  }

  /** The log is over: waits for the remaining answers. @throws the target's error */
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
      own: this.#own,
    };
  }

  async #send(record: AuditRecord, text: string, log: string): Promise<void> {
    // Its answer is not known yet.
    const filter = { ...this.#options.filter, slow: null, errors: false };
    const run = this.#runs.get(log) ?? 1;
    if (!matches(filter, { record, answer: null, line: text, answerLine: null, run })) return;
    if (textOf(record, 'command')?.startsWith(OWN) === true) {
      this.#own++;
      return;
    }
    const message = exactMessage(text, record);
    if (message === null) {
      this.#skipped++;
      return;
    }
    await this.#wait(record.mono);
    while (this.#running.size >= MOST_IN_FLIGHT) await Promise.race(this.#running);
    const key = `${record.seq} ${log}`;
    const sent: Sent = {
      seq: record.seq,
      log,
      key,
      name: textOf(record, 'command') ?? '',
      recorded: undefined,
      received: undefined,
    };
    this.#open.set(key, sent);
    this.#sent++;
    const [oldest] = this.#open.keys();
    if (this.#open.size > MOST_OPEN && oldest !== undefined) {
      this.#open.delete(oldest);
      this.#incomparable++;
    }
    const running = this.#execute(sent, message).finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  /** Never fails: the next caller throws the error. */
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

  #recorded(key: string, record: AuditRecord, text: string): void {
    const sent = this.#open.get(key);
    if (sent === undefined || sent.recorded !== undefined) return;
    const { cut, redacted } = record.members;
    const isWhole = (record.kind === 'reply' || record.kind === 'error') && cut === undefined && redacted === undefined;
    sent.recorded = isWhole ? parsed(memberText(text, 'message') ?? textOf(record, 'text') ?? '') : null;
    this.#compare(sent);
  }

  #compare(sent: Sent): void {
    const { recorded, received } = sent;
    if (recorded === undefined || received === undefined) return;
    this.#open.delete(sent.key);
    if (recorded === null || received === null) {
      this.#incomparable++;
      return;
    }
    const found: Found = { where: [], count: 0 };
    this.#differences(recorded, received, [], found);
    if (found.count === 0) {
      this.#same++;
      return;
    }
    this.#different++;
    const more = found.count - found.where.length;
    const where = more > 0 ? [...found.where, `and ${more} more`] : found.where;
    this.#options.tell({ seq: sent.seq, log: sent.log, command: sent.name, where });
  }

  /** @param path of the values; as it was when this returns */
  #differences(before: JsonValue | undefined, after: JsonValue | undefined, path: string[], found: Found): void {
    if (path.length === 1 && path[0] === 'id') return;
    if (this.#ignored.some((ignored) => covers(ignored, path))) return;
    const isWithin = path.length < DEEPEST;
    if (isWithin && isJsonObject(before) && isJsonObject(after)) {
      for (const name of new Set([...Object.keys(before), ...Object.keys(after)])) {
        path.push(name);
        this.#differences(
          Object.hasOwn(before, name) ? before[name] : undefined,
          Object.hasOwn(after, name) ? after[name] : undefined,
          path,
          found,
        );
        path.pop();
      }
      return;
    }
    if (isWithin && isJsonArray(before) && isJsonArray(after)) {
      for (let i = 0; i < Math.max(before.length, after.length); i++) {
        path.push(String(i));
        this.#differences(before[i], after[i], path, found);
        path.pop();
      }
      return;
    }
    if (before === after) return;
    found.count++;
    if (found.where.length < MOST_TOLD) found.where.push(`${path.join('.')}: ${shown(before)} → ${shown(after)}`);
  }
}

interface Found {
  /** The first of them. */
  readonly where: string[];
  count: number;
}

/** @returns a message without the parts that differ anyway, or null if it is not JSON. */
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

function shown(value: JsonValue | undefined): string {
  return value === undefined ? '(nothing)' : brief(value, LONGEST_SHOWN);
}
