/**
 * The end of a log that is to be continued: its last whole record, and whether a line after it was torn (by a power cut, or a disk that
 * filled up just before the daemon ended).
 */
import { createHash } from 'node:crypto';
import { fstatSync, readdirSync, readSync, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { EMPTY_HEAD, HASH_LENGTH, HASH_PART, type Head, hashAtEnd } from './chain.js';
import { accessTo } from './log-bytes.js';
import { lineBatches } from './log-lines.js';
import { recordOf } from './record.js';

/** A line without an end. */
interface TornLine {
  readonly length: number;
  readonly sha256: string;
}

export interface Tail {
  /** Null when there is no record in the file. */
  readonly head: Head | null;
  readonly torn: TornLine | null;
  /** Whether the whole content may be the beginning of a first record, or the remains of one after a power cut. */
  readonly looksTorn: boolean;
}

const NEW_LINE = 0x0a;
const BLOCK_BYTES = 64 * 1024;

/** A longer line is a record by its beginning and its end, in bytes: it need not be in memory. */
const LONGEST_PARSED_BYTES = 1024 * 1024;
const BEGINNING_BYTES = 4096;

/** Reads the end of an open log file. The work is proportional to the bytes after its last record, whatever they are. */
export function readTail(fd: number): Tail {
  const size = fstatSync(fd).size;
  const lines = new LinesFromEnd(fd);
  const lastEnd = lines.endBefore(size);
  const torn = lastEnd === size ? null : describeTorn(fd, lastEnd, size);
  // A line that is not a record (a torn one of an earlier start, say) is passed over.
  for (let end = lastEnd; end > 0; ) {
    const start = lines.endBefore(end - 1);
    const head = headAt(fd, start, end - 1);
    if (head !== null) return { head, torn, looksTorn: false };
    end = start;
  }
  const [first = 0] = read(fd, 0, 1);
  return { head: null, torn, looksTorn: lastEnd === 0 && (first === 0 || first === 0x7b) };
}

function headAt(fd: number, start: number, end: number): Head | null {
  if (end - start <= LONGEST_PARSED_BYTES) return readHead(read(fd, start, end).toString('utf8'));
  const seq = /^\{"v":\d{1,3},"seq":(\d{1,15}),"time":"/.exec(
    read(fd, start, start + BEGINNING_BYTES).toString('latin1'),
  )?.[1];
  if (seq === undefined || Number(seq) === 0 || read(fd, end - 1, end).toString() !== '}') return null;
  return { seq: Number(seq), hash: hashAtEnd(read(fd, end - HASH_PART, end)) };
}

/** Finds lines from the end on. Keeps the block that was read last: many short lines may lie in it. */
class LinesFromEnd {
  readonly #fd: number;
  #block: Buffer = Buffer.alloc(0);
  #start = 0;

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** @returns the end of the last line that ends at or before `position`: after its newline, or 0. */
  endBefore(position: number): number {
    for (let end = position; end > 0; ) {
      if (end <= this.#start || end > this.#start + this.#block.length) {
        this.#start = Math.max(0, end - BLOCK_BYTES);
        this.#block = read(this.#fd, this.#start, end);
        if (this.#block.length < end - this.#start) return 0;
      }
      const at = this.#block.lastIndexOf(NEW_LINE, end - this.#start - 1);
      if (at >= 0) return this.#start + at + 1;
      end = this.#start;
    }
    return 0;
  }
}

function read(fd: number, start: number, end: number): Buffer {
  const bytes = Buffer.alloc(end - start);
  const count = readSync(fd, bytes, 0, bytes.length, start);
  return bytes.subarray(0, count);
}

function describeTorn(fd: number, start: number, end: number): TornLine {
  const hash = createHash('sha256');
  for (let at = start; at < end; at += BLOCK_BYTES) hash.update(read(fd, at, Math.min(end, at + BLOCK_BYTES)));
  return { length: end - start, sha256: hash.digest('hex') };
}

/** @returns the head that a line gives, or null if it is not a record. */
function readHead(line: string): Head | null {
  if (!line.startsWith('{"v":')) return null;
  let record: unknown;
  try {
    record = JSON.parse(line);
  } catch {
    return null;
  }
  if (typeof record !== 'object' || record === null || !('seq' in record)) return null;
  // Numbers go on from it.
  if (typeof record.seq !== 'number' || !Number.isSafeInteger(record.seq) || record.seq < 1) return null;
  const hash =
    'hash' in record && typeof record.hash === 'string' && record.hash.length === HASH_LENGTH ? record.hash : null;
  return { seq: record.seq, hash };
}

/**
 * The head of the log that an empty file continues: logs are also rotated while no daemon runs.
 * @param path of the new, empty file
 * @returns the last record of the youngest file that was rotated away from `path`, or an empty head
 */
export async function readPredecessor(path: string): Promise<Head> {
  const directory = dirname(path);
  const name = basename(path);
  const rotated = readdirSync(directory, { withFileTypes: true })
    .filter((entry) => entry.isFile() && /^[.-]/.test(entry.name.slice(name.length)) && entry.name.startsWith(name))
    .map((entry) => join(directory, entry.name))
    .map((file) => ({ file, time: statSync(file).mtimeMs }))
    .sort((a, b) => b.time - a.time);
  for (const { file } of rotated) {
    const head = await readLastHead(file);
    if (head !== null) return head;
  }
  return EMPTY_HEAD;
}

/**
 * @returns the head at the end of a log file, compressed or not; null where it has no record, and also where it cannot be unpacked: a
 * daemon must start without it
 */
export async function readLastHead(file: string): Promise<Head | null> {
  const handle = await open(file, 'r');
  try {
    if ((await accessTo(handle)) === 'anywhere') return readTail(handle.fd).head;
  } finally {
    await handle.close();
  }
  let last: Head | null = null;
  try {
    for await (const lines of lineBatches(file)) {
      for (const line of lines) {
        const record = recordOf(line);
        const hash =
          line.longLine === null ? hashAtEnd(Buffer.from(line.text.slice(-HASH_PART), 'latin1')) : line.longLine.hash;
        if (record !== null && record.seq >= 1) last = { seq: record.seq, hash };
      }
    }
  } catch {
    return null;
  }
  return last;
}
