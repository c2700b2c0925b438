/**
 * Whether bytes can go into an NDJSON line unchanged. QEMU reads more than JSON (single quotes, C0 80) and writes more (`inf`); and a
 * client or QEMU may send text that looks like the end of a record and the start of another. So each message is checked here, byte by byte,
 * before it is embedded, even if it was checked elsewhere.
 */
import { isUtf8 } from 'node:buffer';

/** The verdicts of `checkJson`. */
export const Json = {
  /** Not one JSON value, or one that readers of the log could choke on. */
  No: 0,
  /** One JSON value on one line. */
  Line: 1,
  /** One JSON value with line ends between its tokens. */
  Lines: 2,
} as const;
type JsonVerdict = (typeof Json)[keyof typeof Json];

/** The deepest nesting that is embedded: jq 1.6 gives up on a file at 256 levels, and the record itself is one of them. */
export const MAX_DEPTH = 200;

/** The grammar's classes of bytes. Inside a string only `Plain` bytes need no check. */
const Kind = {
  Other: 0,
  Blank: 1,
  NewLine: 2,
  Quote: 3,
  OpenObject: 4,
  OpenArray: 5,
  CloseObject: 6,
  CloseArray: 7,
  Colon: 8,
  Comma: 9,
  Digit: 10,
  Minus: 11,
  Word: 12,
} as const;
const kinds = new Uint8Array(256);
for (const [characters, kind] of [
  [' \t', Kind.Blank],
  ['\r\n', Kind.NewLine],
  ['"', Kind.Quote],
  ['{', Kind.OpenObject],
  ['[', Kind.OpenArray],
  ['}', Kind.CloseObject],
  [']', Kind.CloseArray],
  [':', Kind.Colon],
  [',', Kind.Comma],
  ['0123456789', Kind.Digit],
  ['-', Kind.Minus],
  ['tfn', Kind.Word],
] as const) {
  for (const character of characters) kinds[character.charCodeAt(0)] = kind;
}

/** Bytes that end the quick walk through a string: quote, backslash, control characters. */
const special = new Uint8Array(256);
special.fill(1, 0, 0x20);
special[0x22] = 1;
special[0x5c] = 1;
const isEscape = new Uint8Array(256);
for (const letter of '"\\/bfnrt') isEscape[letter.charCodeAt(0)] = 1;
const isHex = new Uint8Array(256);
for (const digit of '0123456789abcdefABCDEF') isHex[digit.charCodeAt(0)] = 1;

/** The token expected next. */
const Expect = { Value: 0, FirstKey: 1, Key: 2, Colon: 3, CommaOrClose: 4, FirstElement: 5, Nothing: 6 } as const;

const words = [Buffer.from('true'), Buffer.from('false'), Buffer.from('null')];
const isObjectAt = new Uint8Array(MAX_DEPTH + 1);

/** @returns whether the bytes from `start` to `end` are exactly one JSON value (RFC 8259), blanks around it allowed. */
export function checkJson(bytes: Uint8Array, start: number, end: number): JsonVerdict {
  let expect: number = Expect.Value;
  let depth = 0;
  let hasLineEnds = false;
  let highBits = 0;
  let at = start;
  while (at < end) {
    const byte = bytes[at] ?? 0;
    const kind = kinds[byte] ?? 0;
    switch (kind) {
      case Kind.Blank:
        at++;
        continue;
      case Kind.NewLine:
        hasLineEnds = true;
        at++;
        continue;
      case Kind.Quote: {
        at++;
        for (;;) {
          let inside = 0;
          while (at < end) {
            inside = bytes[at] ?? 0;
            if (special[inside] === 1) break;
            highBits |= inside;
            at++;
          }
          if (at >= end || inside < 0x20) return Json.No;
          at++;
          if (inside === 0x22) break;
          const escape = bytes[at] ?? 0;
          if (at >= end) return Json.No;
          if (isEscape[escape] === 1) at++;
          else if (escape === 0x75 && at + 5 <= end && isFourHex(bytes, at + 1)) at += 5;
          else return Json.No;
        }
        if (expect === Expect.Key || expect === Expect.FirstKey) expect = Expect.Colon;
        else if (expect === Expect.Value || expect === Expect.FirstElement) expect = afterValue(depth);
        else return Json.No;
        continue;
      }
      case Kind.Colon:
        if (expect !== Expect.Colon) return Json.No;
        expect = Expect.Value;
        at++;
        continue;
      case Kind.Comma:
        if (expect !== Expect.CommaOrClose) return Json.No;
        expect = isObjectAt[depth] === 1 ? Expect.Key : Expect.Value;
        at++;
        continue;
      case Kind.CloseObject:
        if (isObjectAt[depth] !== 1 || (expect !== Expect.CommaOrClose && expect !== Expect.FirstKey)) return Json.No;
        expect = afterValue(--depth);
        at++;
        continue;
      case Kind.CloseArray:
        if (depth === 0 || isObjectAt[depth] === 1) return Json.No;
        if (expect !== Expect.CommaOrClose && expect !== Expect.FirstElement) return Json.No;
        expect = afterValue(--depth);
        at++;
        continue;
      default:
        break;
    }
    // Only a value can begin here.
    if (expect !== Expect.Value && expect !== Expect.FirstElement) return Json.No;
    if (kind === Kind.OpenObject || kind === Kind.OpenArray) {
      if (depth === MAX_DEPTH) return Json.No;
      depth++;
      isObjectAt[depth] = kind === Kind.OpenObject ? 1 : 0;
      expect = kind === Kind.OpenObject ? Expect.FirstKey : Expect.FirstElement;
      at++;
      continue;
    }
    const after =
      kind === Kind.Digit || kind === Kind.Minus
        ? numberEnd(bytes, at, end)
        : kind === Kind.Word
          ? wordEnd(bytes, at, end)
          : -1;
    if (after < 0) return Json.No;
    at = after;
    expect = afterValue(depth);
  }
  if (expect !== Expect.Nothing) return Json.No;
  if (highBits >= 0x80 && !isUtf8(bytes.subarray(start, end))) return Json.No;
  return hasLineEnds ? Json.Lines : Json.Line;
}

function afterValue(depth: number): number {
  return depth === 0 ? Expect.Nothing : Expect.CommaOrClose;
}

function isFourHex(bytes: Uint8Array, at: number): boolean {
  for (let i = at; i < at + 4; i++) if (isHex[bytes[i] ?? 0] !== 1) return false;
  return true;
}

/** @returns the end of the word at `at` if it is one of JSON's three, else -1. */
function wordEnd(bytes: Uint8Array, at: number, end: number): number {
  for (const word of words) {
    if (bytes[at] !== word[0]) continue;
    if (at + word.length > end) return -1;
    for (let i = 1; i < word.length; i++) if (bytes[at + i] !== word[i]) return -1;
    return at + word.length;
  }
  return -1;
}

/** @returns the end of the number at `at`, or -1 if it is not spelled as JSON wants it. */
function numberEnd(bytes: Uint8Array, from: number, end: number): number {
  let at = from;
  if (bytes[at] === 0x2d) at++;
  const first = at;
  at = digitsEnd(bytes, at, end);
  if (at === first || (bytes[first] === 0x30 && at > first + 1)) return -1;
  if (at < end && bytes[at] === 0x2e) {
    const fraction = ++at;
    at = digitsEnd(bytes, at, end);
    if (at === fraction) return -1;
  }
  if (at < end && ((bytes[at] ?? 0) | 0x20) === 0x65) {
    at++;
    if (at < end && (bytes[at] === 0x2b || bytes[at] === 0x2d)) at++;
    const exponent = at;
    at = digitsEnd(bytes, at, end);
    if (at === exponent) return -1;
  }
  return at;
}

function digitsEnd(bytes: Uint8Array, from: number, end: number): number {
  let at = from;
  while (at < end && (bytes[at] ?? 0) >= 0x30 && (bytes[at] ?? 0) <= 0x39) at++;
  return at;
}
