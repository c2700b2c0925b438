/**
 * What kind of message one from QEMU is, which command it answers, and how it reads with another id: from its edges alone, since QEMU
 * writes `{"return": …, "id": N}` and `{"id": N, "error": …}`. A message of another form (another server, an id
 * that is not ours) is read with the full parser instead.
 */
import { type Allocate, ascii, asciiText, concat, copy, plainArray, startsWith } from '../../shared/bytes.js';
import { Parser } from '../json/parser.js';
import { Scan, Scanner } from '../json/scanner.js';
import { Token } from '../json/tokens.js';
import type { LineReader } from './lines.js';

export const MessageKind = { Return: 1, Error: 2, Event: 3, Greeting: 4, Unknown: 5 } as const;
export type MessageKindName = (typeof MessageKind)[keyof typeof MessageKind];

/**
 * `Envelope.id` of a message without one, and of one whose id is no number of ours. After `read`, a reply's id is foreign
 * unless it is in QEMU's place for it; `readThoroughly` finds the real one.
 */
export const NO_ID = -1;
export const FOREIGN_ID = -2;

const RETURN = ascii('{"return": ');
const ERROR_WITH_ID = ascii('{"id": ');
const ERROR = ascii('{"error": ');
const EVENT = ascii('{"timestamp": ');
const EVENT_NAME = ascii('"event": "');
const GREETING = ascii('{"QMP": ');
const ID_AT_END = ascii(', "id": ');
const AFTER_FIRST_ID = ascii(', "error": ');
const ID_FIRST = ascii('"id": ');
const BEHIND_ID = ascii(', ');
const LINE_END = ascii('\r\n');
const NOTHING = new Uint8Array(0);
/** An event's name begins within this many bytes: `{"timestamp": {"seconds": …, "microseconds": …}, "event": "`. */
const EVENT_NAME_WITHIN = 160;
/** No event's name is longer; a message with a longer one is none of QEMU's. In bytes. */
const LONGEST_NAME = 1024;
/** Keys of interest are shorter, however they are spelt. In bytes. */
const LONGEST_KEY = 64;
/** A longer message is not read as a whole: only small ones of other servers than QEMU need it. In bytes. */
const LONGEST_READ = 4 * 1024 * 1024;
/** No id of ours has more digits. */
const LONGEST_ID = 9;

/** Longer replies are not copied, in bytes, unless they would keep alive more than `MOST_KEPT_ALIVE` times their length. */
const LONG = 8 * 1024;
const MOST_KEPT_ALIVE = 8;

/** One envelope serves a whole process: its registers hold its findings about the message read last. */
export class Envelope {
  kind: MessageKindName = MessageKind.Unknown;
  id = NO_ID;
  /** Name of an event; empty otherwise. */
  eventName = '';
  /**
   * Whether the id comes before the other members, as in QEMU's errors, or after them, as in its returns.
   */
  isIdFirst = false;

  #first: Uint8Array = new Uint8Array(0);
  #firstStart = 0;
  #last: Uint8Array = this.#first;
  #contentEnd = 0;
  /** The end of the message with the line break QEMU ended it with, if that is CRLF in one piece; otherwise 0. */
  #lineEnd = 0;
  #idStart = 0;
  #idEnd = 0;
  #pieces: Uint8Array[] | null = null;

  /** Reads the message that `line` reported. */
  read(line: LineReader): void {
    this.#pieces = line.pieces;
    if (line.pieces === null) {
      this.#first = line.bytes;
      this.#firstStart = line.start;
      this.#last = line.bytes;
      this.#contentEnd = line.end;
    } else {
      this.#first = line.pieces[0] ?? this.#first;
      this.#firstStart = 0;
      this.#last = line.pieces.at(-1) ?? this.#last;
      this.#contentEnd = this.#last.length;
    }
    const lineEnd = this.#contentEnd;
    // Not beyond the message: in a chunk of line breaks alone that would be all of them, for each.
    const floor = line.pieces === null ? line.start : 0;
    while (this.#contentEnd > floor && isLineEnd(this.#last[this.#contentEnd - 1] ?? 0)) this.#contentEnd--;
    this.#lineEnd = lineEnd - this.#contentEnd === 2 && this.#last[this.#contentEnd] === 0x0d ? lineEnd : 0;
    this.id = NO_ID;
    this.eventName = '';
    this.isIdFirst = false;
    const first = this.#first;
    const start = this.#firstStart;
    const end = first === this.#last ? this.#contentEnd : first.length;
    if (startsWith(first, start, end, RETURN)) {
      this.kind = MessageKind.Return;
      this.#findIdAtEnd();
    } else if (startsWith(first, start, end, EVENT)) this.#readEvent(first, start, end);
    else if (startsWith(first, start, end, ERROR_WITH_ID)) this.#readError(first, start, end);
    else if (startsWith(first, start, end, ERROR)) {
      // QEMU gives no id when it could not read one; another server may have put it after the error.
      this.kind = MessageKind.Error;
      this.id = FOREIGN_ID;
    } else if (startsWith(first, start, end, GREETING)) this.kind = MessageKind.Greeting;
    else this.kind = MessageKind.Unknown;
  }

  /** Whether the message is nothing but a line break. */
  get isBlank(): boolean {
    return this.#pieces === null && this.#contentEnd <= this.#firstStart;
  }

  /** The message in chunks, ended by CRLF whatever its own line break. */
  chunks(): Uint8Array[] {
    if (this.#lineEnd > 0) {
      if (this.#pieces !== null) return this.#pieces.slice();
      return [this.#first.subarray(this.#firstStart, this.#lineEnd)];
    }
    const body =
      this.#pieces === null
        ? [this.#first.subarray(this.#firstStart, this.#contentEnd)]
        : [...this.#pieces.slice(0, -1), this.#last.subarray(0, this.#contentEnd)];
    return [...body, LINE_END];
  }

  /** Whether the whole message lies in one array. */
  get isContiguous(): boolean {
    return this.#pieces === null;
  }

  /** Bytes of the message without its line break, if it lies in one array. */
  get length(): number {
    return this.#contentEnd - this.#firstStart;
  }

  /**
   * Whether the message is copied when it gets another id. A long one is not, unless it is a small part of the bytes read at once: a
   * client that does not read it would hold all of those, and be charged for its own.
   */
  get #isCopied(): boolean {
    if (!this.isContiguous) return false;
    return this.length < LONG || this.length * MOST_KEPT_ALIVE < this.#first.buffer.byteLength;
  }

  /** The reply with `id` replacing its present one (null: with none), as chunks; large parts are not copied. */
  withId(id: Uint8Array | null, allocate: Allocate = plainArray): Uint8Array[] {
    if (this.#isCopied) return [this.#copyWith(id, allocate)];
    const member = id === null ? [] : this.isIdFirst ? [ID_FIRST, id, BEHIND_ID] : [ID_AT_END, id];
    const pieces = this.#pieces ?? [this.#first.subarray(0, this.#contentEnd)];
    const holder = this.isIdFirst ? 0 : pieces.length - 1;
    return [
      ...pieces.slice(0, holder),
      (pieces[holder] ?? this.#first).subarray(holder === 0 ? this.#firstStart : 0, this.#idStart),
      ...member,
      (pieces[holder] ?? this.#first).subarray(
        this.#idEnd,
        holder === pieces.length - 1 ? this.#contentEnd : undefined,
      ),
      ...(holder === pieces.length - 1 ? [] : [...pieces.slice(1, -1), this.#last.subarray(0, this.#contentEnd)]),
      LINE_END,
    ];
  }

  /** The same in one array, of a message that lies in one. */
  #copyWith(id: Uint8Array | null, allocate: Allocate): Uint8Array {
    const bytes = this.#first;
    const [before, behind] = this.isIdFirst ? [ID_FIRST, BEHIND_ID] : [ID_AT_END, NOTHING];
    const member = id === null ? 0 : before.length + id.length + behind.length;
    const rest = this.#idStart - this.#firstStart + this.#contentEnd - this.#idEnd;
    const out = allocate(rest + member + LINE_END.length);
    let at = copy(bytes, this.#firstStart, this.#idStart, out, 0);
    if (id !== null) {
      at = copy(before, 0, before.length, out, at);
      at = copy(id, 0, id.length, out, at);
      at = copy(behind, 0, behind.length, out, at);
    }
    at = copy(bytes, this.#idEnd, this.#contentEnd, out, at);
    copy(LINE_END, 0, LINE_END.length, out, at);
    return out;
  }

  /** A return up to the place of its id; nothing if that is not at the end. */
  body(): Uint8Array[] {
    if (this.kind !== MessageKind.Return || this.isIdFirst) return [];
    if (this.#pieces === null) return [this.#first.subarray(this.#firstStart, this.#idStart)];
    return [...this.#pieces.slice(0, -1), this.#last.subarray(0, this.#idStart)];
  }

  /**
   * Reads a message of `kind` Unknown, or with a foreign id, with the full parser: members in any order and spelling. It
   * is brought to one array, and the id member's place in it found. Anything but exactly one well-formed JSON object
   * is of kind Unknown.
   * @returns whether it is
   */
  readThoroughly(): boolean {
    if (this.#totalLength > LONGEST_READ) {
      this.kind = MessageKind.Unknown;
      return false;
    }
    const bytes = concat(this.chunks());
    this.#pieces = null;
    this.#first = this.#last = bytes;
    this.#firstStart = 0;
    this.#lineEnd = bytes.length;
    this.#contentEnd = bytes.length - LINE_END.length;
    scanner.push(bytes);
    const isWhole = scanner.next() === Scan.Message && isBlank(bytes, scanner.end);
    let isGood = false;
    if (isWhole) {
      parser.parse(bytes, scanner.tokens);
      isGood = parser.isObject && parser.error === null;
      if (isGood) this.#readMembers(bytes);
    }
    if (!isGood) this.kind = MessageKind.Unknown;
    // Drains the rest, so that the scanner starts afresh.
    while (scanner.next() !== Scan.NeedMore);
    if (scanner.isInsideMessage) scanner = new Scanner();
    return isGood;
  }

  get #totalLength(): number {
    return this.#pieces === null ? this.length : this.#pieces.reduce((sum, { length }) => sum + length, 0);
  }

  #readMembers(bytes: Uint8Array): void {
    const tokens = scanner.tokens;
    this.kind = MessageKind.Unknown;
    this.id = NO_ID;
    this.isIdFirst = true;
    this.#idStart = this.#idEnd = tokens.end(0);
    for (let i = 0; i < parser.memberCount; i++) {
      const value = parser.valueToken(i);
      switch (parser.key(i, LONGEST_KEY)) {
        case 'return':
          this.kind = MessageKind.Return;
          break;
        case 'error':
          this.kind = MessageKind.Error;
          break;
        case 'QMP':
          this.kind = MessageKind.Greeting;
          break;
        case 'event':
          if (tokens.kind(value) < Token.PlainString || tokens.end(value) - tokens.start(value) > LONGEST_NAME) break;
          this.kind = MessageKind.Event;
          this.eventName = parser.text(value);
          break;
        case 'id': {
          const start = tokens.start(value);
          const end = tokens.end(value);
          this.id = tokens.kind(value) === Token.Integer ? digits(bytes, start, end) : FOREIGN_ID;
          // The member goes with the comma that follows it, or the one before it when it is the last.
          const after = parser.endToken(i);
          const isLast = tokens.kind(after) !== Token.Comma;
          this.isIdFirst = !isLast;
          this.#idStart = isLast && i > 0 ? tokens.start(parser.keyToken(i) - 1) : tokens.start(parser.keyToken(i));
          this.#idEnd = isLast ? tokens.end(after - 1) : tokens.end(after);
          if (!isLast) while (bytes[this.#idEnd] === 0x20) this.#idEnd++;
          break;
        }
        default:
      }
    }
  }

  #findIdAtEnd(): void {
    const last = this.#last;
    const floor = last === this.#first ? this.#firstStart : 0;
    const close = this.#contentEnd - 1;
    let at = close;
    while (at > floor && isDigit(last[at - 1] ?? 0) && close - at < LONGEST_ID) at--;
    const member = at - ID_AT_END.length;
    if (at < close && last[close] === 0x7d && member > floor && startsWith(last, member, at, ID_AT_END)) {
      this.id = digits(last, at, close);
      this.#idStart = member;
      this.#idEnd = close;
    } else this.id = FOREIGN_ID;
  }

  #readError(first: Uint8Array, start: number, end: number): void {
    this.kind = MessageKind.Error;
    this.isIdFirst = true;
    const from = start + ERROR_WITH_ID.length;
    let at = from;
    while (at < end && isDigit(first[at] ?? 0) && at - from <= LONGEST_ID) at++;
    if (at > from && startsWith(first, at, end, AFTER_FIRST_ID)) {
      this.id = digits(first, from, at);
      this.#idStart = start + 1;
      this.#idEnd = at + 2;
    } else this.id = FOREIGN_ID;
  }

  #readEvent(first: Uint8Array, start: number, end: number): void {
    const stop = Math.min(end, start + EVENT_NAME_WITHIN);
    for (let at = start + EVENT.length; at < stop; at++) {
      if (first[at] !== 0x22 || !startsWith(first, at, end, EVENT_NAME)) continue;
      const from = at + EVENT_NAME.length;
      const close = indexOfQuote(first, from, Math.min(end, from + LONGEST_NAME + 1));
      if (close < 0) break;
      this.kind = MessageKind.Event;
      this.eventName = eventText(first, from, close);
      return;
    }
    this.kind = MessageKind.Unknown;
  }
}

/** For `readThoroughly`. A message from QEMU may be larger than one to it, but its tokens may not. */
let scanner = new Scanner();
const parser = new Parser();

function indexOfQuote(bytes: Uint8Array, from: number, end: number): number {
  for (let at = from; at < end; at++) if (bytes[at] === 0x22) return at;
  return -1;
}

function isLineEnd(byte: number): boolean {
  return byte === 0x0a || byte === 0x0d;
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}

function isBlank(bytes: Uint8Array, from: number): boolean {
  for (let at = from; at < bytes.length; at++) if ((bytes[at] ?? 0) > 0x20) return false;
  return true;
}

function digits(bytes: Uint8Array, start: number, end: number): number {
  let value = 0;
  for (let at = start; at < end; at++) {
    if (!isDigit(bytes[at] ?? 0) || at - start > LONGEST_ID) return FOREIGN_ID;
    value = value * 10 + (bytes[at] ?? 0) - 0x30;
  }
  return value;
}

/** Names seen lately: QEMU has some sixty. */
const eventNames = new Map<number, string>();

function eventText(bytes: Uint8Array, start: number, end: number): string {
  let hash = 0;
  for (let at = start; at < end; at++) hash = (Math.imul(hash, 31) + (bytes[at] ?? 0)) | 0;
  const known = eventNames.get(hash);
  if (known !== undefined && known.length === end - start) {
    let same = true;
    for (let at = start; at < end && same; at++) same = known.charCodeAt(at - start) === bytes[at];
    if (same) return known;
  }
  const text = asciiText(bytes, start, end);
  if (eventNames.size < 512) eventNames.set(hash, text);
  return text;
}
