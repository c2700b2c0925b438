/**
 * Where the lines of the audit log are put together: one growing buffer, reused from batch to batch, so that a record costs
 * no object and no string. Everything put is ASCII or UTF-8; `putLatin1` spells other bytes out.
 */
import { constants } from 'node:buffer';
import { copy } from '../../shared/bytes.js';

const FIRST_SIZE = 64 * 1024;
/** A buffer that one huge message has grown is not kept beyond this. */
const LARGEST_KEPT = 4 * 1024 * 1024;
/** From this length on a native copy beats a loop. */
const LOOP_BELOW_BYTES = 24;
/** The same for a part of a chunk. */
const LOOP_BELOW_SLICE_BYTES = 96;
const QUOTED_PIECE = 64 * 1024;
/** A message's line end, which is left out of records, is no longer than this. */
const LINE_END_LENGTH = 2;

const ZERO = 0x30;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const HEX = Buffer.from('0123456789abcdef', 'latin1');

/** For each byte: 0 if a JSON string needs no escape for it, else the letter after the backslash (`u` for \u00XX). */
const escapes = new Uint8Array(256);
escapes.fill(0x75, 0, 0x20);
escapes[0x7f] = 0x75;
for (const [byte, letter] of [
  [0x08, 'b'],
  [0x09, 't'],
  [0x0a, 'n'],
  [0x0c, 'f'],
  [0x0d, 'r'],
  [QUOTE, '"'],
  [BACKSLASH, '\\'],
] as const) {
  escapes[byte] = letter.charCodeAt(0);
}

export class LineBuffer {
  bytes: Buffer;
  /** Bytes from here on are free. */
  end = 0;

  constructor(size = FIRST_SIZE) {
    this.bytes = Buffer.allocUnsafeSlow(size);
  }

  /**
   * Makes room for `count` more bytes.
   * @throws RangeError beyond what one buffer of this Node can hold
   */
  reserve(count: number): void {
    const needed = this.end + count;
    if (needed <= this.bytes.length) return;
    if (needed > constants.MAX_LENGTH) throw new RangeError('an audit record does not fit into one buffer');
    const larger = Buffer.allocUnsafeSlow(Math.min(constants.MAX_LENGTH, Math.max(needed, this.bytes.length * 2)));
    this.bytes.copy(larger, 0, 0, this.end);
    this.bytes = larger;
  }

  /** Forgets everything from `length` on, and lets go of a buffer that has grown huge. */
  cut(length: number): void {
    if (this.bytes.length > LARGEST_KEPT && length < FIRST_SIZE) {
      const smaller = Buffer.allocUnsafeSlow(FIRST_SIZE);
      this.bytes.copy(smaller, 0, 0, length);
      this.bytes = smaller;
    }
    this.end = length;
  }

  putByte(byte: number): void {
    this.reserve(1);
    this.bytes[this.end++] = byte;
  }

  /** Puts text that is known to be ASCII. For a constant, `putText` is quicker. */
  putAscii(text: string): void {
    this.reserve(text.length);
    this.end += this.bytes.write(text, this.end, 'latin1');
  }

  /** Puts a text that is put often. */
  putText(text: Uint8Array): void {
    this.reserve(text.length);
    this.end = copy(text, 0, text.length, this.bytes, this.end);
  }

  /** Puts the bytes of `chunk` from `from` to `to`. */
  putBytes(chunk: Uint8Array, from = 0, to = chunk.length): void {
    const length = to - from;
    // Slicing makes an object, which a longer loop costs less than; a whole chunk needs none, nor one of which a line end is left out.
    const isWhole = chunk.length - length <= LINE_END_LENGTH && from === 0;
    this.reserve(isWhole ? chunk.length : length);
    const { bytes, end } = this;
    if (length < (isWhole ? LOOP_BELOW_BYTES : LOOP_BELOW_SLICE_BYTES)) {
      for (let i = 0; i < length; i++) bytes[end + i] = chunk[from + i] ?? 0;
    } else bytes.set(isWhole ? chunk : chunk.subarray(from, to), end);
    this.end = end + length;
  }

  /** Puts a whole number from 0 to 2^53 in decimal; a fraction is dropped. */
  putNumber(value: number): void {
    this.reserve(16);
    let rest = Math.floor(value);
    let high = 0;
    if (rest >= 1e9) {
      high = Math.floor(rest / 1e9);
      rest -= high * 1e9;
    }
    if (high > 0) {
      this.#digits(high, digitCount(high));
      this.#digits(rest, 9);
    } else this.#digits(rest, digitCount(rest));
  }

  /** Puts exactly `count` decimal digits of `value`, which is below 2^31, with leading zeros. */
  putDigits(value: number, count: number): void {
    this.reserve(count);
    this.#digits(value, count);
  }

  #digits(value: number, count: number): void {
    const bytes = this.bytes;
    let rest = value | 0;
    let at = this.end + count;
    this.end = at;
    for (let i = 0; i < count; i++) {
      const next = (rest / 10) | 0;
      bytes[--at] = ZERO + rest - next * 10;
      rest = next;
    }
  }

  /** Puts a JSON string, quotes included. A lone surrogate is spelled out. */
  putString(text: string): void {
    const quoted = JSON.stringify(text);
    this.reserve(quoted.length * 3);
    this.end += this.bytes.write(quoted, this.end, 'utf8');
  }

  /** Puts UTF-8 `text` as a JSON string: its bytes, escaped where JSON requires it. */
  putUtf8(text: Uint8Array): void {
    this.#quote(text, false);
  }

  /** Puts any bytes as a JSON string in which each byte is the character of the same number: Latin-1. */
  putLatin1(chunk: Uint8Array): void {
    this.#quote(chunk, true);
  }

  #quote(chunk: Uint8Array, isLatin1: boolean): void {
    this.putByte(QUOTE);
    // In pieces: room for the worst case of a large message would be several times its size.
    for (let from = 0; from < chunk.length; from += QUOTED_PIECE) {
      this.#quotePiece(chunk.subarray(from, from + QUOTED_PIECE), isLatin1);
    }
    this.putByte(QUOTE);
  }

  #quotePiece(piece: Uint8Array, isLatin1: boolean): void {
    this.reserve(piece.length * 6);
    const bytes = this.bytes;
    let at = this.end;
    for (const byte of piece) {
      const escape = escapes[byte] ?? 0;
      if (escape === 0) {
        if (isLatin1 && byte >= 0x80) bytes[at++] = 0xc0 | (byte >> 6);
        bytes[at++] = isLatin1 && byte >= 0x80 ? 0x80 | (byte & 0x3f) : byte;
        continue;
      }
      bytes[at++] = BACKSLASH;
      bytes[at++] = escape;
      if (escape !== 0x75) continue;
      bytes[at++] = ZERO;
      bytes[at++] = ZERO;
      bytes[at++] = HEX[byte >> 4] ?? 0;
      bytes[at++] = HEX[byte & 15] ?? 0;
    }
    this.end = at;
  }
}

function digitCount(value: number): number {
  let count = 1;
  for (let limit = 10; value >= limit && count < 10; limit *= 10) count++;
  return count;
}
