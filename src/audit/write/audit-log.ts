/**
 * The audit log of a daemon: numbers the records, chains them, and sees to it that they are written in time. One for all monitors.
 *
 * What must hold:
 * - after `flush()` has returned null, every record begun before is in the kernel's hands (with `sync`: on the disk);
 * - numbers and hashes have no gaps, except where lines were lost with a power cut: a record that cannot be kept gets no number;
 * - while the log cannot be written, memory stays bounded, and records that are lost are counted and reported afterwards.
 *
 * `#state` goes writing → failing (a write failed) → writing (a retry succeeded, and a record says so); either → closed.
 */

import { chainHash, EMPTY_HEAD, FIRST_HASH, HASH_MEMBER, type Head, LINE_END, TAIL_LENGTH } from '../log/chain.js';
import { type Kind, type LeftOut, NOTHING_LEFT_OUT } from '../log/kinds.js';
import { LeftOutCommands } from '../log/left-out.js';
import { LineBuffer } from '../log/line-buffer.js';
import type { Report, Sink, Tap, Trouble } from '../log/sink.js';
import { Clock, type TimeSource } from './clock.js';

/** The version of the record's schema, in every record. */
const SCHEMA_VERSION = 1;

/** Failures since the log was opened. */
export interface AuditFigures {
  /** The last record's number. */
  readonly records: number;
  readonly isFailing: boolean;
  /** Times the log could not be written any more. */
  readonly failures: number;
  /** Commands that were refused for it, and records that were lost. */
  readonly refused: number;
  readonly lost: number;
  /** Where records go besides. */
  readonly transports: readonly { readonly name: string; readonly lost: number; readonly isUp: boolean }[];
}

/** `refuse`: no command goes upstream unrecorded. `continue`: commands go on, and the loss is counted. */
export type OnError = 'refuse' | 'continue';

interface AuditLogOptions {
  /** Null when there are only taps: then nothing is guaranteed. */
  readonly sink: Sink | null;
  readonly taps?: readonly Tap[];
  readonly chain?: boolean;
  readonly sync?: boolean;
  readonly onError?: OnError;
  readonly leftOut?: LeftOut;
  /** The last record of the log that is continued. */
  readonly head?: Head;
  readonly report?: Report;
  readonly time?: TimeSource;
}

/** Records that wait for a disk that is full: about as many as a busy minute makes. */
const MOST_KEPT = 1024 * 1024;
/** How long a record that nothing waits for may wait for others to be written with, in milliseconds. */
const WRITE_DELAY_MS = 5;
/** Retries, in milliseconds. */
const FIRST_RETRY_MS = 50;
const LONGEST_RETRY_MS = 1000;

type State =
  | { readonly name: 'writing' }
  | {
      readonly name: 'failing';
      readonly trouble: Trouble;
      readonly since: number;
      readonly timer: NodeJS.Timeout;
      readonly delay: number;
    }
  | { readonly name: 'closed' };

const HEAD = Buffer.from(`{"v":${SCHEMA_VERSION},"seq":`);
/** Room for `,"time":"2026-01-31T23:59:59.123456Z","mono":` and sixteen digits. */
const MOST_STAMP = 64;
const PLAIN_END = Buffer.from('}\n');
const HASH_MEMBER_TEXT = Buffer.from(HASH_MEMBER);
const LINE_END_TEXT = Buffer.from(LINE_END);

/** @returns the member that says of which kind a record is. */
export function kindMember(kind: Kind): string {
  return `,"kind":"${kind}"`;
}

export class AuditLog {
  readonly leftOut: LeftOut;
  /** The monotonic time of the record that was begun last, in microseconds. */
  startedAt = 0;
  /** Where the record that was begun is put together. */
  readonly line = new LineBuffer();
  readonly clock: Clock;
  /** Which commands are left out. */
  readonly leftOutCommands: LeftOutCommands;
  /** Functions that make the last records before the log ends. */
  readonly pending = new Set<() => void>();

  readonly #sink: Sink | null;
  readonly #taps: readonly Tap[];
  readonly #chain: boolean;
  readonly #sync: boolean;
  readonly #onError: OnError;
  readonly #report: Report;
  #state: State = { name: 'writing' };
  #seq: number;
  /** The times of the records that are begun before the event loop goes on, as they are put. */
  readonly #stamp = Buffer.alloc(MOST_STAMP);
  #stampLength = 0;
  #hasStamp = false;
  /** Where the record that is being put together begins. */
  #lineStart = TAIL_LENGTH;
  /** Lines from here on have not been given to the taps. */
  #tapped = TAIL_LENGTH;
  #isWriteDue = false;
  /** Whether a command is among the lines that were not synced. */
  #holdsCommand = false;
  #isReopenDue = false;
  /** Lost through the present failure: records by kind, and commands. */
  readonly #lost = new Map<Kind, number>();
  #refused = 0;
  /** The same since the log was opened. */
  #failures = 0;
  #lostInAll = 0;
  #refusedInAll = 0;

  constructor(options: AuditLogOptions) {
    this.#sink = options.sink;
    this.#taps = options.taps ?? [];
    this.#chain = options.chain ?? false;
    this.#sync = options.sync ?? false;
    this.#onError = options.onError ?? 'refuse';
    this.leftOut = options.leftOut ?? NOTHING_LEFT_OUT;
    this.leftOutCommands = new LeftOutCommands(this.leftOut.commands);
    this.#report = options.report ?? (() => undefined);
    this.clock = new Clock(options.time);
    const head = options.head ?? EMPTY_HEAD;
    this.#seq = head.seq;
    // The buffer always begins with the end of the line before: a record's hash is made of that and the line after it.
    this.line.putAscii((head.hash ?? FIRST_HASH) + LINE_END);
  }

  /** The last record begun; with its hash, a later `verify` can notice a cut tail. */
  get head(): Head {
    return { seq: this.#seq, hash: this.#chain ? this.#lastHash() : null };
  }

  #lastHash(): string {
    return this.line.bytes.toString('latin1', this.#lineStart - TAIL_LENGTH, this.#lineStart - LINE_END.length);
  }

  get figures(): AuditFigures {
    const { isFailing } = this;
    return {
      records: this.#seq,
      isFailing,
      failures: this.#failures,
      refused: this.#refusedInAll,
      lost: this.#lostInAll,
      transports: this.#taps.map(({ name, lost, isUp }) => ({ name, lost, isUp })),
    };
  }

  get isFailing(): boolean {
    return this.#state.name === 'failing';
  }

  /** Whether commands are being refused because they cannot be recorded. */
  get isRefusing(): boolean {
    return this.#state.name === 'closed' || (this.#state.name === 'failing' && this.#onError === 'refuse');
  }

  /**
   * Begins a record with its number and times; the rest (`kind` first, see `kindMember`) is put into `line`, each member with a
   * comma before it, and `end` is called.
   * @returns its number, or 0 when it cannot be kept; then nothing may be put and `end` not be called
   */
  begin(kind: Kind): number {
    const line = this.line;
    if (this.#state.name !== 'writing') {
      if (this.#state.name === 'closed') return 0;
      if (line.end > MOST_KEPT) {
        this.#lost.set(kind, (this.#lost.get(kind) ?? 0) + 1);
        this.#lostInAll++;
        return 0;
      }
    }
    const seq = ++this.#seq;
    line.putText(HEAD);
    line.putNumber(seq);
    const start = line.end;
    if (!this.#hasStamp) {
      this.startedAt = this.clock.now();
      this.clock.put(line, this.startedAt);
      this.#keepStamp(start);
    } else line.putBytes(this.#stamp, 0, this.#stampLength);
    if (kind === 'command' || kind === 'probe') this.#holdsCommand = true;
    return seq;
  }

  /**
   * Keeps the times put from `start` on for records made in the same turn of the event loop: reading the clock and formatting its digits
   * cost a quarter of a record.
   */
  #keepStamp(start: number): void {
    const { line } = this;
    this.#stampLength = line.end - start;
    line.bytes.copy(this.#stamp, 0, start, line.end);
    this.#hasStamp = true;
    queueMicrotask(this.#forgetStamp);
  }

  readonly #forgetStamp = () => {
    this.#hasStamp = false;
  };

  /** Gives up the record that was begun: it could not be put together. Its number goes to the next. */
  abandon(): void {
    this.line.end = this.#lineStart;
    this.#seq--;
  }

  /** Ends the record. It is written with the next commands, or soon. */
  end(): void {
    const line = this.line;
    if (this.#chain) {
      const hash = chainHash(line.bytes.subarray(this.#lineStart - TAIL_LENGTH, line.end));
      line.putText(HASH_MEMBER_TEXT);
      line.putAscii(hash);
      line.putText(LINE_END_TEXT);
    } else line.putText(PLAIN_END);
    this.#lineStart = line.end;
    if (this.#isWriteDue) return;
    this.#isWriteDue = true;
    setTimeout(this.#writeSoon, WRITE_DELAY_MS);
  }

  /**
   * Writes the records made so far, before commands go upstream.
   * @returns null when they may go; otherwise why they must be refused
   */
  flush(): Trouble | null {
    const state = this.#state;
    if (state.name === 'closed') return 'the audit log is closed';
    const trouble = state.name === 'failing' ? state.trouble : this.#write();
    if (trouble === null || this.#onError === 'continue') return null;
    return `the audit log ${this.#sink?.name ?? ''} cannot be written: ${trouble}`;
  }

  /** A command was refused because it could not be recorded. */
  countRefused(): void {
    this.#refused++;
    this.#refusedInAll++;
  }

  /**
   * Records something about the daemon.
   * @param action `start`, `stop`, `reload`, …
   * @param details further members, as JSON allows them
   */
  daemon(action: string, details: Readonly<Record<string, unknown>> = {}): void {
    if (this.begin('daemon') === 0) return;
    const { line } = this;
    line.putAscii(`${kindMember('daemon')},"action":`);
    line.putString(action);
    for (const [name, value] of Object.entries(details)) {
      if (value === undefined) continue;
      line.putAscii(',');
      line.putString(name);
      line.putAscii(':');
      const text = Buffer.from(JSON.stringify(value));
      line.putBytes(text);
    }
    this.end();
  }

  /** Records counts that have no record yet. */
  settle(): void {
    for (const record of this.pending) record();
  }

  /** Goes on in a new file if the present one was renamed (SIGUSR2, SIGHUP). No line is lost or split. */
  reopen(): void {
    this.#isReopenDue = true;
    if (this.#state.name === 'writing' && this.#write() === null) this.#reopenNow();
  }

  /** Writes the last records, and releases everything. */
  async close(): Promise<void> {
    if (this.#state.name === 'closed') return;
    if (this.#state.name === 'failing') {
      clearTimeout(this.#state.timer);
      this.#retry();
    } else this.#write();
    if (this.#sync) this.#sink?.sync();
    this.#tap();
    if (this.isFailing)
      this.#report('error', `audit records are lost: ${this.#sink?.name ?? ''} could not be written before the end`);
    if (this.#state.name === 'failing') clearTimeout(this.#state.timer);
    this.#state = { name: 'closed' };
    this.#sink?.close();
    for (const tap of this.#taps) await tap.close();
  }

  /** Answers and events need not be written before anything, but soon, and together. */
  readonly #writeSoon = () => {
    this.#isWriteDue = false;
    if (this.#state.name === 'writing' && this.line.end > TAIL_LENGTH) this.#write();
    else this.#tap();
  };

  /** Writes all whole lines. @returns null when they are in the kernel's hands */
  #write(): Trouble | null {
    this.#tap();
    const sink = this.#sink;
    const { line } = this;
    if (sink === null) {
      this.#startBatch();
      return null;
    }
    let trouble: Trouble | null = null;
    if (line.end > TAIL_LENGTH) {
      trouble = sink.write(line.bytes.subarray(TAIL_LENGTH, line.end));
      this.#startBatch();
    }
    if (trouble === null && this.#sync && this.#holdsCommand) {
      trouble = sink.sync();
    }
    this.#holdsCommand = false;
    if (trouble !== null) this.#fail(trouble);
    return trouble;
  }

  /** Starts a new batch after the end of the last line. */
  #startBatch(): void {
    const { line } = this;
    line.bytes.copyWithin(0, line.end - TAIL_LENGTH, line.end);
    line.cut(TAIL_LENGTH);
    this.#lineStart = TAIL_LENGTH;
    this.#tapped = TAIL_LENGTH;
  }

  #tap(): void {
    if (this.#tapped === this.line.end) return;
    if (this.#taps.length > 0) {
      const lines = Buffer.from(this.line.bytes.subarray(this.#tapped, this.line.end));
      for (const tap of this.#taps) tap.write(lines);
    }
    this.#tapped = this.line.end;
  }

  #fail(trouble: Trouble): void {
    const consequence =
      this.#onError === 'refuse' ? 'commands are refused until it can be' : 'commands continue unrecorded';
    this.#report('error', `the audit log ${this.#sink?.name ?? ''} cannot be written (${trouble}); ${consequence}`);
    this.#failures++;
    this.#lost.clear();
    this.#refused = 0;
    this.#state = {
      name: 'failing',
      trouble,
      since: this.clock.now(),
      delay: FIRST_RETRY_MS,
      timer: setTimeout(this.#retry, FIRST_RETRY_MS).unref(),
    };
  }

  readonly #retry = () => {
    const state = this.#state;
    if (state.name !== 'failing') return;
    const trouble = this.#sink?.retry() ?? null;
    if (trouble !== null) {
      const delay = Math.min(LONGEST_RETRY_MS, state.delay * 2);
      this.#state = { ...state, trouble, delay, timer: setTimeout(this.#retry, delay).unref() };
      return;
    }
    // Only now is the loss over, and is there room for the record that reports it.
    this.#state = { name: 'writing' };
    const lost = Object.fromEntries(this.#lost);
    const seconds = Math.round((this.clock.now() - state.since) / 1e5) / 10;
    this.daemon('resumed', { reason: state.trouble, since: state.since, refused: this.#refused, lost });
    const unrecorded = Object.values(lost).reduce((sum, count) => sum + count, 0);
    this.#report(
      'warn',
      `the audit log ${this.#sink?.name ?? ''} can be written again, after ${seconds} s; commands refused: ${this.#refused}, records lost: ${unrecorded}`,
    );
    if (this.#write() === null && this.#isReopenDue) this.#reopenNow();
  };

  #reopenNow(): void {
    const result = this.#sink?.reopen() ?? { kind: 'same' };
    switch (result.kind) {
      case 'same':
        this.#isReopenDue = false;
        return;
      case 'new':
        this.#isReopenDue = false;
        this.daemon('rotated', { previous: this.head });
        this.#write();
        return;
      case 'failed':
        this.#report(
          'error',
          `the audit log continues in the renamed file, because a new one cannot be created: ${result.trouble}`,
        );
        setTimeout(() => {
          if (this.#isReopenDue && this.#state.name === 'writing') this.reopen();
        }, LONGEST_RETRY_MS).unref();
    }
  }
}
