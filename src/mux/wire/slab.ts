/**
 * Room for small pieces of bytes that live for about a turn of the event loop: commands on their way up, replies on
 * their way down. A slab is filled from front to back and then left to the garbage collector: what was handed out is
 * never written again, so whoever holds a piece may hold it as long as it likes.
 */
import { copy, viewOf } from '../../shared/bytes.js';

const SIZE = 64 * 1024;

let bytes = new Uint8Array(SIZE);
let view = viewOf(bytes);
let used = 0;

/** The slab that was reserved from last. */
export function slabBytes(): Uint8Array {
  return bytes;
}

/** The same, as `copyWords` writes to it. */
export function slabView(): DataView {
  return view;
}

/** Makes sure of `size` free bytes in one slab. @returns the offset in `slabBytes()` from which to write. */
export function reserve(size: number): number {
  if (size > bytes.length - used) {
    bytes = new Uint8Array(Math.max(SIZE, size));
    view = viewOf(bytes);
    used = 0;
  }
  return used;
}

/** Takes what was written to reserved room, up to the offset `end`. */
export function commitTo(end: number): void {
  used = end;
}

/** Copies bytes of `source` to the slab. @returns the offset in `slabBytes()` at which they begin */
export function put(source: Uint8Array, start: number, end: number): number {
  const at = reserve(end - start);
  used = copy(source, start, end, bytes, at);
  return at;
}

/** @returns a piece of the slab that holds a copy of `source` from `start` to `end`. */
export function keep(source: Uint8Array, start = 0, end: number = source.length): Uint8Array {
  const at = put(source, start, end);
  return bytes.subarray(at, used);
}
