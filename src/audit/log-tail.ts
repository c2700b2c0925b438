/**
 * The end of a log that is to be continued: its last whole record, and whether a line behind it was torn (by a power cut, or a disk that
 * filled up just before the daemon ended).
 */
import { createHash } from 'node:crypto';
import { createReadStream, closeSync, fstatSync, openSync, readdirSync, readSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import split2 from 'split2';
import { EMPTY_HEAD, type Head } from './audit-log.js';
import { HASH_LENGTH } from './chain.js';

/** A line without an end. */
export interface TornLine {
  readonly length: number;
  readonly sha256: string;
}

export interface Tail {
  /** Null when there is no record in the file. */
  readonly head: Head | null;
  readonly torn: TornLine | null;
  /** Whether all there is may be the beginning of a first record, or what a power cut leaves of it. */
  readonly looksTorn: boolean;
}

const NEW_LINE = 0x0a;
const BLOCK = 64 * 1024;

/** Reads the end of an open log file. */
export function readTail(fd: number): Tail {
  const size = fstatSync(fd).size;
  const lastEnd = lineEndBefore(fd, size);
  const torn = lastEnd === size ? null : describeTorn(fd, lastEnd, size);
  // A line that is not a record (a torn one of an earlier start, say) is passed over.
  for (let end = lastEnd; end > 0; ) {
    const start = lineEndBefore(fd, end - 1);
    const head = readHead(read(fd, start, end - 1).toString('utf8'));
    if (head !== null) return { head, torn, looksTorn: false };
    end = start;
  }
  const [first = 0] = read(fd, 0, 1);
  return { head: null, torn, looksTorn: lastEnd === 0 && (first === 0 || first === 0x7b) };
}

/** @returns the end of the last line that ends at or before `position`: behind its newline, or 0. */
function lineEndBefore(fd: number, position: number): number {
  for (let end = position; end > 0; ) {
    const start = Math.max(0, end - BLOCK);
    const at = read(fd, start, end).lastIndexOf(NEW_LINE);
    if (at >= 0) return start + at + 1;
    end = start;
  }
  return 0;
}

function read(fd: number, start: number, end: number): Buffer {
  const bytes = Buffer.alloc(end - start);
  const count = readSync(fd, bytes, 0, bytes.length, start);
  return bytes.subarray(0, count);
}

function describeTorn(fd: number, start: number, end: number): TornLine {
  const hash = createHash('sha256');
  for (let at = start; at < end; at += BLOCK) hash.update(read(fd, at, Math.min(end, at + BLOCK)));
  return { length: end - start, sha256: hash.digest('hex') };
}

/** @returns what a line says about where the log stands, or null if it is no record. */
export function readHead(line: string): Head | null {
  if (!line.startsWith('{"v":')) return null;
  let record: unknown;
  try {
    record = JSON.parse(line);
  } catch {
    return null;
  }
  if (typeof record !== 'object' || record === null || !('seq' in record) || typeof record.seq !== 'number')
    return null;
  const hash =
    'hash' in record && typeof record.hash === 'string' && record.hash.length === HASH_LENGTH ? record.hash : null;
  return { seq: record.seq, hash };
}

/**
 * Where the log stands that an empty file continues: logs are rotated while no daemon runs, too.
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
    const head = file.endsWith('.gz') ? await readCompressedHead(file) : readFileHead(file);
    if (head !== null) return head;
  }
  return EMPTY_HEAD;
}

function readFileHead(file: string): Head | null {
  const fd = openSync(file, 'r');
  try {
    return readTail(fd).head;
  } finally {
    closeSync(fd);
  }
}

/** @returns null also for a file that cannot be unpacked: a daemon must start without it. */
async function readCompressedHead(file: string): Promise<Head | null> {
  let last: Head | null = null;
  try {
    await pipeline(createReadStream(file), createGunzip(), split2(), async (lines: AsyncIterable<unknown>) => {
      for await (const line of lines) last = readHead(String(line)) ?? last;
    });
  } catch {
    return null;
  }
  return last;
}
