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

/** @returns one array with the bytes of all `chunks`. */
export function concat(chunks: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const chunk of chunks) length += chunk.length;
  const joined = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    joined.set(chunk, at);
    at += chunk.length;
  }
  return joined;
}

/** @returns `bytes` as `copyWords` and `ShortText` take them */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** @returns the bytes that a view is of */
export function bytesOf(view: DataView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

const NO_BYTES = new Uint8Array(0);
const NO_VIEW = viewOf(NO_BYTES);

/** The view of the array that was asked about last: most questions are about the same one again. */
export class LastView {
  #bytes: Uint8Array = NO_BYTES;
  #view: DataView = NO_VIEW;

  /** @returns `bytes` as `copyWords` and `ShortText` take them */
  of(bytes: Uint8Array): DataView {
    if (this.#bytes !== bytes) {
      this.#bytes = bytes;
      this.#view = viewOf(bytes);
    }
    return this.#view;
  }

  /** Keeps no array alive. */
  forget(): void {
    this.#bytes = NO_BYTES;
    this.#view = NO_VIEW;
  }
}

/** From this many bytes on, two arrays and a native copy take less time than words do. */
const WORDS_BELOW = 256;

/**
 * As `copy`, for pieces that are mostly short: four bytes at a time take a third of the time that single ones do, and a view of which no part has to
 * be made. (Not eight: as numbers they could be changed, and as integers of 64 bits they are objects.)
 */
export function copyWords(from: DataView, start: number, end: number, to: DataView, at: number): number {
  if (end - start >= WORDS_BELOW) {
    bytesOf(to).set(bytesOf(from).subarray(start, end), at);
    return at + end - start;
  }
  let i = start;
  let next = at;
  for (; i + 4 <= end; i += 4, next += 4) to.setInt32(next, from.getInt32(i));
  for (; i < end; i++) to.setUint8(next++, from.getUint8(i));
  return next;
}

/** Bytes that are compared and copied often. */
export class ShortText {
  readonly view: DataView;
  /** Of the view, which takes a call to tell it. */
  readonly length: number;

  constructor(bytes: Uint8Array) {
    this.view = viewOf(bytes);
    this.length = bytes.length;
  }

  /** Whether all of the text lies in `bytes` at `at`. The caller has made sure that there are enough bytes. */
  isAt(bytes: DataView, at: number): boolean {
    const { view, length } = this;
    let i = 0;
    for (; i + 4 <= length; i += 4) if (bytes.getInt32(at + i) !== view.getInt32(i)) return false;
    for (; i < length; i++) if (bytes.getUint8(at + i) !== view.getUint8(i)) return false;
    return true;
  }
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
