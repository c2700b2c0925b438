/**
 * The hash chain: how a record's `hash` is computed, and where a chain begins.
 *
 * `hash` is the last member of its line. It is the SHA-256, in hexadecimal, of these bytes: the hash of the record before, a quote, a
 * closing brace and a newline (that is, the end of the line before, from its hash on), and then the line up to, but
 * without, `,"hash":"`. The record before the first of all has the hash of 64 zeros.
 */
import * as crypto from 'node:crypto';

export const HASH_LENGTH = 64;
export const FIRST_HASH = '0'.repeat(HASH_LENGTH);
/** The head of a log: the last record's number, and its hash if records are chained. */
export interface Head {
  readonly seq: number;
  readonly hash: string | null;
}

export const EMPTY_HEAD: Head = { seq: 0, hash: null };

/** Between a line's content and its hash. */
export const HASH_MEMBER = ',"hash":"';
/** The end of a line with a hash, newline included. */
export const LINE_END = '"}\n';
/** The end of a line, from its hash on: the first input of the next record's hash. */
export const TAIL_LENGTH = HASH_LENGTH + LINE_END.length;

/** The end of a line that has a hash, without its newline, in bytes. */
export const HASH_PART: number = HASH_MEMBER.length + TAIL_LENGTH - 1;

/** @returns the hash with which a line ends, or null. @param end of the line, without its newline */
export function hashAtEnd(end: Buffer): string | null {
  const text = end.toString('latin1').slice(-HASH_PART);
  const hash = text.slice(HASH_MEMBER.length, HASH_MEMBER.length + HASH_LENGTH);
  return text.startsWith(HASH_MEMBER) && text.endsWith('"}') && /^[0-9a-f]{64}$/.test(hash) ? hash : null;
}

/** @returns the hash over `bytes`: the end of the line before, and the line up to its hash. */
export function chainHash(bytes: Uint8Array): string {
  return crypto.hash('sha256', bytes, 'hex');
}

export type LinkVerdict =
  /** The record has no hash. */
  | { readonly kind: 'unchained' }
  | { readonly kind: 'good'; readonly hash: string }
  | { readonly kind: 'broken'; readonly hash: string };

/**
 * Checks one line against the record before it.
 * @param line without its newline
 * @param previous the hash of the record before
 */
export function checkLink(line: string, previous: string): LinkVerdict {
  const at = line.length - HASH_MEMBER.length - HASH_LENGTH - 2;
  const hash = line.slice(-HASH_LENGTH - 2, -2);
  if (!line.startsWith(HASH_MEMBER, at) || !line.endsWith('"}') || !/^[0-9a-f]{64}$/.test(hash))
    return { kind: 'unchained' };
  const made = chainHash(Buffer.from(previous + LINE_END + line.slice(0, at)));
  return { kind: made === hash ? 'good' : 'broken', hash };
}
