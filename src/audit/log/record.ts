/** Records as readers of a log see them: one line of it, parsed. What they may hold is said in record.schema.json. */
import { isJsonObject, type JsonObject, type JsonValue, parseJson } from '../../qmp/json/value.js';
import { HASH_LENGTH, HASH_MEMBER } from './chain.js';
import { isKind, type Kind } from './kinds.js';
import type { LogLine } from './log-lines.js';

export interface AuditRecord {
  readonly seq: number;
  /** RFC 3339. */
  readonly time: string;
  /** Monotonic, in microseconds. */
  readonly mono: number;
  readonly kind: Kind;
  /** All members, these included; integers are exact. */
  readonly members: JsonObject;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;

/** A longer line is looked through before it is parsed, in characters. */
const LONG = 1024 * 1024;
/** A parsed value takes up to 64 bytes for each of these in its text. QEMU takes no message with more than half as many. */
const MOST_STRUCTURE = 4 * 1024 * 1024;

/**
 * @returns the record that a line of a log is, or null. Of one with more values in it than QEMU takes only the members before its
 * message are there, and the beginning of that as `text`.
 */
export function parseRecord(line: string): AuditRecord | null {
  if (!line.startsWith('{"v":')) return null;
  if (line.length > LONG && structureOf(line) > MOST_STRUCTURE) return beginningOfRecord(line, Buffer.byteLength(line));
  const members = parseLoosely(line);
  return members === null ? null : asRecord(members);
}

/** @returns an object; an integer that is too long for `parseJson`, as anyone may send it, is rounded. */
function parseLoosely(text: string): JsonObject | null {
  const parsed = parseJson(text);
  if (parsed.ok) return isJsonObject(parsed.value) ? parsed.value : null;
  try {
    // It makes nothing but JSON values.
    const value: JsonValue = JSON.parse(text);
    return isJsonObject(value) ? value : null;
  } catch {
    return null;
  }
}

/** @returns the record that a line of a log is, or null: of one that is too long to be read, what its beginning says. */
export function recordOf(line: LogLine): AuditRecord | null {
  return line.longLine === null
    ? parseRecord(line.text)
    : beginningOfRecord(line.longLine.beginning, line.longLine.length);
}

function asRecord(members: JsonObject): AuditRecord | null {
  const { seq, time, mono, kind } = members;
  if (typeof seq !== 'number' || typeof time !== 'string' || typeof mono !== 'number') return null;
  if (typeof kind !== 'string' || !isKind(kind)) return null;
  return { seq, time, mono, kind, members };
}

/** Members that may be long; all that says what a record is about stands before them. */
const LONG_MEMBERS = ['id', 'id_text', 'rule', 'reason', 'message', 'text', 'latin1', 'reply', 'redacted'];
const SHOWN_OF_LONG = 1000;

/** @param length of the whole line, in bytes */
function beginningOfRecord(line: string, length: number): AuditRecord | null {
  const beginning = line.slice(0, 4096);
  // A comma, a quote, a name and a quote stand within no string: its quotes have backslashes.
  const ends = LONG_MEMBERS.map((name) => beginning.indexOf(`,"${name}":`)).filter((at) => at >= 0);
  const end = Math.min(...ends, beginning.length);
  const members = beginning.startsWith('{"v":') ? parseLoosely(`${beginning.slice(0, end)}}`) : null;
  if (members === null) return null;
  const text = `(of a record of ${length} bytes) ${beginning.slice(end + 1, end + SHOWN_OF_LONG)}`;
  return asRecord({ ...members, text, cut: { length } });
}

/** @returns how many objects, arrays and commas a JSON text has outside of strings. */
function structureOf(text: string): number {
  let count = 0;
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    if (unit === QUOTE) at = stringEnd(text, at) - 1;
    else if (unit === COMMA || (unit & 0xdf) === 0x5b) count++;
  }
  return count;
}

/** @returns a member that is text, or null. */
export function textOf(record: AuditRecord, name: string): string | null {
  const value = record.members[name];
  return typeof value === 'string' ? value : null;
}

/** @returns a member that is a number, or null. */
export function numberOf(record: AuditRecord, name: string): number | null {
  const value = record.members[name];
  return typeof value === 'number' ? value : null;
}

/** @returns a member that is an object, or null. */
export function objectOf(record: AuditRecord, name: string): JsonObject | null {
  const value: JsonValue | undefined = record.members[name];
  return isJsonObject(value) ? value : null;
}

/**
 * @param name of a member of the record in `line`, which is one
 * @returns the member's value as it is written there, or null
 */
export function memberText(line: string, name: string): string | null {
  const key = JSON.stringify(name);
  for (let at = 1; at < line.length; ) {
    const keyEnd = stringEnd(line, at);
    const end = valueEnd(line, keyEnd + 1);
    if (line.startsWith(key, at) && keyEnd === at + key.length) return line.slice(keyEnd + 1, end);
    // A comma, or the end.
    at = end + 1;
  }
  return null;
}

/** @returns the exact bytes of the message of the record in `line`, if they were kept whole and nothing was removed from them. */
export function exactMessage(line: string, record: AuditRecord): Buffer | null {
  const { text, latin1, cut, redacted, message } = record.members;
  if (cut !== undefined || redacted !== undefined) return null;
  if (typeof text === 'string') return Buffer.from(text);
  if (typeof latin1 === 'string') return Buffer.from(latin1, 'latin1');
  return message === undefined ? null : Buffer.from(messageText(line, record));
}

/** @returns how many bytes the message of the record in `line` had. */
export function messageLength(line: string, record: AuditRecord): number {
  const length = objectOf(record, 'cut')?.['length'];
  if (typeof length === 'number') return length;
  const { text, latin1 } = record.members;
  if (typeof text === 'string') return Buffer.byteLength(text);
  if (typeof latin1 === 'string') return latin1.length;
  return Buffer.byteLength(messageText(line, record));
}

const MESSAGE = ',"message":';

/** @returns the member `message` as it is written. */
function messageText(line: string, record: AuditRecord): string {
  const { id, reply, redacted, hash } = record.members;
  // Nearly always it is the last member but for the hash, and nothing before it has a member of that name in it.
  if (typeof id === 'object' || reply !== undefined || redacted !== undefined) return memberText(line, 'message') ?? '';
  const start = line.indexOf(MESSAGE) + MESSAGE.length;
  return line.slice(start, hash === undefined ? -1 : -(HASH_MEMBER.length + HASH_LENGTH + 2));
}

/** @returns the end of the string that begins at `at`. */
function stringEnd(line: string, at: number): number {
  for (let close = line.indexOf('"', at + 1); close >= 0; close = line.indexOf('"', close + 1)) {
    let backslashes = 0;
    while (line.charCodeAt(close - 1 - backslashes) === BACKSLASH) backslashes++;
    if (backslashes % 2 === 0) return close + 1;
  }
  return line.length;
}

/** @returns the end of the value that begins at `at`. */
function valueEnd(line: string, at: number): number {
  let depth = 0;
  for (let i = at; i < line.length; i++) {
    const unit = line.charCodeAt(i);
    if (unit === QUOTE) i = stringEnd(line, i) - 1;
    // Brackets and braces differ in a bit.
    else if ((unit & 0xdf) === 0x5b) depth++;
    else if ((unit & 0xdf) === 0x5d) {
      if (depth === 0) return i;
      depth--;
    } else if (unit === COMMA && depth === 0) return i;
    else continue;
    // A string, an object or a list has ended, or is still open.
    if (depth === 0) return i + 1;
  }
  return line.length;
}
