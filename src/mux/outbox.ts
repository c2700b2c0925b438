/**
 * What one peer is to be sent at the end of this turn. Small messages are written one behind the other into the slab that
 * all share, so that a turn's messages to one peer are mostly one piece; large ones are passed on as they came.
 */
import type { Link } from './link.js';
import { commitTo, reserve, slabBytes } from './slab.js';

/** A message up to this size is copied into the slab. */
const COPY_BELOW = 8 * 1024;

export class Outbox {
  readonly #pieces: Uint8Array[] = [];
  /** The piece being written, from `#runStart` to `#runEnd` of slab `#run`; not yet among `#pieces`. */
  #run: Uint8Array | null = null;
  #runStart = 0;
  #runEnd = 0;
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
    if (this.#run === slab && this.#runEnd === start) {
      this.#runEnd = end;
      return;
    }
    this.#closeRun();
    this.#run = slab;
    this.#runStart = start;
    this.#runEnd = end;
  }

  /** Takes one message, or a part of one. */
  append(bytes: Uint8Array): void {
    if (bytes.length >= COPY_BELOW) {
      this.appendShared(bytes);
      return;
    }
    const start = reserve(bytes.length);
    slabBytes().set(bytes, start);
    this.claim(start, start + bytes.length);
  }

  /** Takes bytes that others may be sent too; they are never copied. */
  appendShared(bytes: Uint8Array): void {
    this.#closeRun();
    this.#pieces.push(bytes);
    this.#length += bytes.length;
  }

  /** Hands everything to the link. */
  flush(link: Link): void {
    this.#closeRun();
    const first = this.#pieces[0];
    if (this.#pieces.length === 1 && first !== undefined) link.write(first);
    else if (this.#pieces.length > 1) link.writeAll(this.#pieces.slice());
    this.clear();
  }

  /** @returns everything, to be handed to a link in another way. */
  takePieces(): readonly Uint8Array[] {
    this.#closeRun();
    const pieces = this.#pieces.slice();
    this.clear();
    return pieces;
  }

  clear(): void {
    this.#pieces.length = 0;
    this.#run = null;
    this.#length = 0;
  }

  #closeRun(): void {
    if (this.#run === null) return;
    this.#pieces.push(this.#run.subarray(this.#runStart, this.#runEnd));
    this.#run = null;
  }
}
