/** Which records a reader wants to see. */
import { matchesGlob } from '../../shared/glob.js';
import { AuditSettingError } from '../log/errors.js';
import { isKind, KINDS, type Kind } from '../log/kinds.js';
import { type AuditRecord, numberOf, objectOf, textOf } from '../log/record.js';
import { deedOf } from './deed.js';
import { timeOf } from './moment.js';

export interface Filter {
  /** A client's number (`5`), or that with its monitor (`web1#5`) and its run of the daemon (`web1#5/2`), or its program's name. */
  readonly client: string | null;
  /** The uid of the client, or of the user who logged in and then became that uid. */
  readonly uid: number | null;
  /** A glob for the monitor's name. */
  readonly monitor: string | null;
  /** A glob for any of a command's names: its own, the verb of its HMP line, an action of its transaction. */
  readonly command: string | null;
  /** A text that the record or its answer has, in all its spellings: see `spellingsOf`. */
  readonly match: readonly string[] | null;
  readonly kinds: ReadonlySet<Kind> | null;
  /** Milliseconds since 1970. */
  readonly since: number | null;
  readonly until: number | null;
  /** Only commands whose answer took at least this long, in microseconds. */
  readonly slow: number | null;
  /** Only failures. */
  readonly errors: boolean;
}

/** An occurrence: a record, and the one that answers it. */
export interface Occurrence {
  readonly record: AuditRecord;
  /** The reply, error, denial or the like of a command; null for other records, and where there is none (yet). */
  readonly answer: AuditRecord | null;
  /** Their lines, for searches by text. */
  readonly line: string;
  readonly answerLine: string | null;
  /** The run of the daemon within the part of its log that is read, from 1. Clients are counted from 1 in each. */
  readonly run: number;
}

const FAILURES: ReadonlySet<Kind> = new Set<Kind>(['error', 'denied', 'malformed', 'unanswered', 'stray', 'refused']);

/** @returns whether the filter lets an occurrence through. */
export function matches(filter: Filter, occurrence: Occurrence): boolean {
  const { record, answer } = occurrence;
  if (filter.kinds !== null && !filter.kinds.has(record.kind) && (answer === null || !filter.kinds.has(answer.kind)))
    return false;
  if (filter.since !== null || filter.until !== null) {
    const time = timeOf(record.time);
    if (time === null || (filter.since !== null && time < filter.since)) return false;
    if (filter.until !== null && time > filter.until) return false;
  }
  if (filter.monitor !== null) {
    const monitor = textOf(record, 'monitor');
    if (monitor === null || !matchesGlob(filter.monitor, monitor)) return false;
  }
  const peer = objectOf(record, 'peer');
  if (filter.uid !== null && peer?.['uid'] !== filter.uid && peer?.['loginuid'] !== filter.uid) return false;
  if (filter.client !== null && !clientNames(occurrence).includes(filter.client) && peer?.['program'] !== filter.client)
    return false;
  if (filter.command !== null) {
    if (record.kind !== 'command' && record.kind !== 'denied') return false;
    const { command } = filter;
    if (!deedOf(record).names.some((name) => matchesGlob(command, name))) return false;
  }
  if (filter.slow !== null && (answer === null || (numberOf(answer, 'latency') ?? 0) < filter.slow)) return false;
  if (filter.errors && !FAILURES.has(record.kind) && (answer === null || !FAILURES.has(answer.kind))) return false;
  const { match } = filter;
  if (match === null) return true;
  const { line, answerLine } = occurrence;
  return hasText(line, match) || (answerLine !== null && hasText(answerLine, match));
}

/** @returns the names under which a record's client is found; none for records about the VM or the daemon. */
function clientNames({ record, run }: Occurrence): readonly string[] {
  const client = numberOf(record, 'client');
  if (client === null) return [];
  const name = `${textOf(record, 'monitor') ?? ''}#${client}`;
  return [String(client), name, `${name}/${run}`, ...(run === 1 ? [] : [`#${client}/${run}`])];
}

/** @returns how a text may be written in JSON: unchanged, with only the necessary escapes, and with all but ASCII escaped. */
export function spellingsOf(text: string): string[] {
  const escaped = JSON.stringify(text).slice(1, -1);
  const ascii = (digits: (hex: string) => string) =>
    escaped.replace(/[\u007f-\uffff]/g, (unit) => `\\u${digits(unit.charCodeAt(0).toString(16).padStart(4, '0'))}`);
  return [...new Set([text, escaped, ascii((hex) => hex), ascii((hex) => hex.toUpperCase())])];
}

const KIND_MEMBER = '"kind":';
const HASH_MEMBER = ',"hash":"';

/** @returns whether a record's content has one of the texts; its number, time and hash do not count. */
function hasText(line: string, texts: readonly string[]): boolean {
  const start = Math.max(0, line.indexOf(KIND_MEMBER));
  const hash = line.lastIndexOf(HASH_MEMBER);
  const end = hash < 0 || hash < line.length - 80 ? line.length : hash;
  return texts.some((text) => {
    const at = line.indexOf(text, start);
    return at >= 0 && at + text.length <= end;
  });
}

/** @throws AuditSettingError for an unknown kind of record */
export function parseKinds(names: readonly string[]): ReadonlySet<Kind> {
  const kinds = new Set<Kind>();
  for (const name of names.flatMap((each) => each.split(','))) {
    if (!isKind(name))
      throw new AuditSettingError(`'${name}' is not a kind of record; the kinds are: ${KINDS.join(', ')}`);
    kinds.add(name);
  }
  return kinds;
}
