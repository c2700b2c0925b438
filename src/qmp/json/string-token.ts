/**
 * The value of a string token: its characters, read one at a time, escapes included (qobject/json-parser.c, `parse_string`).
 * Strings are judged, decoded, hashed and respelled over these characters, so the whole text is held only if it
 * is needed.
 */
import { asciiText } from '../../shared/bytes.js';
import { TextWriter } from './text-writer.js';
import { decodeLossy, INVALID, isValidCodePoint, readCodePoint, sequenceEnd } from './unicode.js';

/** The results of `readCharacter` for invalid characters. */
export const BAD_UTF8 = -1;
export const BAD_ESCAPE = -2;
export const BAD_CHARACTER = -3;

/** Where the character ended that `readCharacter` read last: a register instead of an object for every character. */
export let characterEnd = 0;

function hexValue(bytes: Uint8Array, at: number, end: number): number {
  let value = 0;
  for (let i = at; i < at + 4; i++) {
    const byte = i < end ? (bytes[i] ?? 0) : 0;
    if (byte >= 0x30 && byte <= 0x39) value = value * 16 + byte - 0x30;
    else if ((byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x66) value = value * 16 + (byte | 0x20) - 0x57;
    else return -1;
  }
  return value;
}

/** By the byte after a backslash: the character, or 0. */
const SIMPLE = new Uint8Array(256);
for (const character of '"\'\\/') SIMPLE[character.charCodeAt(0)] = character.charCodeAt(0);
SIMPLE[0x62] = 0x08;
SIMPLE[0x66] = 0x0c;
SIMPLE[0x6e] = 0x0a;
SIMPLE[0x72] = 0x0d;
SIMPLE[0x74] = 0x09;

/**
 * Reads the character at `at` of a string token; leaves its end in `characterEnd`.
 * @param end of the token, its closing quote included
 * @returns the code point; `BAD_UTF8`, `BAD_ESCAPE` or `BAD_CHARACTER` for input that QEMU refuses
 */
export function readCharacter(bytes: Uint8Array, at: number, end: number): number {
  const byte = bytes[at] ?? 0;
  if (byte !== 0x5c) {
    if (byte < 0x80) {
      characterEnd = at + 1;
      return byte;
    }
    const codePoint = readCodePoint(bytes, at, end);
    characterEnd = sequenceEnd;
    return codePoint === INVALID ? BAD_UTF8 : codePoint;
  }
  const kind = bytes[at + 1] ?? 0;
  const simple = SIMPLE[kind] ?? 0;
  if (simple !== 0) {
    characterEnd = at + 2;
    return simple;
  }
  if (kind !== 0x75) return BAD_ESCAPE;
  let codePoint = hexValue(bytes, at + 2, end);
  let next = at + 6;
  if (codePoint >= 0xd800 && codePoint <= 0xdbff && bytes[next] === 0x5c && bytes[next + 1] === 0x75) {
    const trailing = hexValue(bytes, next + 2, end);
    if (trailing >= 0xdc00 && trailing <= 0xdfff) {
      codePoint = 0x10000 + ((codePoint & 0x3ff) << 10) + (trailing & 0x3ff);
      next += 6;
    } else codePoint = -1;
  }
  characterEnd = next;
  return isValidCodePoint(codePoint) ? codePoint : BAD_CHARACTER;
}

/** QEMU's error about the invalid character that `readCharacter` found at `at`. */
function describe(fault: number, bytes: Uint8Array, at: number, end: number): string {
  if (fault === BAD_UTF8) return 'invalid UTF-8 sequence in string';
  if (fault === BAD_ESCAPE) return 'invalid escape sequence in string';
  return `${decodeLossy(bytes, at, Math.min(characterEnd, end))} is not a valid Unicode character`;
}

/** The fault that `checkString` or `decodeString` found, or null: a register beside their result. */
export let stringError: string | null = null;

/**
 * Judges the characters of a string token from `at` on, without decoding it.
 * @param at where a character begins, after the opening quote
 * @param end of the token, its closing quote included
 * @param until how far to go, in this call
 * @returns where the first character begins that was not looked at: `end - 1` when all were. Meaningless when `stringError`
 * is set to QEMU's error about the string.
 */
export function checkString(bytes: Uint8Array, at: number, end: number, until: number = end): number {
  stringError = null;
  const stop = Math.min(until, end - 1);
  let next = at;
  while (next < stop) {
    const byte = bytes[next] ?? 0;
    if (byte !== 0x5c && byte < 0x80) {
      next++;
      continue;
    }
    const codePoint = readCharacter(bytes, next, end);
    if (codePoint < 0) {
      stringError = describe(codePoint, bytes, next, end);
      return next;
    }
    next = characterEnd;
  }
  return next;
}

/**
 * Decodes a string token, quotes included in `start` to `end`.
 * @param most the text is cut after about this many bytes of the token, at a character's end
 * @returns its text; meaningless when `stringError` is set to QEMU's error about it.
 */
export function decodeString(
  bytes: Uint8Array,
  start: number,
  end: number,
  most: number = Number.POSITIVE_INFINITY,
): string {
  stringError = null;
  const last = Math.min(end - 1, start + 1 + most);
  let at = start + 1;
  while (at < last && (bytes[at] ?? 0) < 0x80 && bytes[at] !== 0x5c) at++;
  if (at >= last) return asciiText(bytes, start + 1, last);
  const text = new TextWriter();
  for (at = start + 1; at < last; at = characterEnd) {
    const codePoint = readCharacter(bytes, at, end);
    if (codePoint < 0) {
      stringError = describe(codePoint, bytes, at, end);
      return '';
    }
    text.add(codePoint);
  }
  return text.finish();
}
