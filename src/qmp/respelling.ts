/**
 * Messages that go through a program which reads JSON and writes it again (libvirt): a command in the JSON that any strict reader
 * takes, and a reply in QEMU's spelling again.
 *
 * Numbers are copied as they are written, and the order of members stays.
 */
import { ascii } from './ascii.js';
import { decodeString, type Parser } from './parser.js';
import { Token, type TokenList } from './tokens.js';
import { quote } from './unicode.js';

const COMMA = 0x2c;
const BLANK = 0x20;
const OPEN = 0x7b;
const CLOSE = 0x7d;
const LINE_END = ascii('\r\n');
const ID = ascii('"id": ');
/** A byte inside a string is written as `\uXXXX` at the longest. */
const LONGEST_ESCAPE = 6;

/** How tokens are written: `compact` without blanks, `qemu` with QEMU's `": "` and `", "`. */
type Style = 'compact' | 'qemu';

/** Bytes with room at their end. */
class Output {
  readonly bytes: Uint8Array;
  length = 0;

  constructor(capacity: number) {
    this.bytes = new Uint8Array(capacity);
  }

  byte(value: number): void {
    this.bytes[this.length++] = value;
  }

  copy(from: Uint8Array, start: number, end: number): void {
    this.bytes.set(from.subarray(start, end), this.length);
    this.length += end - start;
  }

  all(from: Uint8Array): void {
    this.copy(from, 0, from.length);
  }

  /** Tokens from `from` to before `to`. */
  tokens(bytes: Uint8Array, tokens: TokenList, from: number, to: number, style: Style): void {
    for (let at = from; at < to; at++) {
      const kind = tokens.kind(at);
      if (kind === Token.RichString) this.all(ascii(quote(decodeString(bytes, tokens.start(at), tokens.end(at)))));
      else this.copy(bytes, tokens.start(at), tokens.end(at));
      if (style === 'qemu' && (kind === Token.Colon || kind === Token.Comma)) this.byte(BLANK);
    }
  }

  finish(): Uint8Array {
    return this.bytes.subarray(0, this.length);
  }
}

/** @returns how many bytes the tokens need at most, however they are spelt. */
function room(tokens: TokenList): number {
  let bytes = 0;
  for (let at = 0; at < tokens.count; at++) {
    const length = tokens.end(at) - tokens.start(at);
    bytes += tokens.kind(at) === Token.RichString ? length * LONGEST_ESCAPE : length + 1;
  }
  return bytes;
}

/** The index of the member `name` among those the parser found, or -1. */
export function findMember(parser: Parser, name: string): number {
  for (let i = 0; i < parser.memberCount; i++) if (parser.key(i) === name) return i;
  return -1;
}

/** Writes the members other than `id`, separated; @returns whether there were any. */
function writeMembers(out: Output, bytes: Uint8Array, tokens: TokenList, parser: Parser, style: Style): boolean {
  let isFirst = true;
  for (let i = 0; i < parser.memberCount; i++) {
    if (parser.key(i) === 'id') continue;
    if (!isFirst) {
      out.byte(COMMA);
      if (style === 'qemu') out.byte(BLANK);
    }
    isFirst = false;
    out.tokens(bytes, tokens, parser.keyToken(i), parser.endToken(i), style);
  }
  return !isFirst;
}

/**
 * @param parser has parsed the message without an error, and found an object.
 * @returns the command without its id, in compact ASCII, strings in double quotes.
 */
export function strictCommand(bytes: Uint8Array, tokens: TokenList, parser: Parser): Uint8Array {
  const out = new Output(room(tokens) + 2);
  out.byte(OPEN);
  writeMembers(out, bytes, tokens, parser, 'compact');
  out.byte(CLOSE);
  return out.finish();
}

/** @returns the id of a parsed message as it is written, or null. */
export function writtenId(bytes: Uint8Array, tokens: TokenList, parser: Parser): Uint8Array | null {
  const member = findMember(parser, 'id');
  if (member < 0) return null;
  const last = parser.endToken(member) - 1;
  return bytes.slice(tokens.start(parser.valueToken(member)), tokens.end(last));
}

/** @returns whether a string in the message has the character U+0000, which ends a string of C. */
export function hasNul(bytes: Uint8Array, tokens: TokenList): boolean {
  for (let at = 0; at < tokens.count; at++) {
    if (tokens.kind(at) !== Token.RichString) continue;
    if (decodeString(bytes, tokens.start(at), tokens.end(at)).includes('\0')) return true;
  }
  return false;
}

/**
 * A reply in QEMU's spelling, with `id` in place of its own: at the end of a return, at the beginning of an error.
 * @param parser has parsed the message without an error, and found an object.
 * @returns a fresh array, CRLF included.
 */
export function qemuReply(bytes: Uint8Array, tokens: TokenList, parser: Parser, id: Uint8Array | null): Uint8Array {
  const out = new Output(room(tokens) + (id?.length ?? 0) + ID.length + 16);
  const isError = findMember(parser, 'error') >= 0;
  out.byte(OPEN);
  if (id !== null && isError) {
    out.all(ID);
    out.all(id);
    out.byte(COMMA);
    out.byte(BLANK);
  }
  const hasMembers = writeMembers(out, bytes, tokens, parser, 'qemu');
  if (id !== null && !isError) {
    if (hasMembers) {
      out.byte(COMMA);
      out.byte(BLANK);
    }
    out.all(ID);
    out.all(id);
  }
  out.byte(CLOSE);
  out.all(LINE_END);
  return out.finish();
}

/** @returns any parsed value in QEMU's spelling. */
export function qemuValue(bytes: Uint8Array, tokens: TokenList): Uint8Array {
  const out = new Output(room(tokens));
  out.tokens(bytes, tokens, 0, tokens.count, 'qemu');
  return out.finish();
}
