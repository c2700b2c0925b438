/**
 * A value as QEMU would send it back: read into its objects and written out again. QEMU does that to every id, and so
 * 1.0 comes back as 1, 2^64 as a double, escapes in capitals, and an object's keys in the order of a hash table.
 *
 * Written into one array of bytes, with open values on an explicit stack: each byte is written once, however deep it lies.
 */
import { asciiText } from '../../shared/bytes.js';
import { ByteWriter } from './byte-writer.js';
import { bucketOfToken, orderByBucket } from './dictionary.js';
import { decimalValue, formatDouble, formatInteger } from './number.js';
import { characterEnd, readCharacter } from './string-token.js';
import { Token, type TokenList } from './tokens.js';

/** Digits up to which an integer is its own canonical form without a look at int64. */
const PLAIN_DIGITS = 15;
/** Integers with more characters than this are beyond int64 and uint64. */
const LONGEST_EXACT = 21;

const QUOTE = 0x22;

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
  const out = new ByteWriter(tokens.end(at) - tokens.start(at) + 32);
  const kind = tokens.kind(at);
  if (kind === Token.LeftBrace || kind === Token.LeftBracket) writeNested(bytes, tokens, at, out);
  else writeScalar(bytes, tokens, at, out);
  return out.finish();
}

/** Writes a string token as QEMU spells it. */
export function writeString(bytes: Uint8Array, start: number, end: number, out: ByteWriter): void {
  out.byte(QUOTE);
  for (let at = start + 1; at < end - 1; at = characterEnd) out.quoted(readCharacter(bytes, at, end));
  out.byte(QUOTE);
}

function writeScalar(bytes: Uint8Array, tokens: TokenList, at: number, out: ByteWriter): void {
  const start = tokens.start(at);
  const end = tokens.end(at);
  switch (tokens.kind(at)) {
    case Token.Integer:
      if (end - start <= LONGEST_EXACT) out.text(formatInteger(asciiText(bytes, start, end)));
      else out.text(formatDouble(decimalValue(bytes, start, end)));
      break;
    case Token.Float:
      out.text(formatDouble(decimalValue(bytes, start, end)));
      break;
    case Token.RichString:
      writeString(bytes, start, end, out);
      break;
    default:
      out.copy(bytes, start, end);
  }
}

/** An object that is being written. */
interface OpenObject {
  /** Key tokens of its members, in the order in which they are written; and how many are. */
  readonly keys: readonly number[];
  done: number;
  /** The token after it. */
  readonly end: number;
}

/** Writes an array or an object. */
function writeNested(bytes: Uint8Array, tokens: TokenList, first: number, out: ByteWriter): void {
  const ends = tokenEnds(tokens, first);
  /** Open values, innermost last; null for an array. */
  const open: (OpenObject | null)[] = [];
  let at = first;
  do {
    const kind = tokens.kind(at);
    const end = ends[at - first] ?? 0;
    let isWhole = true;
    if (kind === Token.LeftBracket || kind === Token.LeftBrace) {
      const isObject = kind === Token.LeftBrace;
      out.byte(isObject ? 0x7b : 0x5b);
      isWhole = end === at + 2;
      if (isWhole) out.byte(isObject ? 0x7d : 0x5d);
      else open.push(isObject ? { keys: membersOf(bytes, tokens, at, ends, first), done: 0, end } : null);
    } else writeScalar(bytes, tokens, at, out);
    at = isWhole ? end : at + 1;
    // Ends finished values, and goes to the next member of an unfinished one.
    for (let inside = open.at(-1); inside !== undefined; inside = open.at(-1)) {
      if (inside === null) {
        if (!isWhole || tokens.kind(at) === Token.Comma) {
          if (isWhole) {
            out.text(', ');
            at++;
          }
          break;
        }
        out.byte(0x5d);
        at++;
      } else {
        const key = inside.keys[inside.done];
        if (key !== undefined) {
          if (inside.done++ > 0) out.text(', ');
          writeString(bytes, tokens.start(key), tokens.end(key), out);
          out.text(': ');
          at = key + 2;
          break;
        }
        out.byte(0x7d);
        at = inside.end;
      }
      open.pop();
      isWhole = true;
    }
  } while (open.length > 0);
}

/** @returns for each token from `first` on, up to the end of the value that begins there: the token after the value that begins with it */
function tokenEnds(tokens: TokenList, first: number): Int32Array {
  const ends = new Int32Array(tokens.count - first);
  const open: number[] = [];
  let at = first;
  do {
    const kind = tokens.kind(at);
    if (kind === Token.LeftBrace || kind === Token.LeftBracket) open.push(at);
    else {
      const isEnd = kind === Token.RightBrace || kind === Token.RightBracket;
      ends[(isEnd ? (open.pop() ?? first) : at) - first] = at + 1;
    }
    at++;
  } while (open.length > 0);
  return ends;
}

/** @returns the key tokens of the object that begins at `at`, which has some, in the order in which QEMU walks them */
function membersOf(bytes: Uint8Array, tokens: TokenList, at: number, ends: Int32Array, first: number): number[] {
  const keys: number[] = [];
  const buckets: number[] = [];
  for (let key = at + 1; ; ) {
    keys.push(key);
    buckets.push(bucketOfToken(bytes, tokens.start(key), tokens.end(key)));
    const end = ends[key + 2 - first] ?? 0;
    if (tokens.kind(end) !== Token.Comma) break;
    key = end + 1;
  }
  return orderByBucket(buckets).map((index) => keys[index] ?? 0);
}
