/** One client's bytes → messages. Reports the next message; the caller decides what to do with it. */

import { Parser } from '../../qmp/json/parser.js';
import type { Dialect } from '../../qmp/json/prompt-stream.js';
import { Scan, Scanner, type ScanResult } from '../../qmp/json/scanner.js';
import { type CommandOwner, PendingCommand } from '../commands/command.js';
import type { Bookkeeping } from '../ports/bookkeeping.js';
import { ReadMessage } from './read-message.js';

/** A longer message is parsed in steps of this many bytes (parser.ts). */
const LARGE = 64 * 1024;
const STEP = 256 * 1024;
/** Bytes of the longest id as it is written. QEMU takes any: it is copied for each answer, and nobody needs more. */
export const LONGEST_ID: number = 64 * 1024;
const NO_BYTES = new Uint8Array(0);

/** The next thing in a client's bytes. */
export type Found =
  /** Nothing more that is whole. */
  | { readonly kind: 'nothing' }
  /** A part of a large message: it is to be gone on with when others have had their turn. */
  | { readonly kind: 'later' }
  /** Input that QEMU cannot read, or would not take for a command, and QEMU's answer to it. */
  | { readonly kind: 'malformed'; readonly fault: string }
  /** An object that is no command, and QEMU's answer to it. */
  | { readonly kind: 'misshapen'; readonly message: ReadMessage; readonly fault: string }
  | { readonly kind: 'command'; readonly message: ReadMessage };

/** Those that are a whole message. */
export type FoundMessage = Exclude<Found, { readonly kind: 'nothing' | 'later' }>;

const NOTHING: Found = { kind: 'nothing' };
const LATER: Found = { kind: 'later' };

export interface IntakePorts {
  readonly books: Bookkeeping;
  /** Parses the messages of all clients, one at a time. */
  readonly parser: Parser;
}

export class CommandIntake {
  readonly #ports: IntakePorts;
  readonly #owner: CommandOwner;
  #scanner: Scanner;
  /** Parses the large message that is at hand; null for none. */
  #parsing: Parser | null = null;
  /** Bytes that came while a message is being parsed: nothing may be appended to that message meanwhile. */
  #late: Uint8Array[] = [];
  #lateBytes = 0;
  /** Bytes received. */
  #received = 0;
  /** When the bytes at hand were received. */
  #receivedAt = 0;

  /** @param owner the client's commands @param dialect QEMU's way of judging its input */
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
    // A large message, once parsed, turns into about as many bytes as it has itself.
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

  /** A copy of the client's bytes of the message at hand, if the observer wants them; otherwise empty. */
  get raw(): Uint8Array {
    const scanner = this.#scanner;
    return this.#ports.books.observer?.wantsRaw === true ? scanner.bytes.slice(scanner.start, scanner.end) : NO_BYTES;
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
   * @returns what comes next; call again until it is `nothing`
   */
  next(allowOob: boolean): Found {
    const scanner = this.#scanner;
    if (this.#parsing === null) {
      const found = this.#scan();
      if (found === Scan.Malformed) return { kind: 'malformed', fault: scanner.error };
      if (found !== Scan.Message) return NOTHING;
      if (this.length > LARGE) this.#parsing = new Parser();
      this.#parsing?.begin(scanner.bytes, scanner.tokens);
    }
    const { parser } = this.#ports;
    if (this.#parsing === null) parser.parse(scanner.bytes, scanner.tokens);
    else {
      if (!this.#parsing.step(STEP)) return LATER;
      parser.exchange(this.#parsing);
      this.#parsing = null;
    }
    if (parser.error !== null || !parser.isObject) {
      return { kind: 'malformed', fault: parser.error ?? 'QMP input must be a JSON object' };
    }
    const message = new ReadMessage(scanner, parser, allowOob);
    if (message.idBytes > LONGEST_ID) {
      return { kind: 'malformed', fault: `qmpmux takes no id longer than ${LONGEST_ID} bytes` };
    }
    const fault = message.shapeError;
    return fault === null ? { kind: 'command', message } : { kind: 'misshapen', message, fault };
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
    return found;
  }

  /** Nothing is asked for until more bytes come. */
  rest(): void {
    this.#ports.parser.forget();
  }

  /** Drops input that was received and not read. */
  drop(): void {
    this.#parsing = null;
    this.#late = [];
    this.#lateBytes = 0;
    this.#scanner = new Scanner(this.#ports.books.limits.commandBytes);
  }

  /** @returns the command that was read, as an observer sees it. */
  take(message: ReadMessage): PendingCommand {
    const command = new PendingCommand(this.#owner);
    command.name = message.name;
    command.oob = message.isOutOfBand;
    command.id = message.id;
    command.receivedAt = this.#receivedAt;
    command.raw = this.raw;
    return command;
  }

  /** @returns the same, with the bytes for upstream. */
  takeForQemu(message: ReadMessage): PendingCommand {
    const command = this.take(message);
    command.wire = message.wire;
    command.isPlainQuery = message.isPlainQuery;
    return command;
  }
}
