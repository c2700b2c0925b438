/**
 * Bytes from QEMU → messages. QEMU ends each with CRLF and writes no line break inside (unless `pretty=on`, which is
 * folded first), so finding the line feed is all there is to do, and a reply's body is never looked at.
 *
 * A message inside one chunk is reported where it lies. One that spans chunks is copied together while it is small; a
 * large one is kept as a list of the chunks it came in, so that 20 MB pass through without being moved.
 */
import { concat } from '../../shared/bytes.js';

/** Up to this size, pieces of a message are copied into one array. */
const SMALL = 64 * 1024;
/** A piece at least this long is kept as it is. */
const WORTH_KEEPING = 4096;
/** The first and the last piece of a message in pieces have at least this many bytes: enough to hold an id. */
export const EDGE = 128;

export class LineReader {
  /** The message, line break included: in `bytes` from `start` to `end`, or in `pieces` when that is not null. */
  bytes: Uint8Array = new Uint8Array(0);
  start = 0;
  end = 0;
  pieces: Uint8Array[] | null = null;

  #chunk: Uint8Array = this.bytes;
  #position = 0;
  #small: Uint8Array | null = null;
  #smallLength = 0;
  #large: Uint8Array[] = [];
  #largeLength = 0;

  /** Bytes of the message that has begun. */
  get heldBytes(): number {
    return this.#largeLength + this.#smallLength;
  }

  /** Takes the next bytes. The chunk is kept as long as messages in it are; nobody changes it any more. */
  push(chunk: Uint8Array): void {
    this.#chunk = chunk;
    this.#position = 0;
  }

  /** @returns whether there is a message, in the registers above; call again until there is none, then `push`. */
  next(): boolean {
    const chunk = this.#chunk;
    const from = this.#position;
    if (from >= chunk.length) return false;
    const lineFeed = chunk.indexOf(0x0a, from);
    if (lineFeed < 0) {
      this.#position = chunk.length;
      this.#stash(chunk.subarray(from));
      return false;
    }
    this.#position = lineFeed + 1;
    if (this.heldBytes === 0) {
      this.bytes = chunk;
      this.start = from;
      this.end = lineFeed + 1;
      this.pieces = null;
      return true;
    }
    this.#stash(chunk.subarray(from, lineFeed + 1));
    this.#assemble();
    return true;
  }

  /** The part of an unfinished message that has come; afterwards nothing is held. */
  takeUnfinished(): Uint8Array {
    const held = concat([...this.#large, this.#small?.subarray(0, this.#smallLength) ?? new Uint8Array(0)]);
    this.#reset();
    return held;
  }

  #stash(piece: Uint8Array): void {
    if (this.#largeLength === 0 && this.#smallLength + piece.length <= SMALL) {
      this.#append(piece);
      return;
    }
    if (piece.length < WORTH_KEEPING && this.#smallLength + piece.length <= SMALL) {
      this.#append(piece);
      return;
    }
    let rest = piece;
    if (this.#largeLength === 0 && this.#smallLength > 0 && this.#smallLength < EDGE) {
      this.#append(piece.subarray(0, EDGE));
      rest = piece.subarray(EDGE);
    }
    this.#moveSmall();
    if (rest.length < WORTH_KEEPING) this.#append(rest);
    else {
      this.#large.push(rest);
      this.#largeLength += rest.length;
    }
  }

  #append(piece: Uint8Array): void {
    const needed = this.#smallLength + piece.length;
    if (this.#small === null || this.#small.length < needed) {
      const grown = new Uint8Array(Math.min(SMALL, Math.max(needed, this.#smallLength * 2, 512)));
      if (this.#small !== null) grown.set(this.#small.subarray(0, this.#smallLength));
      this.#small = grown;
    }
    this.#small.set(piece, this.#smallLength);
    this.#smallLength = needed;
  }

  #moveSmall(): void {
    if (this.#small === null || this.#smallLength === 0) return;
    this.#large.push(this.#small.subarray(0, this.#smallLength));
    this.#largeLength += this.#smallLength;
    this.#small = null;
    this.#smallLength = 0;
  }

  #assemble(): void {
    if (this.#large.length === 0 && this.#small !== null) {
      this.bytes = this.#small;
      this.start = 0;
      this.end = this.#smallLength;
      this.pieces = null;
      this.#reset();
      return;
    }
    this.#moveSmall();
    const pieces = this.#large;
    while (pieces.length > 1 && (pieces.at(-1)?.length ?? EDGE) < EDGE) {
      pieces.splice(-2, 2, concat(pieces.slice(-2)));
    }
    const only = pieces[0];
    if (pieces.length === 1 && only !== undefined) {
      this.bytes = only;
      this.start = 0;
      this.end = only.length;
      this.pieces = null;
    } else this.pieces = pieces;
    this.#reset();
  }

  #reset(): void {
    this.#small = null;
    this.#smallLength = 0;
    this.#large = [];
    this.#largeLength = 0;
  }
}
