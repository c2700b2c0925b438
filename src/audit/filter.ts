/** Which records a reader wants to see. */
import { AuditSettingError } from './errors.js';
import { isKind, KINDS, type Kind } from './kinds.js';
import { type AuditRecord, numberOf, objectOf, textOf } from './record.js';

export interface Filter {
  /** A client's number, or its program's name. */
  readonly client: string | null;
  readonly uid: number | null;
  readonly command: RegExp | null;
  readonly kinds: ReadonlySet<Kind> | null;
  /** Milliseconds since 1970. */
  readonly since: number | null;
  readonly until: number | null;
  /** Only commands whose answer took at least so many microseconds. */
  readonly slow: number | null;
  /** Only what went wrong. */
  readonly errors: boolean;
}

export const EVERYTHING: Filter = {
  client: null,
  uid: null,
  command: null,
  kinds: null,
  since: null,
  until: null,
  slow: null,
  errors: false,
};

/** An occurrence: a record, and the one that answers it. */
export interface Occurrence {
  readonly record: AuditRecord;
  /** The reply, error, denial or the like of a command; null for other records, and where there is none (yet). */
  readonly answer: AuditRecord | null;
}

const FAILURES: ReadonlySet<Kind> = new Set<Kind>(['error', 'denied', 'malformed', 'unanswered', 'stray', 'refused']);

/** @returns whether the filter lets an occurrence through. */
export function matches(filter: Filter, { record, answer }: Occurrence): boolean {
  if (filter.kinds !== null && !filter.kinds.has(record.kind) && (answer === null || !filter.kinds.has(answer.kind)))
    return false;
  if (filter.since !== null || filter.until !== null) {
    const time = Date.parse(record.time);
    if (filter.since !== null && time < filter.since) return false;
    if (filter.until !== null && time > filter.until) return false;
  }
  const peer = objectOf(record, 'peer');
  if (filter.uid !== null && peer?.['uid'] !== filter.uid) return false;
  if (
    filter.client !== null &&
    String(numberOf(record, 'client')) !== filter.client &&
    peer?.['program'] !== filter.client
  )
    return false;
  if (filter.command !== null) {
    const name = textOf(record, 'command');
    if (name === null || !filter.command.test(name)) return false;
  }
  if (filter.slow !== null && (answer === null || (numberOf(answer, 'latency') ?? 0) < filter.slow)) return false;
  return !filter.errors || FAILURES.has(record.kind) || (answer !== null && FAILURES.has(answer.kind));
}

/** @returns a pattern for a command's name in which `*` is any text and `?` any character. */
export function parseGlob(glob: string): RegExp {
  const expression = glob
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  return new RegExp(`^(?:${expression})$`, 's');
}

/** @throws AuditSettingError for what is no kind of record */
export function parseKinds(names: readonly string[]): ReadonlySet<Kind> {
  const kinds = new Set<Kind>();
  for (const name of names.flatMap((each) => each.split(','))) {
    if (!isKind(name)) throw new AuditSettingError(`'${name}' is no kind of record; there are: ${KINDS.join(', ')}`);
    kinds.add(name);
  }
  return kinds;
}

const UNITS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/**
 * Reads a moment: `2026-01-31`, `2026-01-31T23:59` (local time unless a zone is given), `23:59` of today, or `90s`, `5m`, `2h`, `1d` ago.
 * @param now milliseconds since 1970
 * @throws AuditSettingError
 */
export function parseMoment(text: string, now: number): number {
  const ago = /^(\d{1,6})([smhd])$/.exec(text);
  if (ago !== null) return now - Number(ago[1]) * (UNITS[ago[2] ?? ''] ?? 0);
  const day = new Date(now);
  const pad = (value: number) => String(value).padStart(2, '0');
  const today = `${day.getFullYear()}-${pad(day.getMonth() + 1)}-${pad(day.getDate())}`;
  const full = /^\d{1,2}:\d\d/.test(text) ? `${today}T${text.padStart(5, '0')}` : text.replace(' ', 'T');
  // A date alone would be taken for UTC.
  const time = Date.parse(/^\d{4}-\d\d-\d\d$/.test(full) ? `${full}T00:00` : full);
  if (!/^\d{4}-\d\d-\d\d/.test(full) || Number.isNaN(time)) {
    throw new AuditSettingError(`'${text}' is no time: write 2026-01-31T23:59, 23:59, or 5m, 2h, 1d for so long ago`);
  }
  return time;
}
