/**
 * A value as QEMU would send it back: read into its objects and written out again. QEMU does that to every id, and so
 * 1.0 comes back as 1, 2^64 as a double, escapes in capitals, and an object's keys in the order of a hash table.
 */
import { ascii, asciiText } from './ascii.js';
import { walkOrder } from './dictionary.js';
import { formatDouble, formatInteger } from './number.js';
import { decodeString } from './parser.js';
import { Token, type TokenList } from './tokens.js';
import { quote } from './unicode.js';

/** Digits up to which an integer is its own canonical form without a look at int64. */
const PLAIN_DIGITS = 15;

/** Where the value that `write` wrote last ended. */
let nextToken = 0;

function write(bytes: Uint8Array, tokens: TokenList, at: number): string {
  const start = tokens.start(at);
  const end = tokens.end(at);
  nextToken = at + 1;
  switch (tokens.kind(at)) {
    case Token.Integer:
      return formatInteger(asciiText(bytes, start, end));
    case Token.Float:
      return formatDouble(Number(asciiText(bytes, start, end)));
    case Token.RichString:
      return quote(decodeString(bytes, start, end));
    case Token.LeftBracket: {
      const items: string[] = [];
      while (tokens.kind(nextToken) !== Token.RightBracket) {
        if (tokens.kind(nextToken) === Token.Comma) nextToken++;
        items.push(write(bytes, tokens, nextToken));
      }
      nextToken++;
      return `[${items.join(', ')}]`;
    }
    case Token.LeftBrace: {
      const keys: string[] = [];
      const values: string[] = [];
      while (tokens.kind(nextToken) !== Token.RightBrace) {
        if (tokens.kind(nextToken) === Token.Comma) nextToken++;
        keys.push(decodeString(bytes, tokens.start(nextToken), tokens.end(nextToken)));
        values.push(write(bytes, tokens, nextToken + 2));
      }
      nextToken++;
      return `{${walkOrder(keys)
        .map((index) => `${quote(keys[index] ?? '')}: ${values[index]}`)
        .join(', ')}}`;
    }
    default:
      return asciiText(bytes, start, end);
  }
}

/** @returns whether QEMU sends the value that begins with token `at` back as it is written. */
export function isCanonical(bytes: Uint8Array, tokens: TokenList, at: number): boolean {
  const start = tokens.start(at);
  const kind = tokens.kind(at);
  return (
    kind === Token.PlainString ||
    kind === Token.Keyword ||
    (kind === Token.Integer && tokens.end(at) - start <= PLAIN_DIGITS && bytes[start] !== 0x2d)
  );
}

/**
 * @param at the value's first token, in a message that the parser has accepted
 * @returns a fresh array with QEMU's spelling of the value
 */
export function canonicalValue(bytes: Uint8Array, tokens: TokenList, at: number): Uint8Array {
  if (isCanonical(bytes, tokens, at)) return bytes.slice(tokens.start(at), tokens.end(at));
  return ascii(write(bytes, tokens, at));
}
