/**
 * Modified UTF-8 as QEMU reads and writes it (util/unicode.c): UTF-8, but U+0000 is C0 80, and Unicode's 66
 * noncharacters are invalid just like surrogates, overlong forms and everything beyond U+10FFFF.
 */

/** What `readCodePoint` returns for bytes that are no valid character. */
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

const HEX = '0123456789ABCDEF';

function escapeUnit(unit: number): string {
  return `\\u${HEX[unit >> 12]}${HEX[(unit >> 8) & 15]}${HEX[(unit >> 4) & 15]}${HEX[unit & 15]}`;
}

/** @returns one character as QEMU's JSON writer spells it inside a string (qobject/json-writer.c, `quoted_str`). */
function quotedCodePoint(codePoint: number): string {
  switch (codePoint) {
    case 0x22:
      return '\\"';
    case 0x5c:
      return '\\\\';
    case 0x08:
      return '\\b';
    case 0x0c:
      return '\\f';
    case 0x0a:
      return '\\n';
    case 0x0d:
      return '\\r';
    case 0x09:
      return '\\t';
    default:
      if (codePoint >= 0x20 && codePoint < 0x7f) return String.fromCharCode(codePoint);
      if (codePoint <= 0xffff) return escapeUnit(codePoint);
      return escapeUnit(0xd800 + ((codePoint - 0x10000) >> 10)) + escapeUnit(0xdc00 + ((codePoint - 0x10000) & 0x3ff));
  }
}

/** @returns `text` as a JSON string in QEMU's spelling: ASCII, `\uXXXX` in capitals, in double quotes. */
export function quote(text: string): string {
  let quoted = '"';
  for (const character of text) {
    const codePoint = character.codePointAt(0) ?? 0;
    quoted += quotedCodePoint(codePoint >= 0xd800 && codePoint <= 0xdfff ? 0xfffd : codePoint);
  }
  return `${quoted}"`;
}

/**
 * Decodes bytes as QEMU does when it prints them: up to the first NUL (they are a C string there),
 * bad sequences as U+FFFD.
 */
export function decodeLossy(bytes: Uint8Array, start: number, end: number): string {
  let text = '';
  for (let at = start; at < end && bytes[at] !== 0; at = sequenceEnd) {
    const codePoint = readCodePoint(bytes, at, end);
    text += codePoint === INVALID ? '\ufffd' : String.fromCodePoint(codePoint);
  }
  return text;
}
