/**
 * What one peer is to be sent at the end of this turn, in as few pieces as can be: writing costs a system call for each piece, or an
 * object. Small messages are written into the slab that all share; when the turn ends, what one peer has there is one run of bytes
 * or is copied together to one. Large messages are passed on as they came.
 */
import { copy } from '../../shared/bytes.js';
import type { Link } from '../ports/link.js';
import { commitTo, put, reserve, slabBytes } from './slab.js';

/** A message up to this size is copied into the slab. */
export const COPY_BELOW = 8 * 1024;
/** Pieces are copied together when they have no more bytes than this in all. */
const JOIN_BELOW = 16 * 1024;

export class Outbox {
  /** Everything before the runs, oldest first. */
  readonly #pieces: Uint8Array[] = [];
  /** Where the newest bytes lie in slab `#slab`: start and end of each run, oldest first; `#runCount` numbers of it count. */
  readonly #runs: number[] = [];
  #runCount = 0;
  #slab: Uint8Array | null = null;
  #length = 0;

  /** Bytes waiting. */
  get length(): number {
    return this.#length;
  }

  /** Takes what a writer put into room that it had reserved in the slab, from `start` up to `end`. */
  claim(start: number, end: number): void {
    const slab = slabBytes();
    commitTo(end);
    this.#length += end - start;
    const runs = this.#runs;
    if (this.#slab === slab && this.#runCount > 0) {
      if (runs[this.#runCount - 1] === start) {
        runs[this.#runCount - 1] = end;
        return;
      }
    } else {
      this.#closeRuns();
      this.#slab = slab;
    }
    runs[this.#runCount++] = start;
    runs[this.#runCount++] = end;
  }

  /** Takes one message, or a part of one. */
  append(bytes: Uint8Array): void {
    const { length } = bytes;
    if (length >= COPY_BELOW) {
      this.appendShared(bytes);
      return;
    }
    const start = put(bytes, 0, length);
    this.claim(start, start + length);
  }

  /** Takes bytes that others may be sent too; they are never changed. */
  appendShared(bytes: Uint8Array): void {
    this.#closeRuns();
    this.#length += bytes.length;
    this.#pieces.push(bytes);
  }

  /** Hands everything to the link. */
  flush(link: Link): void {
    const [first] = this.#pieces;
    if (first === undefined) this.#writeRuns(link);
    else if (this.#pieces.length === 1 && this.#runCount === 0) link.write(first);
    else {
      this.#closeRuns();
      if (this.#length <= JOIN_BELOW) this.#writeJoined(link);
      else link.writeAll(this.#pieces.slice());
    }
    this.clear();
  }

  /** @returns everything, to be handed to a link in another way. */
  takePieces(): readonly Uint8Array[] {
    this.#closeRuns();
    const pieces = this.#pieces.slice();
    this.clear();
    return pieces;
  }

  clear(): void {
    if (this.#pieces.length > 0) this.#pieces.length = 0;
    this.#runCount = 0;
    this.#slab = null;
    this.#length = 0;
  }

  #writeRuns(link: Link): void {
    const slab = this.#slab;
    const runs = this.#runs;
    if (slab === null) return;
    if (this.#runCount === 2) {
      link.writeRange(slab, runs[0] ?? 0, runs[1] ?? 0);
      return;
    }
    const start = reserve(this.#length);
    const joined = slabBytes();
    let at = start;
    for (let i = 0; i < this.#runCount; i += 2) {
      const end = runs[i + 1] ?? 0;
      at = copy(slab, runs[i] ?? 0, end, joined, at);
    }
    commitTo(at);
    link.writeRange(joined, start, at);
  }

  #writeJoined(link: Link): void {
    const start = reserve(this.#length);
    const joined = slabBytes();
    let at = start;
    for (const piece of this.#pieces) at = copy(piece, 0, piece.length, joined, at);
    commitTo(at);
    link.writeRange(joined, start, at);
  }

  #closeRuns(): void {
    const slab = this.#slab;
    if (slab === null) return;
    for (let i = 0; i < this.#runCount; i += 2) this.#pieces.push(slab.subarray(this.#runs[i], this.#runs[i + 1]));
    this.#runCount = 0;
    this.#slab = null;
  }
}
