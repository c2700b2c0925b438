/** What a line of a log holds, found without parsing it: JSON as it is written there. */
import { closingQuote } from '../../qmp/json/value.js';

const QUOTE = 0x22;
const COMMA = 0x2c;

/**
 * @param name of a member of the object in `line`, which is JSON without blanks but within values
 * @returns the member's value as it is written there, or null
 */
export function memberText(line: string, name: string): string | null {
  const key = JSON.stringify(name);
  for (let at = 1; at < line.length; ) {
    const keyEnd = stringEnd(line, at);
    const end = valueEnd(line, keyEnd + 1);
    if (line.startsWith(key, at) && keyEnd === at + key.length) return line.slice(keyEnd + 1, end);
    // A comma, or the end.
    at = end + 1;
  }
  return null;
}

/** @returns how many objects, arrays and commas a JSON text has outside of strings. */
export function structureOf(text: string): number {
  let count = 0;
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    if (unit === QUOTE) at = stringEnd(text, at) - 1;
    else if (unit === COMMA || (unit & 0xdf) === 0x5b) count++;
  }
  return count;
}

/** @returns the end of the string that begins at `at`. */
function stringEnd(line: string, at: number): number {
  const close = closingQuote(line, at);
  return close < 0 ? line.length : close + 1;
}

/** @returns the end of the value that begins at `at`, blanks after it included: they belong to a message as it was sent. */
function valueEnd(line: string, at: number): number {
  let depth = 0;
  for (let i = at; i < line.length; i++) {
    const unit = line.charCodeAt(i);
    if (unit === QUOTE) i = stringEnd(line, i) - 1;
    else if (unit === COMMA && depth === 0) return i;
    // Brackets and braces differ in a bit.
    else if ((unit & 0xdf) === 0x5b) depth++;
    else if ((unit & 0xdf) === 0x5d && depth-- === 0) return i;
  }
  return line.length;
}
