/** Records as readers of a log see them: one line of it, parsed. record.schema.json defines their members. */
import { isJsonObject, type JsonObject, type JsonValue, parseJson } from '../../qmp/json/value.js';
import { HASH_LENGTH, HASH_MEMBER } from './chain.js';
import { isKind, type Kind } from './kinds.js';
import type { LogLine } from './log-lines.js';
import { memberText, structureOf } from './member-text.js';

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

/** A longer line is looked through before it is parsed, in characters. */
const LONGEST_UNCHECKED = 1024 * 1024;
/** A parsed value takes up to 64 bytes for each of these in its text. QEMU takes no message with more than half as many. */
const MOST_VALUES = 4 * 1024 * 1024;

/**
 * @returns the record that a line of a log is, or null. Of one with more values in it than QEMU takes only the members before its
 * message are there, and the beginning of that as `text`.
 */
export function parseRecord(line: string): AuditRecord | null {
  if (!line.startsWith('{"v":')) return null;
  if (line.length > LONGEST_UNCHECKED && structureOf(line) > MOST_VALUES)
    return beginningOfRecord(line, Buffer.byteLength(line));
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

/** @returns the record that a line of a log is, or null: of one that is too long to be read, the members in its beginning. */
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

/** Members that may be long; the members that identify a record come before them. */
const LONG_MEMBERS = ['id', 'id_text', 'rule', 'reason', 'message', 'text', 'latin1', 'reply', 'redacted'];
const SHOWN_OF_LONG = 1000;

/** @param length of the whole line, in bytes */
function beginningOfRecord(line: string, length: number): AuditRecord | null {
  const beginning = line.slice(0, 4096);
  // No string contains a comma, a quote, a name and a quote: quotes in it have backslashes.
  const ends = LONG_MEMBERS.map((name) => beginning.indexOf(`,"${name}":`)).filter((at) => at >= 0);
  const end = Math.min(...ends, beginning.length);
  const members = beginning.startsWith('{"v":') ? parseLoosely(`${beginning.slice(0, end)}}`) : null;
  if (members === null) return null;
  const text = `(of a record of ${length} bytes) ${beginning.slice(end + 1, end + SHOWN_OF_LONG)}`;
  return asRecord({ ...members, text, cut: { length } });
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
