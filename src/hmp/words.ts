/**
 * Words of a line of the human monitor, as QEMU's `get_str` reads them (monitor/hmp.c, the same from 2.12 to 11.1): up to a blank,
 * or in double quotes with escapes. After the closing quote no blank is needed: `"vnc"secret` is two words.
 *
 * Every function looks at each character once, and none calls itself: a line may have 16 MB.
 */

import { unitsText } from '../shared/bytes.js';

/** A word, and its place in the line. */
export interface HmpWord {
  readonly start: number;
  readonly end: number;
  /** Without quotes and escapes, however long. */
  readonly whole: string;
  /** The part that QEMU keeps: 1023 bytes. */
  readonly text: string;
}

/** Bytes of a word that QEMU keeps. */
const LONGEST_WORD = 1023;
/** How many words of a line QEMU reads when it completes one. */
const MOST_COMPLETED = 16;

/** Characters that become text in one call. */
const PIECE = 4096;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const APOSTROPHE = 0x27;
const LETTER_N = 0x6e;
const LETTER_R = 0x72;

/** @returns the character that one after a backslash means, or -1 if it is not allowed there */
function escaped(code: number): number {
  if (code === QUOTE || code === BACKSLASH || code === APOSTROPHE) return code;
  if (code === LETTER_N) return 0x0a;
  return code === LETTER_R ? 0x0d : -1;
}

/** Whether C's isspace in the POSIX locale takes the character at `at` for a blank; not beyond the end of the line. */
export function isBlankAt(line: string, at: number): boolean {
  const code = line.charCodeAt(at);
  return code === 0x20 || (code >= 0x09 && code <= 0x0d);
}

/** @returns where the blanks end that begin at `from` */
export function skipBlanks(line: string, from: number): number {
  let at = from;
  while (isBlankAt(line, at)) at++;
  return at;
}

/** @returns where the first blank is from `from` on, or the end of the line */
export function findBlank(line: string, from: number): number {
  let at = from;
  while (at < line.length && !isBlankAt(line, at)) at++;
  return at;
}

/** @returns the word that begins after the blanks at `from`; null if there is none, or its quotes or escapes are wrong */
export function readHmpWord(line: string, from: number): HmpWord | null {
  const start = skipBlanks(line, from);
  if (start >= line.length) return null;
  if (line.charCodeAt(start) === QUOTE) return readQuoted(line, start);
  const end = findBlank(line, start);
  return word(start, end, line.slice(start, end));
}

function word(start: number, end: number, whole: string): HmpWord {
  return { start, end, whole, text: keptOf(whole) };
}

function readQuoted(line: string, start: number): HmpWord | null {
  let at = start + 1;
  let escapes = 0;
  for (; ; at++) {
    const code = line.charCodeAt(at);
    // Beyond the end of the line it is NaN.
    if (Number.isNaN(code)) return null;
    if (code === QUOTE) break;
    if (code !== BACKSLASH) continue;
    if (escaped(line.charCodeAt(++at)) < 0) return null;
    escapes++;
  }
  const inner = line.slice(start + 1, at);
  return word(start, at + 1, escapes === 0 ? inner : unescaped(inner, inner.length - escapes));
}

/** @param length of the result */
function unescaped(inner: string, length: number): string {
  const codes = new Uint16Array(length);
  let at = 0;
  for (let i = 0; i < length; i++, at++) {
    let code = inner.charCodeAt(at);
    if (code === BACKSLASH) code = escaped(inner.charCodeAt(++at));
    codes[i] = code;
  }
  let text = '';
  for (let i = 0; i < length; i += PIECE) text += unitsText(codes.subarray(i, i + PIECE));
  return text;
}

/** @returns as much of `text` as fits into QEMU's buffer; of a character that is cut in two, nothing */
function keptOf(text: string): string {
  // A character has three bytes at most for each of its code units.
  if (text.length * 3 <= LONGEST_WORD) return text;
  let bytes = 0;
  let at = 0;
  while (at < text.length) {
    const code = text.codePointAt(at) ?? 0;
    // QEMU keeps a NUL as C0 80, so that it ends nothing.
    bytes += code < 0x80 && code > 0 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    if (bytes > LONGEST_WORD) break;
    at += code < 0x10000 ? 1 : 2;
  }
  return text.slice(0, at);
}

/**
 * Splits the text before the cursor as QEMU does to complete it (`parse_cmdline`): after a blank at the end an empty word begins.
 * @returns null if QEMU gives up: wrong quotes, or more than 16 words
 */
export function splitHmpWords(line: string): string[] | null {
  const words: string[] = [];
  for (let at = skipBlanks(line, 0); at < line.length; at = skipBlanks(line, at)) {
    if (words.length === MOST_COMPLETED) return null;
    const found = readHmpWord(line, at);
    if (found === null) return null;
    words.push(found.text);
    at = found.end;
  }
  if (isBlankAt(line, line.length - 1)) {
    if (words.length === MOST_COMPLETED) return null;
    words.push('');
  }
  return words;
}
