/**
 * The output for one peer at the end of this turn, in as few pieces as can be: each costs a system call or an object. Small pieces
 * are joined; large ones go as they came. Bytes that were taken are never changed.
 */
import { concat } from '../../shared/bytes.js';
import type { Link } from '../ports/link.js';
import { room } from './slab.js';

/** A piece up to this size is joined with its neighbours. */
const SMALL = 8 * 1024;
/** Everything is one piece when it has no more bytes than this. */
const JOIN_BELOW = 16 * 1024;

export class Outbox {
  /** Oldest first. */
  #pieces: Uint8Array[] = [];
  #length = 0;

  /** Bytes waiting. */
  get length(): number {
    return this.#length;
  }

  /** Takes one message, or a part of one. */
  append(bytes: Uint8Array): void {
    this.#length += bytes.length;
    this.#pieces.push(bytes);
  }

  /** Hands everything to the link. */
  flush(link: Link): void {
    if (this.#length === 0) return;
    const pieces = this.takePieces();
    const [first] = pieces;
    if (pieces.length === 1 && first !== undefined) link.write(first);
    else link.writeAll(pieces);
  }

  /** @returns everything, to be handed to a link in another way. */
  takePieces(): readonly Uint8Array[] {
    const pieces = this.#pieces;
    const length = this.#length;
    this.clear();
    if (pieces.length <= 1) return pieces;
    if (length <= JOIN_BELOW) return [concat(pieces, room)];
    const joined: Uint8Array[] = [];
    let small: Uint8Array[] = [];
    for (const piece of pieces) {
      if (piece.length < SMALL) {
        small.push(piece);
        continue;
      }
      if (small.length > 0) joined.push(concat(small, room));
      small = [];
      joined.push(piece);
    }
    if (small.length > 0) joined.push(concat(small, room));
    return joined;
  }

  clear(): void {
    this.#pieces = [];
    this.#length = 0;
  }
}
