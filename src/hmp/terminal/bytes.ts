/** Input and output of a human monitor, a character for a byte, and the text that it encodes. */

import { encode, INVALID, readCodePoint, sequenceEnd } from '../../qmp/json/unicode.js';
import { asciiText } from '../../shared/bytes.js';

/** @returns bytes, a character each, as text; null if they are not UTF-8, or have a character that QMP cannot carry */
export function decodeUtf8(bytes: string): string | null {
  let isAscii = true;
  for (let i = 0; i < bytes.length && isAscii; i++) isAscii = bytes.charCodeAt(i) < 0x80;
  if (isAscii) return bytes;
  const array = Uint8Array.from(bytes, (char) => char.charCodeAt(0));
  let text = '';
  for (let at = 0; at < array.length; at = sequenceEnd) {
    const codePoint = readCodePoint(array, at, array.length);
    if (codePoint === INVALID || codePoint === 0) return null;
    text += String.fromCodePoint(codePoint);
  }
  return text;
}

/** @returns the UTF-8 of a text, a character for a byte */
export function encodeUtf8(text: string): string {
  return text.replace(/[\u0080-\u{10ffff}]+/gu, (part) => {
    const bytes: number[] = [];
    encode(part, bytes);
    return asciiText(Uint8Array.from(bytes));
  });
}
