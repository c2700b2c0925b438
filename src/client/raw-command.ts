/**
 * A command that someone wrote as JSON, sent as it is but for its id: ours must be in it, so that the reply is found whatever
 * else is in flight, and theirs must come back as QEMU would have spelt it. So `"id": X` goes out as `"id": [N,X]`, and of the
 * reply's `[N, X]` only `X` is kept; a command without an id gets `"id": N`, and its reply loses it again.
 */
import { CommandReader } from '../qmp/command.js';
import { Parser } from '../qmp/json/parser.js';
import { Scan, Scanner } from '../qmp/json/scanner.js';
import { Token } from '../qmp/json/tokens.js';
import { MalformedCommandError } from './errors.js';
import { findMembers, type Member, withoutMember } from './reply-members.js';

interface RawCommand {
  /** The bytes to send. */
  readonly bytes: Buffer;
  /** The command's name for messages to people; empty where it has none. */
  readonly name: string;
  /** Whether it is to be executed out-of-band. */
  readonly oob: boolean;
}

/** The server's answer to `executeRaw`. */
export interface RawReply {
  /** The exact message, without the end of its line, and with the id of the command or none. */
  readonly bytes: Buffer;
  /** Whether it is an error. */
  readonly isError: boolean;
}

/** QEMU nests 1024 levels at most, and the id is nested one level deeper than it was written. */
const DEEPEST_ID = 1000;

/**
 * Puts `id` into a command.
 * @throws MalformedCommandError when it is not exactly one object that QEMU's parser accepts. QEMU's answer to such input has no id and may
 * be several errors, so it must never be sent beside other commands. Faults of shape are left to QEMU.
 */
export function prepareCommand(command: string | Uint8Array, id: number): RawCommand {
  const bytes = typeof command === 'string' ? Buffer.from(command) : Buffer.from(command);
  const scanner = new Scanner();
  scanner.push(Buffer.concat([bytes, Buffer.from('\n')]));
  const result = scanner.next();
  if (result === Scan.Malformed) throw new MalformedCommandError(scanner.error);
  if (result === Scan.NeedMore) {
    throw new MalformedCommandError(
      scanner.isInsideMessage ? 'the JSON is incomplete: a } is missing' : 'the command is missing',
    );
  }
  const { tokens } = scanner;
  const parser = new Parser();
  parser.parse(scanner.bytes, tokens);
  if (parser.error !== null) throw new MalformedCommandError(parser.error);
  if (!parser.isObject) throw new MalformedCommandError('QMP input must be a JSON object');
  const reader = new CommandReader();
  reader.read(scanner, parser, true);
  const name = reader.shapeError === null ? reader.name : '';

  const message = Buffer.from(scanner.bytes.subarray(scanner.start, scanner.end)); // `next` reuses the scanner's bytes
  let head = message.length - 1;
  let tail = head;
  let spliced = `${parser.memberCount === 0 ? '' : ','}"id":${id}`;
  for (let index = 0; index < parser.memberCount; index++) {
    if (parser.key(index) !== 'id') continue;
    const first = parser.valueToken(index);
    const end = parser.endToken(index);
    if (nesting(tokens, first, end) > DEEPEST_ID) throw new MalformedCommandError('the id is nested too deep');
    head = tokens.start(first) - scanner.start;
    tail = tokens.end(end - 1) - scanner.start;
    spliced = `[${id},${message.toString('latin1', head, tail)}]`;
  }
  if (scanner.next() !== Scan.NeedMore || scanner.isInsideMessage) {
    throw new MalformedCommandError('something follows the command: send one at a time');
  }
  return {
    bytes: Buffer.concat([
      message.subarray(0, head),
      Buffer.from(spliced, 'latin1'),
      message.subarray(tail),
      Buffer.from('\n'),
    ]),
    name,
    oob: reader.isOutOfBand,
  };
}

function nesting(tokens: { kind(at: number): number }, first: number, end: number): number {
  let depth = 0;
  let deepest = 0;
  for (let at = first; at < end; at++) {
    const kind = tokens.kind(at);
    if (kind === Token.LeftBrace || kind === Token.LeftBracket) deepest = Math.max(deepest, ++depth);
    else if (kind === Token.RightBrace || kind === Token.RightBracket) depth--;
  }
  return deepest;
}

/** A reply in outline, which distinguishes a raw one from the others without parsing it. */
interface ReplyOutline {
  readonly members: readonly Member[];
  /** Which of the members is the id; -1 for none. */
  readonly idIndex: number;
  /** Our id in it; null where there is none. */
  readonly id: number | null;
}

export function outlineReply(bytes: Buffer): ReplyOutline | null {
  const members = findMembers(bytes);
  if (members === null) return null;
  const idIndex = members.findIndex(({ name }) => name === 'id');
  const member = members[idIndex];
  const digits =
    member === undefined
      ? null
      : /^(?:\[\s*)?(\d{1,15})(?=\s*(?:,|$))/.exec(bytes.toString('latin1', member.valueStart, member.end));
  return { members, idIndex, id: digits === null ? null : Number(digits[1]) };
}

/** Undoes `prepareCommand` on the reply. */
export function restoreReply(bytes: Buffer, { members, idIndex }: ReplyOutline): RawReply {
  const isError = members.some(({ name }) => name === 'error');
  const member = members[idIndex];
  if (member === undefined) return { bytes, isError };
  const value = bytes.toString('latin1', member.valueStart, member.end);
  if (!value.startsWith('[')) return { bytes: withoutMember(bytes, members, idIndex), isError };
  const theirs = value.slice(value.indexOf(',') + 1, -1).trim();
  return {
    bytes: Buffer.concat([
      bytes.subarray(0, member.valueStart),
      Buffer.from(theirs, 'latin1'),
      bytes.subarray(member.end),
    ]),
    isError,
  };
}
