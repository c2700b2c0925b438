/**
 * A parsed message → a command: its name, its id, whether it is out-of-band, or QEMU's error about its shape
 * (qapi/qmp-dispatch.c); and the bytes to send upstream for it.
 */
import { ascii, copy, equals } from '../shared/bytes.js';
import { canonicalValue, isCanonical } from './json/canonical.js';
import { bucketOfToken } from './json/dictionary.js';
import type { Parser } from './json/parser.js';
import type { Scanner } from './json/scanner.js';
import { Token, type TokenList } from './json/tokens.js';

const EXECUTE = ascii('"execute"');
const EXEC_OOB = ascii('"exec-oob"');
const ARGUMENTS = ascii('"arguments"');
const ID = ascii('"id"');
/** The text before a command's id as it goes upstream. */
export const ID_MEMBER: Uint8Array = ascii(',"id":');

const Member = { Other: 0, Execute: 1, ExecOob: 2, Arguments: 3, Id: 4 } as const;
const memberNames = new Map<string, number>([
  ['execute', Member.Execute],
  ['exec-oob', Member.ExecOob],
  ['arguments', Member.Arguments],
  ['id', Member.Id],
]);

/** No key of a command is longer than this, however it is spelt: nine characters, each as `\uXXXX`, and quotes. */
const LONGEST_KEY = 64;
/** No command of QEMU's or anyone else's has a longer name. Judges and reports get it cut; QEMU gets all of it. In bytes. */
const LONGEST_NAME = 1024;
/** An error quotes this many bytes of a client's key. QEMU quotes all of it. */
const LONGEST_QUOTED = 64 * 1024;
/** Registers for more members than this are not kept for the next command. */
const MOST_KEPT = 1024;

/** Names seen lately, so that the same few commands are not decoded again for every client. */
const NAME_SLOTS = 256;
const LONGEST_CACHED_NAME = 64;
const cachedNames: { bytes: Uint8Array; text: string }[] = [];

function nameText(parser: Parser, bytes: Uint8Array, tokens: TokenList, at: number): string {
  const start = tokens.start(at);
  const end = tokens.end(at);
  if (tokens.kind(at) !== Token.PlainString || end - start > LONGEST_CACHED_NAME) {
    const text = parser.text(at, LONGEST_NAME);
    return end - start > LONGEST_NAME + 2 ? `${text}…` : text;
  }
  let hash = 0;
  for (let i = start + 1; i < end - 1; i++) hash = (Math.imul(hash, 31) + (bytes[i] ?? 0)) | 0;
  const slot = (hash ^ (hash >>> 8)) & (NAME_SLOTS - 1);
  const cached = cachedNames[slot];
  if (cached !== undefined && equals(bytes, start, end, cached.bytes)) return cached.text;
  const text = parser.text(at);
  cachedNames[slot] = { bytes: bytes.slice(start, end), text };
  return text;
}

/** One reader serves a whole process: its registers hold its findings about the message read last, but none of its bytes. */
export class CommandReader {
  /** QEMU's error about the shape (class GenericError), or null. Then only `id` and `isOutOfBand` mean anything. */
  shapeError: string | null = null;
  /** The decoded name, as QEMU looks it up. */
  name = '';
  /** Runs at once, not in its turn: `exec-oob` and no `execute`. So does the report of its shape errors. */
  isOutOfBand = false;
  /** First token of the id's value; -1 if there is none. */
  idToken = -1;
  /** First token of the arguments' value, and the token after it; -1 if there are none. */
  argumentsToken = -1;
  argumentsEnd = -1;

  /** Whether there are arguments that say anything: an empty object does not. */
  get hasArguments(): boolean {
    return this.argumentsToken >= 0 && this.argumentsEnd - this.argumentsToken > 2;
  }

  #kinds: number[] = [];
  /** The token after the id's value. */
  #idEnd = -1;

  /** Bytes of the id as it is written, blanks included; 0 if there is none. */
  idBytes({ tokens }: Scanner): number {
    return this.idToken < 0 ? 0 : tokens.end(this.#idEnd - 1) - tokens.start(this.idToken);
  }

  /** @returns the id, which is in `scanner`, as QEMU would send it back; null for none. A fresh array each time. */
  id(scanner: Scanner): Uint8Array | null {
    return this.idToken < 0 ? null : canonicalValue(scanner.bytes, scanner.tokens, this.idToken);
  }

  /** @returns whether QEMU sends the id back as the client wrote it, so that it can be copied from `scanner`. */
  isIdCanonical(scanner: Scanner): boolean {
    return this.idToken >= 0 && isCanonical(scanner.bytes, scanner.tokens, this.idToken);
  }

  /**
   * Reads the message that `scanner` reported and `parser` accepted as an object.
   * @param allowOob whether the client has enabled the `oob` capability
   */
  read(scanner: Scanner, parser: Parser, allowOob: boolean): void {
    const bytes = scanner.bytes;
    const tokens = scanner.tokens;
    this.shapeError = null;
    this.idToken = -1;
    this.argumentsToken = -1;
    if (this.#kinds.length > MOST_KEPT) this.#kinds = [];
    let execute = -1;
    let execOob = -1;
    let isPlain = true;
    for (let i = 0; i < parser.memberCount; i++) {
      const kind = this.#memberKind(parser, bytes, tokens, i);
      this.#kinds[i] = kind;
      const value = parser.valueToken(i);
      switch (kind) {
        case Member.Id:
          this.idToken = value;
          this.#idEnd = parser.endToken(i);
          break;
        case Member.Execute:
          execute = value;
          if (!isString(tokens.kind(value))) isPlain = false;
          break;
        case Member.ExecOob:
          execOob = value;
          if (!allowOob || !isString(tokens.kind(value))) isPlain = false;
          break;
        case Member.Arguments:
          this.argumentsToken = value;
          this.argumentsEnd = parser.endToken(i);
          if (tokens.kind(value) !== Token.LeftBrace) isPlain = false;
          break;
        default:
          isPlain = false;
      }
    }
    this.isOutOfBand = execOob >= 0 && execute < 0;
    if (!isPlain || execute >= 0 === execOob >= 0) {
      this.shapeError = this.#judgeShape(parser, scanner, allowOob);
      return;
    }
    this.name = nameText(parser, bytes, tokens, this.isOutOfBand ? execOob : execute);
  }

  /**
   * Writes the command as it goes upstream, up to the place of its id, to `out` from `to` on: blanks between
   * tokens, the client's id and empty arguments are left out, since QEMU takes 4 to 5 µs to read a byte.
   * @returns the end of the bytes written; never more than the message's own length and that of `ID_MEMBER`
   */
  writeWire(scanner: Scanner, parser: Parser, out: Uint8Array, to: number): number {
    const bytes = scanner.bytes;
    const tokens = scanner.tokens;
    let at = to;
    out[at++] = 0x7b;
    for (let i = 0; i < parser.memberCount; i++) {
      const kind = this.#kinds[i];
      const value = parser.valueToken(i);
      const end = parser.endToken(i);
      if (kind === Member.Id || (kind === Member.Arguments && end - value === 2)) continue;
      if (at > to + 1) out[at++] = 0x2c;
      // Tokens that touch are copied in one piece: a client that writes no blanks is copied as it is.
      for (let token = parser.keyToken(i); token < end; ) {
        const from = tokens.start(token);
        while (token + 1 < end && tokens.start(token + 1) === tokens.end(token)) token++;
        const until = tokens.end(token++);
        at = copy(bytes, from, until, out, at);
      }
    }
    return copy(ID_MEMBER, 0, ID_MEMBER.length, out, at);
  }

  #memberKind(parser: Parser, bytes: Uint8Array, tokens: TokenList, index: number): number {
    const key = parser.keyToken(index);
    const start = tokens.start(key);
    const end = tokens.end(key);
    if (end - start > LONGEST_KEY) return Member.Other;
    if (tokens.kind(key) !== Token.PlainString) return memberNames.get(parser.key(index)) ?? Member.Other;
    if (equals(bytes, start, end, EXECUTE)) return Member.Execute;
    if (equals(bytes, start, end, ID)) return Member.Id;
    if (equals(bytes, start, end, ARGUMENTS)) return Member.Arguments;
    return equals(bytes, start, end, EXEC_OOB) ? Member.ExecOob : Member.Other;
  }

  /** The first fault in the order in which QEMU walks the members. */
  #judgeShape(parser: Parser, { bytes, tokens }: Scanner, allowOob: boolean): string {
    let first: string | null = null;
    let firstAt: Place = { bucket: 0, index: 0 };
    let execute: (Place & { readonly key: string }) | null = null;
    for (let index = 0; index < parser.memberCount; index++) {
      const kind = this.#kinds[index];
      const value = tokens.kind(parser.valueToken(index));
      if (kind === Member.Id || (kind === Member.Arguments && value === Token.LeftBrace)) continue;
      const keyToken = parser.keyToken(index);
      let at: Place = { bucket: bucketOfToken(bytes, tokens.start(keyToken), tokens.end(keyToken)), index };
      let fault: string | null = null;
      if (kind === Member.Execute || (kind === Member.ExecOob && allowOob)) {
        const key = parser.key(index);
        if (!isString(value)) fault = `QMP input member '${key}' must be a string`;
        else if (execute === null) execute = { key, ...at };
        else {
          const isBehind = isBefore(execute, at);
          fault = `QMP input member '${isBehind ? key : execute.key}' clashes with '${isBehind ? execute.key : key}'`;
          if (!isBehind) at = execute;
        }
      } else if (first === null || isBefore(at, firstAt)) {
        const key = parser.key(index, LONGEST_QUOTED);
        const isArguments = kind === Member.Arguments;
        fault = `QMP input member '${key}' ${isArguments ? 'must be an object' : 'is unexpected'}`;
      }
      if (fault === null || (first !== null && !isBefore(at, firstAt))) continue;
      first = fault;
      firstAt = at;
    }
    return first ?? "QMP input lacks member 'execute'";
  }
}

/** A member's position in the order in which QEMU walks an object. */
interface Place {
  readonly bucket: number;
  readonly index: number;
}

function isBefore(one: Place, other: Place): boolean {
  return one.bucket < other.bucket || (one.bucket === other.bucket && one.index > other.index);
}

function isString(kind: number): boolean {
  return kind === Token.PlainString || kind === Token.RichString;
}
