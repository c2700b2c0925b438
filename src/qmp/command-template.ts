/**
 * Commands that differ in their id alone. Programs send the same few commands for as long as they live, so one that has been read
 * whole is remembered as the bytes before its id and those behind it. Where the same bytes come again with a plain id between
 * them, it is the same command, and there is nothing left to be judged: neither its syntax, nor its shape, nor what goes upstream.
 */
import { asciiText, ShortText, viewOf } from '../shared/bytes.js';
import { type CommandReader, ID_MEMBER } from './command.js';
import type { Parser } from './json/parser.js';
import type { Scanner } from './json/scanner.js';
import { Token } from './json/tokens.js';

/** What is longer is not worth remembering. In bytes. */
const LONGEST = 512;
/** A longer id is read the long way. In bytes. */
const LONGEST_ID = 64;
/** Digits of an integer that comes back from QEMU as it is written (canonical.ts). */
const MOST_DIGITS = 15;
/** No command of a form is longer, in bytes. */
export const LONGEST_OF_FORM: number = LONGEST + LONGEST_ID;

/** Which kind of id stands between head and tail. */
type IdKind = 'none' | 'text' | 'integer';

const NO_BYTES = new Uint8Array(0);
/** Clients of the same program share their forms. */
const known = new Map<string, CommandTemplate>();
const MOST_KNOWN = 256;

export class CommandTemplate {
  /** Where the id of the message that `match` found lies, quotes included; both -1 for a form without. */
  idStart = -1;
  idEnd = -1;
  /** The command's name, decoded. */
  readonly name: string;
  /** Whether it has arguments that say anything. */
  readonly hasArguments: boolean;
  /** What goes upstream, up to the id. */
  readonly wire: DataView;
  readonly wireLength: number;
  readonly #head: ShortText;
  readonly #idKind: IdKind;
  readonly #tail: ShortText;

  private constructor(head: Uint8Array, idKind: IdKind, tail: Uint8Array, reader: CommandReader, wire: Uint8Array) {
    this.#head = new ShortText(head);
    this.#idKind = idKind;
    this.#tail = new ShortText(tail);
    this.name = reader.name;
    this.hasArguments = reader.hasArguments;
    this.wire = viewOf(wire);
    this.wireLength = wire.length;
  }

  /**
   * @returns the form of the in-band command that was read last; null for one that is too long, or whose id is not plain: ASCII without
   * escapes, or an integer of at most 15 digits.
   */
  static of(scanner: Scanner, parser: Parser, reader: CommandReader): CommandTemplate | null {
    const { bytes, tokens, start, end } = scanner;
    const { idToken } = reader;
    const idStart = idToken < 0 ? end : tokens.start(idToken);
    const idEnd = idToken < 0 ? end : tokens.end(idToken);
    if (end - start - (idEnd - idStart) > LONGEST) return null;
    let idKind: IdKind = 'none';
    if (idToken >= 0) {
      const kind = tokens.kind(idToken);
      if (!reader.isIdCanonical(scanner) || (kind !== Token.PlainString && kind !== Token.Integer)) return null;
      idKind = kind === Token.Integer ? 'integer' : 'text';
    }
    const key = `${idKind} ${idStart - start} ${asciiText(bytes, start, idStart)}${asciiText(bytes, idEnd, end)}`;
    let form = known.get(key);
    if (form === undefined) {
      const wire = new Uint8Array(end - start + ID_MEMBER.length);
      const length = reader.writeWire(scanner, parser, wire, 0);
      const tail = idToken < 0 ? NO_BYTES : bytes.slice(idEnd, end);
      form = new CommandTemplate(bytes.slice(start, idStart), idKind, tail, reader, wire.slice(0, length));
      if (known.size >= MOST_KNOWN) known.clear();
      known.set(key, form);
    }
    return form;
  }

  /**
   * Looks whether a message of this form begins at `at`, and lies whole before `limit`.
   * @returns its end, or -1 when it is none, or not all of it is there
   */
  match(bytes: DataView, at: number, limit: number): number {
    const head = this.#head;
    const tail = this.#tail;
    if (limit - at < head.length + tail.length || !head.isAt(bytes, at)) return -1;
    let next = at + head.length;
    if (this.#idKind === 'none') return next;
    this.idStart = next;
    next = this.#idKind === 'text' ? textEnd(bytes, next, limit) : integerEnd(bytes, next, limit);
    if (next < 0 || limit - next < tail.length) return -1;
    this.idEnd = next;
    return tail.isAt(bytes, next) ? next + tail.length : -1;
  }
}

/** @returns where a string of printable ASCII without escapes ends that begins at `at`; -1 when there is none. */
function textEnd(bytes: DataView, at: number, limit: number): number {
  if (at >= limit || bytes.getUint8(at) !== 0x22) return -1;
  const stop = Math.min(limit, at + LONGEST_ID);
  for (let next = at + 1; next < stop; next++) {
    const byte = bytes.getUint8(next);
    if (byte === 0x22) return next + 1;
    if (byte < 0x20 || byte > 0x7e || byte === 0x5c) return -1;
  }
  return -1;
}

/** @returns where an integer ends that begins at `at`, and has no sign and no zero in front; -1 when there is none. */
function integerEnd(bytes: DataView, at: number, limit: number): number {
  const stop = Math.min(limit, at + MOST_DIGITS);
  let next = at;
  while (next < stop && isDigit(bytes.getUint8(next))) next++;
  if (next === at || (bytes.getUint8(at) === 0x30 && next > at + 1)) return -1;
  return next;
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}
