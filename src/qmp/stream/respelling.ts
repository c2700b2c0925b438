/**
 * Messages that go through a program which reads JSON and writes it again (libvirt): a command in the JSON that any strict reader
 * takes, and a reply in QEMU's spelling again.
 *
 * Numbers are copied as they are written, and the order of members stays.
 */
import { ascii } from '../../shared/bytes.js';
import { ByteWriter } from '../json/byte-writer.js';
import { writeString } from '../json/canonical.js';
import type { Parser } from '../json/parser.js';
import { characterEnd, readCharacter } from '../json/string-token.js';
import { Token, type TokenList } from '../json/tokens.js';

const COMMA = 0x2c;
const BLANK = 0x20;
const OPEN = 0x7b;
const CLOSE = 0x7d;
/** Keys of interest are shorter, however they are spelt; of longer ones this much is looked at. In bytes. */
const LONGEST_KEY = 64;
const LINE_END = ascii('\r\n');
const ID = ascii('"id": ');

/** How tokens are written: `compact` without blanks, `qemu` with QEMU's `": "` and `", "`. */
type Style = 'compact' | 'qemu';

/** Writes tokens from `from` to before `to`. */
function writeTokens(
  out: ByteWriter,
  bytes: Uint8Array,
  tokens: TokenList,
  from: number,
  to: number,
  style: Style,
): void {
  for (let at = from; at < to; at++) {
    const kind = tokens.kind(at);
    if (kind === Token.RichString) writeString(bytes, tokens.start(at), tokens.end(at), out);
    else out.copy(bytes, tokens.start(at), tokens.end(at));
    if (style === 'qemu' && (kind === Token.Colon || kind === Token.Comma)) out.byte(BLANK);
  }
}

/** @returns about how many bytes a message is written in. */
function room(tokens: TokenList): number {
  return tokens.end(tokens.count - 1) - tokens.start(0) + 64;
}

/** The index of the member `name` among those the parser found, or -1. */
export function findMember(parser: Parser, name: string): number {
  for (let i = 0; i < parser.memberCount; i++) if (parser.key(i, LONGEST_KEY) === name) return i;
  return -1;
}

/** Writes the members other than `id`, separated; @returns whether there were any. */
function writeMembers(out: ByteWriter, bytes: Uint8Array, tokens: TokenList, parser: Parser, style: Style): boolean {
  const id = findMember(parser, 'id');
  let isFirst = true;
  for (let i = 0; i < parser.memberCount; i++) {
    if (i === id) continue;
    if (!isFirst) {
      out.byte(COMMA);
      if (style === 'qemu') out.byte(BLANK);
    }
    isFirst = false;
    writeTokens(out, bytes, tokens, parser.keyToken(i), parser.endToken(i), style);
  }
  return !isFirst;
}

/**
 * @param parser has parsed the message without an error, and found an object.
 * @returns the command without its id, in compact ASCII, strings in double quotes.
 */
export function strictCommand(bytes: Uint8Array, tokens: TokenList, parser: Parser): Uint8Array {
  const out = new ByteWriter(room(tokens));
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
    const end = tokens.end(at);
    for (let next = tokens.start(at) + 1; next < end - 1; next = characterEnd) {
      if (readCharacter(bytes, next, end) === 0) return true;
    }
  }
  return false;
}

/**
 * A reply in QEMU's spelling, with `id` replacing its present one: at the end of a return, at the beginning of an error.
 * @param parser has parsed the message without an error, and found an object.
 * @returns a fresh array, CRLF included.
 */
export function qemuReply(bytes: Uint8Array, tokens: TokenList, parser: Parser, id: Uint8Array | null): Uint8Array {
  const out = new ByteWriter(room(tokens) + (id?.length ?? 0));
  const isError = findMember(parser, 'error') >= 0;
  out.byte(OPEN);
  if (id !== null && isError) {
    out.copy(ID);
    out.copy(id);
    out.byte(COMMA);
    out.byte(BLANK);
  }
  const hasMembers = writeMembers(out, bytes, tokens, parser, 'qemu');
  if (id !== null && !isError) {
    if (hasMembers) {
      out.byte(COMMA);
      out.byte(BLANK);
    }
    out.copy(ID);
    out.copy(id);
  }
  out.byte(CLOSE);
  out.copy(LINE_END);
  return out.finish();
}

/** @returns any parsed value in QEMU's spelling. */
export function qemuValue(bytes: Uint8Array, tokens: TokenList): Uint8Array {
  const out = new ByteWriter(room(tokens));
  writeTokens(out, bytes, tokens, 0, tokens.count, 'qemu');
  return out.finish();
}
