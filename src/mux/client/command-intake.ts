/** What one client writes → commands. Says what comes next in its bytes; the caller decides what becomes of it. */

import type { CommandReader } from '../../qmp/command.js';
import { ID_MEMBER } from '../../qmp/command.js';
import { canonicalValue } from '../../qmp/json/canonical.js';
import { Parser } from '../../qmp/json/parser.js';
import type { Dialect } from '../../qmp/json/prompt-stream.js';
import { Scan, Scanner, type ScanResult } from '../../qmp/json/scanner.js';
import type { TokenList } from '../../qmp/json/tokens.js';
import { type CommandOwner, PendingCommand } from '../commands/command.js';
import { ArgumentList } from '../policy/arguments.js';
import type { Bookkeeping } from '../ports/bookkeeping.js';
import { commitTo, keep, put, reserve, slabBytes, slabView } from '../wire/slab.js';

/** A message of more bytes is parsed in steps, each of so many bytes (parser.ts). */
const LARGE = 64 * 1024;
const STEP = 256 * 1024;
/** Bytes of the longest id as it is written. QEMU takes any: it is copied for each answer, and nobody needs more. */
export const LONGEST_ID: number = 64 * 1024;
const NO_BYTES = new Uint8Array(0);

/** What `CommandIntake.next` has found. */
export const Found = {
  /** Nothing more that is whole. */
  Nothing: 0,
  /** A command; the owner's reader has it. */
  Command: 1,
  /** What QEMU cannot read, or would not take for a command; `fault` says why. */
  Malformed: 2,
  /** An object that is no command; the reader's `shapeError` says why. */
  Misshapen: 3,
  /** A part of a large message: it is to be gone on with when others have had their turn. */
  Later: 4,
} as const;
export type FoundKind = (typeof Found)[keyof typeof Found];
/** The kinds that are a whole message. */
export type WholeMessage = typeof Found.Command | typeof Found.Malformed | typeof Found.Misshapen;

/** What reads the commands of all clients, one after the other. */
export interface IntakePorts {
  readonly books: Bookkeeping;
  readonly parser: Parser;
  readonly reader: CommandReader;
}

export class CommandIntake {
  /** Why the message at hand is malformed, in QEMU's words. */
  fault = '';

  readonly #ports: IntakePorts;
  readonly #owner: CommandOwner;
  #scanner: Scanner;
  /** Parses the large message that is at hand; null for none. */
  #parsing: Parser | null = null;
  /** What came while a message is being parsed: nothing may be put behind it meanwhile. */
  #late: Uint8Array[] = [];
  #lateBytes = 0;
  /** Bytes received. */
  #received = 0;
  /** When the bytes at hand were received. */
  #receivedAt = 0;

  /** @param owner the client's commands @param dialect how QEMU judges what it reads */
  constructor(ports: IntakePorts, owner: CommandOwner, dialect: Dialect) {
    this.#ports = ports;
    this.#owner = owner;
    const { limits } = ports.books;
    this.#scanner = new Scanner(limits.commandBytes);
    this.#scanner.dialect = dialect;
  }

  /** The upstream's way to judge what it reads, which a new QEMU may change; the client keeps its place in the stream. */
  set dialect(dialect: Dialect) {
    this.#scanner.dialect = dialect;
  }

  /** Bytes kept for an unfinished message or not yet read. */
  get heldBytes(): number {
    // What a large message becomes, when it is parsed, is about as long as it.
    const parsing = this.#parsing === null ? 0 : this.#parsing.heldBytes + this.length;
    return this.#scanner.heldBytes + this.#lateBytes + parsing;
  }

  /** Bytes of the client that have been read, up to the end of the message at hand. */
  get readBytes(): number {
    return this.#received - this.#scanner.unscannedBytes - this.#lateBytes;
  }

  /** Bytes of the message at hand. */
  get length(): number {
    return this.#scanner.end - this.#scanner.start;
  }

  /** The tokens of the message at hand. */
  get tokens(): TokenList {
    return this.#scanner.tokens;
  }

  /** The id of the command at hand as QEMU would send it back; null for none. A fresh array each time. */
  get id(): Uint8Array | null {
    return this.#ports.reader.id(this.#scanner);
  }

  /** The arguments of the command at hand. */
  get argumentList(): ArgumentList {
    const { parser, reader } = this.#ports;
    return new ArgumentList(this.#scanner.bytes, this.#scanner.tokens, parser, reader.argumentsToken);
  }

  /** The arguments of the command at hand as JSON in QEMU's spelling; null for none. */
  get writtenArguments(): Uint8Array | null {
    const at = this.#ports.reader.argumentsToken;
    return at < 0 ? null : canonicalValue(this.#scanner.bytes, this.#scanner.tokens, at);
  }

  /** A copy of the client's bytes of the message at hand, if the observer wants them; otherwise empty. */
  get raw(): Uint8Array {
    const scanner = this.#scanner;
    return this.#ports.books.observer?.wantsRaw === true ? keep(scanner.bytes, scanner.start, scanner.end) : NO_BYTES;
  }

  /** Takes the next bytes from the client. */
  push(chunk: Uint8Array): void {
    this.#received += chunk.length;
    if (this.#parsing === null) this.#scanner.push(chunk);
    else {
      this.#late.push(chunk);
      this.#lateBytes += chunk.length;
    }
    this.#receivedAt = this.#ports.books.now();
  }

  /**
   * @param allowOob whether the client has enabled `oob`
   * @returns what comes next; call again until it is `Nothing`
   */
  next(allowOob: boolean): FoundKind {
    const scanner = this.#scanner;
    if (this.#parsing === null) {
      const found = this.#scan();
      if (found !== Scan.Message) return found === Scan.Malformed ? Found.Malformed : Found.Nothing;
      if (this.length > LARGE) this.#parsing = new Parser();
      this.#parsing?.begin(scanner.bytes, scanner.tokens);
    }
    const { parser, reader } = this.#ports;
    if (this.#parsing === null) parser.parse(scanner.bytes, scanner.tokens);
    else {
      if (!this.#parsing.step(STEP)) return Found.Later;
      parser.exchange(this.#parsing);
      this.#parsing = null;
    }
    if (parser.error !== null || !parser.isObject) {
      this.fault = parser.error ?? 'QMP input must be a JSON object';
      return Found.Malformed;
    }
    reader.read(scanner, parser, allowOob);
    if (reader.idBytes(scanner) > LONGEST_ID) {
      this.fault = `qmpmux takes no id longer than ${LONGEST_ID} bytes`;
      return Found.Malformed;
    }
    return reader.shapeError === null ? Found.Command : Found.Misshapen;
  }

  #scan(): ScanResult {
    const scanner = this.#scanner;
    let found = scanner.next();
    while (found === Scan.NeedMore && this.#late.length > 0) {
      for (const chunk of this.#late) scanner.push(chunk);
      this.#late = [];
      this.#lateBytes = 0;
      found = scanner.next();
    }
    if (found === Scan.NeedMore) this.#ports.parser.forget();
    if (found === Scan.Malformed) this.fault = scanner.error;
    return found;
  }

  /** Nothing is asked for until more bytes come. */
  rest(): void {
    this.#ports.parser.forget();
  }

  /** Drops what was received and not read. */
  drop(): void {
    this.#parsing = null;
    this.#late = [];
    this.#lateBytes = 0;
    this.#scanner = new Scanner(this.#ports.books.limits.commandBytes);
  }

  /** @returns the command that was read, as far as an observer sees it. */
  take(): PendingCommand {
    const { reader } = this.#ports;
    const command = this.#newCommand(reader.name);
    command.oob = reader.isOutOfBand;
    if (reader.isIdCanonical(this.#scanner)) {
      const { tokens } = this.#scanner;
      this.#keepId(command, tokens.start(reader.idToken), tokens.end(reader.idToken));
    } else {
      command.idBytes = this.id;
      command.idEnd = command.idBytes?.length ?? 0;
    }
    return command;
  }

  /** @returns the same, with what goes upstream of it. */
  takeForQemu(): PendingCommand {
    const { parser, reader } = this.#ports;
    const scanner = this.#scanner;
    const command = this.take();
    const start = reserve(scanner.end - scanner.start + ID_MEMBER.length);
    const end = reader.writeWire(scanner, parser, slabBytes(), start);
    commitTo(end);
    command.wire = slabView();
    command.wireStart = start;
    command.wireEnd = end;
    command.isPlainQuery = isPlainQuery(command, reader.hasArguments);
    return command;
  }

  #newCommand(name: string): PendingCommand {
    const command = new PendingCommand(this.#owner);
    command.name = name;
    command.receivedAt = this.#receivedAt;
    command.raw = this.raw;
    return command;
  }

  /** Keeps a command's id, which lies from `start` to `end` where the scanner has it. */
  #keepId(command: PendingCommand, start: number, end: number): void {
    command.idStart = put(this.#scanner.bytes, start, end);
    command.idEnd = command.idStart + end - start;
    command.idBytes = slabBytes();
  }
}

function isPlainQuery({ name, oob }: PendingCommand, hasArguments: boolean): boolean {
  return !oob && !hasArguments && name.startsWith('query-');
}
