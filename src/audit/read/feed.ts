/**
 * The records of any number of logs in the order of time, of each log in its own order, to feed a reader. Records outside the requested
 * time are not read where files can be searched or known to lie outside it; and however many logs there are, few files are open at a time.
 */
import { AuditReadError } from '../log/errors.js';
import { CHUNK, type Progress } from '../log/log-bytes.js';
import { type LogLine, lineBatches } from '../log/log-lines.js';
import { type AuditRecord, recordOf } from '../log/record.js';
import type { Log, LogFile } from './log-files.js';
import { timeOf } from './moment.js';
import { isSetBack, lastPlace, MARGIN, type Place, seekTime } from './seek.js';

/** A line of a log. */
export interface FeedItem {
  readonly log: Log;
  readonly line: LogLine;
  /** Null where the line is none. */
  readonly record: AuditRecord | null;
}

export interface FeedOptions {
  /** The range of interest, in milliseconds since 1970. Records slightly outside may be given too. */
  readonly since?: number | null;
  readonly until?: number | null;
  /** Whether the logs are read whole, so that no clock that was set back can hide a record. */
  readonly readsAll?: boolean;
  /** Whether more of a log is of interest after `until`: answers, for a while. */
  readonly isAwaiting?: (log: Log) => boolean;
  readonly progress?: Progress | undefined;
}

/** With more logs than this, files are not kept open between the pieces that are read of them. */
const MOST_LOGS_KEPT_OPEN = 100;
/** The most held for all logs together, in bytes, where there are many. */
const MOST_HELD = 64 * 1024 * 1024;
const SMALLEST_CHUNK = 8 * 1024;
/** How far to search for answers after the end of a range, in bytes. */
const MOST_AWAITED = 16 * 1024 * 1024;
/** A file that is smaller is not searched. */
const LARGEST_UNSEARCHED_BYTES = 1024 * 1024;
/** Items are handed over together. */
const BATCH_ITEMS = 1000;

/** @throws AuditReadError by the iterator */
export async function* feed(logs: readonly Log[], options: FeedOptions = {}): AsyncGenerator<readonly FeedItem[]> {
  const isMany = logs.length > MOST_LOGS_KEPT_OPEN;
  const byProgram = logs.filter(({ files }) => files.some(({ access }) => access === 'by program')).length;
  if (byProgram > MOST_LOGS_KEPT_OPEN) {
    throw new AuditReadError(
      `${byProgram} logs need other programs to unpack them (xz, zstd, bzip2): name at most ${MOST_LOGS_KEPT_OPEN} of them, or unpack them first`,
    );
  }
  const chunk = isMany ? Math.max(SMALLEST_CHUNK, Math.floor(MOST_HELD / logs.length)) : CHUNK;
  const cursors = logs.map((log, index) => new Cursor(log, index, options, Math.min(CHUNK, chunk), isMany));
  const waiting = new CursorHeap();
  for (const cursor of cursors) waiting.push(cursor);
  let items: FeedItem[] = [];
  try {
    for (let cursor = waiting.pop(); cursor !== null; cursor = waiting.pop()) {
      if (cursor.isEmpty) {
        // The lines read so far may decide whether more of it is of interest.
        if (items.length > 0) {
          yield items;
          items = [];
        }
        if (await cursor.fill()) waiting.push(cursor);
        continue;
      }
      cursor.take(waiting.first?.key ?? Number.POSITIVE_INFINITY, items);
      waiting.push(cursor);
      if (items.length < BATCH_ITEMS) continue;
      yield items;
      items = [];
    }
    if (items.length > 0) yield items;
  } finally {
    for (const cursor of cursors) await cursor.close();
  }
}

/** A file that is being read. */
interface Reading {
  readonly file: LogFile;
  readonly batches: AsyncGenerator<LogLine[]>;
  /** Bytes read for the sake of answers. */
  awaited: number;
  /** Its last record, once that is asked for. */
  end?: Place | null;
}

/** How far the reading of one log has come. */
class Cursor {
  /** The time of its next line, in milliseconds; never goes back, so that a log keeps its own order. */
  key = Number.NEGATIVE_INFINITY;
  readonly index: number;
  readonly #log: Log;
  readonly #options: FeedOptions;
  readonly #chunk: number;
  readonly #letsGo: boolean;
  readonly #files: LogFile[];
  #reading: Reading | null = null;
  #items: FeedItem[] = [];
  #at = 0;
  /** The last record that was read. */
  #last: AuditRecord | null = null;

  constructor(log: Log, index: number, options: FeedOptions, chunk: number, letsGo: boolean) {
    this.index = index;
    this.#log = log;
    this.#options = options;
    this.#chunk = chunk;
    this.#letsGo = letsGo;
    this.#files = withinRange(log.files, options);
    const first = this.#files[0]?.first ?? null;
    const since = options.since ?? null;
    // It need not be opened before its time comes.
    if (first !== null) this.key = Math.max(timeOf(first.time) ?? this.key, since === null ? this.key : since - MARGIN);
  }

  /** Whether more must be read before a line can be taken. */
  get isEmpty(): boolean {
    return this.#at >= this.#items.length;
  }

  /** Reads on. @returns whether there is anything more */
  async fill(): Promise<boolean> {
    for (;;) {
      if (this.#reading !== null && (await this.#isPast(this.#reading))) {
        await this.#reading.batches.return(undefined);
        this.#reading = null;
        this.#files.length = 0;
      }
      this.#reading ??= await this.#openNext();
      const reading = this.#reading;
      if (reading === null) return false;
      const next = await reading.batches.next();
      if (next.done === true) {
        this.#reading = null;
        continue;
      }
      if (next.value.length === 0) continue;
      this.#items = next.value.map((line) => ({ log: this.#log, line, record: recordOf(line) }));
      this.#at = 0;
      this.#last = this.#items.findLast(({ record }) => record !== null)?.record ?? this.#last;
      this.#advance();
      return true;
    }
  }

  /** Moves lines to `items`, up to those of a time. */
  take(until: number, items: FeedItem[]): void {
    while (!this.isEmpty && this.key <= until) {
      const item = this.#items[this.#at++];
      if (item !== undefined) items.push(item);
      this.#advance();
    }
    if (!this.isEmpty) return;
    this.#items = [];
    this.#at = 0;
  }

  async close(): Promise<void> {
    await this.#reading?.batches.return(undefined);
  }

  #advance(): void {
    const record = this.#items[this.#at]?.record ?? null;
    const time = record === null ? null : timeOf(record.time);
    if (time !== null && time > this.key) this.key = time;
  }

  async #openNext(): Promise<Reading | null> {
    const file = this.#files.shift();
    if (file === undefined) return null;
    const { since = null, until = null, readsAll = false, progress } = this.#options;
    if (until !== null && !readsAll && file.first !== null && isBehind(file.first, until)) {
      const end = await endOf(file);
      if (end === null || !isSetBack(clockOf(file.first), end)) {
        this.#files.length = 0;
        return null;
      }
    }
    const isSearched =
      since !== null && !readsAll && file.access === 'anywhere' && file.size > LARGEST_UNSEARCHED_BYTES;
    const start = isSearched ? await seekTime(file.path, since) : 0;
    const options = { start, progress, chunk: this.#chunk, letsGo: this.#letsGo };
    return { file, batches: lineBatches(file.path, options), awaited: 0 };
  }

  /** @returns whether the last line read lies after the range, and so does the rest. */
  async #isPast(reading: Reading): Promise<boolean> {
    const { until = null, readsAll = false, isAwaiting } = this.#options;
    if (until === null || readsAll) return false;
    if (this.#last === null || !isBehind(this.#last, until)) return false;
    reading.awaited += this.#chunk;
    if (reading.awaited < MOST_AWAITED && isAwaiting?.(this.#log) === true) return false;
    if (reading.end === undefined) reading.end = await endOf(reading.file);
    return reading.end === null || !isSetBack(clockOf(this.#last), reading.end);
  }
}

/** @returns the files that do not end before the range. */
function withinRange(files: readonly LogFile[], { since = null, readsAll = false }: FeedOptions): LogFile[] {
  if (readsAll || since === null) return [...files];
  return files.filter((_, index) => {
    const next = files[index + 1]?.first ?? null;
    const nextTime = next === null ? null : timeOf(next.time);
    return nextTime === null || nextTime >= since - MARGIN;
  });
}

/** @returns whether a record, and all that follow it by the same clock, are after a time. */
function isBehind({ time }: AuditRecord, until: number): boolean {
  return (timeOf(time) ?? until) > until + MARGIN;
}

function clockOf({ time, mono }: AuditRecord): Pick<Place, 'time' | 'mono'> {
  return { time: timeOf(time) ?? 0, mono: mono / 1000 };
}

async function endOf({ access, path }: LogFile): Promise<Place | null> {
  return access === 'anywhere' ? await lastPlace(path) : null;
}

/** Cursors, the one with the earliest line first; of equals, the one of the log that was named first. */
class CursorHeap {
  readonly #cursors: Cursor[] = [];

  get first(): Cursor | null {
    return this.#cursors[0] ?? null;
  }

  push(cursor: Cursor): void {
    const heap = this.#cursors;
    let at = heap.push(cursor) - 1;
    while (at > 0) {
      const above = (at - 1) >> 1;
      const parent = heap[above];
      if (parent === undefined || !isBefore(cursor, parent)) break;
      heap[at] = parent;
      at = above;
    }
    heap[at] = cursor;
  }

  pop(): Cursor | null {
    const heap = this.#cursors;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined) return null;
    if (heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let below = 2 * at + 1;
      const left = heap[below];
      const right = heap[below + 1];
      if (left === undefined) break;
      if (right !== undefined && isBefore(right, left)) below++;
      const child = heap[below];
      if (child === undefined || !isBefore(child, last)) break;
      heap[at] = child;
      at = below;
    }
    heap[at] = last;
    return first;
  }
}

function isBefore(a: Cursor, b: Cursor): boolean {
  return a.key < b.key || (a.key === b.key && a.index < b.index);
}
