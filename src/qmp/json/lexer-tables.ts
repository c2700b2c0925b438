/**
 * The tables of QEMU's lexer (qobject/json-lexer.c), the same in all its versions: the meaning of each byte at the start of a token,
 * inside a string, and after an invalid token.
 */
import { Token, type TokenKind } from './tokens.js';

/** Where the lexer is within a token. */
export const State = {
  Start: 0,
  Recovery: 1,
  DoubleQuoted: 2,
  DoubleQuotedEscape: 3,
  SingleQuoted: 4,
  SingleQuotedEscape: 5,
  Keyword: 6,
  /** After a minus. */
  Sign: 7,
  Zero: 8,
  Digits: 9,
  /** After the decimal point. */
  Mantissa: 10,
  MantissaDigits: 11,
  /** After e or E. */
  Exponent: 12,
  ExponentSign: 13,
  ExponentDigits: 14,
} as const;
export type StateName = (typeof State)[keyof typeof State];

/** The kinds of token that a byte can begin. */
export const Begin = {
  Nothing: 0,
  Blank: 1,
  Double: 2,
  Single: 3,
  Zero: 4,
  Digit: 5,
  Minus: 6,
  Letter: 7,
  Structure: 8,
};
/** `Begin`, by byte. */
export const beginTable: Uint8Array = new Uint8Array(256);
/** The roles of a byte inside a string. */
export const Inside = { Plain: 0, Double: 1, Single: 2, Backslash: 3, High: 4, Forbidden: 5 };
/** `Inside`, by byte. */
export const insideTable: Uint8Array = new Uint8Array(256);
/** Where recovery stops, leaving the byte to be read again. */
export const resyncTable: Uint8Array = new Uint8Array(256);
const structures = new Map<string, TokenKind>([
  ['{', Token.LeftBrace],
  ['}', Token.RightBrace],
  ['[', Token.LeftBracket],
  [']', Token.RightBracket],
  [':', Token.Colon],
  [',', Token.Comma],
]);

for (const blank of ' \t\r\n') beginTable[blank.charCodeAt(0)] = Begin.Blank;
for (let digit = 0x31; digit <= 0x39; digit++) beginTable[digit] = Begin.Digit;
for (let letter = 0x61; letter <= 0x7a; letter++) beginTable[letter] = Begin.Letter;
beginTable[0x22] = Begin.Double;
beginTable[0x27] = Begin.Single;
beginTable[0x30] = Begin.Zero;
beginTable[0x2d] = Begin.Minus;
insideTable.fill(Inside.Forbidden, 0, 0x20);
insideTable.fill(Inside.High, 0x7f, 0xfe);
insideTable.fill(Inside.Forbidden, 0xfe);
insideTable[0x22] = Inside.Double;
insideTable[0x27] = Inside.Single;
insideTable[0x5c] = Inside.Backslash;
resyncTable.fill(1, 0, 0x20);
resyncTable[0x09] = 0;
resyncTable.fill(1, 0xfe);
for (const [character, kind] of structures) {
  beginTable[character.charCodeAt(0)] = Begin.Structure + kind;
  resyncTable[character.charCodeAt(0)] = 1;
}

/** @returns whether a byte is an ASCII digit. */
export function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}
