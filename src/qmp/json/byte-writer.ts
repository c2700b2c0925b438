/** Bytes that are written one after the other, in one array that grows. */
import { ascii, copy } from '../../shared/bytes.js';

const HEX = ascii('0123456789ABCDEF');
/** By ASCII character: the letter that QEMU puts after a backslash for it, or 0. */
const SHORT_ESCAPES = new Uint8Array(0x80);
SHORT_ESCAPES[0x22] = 0x22;
SHORT_ESCAPES[0x5c] = 0x5c;
SHORT_ESCAPES[0x08] = 0x62;
SHORT_ESCAPES[0x0c] = 0x66;
SHORT_ESCAPES[0x0a] = 0x6e;
SHORT_ESCAPES[0x0d] = 0x72;
SHORT_ESCAPES[0x09] = 0x74;

/** No character is written in more bytes: two `\uXXXX`. */
const LONGEST_CHARACTER = 12;

export class ByteWriter {
  #bytes: Uint8Array;
  #length = 0;

  /** @param capacity how many bytes are expected; more are taken as well */
  constructor(capacity: number) {
    this.#bytes = new Uint8Array(Math.max(64, capacity));
  }

  byte(value: number): void {
    if (this.#length === this.#bytes.length) this.#grow(1);
    this.#bytes[this.#length++] = value;
  }

  /** Bytes of `from`, from `start` to before `end`. */
  copy(from: Uint8Array, start = 0, end: number = from.length): void {
    if (this.#length + end - start > this.#bytes.length) this.#grow(end - start);
    this.#length = copy(from, start, end, this.#bytes, this.#length);
  }

  /** @param text in ASCII */
  text(text: string): void {
    if (this.#length + text.length > this.#bytes.length) this.#grow(text.length);
    for (let at = 0; at < text.length; at++) this.#bytes[this.#length++] = text.charCodeAt(at);
  }

  /** One character as QEMU's JSON writer spells it inside a string (qobject/json-writer.c, `quoted_str`). */
  quoted(codePoint: number): void {
    if (this.#length + LONGEST_CHARACTER > this.#bytes.length) this.#grow(LONGEST_CHARACTER);
    const bytes = this.#bytes;
    if (codePoint < 0x80) {
      const escape = SHORT_ESCAPES[codePoint] ?? 0;
      if (escape !== 0) {
        bytes[this.#length++] = 0x5c;
        bytes[this.#length++] = escape;
        return;
      }
      if (codePoint >= 0x20 && codePoint < 0x7f) {
        bytes[this.#length++] = codePoint;
        return;
      }
    }
    if (codePoint <= 0xffff) this.#unit(codePoint);
    else {
      this.#unit(0xd800 + ((codePoint - 0x10000) >> 10));
      this.#unit(0xdc00 + ((codePoint - 0x10000) & 0x3ff));
    }
  }

  /** @returns the bytes written. Nothing is to be written afterwards. */
  finish(): Uint8Array {
    const { length } = this.#bytes;
    // Unused room must not be kept for as long as these bytes are.
    return this.#length < length / 2 ? this.#bytes.slice(0, this.#length) : this.#bytes.subarray(0, this.#length);
  }

  #unit(unit: number): void {
    const bytes = this.#bytes;
    let at = this.#length;
    bytes[at++] = 0x5c;
    bytes[at++] = 0x75;
    bytes[at++] = HEX[unit >> 12] ?? 0;
    bytes[at++] = HEX[(unit >> 8) & 15] ?? 0;
    bytes[at++] = HEX[(unit >> 4) & 15] ?? 0;
    bytes[at++] = HEX[unit & 15] ?? 0;
    this.#length = at;
  }

  #grow(more: number): void {
    const grown = new Uint8Array(Math.max(this.#length + more, this.#bytes.length * 2));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
  }
}
