/**
 * Cuts bytes into pieces of whole lines, and holds back lines that are too long to be read: its readers see no line that is longer than the
 * limit, and never half of one. Each byte is looked at a few times, whatever the length of a line, and memory is bounded by the limit: a
 * line without an end, as a compressed file of a few kilobytes can hold, costs time alone.
 *
 * Its beginning, its length, and its hash in the chain are kept of a line that is too long, so that it can be verified although it was
 * never in memory.
 */
import { isUtf8 } from 'node:buffer';
import { createHash, type Hash } from 'node:crypto';
import { FIRST_HASH, HASH_PART, hashAtEnd, LINE_END, TAIL_LENGTH } from './chain.js';

/** The kept parts of a line longer than the limit. */
export interface LongLine {
  /** In bytes, without its newline. */
  readonly length: number;
  /** Its first 4096 bytes. */
  readonly beginning: string;
  /** The hash at its end; null where it has none. */
  readonly hash: string | null;
  /** The hash at the end of the line before, and the chain's hash of that and this line; null where the line before has none. */
  readonly previous: string | null;
  readonly made: string | null;
}

/** Lines that follow each other. */
export interface Piece {
  /** Each with its newline. Of a line that was too long only that is here. */
  readonly bytes: Buffer;
  /** Which of the lines are not UTF-8, from 0; null when all are. */
  readonly badLines: ReadonlySet<number> | null;
  /** Then the piece is one line. */
  readonly longLine: LongLine | null;
}

const NEW_LINE = 0x0a;
const BEGINNING_BYTES = 4096;
const NEW_LINE_BYTES = Buffer.from('\n');

export class LineGate {
  readonly #longest: number;
  /** The line that has begun, in pieces. */
  #begun: Buffer[] = [];
  #length = 0;
  /** Of a line that is too long. */
  #long: { readonly hash: Hash; readonly previous: string | null; readonly beginning: string; end: Buffer } | null =
    null;
  /** The last bytes of the line before, its newline included. */
  #tail: Buffer = Buffer.from(FIRST_HASH + LINE_END);

  /** @param longest the length of the longest line that is passed on, in bytes */
  constructor(longest: number) {
    this.#longest = longest;
  }

  /** @param chunk may be kept. @returns the lines that are whole now */
  push(chunk: Buffer): Piece[] {
    const last = chunk.lastIndexOf(NEW_LINE);
    if (last < 0) {
      this.#keep(chunk);
      return [];
    }
    const pieces: Piece[] = [];
    let start = 0;
    if (this.#length > 0 || this.#long !== null) {
      const end = chunk.indexOf(NEW_LINE);
      this.#keep(chunk.subarray(0, end));
      pieces.push(this.#finish());
      start = end + 1;
    }
    if (last >= start) pieces.push(this.#pass(chunk.subarray(start, last + 1)));
    this.#keep(chunk.subarray(last + 1));
    return pieces;
  }

  /** There are no more bytes. @returns the last line, if it had no newline; it has one now */
  end(): Piece | null {
    return this.#length > 0 || this.#long !== null ? this.#finish() : null;
  }

  #keep(bytes: Buffer): void {
    if (bytes.length === 0) return;
    this.#length += bytes.length;
    if (this.#long !== null) {
      this.#hash(this.#long, bytes);
      return;
    }
    this.#begun.push(bytes);
    if (this.#length <= this.#longest) return;
    const previous = hashAtEnd(this.#tail.subarray(0, -1));
    this.#long = {
      hash: createHash('sha256').update(this.#tail.subarray(-TAIL_LENGTH)),
      previous,
      beginning: beginningOf(this.#begun),
      end: Buffer.alloc(0),
    };
    for (const part of this.#begun) this.#hash(this.#long, part);
    this.#begun = [];
  }

  /** Hashes all but the line's end, which is its own hash; where the end is, is not known yet. */
  #hash(long: { readonly hash: Hash; end: Buffer }, bytes: Buffer): void {
    if (bytes.length >= HASH_PART) {
      long.hash.update(long.end).update(bytes.subarray(0, bytes.length - HASH_PART));
      long.end = Buffer.from(bytes.subarray(bytes.length - HASH_PART));
      return;
    }
    const both = Buffer.concat([long.end, bytes]);
    const known = Math.max(0, both.length - HASH_PART);
    long.hash.update(both.subarray(0, known));
    long.end = both.subarray(known);
  }

  /** The line that has begun is whole. */
  #finish(): Piece {
    const length = this.#length;
    const long = this.#long;
    this.#length = 0;
    this.#long = null;
    if (long === null) {
      const bytes = Buffer.concat([...this.#begun, NEW_LINE_BYTES]);
      this.#begun = [];
      return this.#pass(bytes);
    }
    this.#tail = Buffer.concat([long.end, NEW_LINE_BYTES]);
    const hash = hashAtEnd(long.end);
    const made = hash === null || long.previous === null ? null : long.hash.digest('hex');
    const { beginning, previous } = long;
    return { bytes: NEW_LINE_BYTES, badLines: null, longLine: { length, beginning, hash, previous, made } };
  }

  #pass(bytes: Buffer): Piece {
    this.#tail = Buffer.from(bytes.subarray(-HASH_PART - 1));
    return { bytes, badLines: isUtf8(bytes) ? null : badLinesOf(bytes), longLine: null };
  }
}

function beginningOf(parts: readonly Buffer[]): string {
  let bytes = Buffer.alloc(0);
  for (const part of parts) {
    if (bytes.length >= BEGINNING_BYTES) break;
    bytes = Buffer.concat([bytes, part.subarray(0, BEGINNING_BYTES - bytes.length)]);
  }
  return bytes.toString('utf8');
}

function badLinesOf(bytes: Buffer): Set<number> {
  const bad = new Set<number>();
  let start = 0;
  for (let number = 0, at = bytes.indexOf(NEW_LINE); at >= 0; at = bytes.indexOf(NEW_LINE, start), number++) {
    if (!isUtf8(bytes.subarray(start, at))) bad.add(number);
    start = at + 1;
  }
  return bad;
}
