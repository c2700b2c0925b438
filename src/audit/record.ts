/** Records as readers of a log see them: one line of it, parsed. What they may hold is said in record.schema.json. */
import { isJsonObject, type JsonObject, type JsonValue, parseJson } from '../qmp/value.js';
import { HASH_LENGTH, HASH_MEMBER } from './chain.js';
import { isKind, type Kind } from './kinds.js';

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

/** @returns the record that a line of a log is, or null. */
export function parseRecord(line: string): AuditRecord | null {
  if (!line.startsWith('{"v":')) return null;
  const parsed = parseJson(line);
  if (!parsed.ok || !isJsonObject(parsed.value)) return null;
  const members = parsed.value;
  const { seq, time, mono, kind } = members;
  if (typeof seq !== 'number' || typeof time !== 'string' || typeof mono !== 'number') return null;
  if (typeof kind !== 'string' || !isKind(kind)) return null;
  return { seq, time, mono, kind, members };
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

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;

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
