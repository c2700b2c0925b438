/**
 * Which files are one log, and in which order: a log and its rotated files, beside those of other logs. Told by their names
 * (`vm.audit`, `vm.audit.1`, `vm.audit-20260131.gz`), and by their numbers and hashes where names say nothing.
 */

import { open } from 'node:fs/promises';
import { basename } from 'node:path';
import { isJsonObject } from '../../qmp/json/value.js';
import { errorCode, systemReason } from '../../system/system-error.js';
import type { Head } from '../log/chain.js';
import { AuditReadError } from '../log/errors.js';
import { type Access, accessTo } from '../log/log-bytes.js';
import { lineBatches } from '../log/log-lines.js';
import { readLastHead } from '../log/log-tail.js';
import { type AuditRecord, recordOf } from '../log/record.js';
import { timeOf } from './moment.js';

/** A file of a log. */
export interface LogFile {
  readonly path: string;
  /** In bytes, when it was looked at; 0 for standard input. */
  readonly size: number;
  readonly access: Access;
  /** Its first record; null while there is none. */
  readonly first: AuditRecord | null;
}

/** The files of one log, in the order in which they were written. */
export interface Log {
  /** The shortest name that distinguishes it from the other logs named. */
  readonly name: string;
  readonly files: readonly LogFile[];
}

interface FoundLogs {
  readonly logs: readonly Log[];
  /** Files that cannot be read, or are no logs, in words. */
  readonly faults: readonly AuditReadError[];
}

/** A file whose first lines hold no record, and nothing that looks like one, is none of ours. */
const LINES_LOOKED_AT = 1000;

/**
 * Looks at each file, one after the other. Never fails: files that cannot be read are among `faults`.
 * @param mayBeMissing whether a file that is not there yet is no fault
 */
export async function findLogs(paths: readonly string[], mayBeMissing = false): Promise<FoundLogs> {
  const files: LogFile[] = [];
  const faults: AuditReadError[] = [];
  const seen = new Set<string>();
  for (const path of paths) {
    try {
      const { file, identity } = await lookAt(path);
      if (!seen.has(identity)) files.push(file);
      seen.add(identity);
    } catch (error) {
      if (mayBeMissing && errorCode(error) === 'ENOENT') {
        files.push({ path, size: 0, access: 'anywhere', first: null });
        continue;
      }
      const fault =
        error instanceof AuditReadError
          ? error
          : new AuditReadError(`${path} cannot be read: ${systemReason(error)}`, { cause: error });
      faults.push(fault);
    }
  }
  const groups = new Map<string, LogFile[]>();
  for (const file of files) {
    const stem = stemOf(file.path);
    const group = groups.get(stem);
    if (group === undefined) groups.set(stem, [file]);
    else group.push(file);
  }
  const sorted = [...groups].map(([stem, group]) => ({ stem, files: inOrder(group) }));
  const logs = sorted.length > 1 ? await joinPieces(sorted) : sorted;
  const names = shortest(logs.map(({ stem }) => stem));
  return { logs: logs.map((log, index) => ({ name: names[index] ?? log.stem, files: log.files })), faults };
}

async function lookAt(path: string): Promise<{ readonly file: LogFile; readonly identity: string }> {
  if (path === '-') return { file: { path, size: 0, access: 'in order', first: null }, identity: path };
  const handle = await open(path, 'r');
  try {
    const { size, dev, ino } = await handle.stat();
    const access = await accessTo(handle);
    const first = size === 0 ? null : await firstRecord(path);
    return { file: { path, size, access, first }, identity: `${dev}:${ino}` };
  } finally {
    await handle.close();
  }
}

/** @throws AuditReadError if it is not a log */
async function firstRecord(path: string): Promise<AuditRecord | null> {
  let count = 0;
  let looksRight = false;
  for await (const lines of lineBatches(path)) {
    for (const line of lines) {
      const record = recordOf(line);
      if (record !== null) return record;
      // A line that was torn, by a power cut perhaps.
      looksRight ||= line.text === '' || line.text.startsWith('{"v":') || line.text.startsWith('\0') || !line.isWhole;
      if (++count >= LINES_LOOKED_AT) break;
    }
    if (count >= LINES_LOOKED_AT) break;
  }
  if (looksRight && count < LINES_LOOKED_AT) return null;
  throw new AuditReadError(
    `${path} is not an audit log: there is no record in its first ${count} line${count === 1 ? '' : 's'}`,
  );
}

/** Suffixes that logrotate and people add to a name, or before its last part. */
const SUFFIXES = [/\.(?:gz|zst|xz|bz2)$/, /[.-]\d{1,10}$/, /-\d{8}(?:-\d{1,10})?$/, /\.(?:old|bak|orig)$/];
const DATE_WITHIN = /-\d{8}(?:-\d{1,10})?(?=\.[^./\d][^./]*$)/;

/** @returns a log's path without suffixes of rotation. */
export function stemOf(path: string): string {
  let stem = path;
  for (let isCut = true; isCut; ) {
    isCut = false;
    for (const suffix of SUFFIXES) {
      const shorter = stem.replace(suffix, '');
      if (shorter === stem || shorter === '' || shorter.endsWith('/')) continue;
      stem = shorter;
      isCut = true;
    }
  }
  return stem.replace(DATE_WITHIN, '');
}

/** By the numbers of their first records; by their times where two begin with the same number: the log was started again. */
function inOrder(files: readonly LogFile[]): LogFile[] {
  const numbers = files.flatMap(({ first }) => (first === null ? [] : [first.seq]));
  const isAnew = new Set(numbers).size < numbers.length;
  const key = ({ first }: LogFile): number => {
    // A file without records is the newest.
    if (first === null) return Number.POSITIVE_INFINITY;
    return isAnew ? (timeOf(first.time) ?? 0) : first.seq;
  };
  return files.toSorted((a, b) => compare(key(a), key(b)) || compare(a.first?.seq ?? 0, b.first?.seq ?? 0));
}

function compare(a: number, b: number): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

interface Group {
  readonly stem: string;
  readonly files: LogFile[];
}

/**
 * Joins groups that are pieces of one log under different names. A piece does not begin with record 1; it follows the one that ends where
 * it begins. Where only one log has a beginning, a piece that begins after its end is taken to be part of it, so that the gap is noticed.
 */
async function joinPieces(groups: readonly Group[]): Promise<Group[]> {
  const beginning = ({ files }: Group): number => files[0]?.first?.seq ?? 1;
  const logs = groups.filter((group) => beginning(group) === 1);
  const pieces = groups.filter((group) => beginning(group) > 1).toSorted((a, b) => compare(beginning(a), beginning(b)));
  for (const piece of pieces) {
    const first = piece.files[0]?.first ?? null;
    let home: Group | null = null;
    for (const log of logs) {
      const last = first === null ? null : await lastHead(log.files.at(-1));
      if (first === null || last === null || last.seq >= first.seq) continue;
      const isNext = last.seq + 1 === first.seq;
      const previous = previousHash(first);
      const isLinked = isNext && (last.hash === null || previous === null || last.hash === previous);
      if (isLinked || logs.length === 1) home = log;
      if (isLinked) break;
    }
    if (home === null) logs.push({ stem: piece.stem, files: [...piece.files] });
    else home.files.push(...piece.files);
  }
  return logs;
}

/** @returns the number and the hash of a file's last record; null where there is none. A compressed file is read to its end. */
async function lastHead(file: LogFile | undefined): Promise<Head | null> {
  // A file that is gone by now will be missed when it is read.
  return file === undefined || file.path === '-' ? null : await readLastHead(file.path).catch(() => null);
}

function previousHash({ members }: AuditRecord): string | null {
  const { previous } = members;
  const hash = isJsonObject(previous) ? previous['hash'] : null;
  return typeof hash === 'string' ? hash : null;
}

/** @returns the names of logs without their common part: the fewest last parts that distinguish them. */
function shortest(stems: readonly string[]): string[] {
  const bases = stems.map((stem) => basename(stem));
  return new Set(bases).size === stems.length ? bases : [...stems];
}
