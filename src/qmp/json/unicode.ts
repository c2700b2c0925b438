/**
 * Modified UTF-8 as QEMU reads and writes it (util/unicode.c): UTF-8, but U+0000 is C0 80, and Unicode's 66
 * noncharacters are invalid just like surrogates, overlong forms and everything beyond U+10FFFF.
 */

import { asciiText } from '../../shared/bytes.js';
import { ByteWriter } from './byte-writer.js';
import { TextWriter } from './text-writer.js';

/** The result of `readCodePoint` for bytes that are no valid character. */
export const INVALID = -1;

const SMALLEST = [0x80, 0x800, 0x10000, 0x200000, 0x4000000];

/** @returns whether QEMU accepts `codePoint` in a string. */
export function isValidCodePoint(codePoint: number): boolean {
  if (codePoint < 0 || codePoint > 0x10ffff) return false;
  if (codePoint >= 0xfdd0 && codePoint <= 0xfdef) return false;
  if ((codePoint & 0xfffe) === 0xfffe) return false;
  return codePoint < 0xd800 || codePoint > 0xdfff;
}

/** The end of the sequence that `readCodePoint` read last: a register instead of an object for every character. */
export let sequenceEnd = 0;

/**
 * Reads the character at `at`; leaves its end in `sequenceEnd`, which is always beyond `at`.
 * @returns the code point, or `INVALID`; then `sequenceEnd` is where QEMU goes on after the bad sequence.
 */
export function readCodePoint(bytes: Uint8Array, at: number, end: number): number {
  const lead = bytes[at] ?? 0;
  sequenceEnd = at + 1;
  if (lead < 0x80) return lead;
  if (lead >= 0xfe || (lead & 0x40) === 0) return INVALID;
  let length = 0;
  let mask = 0x80;
  for (; (lead & mask) !== 0; mask >>= 1) length++;
  let codePoint = lead & (mask - 1);
  for (let i = 1; i < length; i++) {
    const byte = sequenceEnd < end ? (bytes[sequenceEnd] ?? 0) : 0;
    if ((byte & 0xc0) !== 0x80) return INVALID;
    sequenceEnd++;
    codePoint = codePoint * 64 + (byte & 0x3f);
  }
  if (!isValidCodePoint(codePoint)) return INVALID;
  const overlong = codePoint < (SMALLEST[length - 2] ?? 0);
  return overlong && !(codePoint === 0 && length === 2) ? INVALID : codePoint;
}

/** Appends the modified UTF-8 of `text` (well-formed UTF-16) to `out`: the form in which QEMU hashes an object's keys. */
export function encode(text: string, out: number[]): void {
  for (const character of text) {
    const codePoint = character.codePointAt(0) ?? 0;
    if (codePoint !== 0 && codePoint < 0x80) out.push(codePoint);
    else if (codePoint < 0x800) out.push(0xc0 | (codePoint >> 6), 0x80 | (codePoint & 0x3f));
    else if (codePoint < 0x10000) {
      out.push(0xe0 | (codePoint >> 12), 0x80 | ((codePoint >> 6) & 0x3f), 0x80 | (codePoint & 0x3f));
    } else {
      out.push(0xf0 | (codePoint >> 18), 0x80 | ((codePoint >> 12) & 0x3f));
      out.push(0x80 | ((codePoint >> 6) & 0x3f), 0x80 | (codePoint & 0x3f));
    }
  }
}

/** @returns `text` as a JSON string in QEMU's spelling: ASCII, `\uXXXX` in capitals, in double quotes. */
export function quote(text: string): string {
  if (!/[^ !#-[\]-~]/.test(text)) return `"${text}"`;
  return asciiText(quotedBytes(text));
}

/** The same as bytes. */
export function quotedBytes(text: string): Uint8Array {
  const out = new ByteWriter(text.length + 2);
  writeQuoted(text, out);
  return out.finish();
}

/** Writes the same. */
export function writeQuoted(text: string, out: ByteWriter): void {
  out.byte(0x22);
  for (let at = 0; at < text.length; at++) {
    const codePoint = text.codePointAt(at) ?? 0;
    if (codePoint > 0xffff) at++;
    out.quoted(codePoint >= 0xd800 && codePoint <= 0xdfff ? 0xfffd : codePoint);
  }
  out.byte(0x22);
}

/**
 * Decodes bytes as QEMU does when it prints them: up to the first NUL (they are a C string there),
 * bad sequences as U+FFFD.
 * @param most the text is cut after about this many bytes, at a character's end
 */
export function decodeLossy(bytes: Uint8Array, start: number, end: number, most: number = end - start): string {
  const text = new TextWriter(end - start);
  const stop = Math.min(end, start + most);
  for (let at = start; at < stop && bytes[at] !== 0; at = sequenceEnd) {
    const codePoint = readCodePoint(bytes, at, end);
    text.add(codePoint === INVALID ? 0xfffd : codePoint);
  }
  return text.finish();
}
