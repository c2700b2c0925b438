/** Bytes of ASCII text, and moving bytes, in a world without TextEncoder (this folder compiles without Node's or the browser's types). */

/** @returns the bytes of `text`, which must be ASCII: a higher code unit is a caller's bug and throws. */
export function ascii(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit > 0x7f) throw new RangeError(`not ASCII: ${text}`);
    bytes[i] = unit;
  }
  return bytes;
}

/** @returns whether `bytes[start…]` begins with `text`, looking no further than `end`. */
export function startsWith(bytes: Uint8Array, start: number, end: number, text: Uint8Array): boolean {
  if (end - start < text.length) return false;
  for (let i = 0; i < text.length; i++) if (bytes[start + i] !== text[i]) return false;
  return true;
}

/** @returns whether the bytes from `start` to `end` are exactly `text`. */
export function equals(bytes: Uint8Array, start: number, end: number, text: Uint8Array): boolean {
  return end - start === text.length && startsWith(bytes, start, end, text);
}

const PIECE = 4096;

/**
 * @param units UTF-16 units, at most some thousand
 * @returns the text of these
 */
export function unitsText(units: Uint8Array | Uint16Array): string {
  // Spreading them would go through an iterator, and takes five times as long. Array-like is all that `apply` asks for.
  return String.fromCharCode.apply(null, units as unknown as number[]);
}

/** @returns the text of bytes that are known to be ASCII. */
export function asciiText(bytes: Uint8Array, start = 0, end = bytes.length): string {
  if (end - start <= PIECE) return unitsText(bytes.subarray(start, end));
  let text = '';
  // In pieces, because fromCharCode takes its input as arguments, and arguments live on the stack.
  for (let at = start; at < end; at += PIECE) text += unitsText(bytes.subarray(at, Math.min(end, at + PIECE)));
  return text;
}

/** Below this many bytes a loop is faster than making a view for `set`. */
const LOOP_BELOW = 48;

/**
 * Copies the bytes of `from` that lie from `start` to `end` to `to`, from `at` on.
 * @returns where they end there
 */
export function copy(from: Uint8Array, start: number, end: number, to: Uint8Array, at: number): number {
  if (end - start >= LOOP_BELOW) {
    to.set(start === 0 && end === from.length ? from : from.subarray(start, end), at);
    return at + end - start;
  }
  let next = at;
  for (let i = start; i < end; i++) to[next++] = from[i] ?? 0;
  return next;
}

/** @returns an array of that many bytes, which nobody else has */
export type Allocate = (size: number) => Uint8Array;

/** @returns an array by itself */
export function plainArray(size: number): Uint8Array {
  return new Uint8Array(size);
}

/** @returns one array with the bytes of all `chunks`. */
export function concat(chunks: readonly Uint8Array[], allocate: Allocate = plainArray): Uint8Array {
  let length = 0;
  for (const chunk of chunks) length += chunk.length;
  const joined = allocate(length);
  let at = 0;
  for (const chunk of chunks) at = copy(chunk, 0, chunk.length, joined, at);
  return joined;
}
