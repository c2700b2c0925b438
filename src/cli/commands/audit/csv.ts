/**
 * Occurrences of an audit log as CSV (RFC 4180), for spreadsheets: a command and its answer are one row, all rows have the same columns.
 * A cell that a spreadsheet would take for a formula begins with an apostrophe: names and arguments come from clients.
 */

import type { Kind } from '../../../audit/log/kinds.js';
import { numberOf, objectOf, textOf } from '../../../audit/log/record.js';
import { brief } from '../../../audit/read/brief.js';
import { argumentsOf } from '../../../audit/read/deed.js';
import type { Entry } from '../../../audit/read/join-replies.js';
import { momentParts, type Zone } from '../../../audit/read/moment.js';
import type { JsonValue } from '../../../qmp/json/value.js';
import { printable } from '../../../shared/printable.js';
import { outcomeOf, whatOf } from './outcome.js';

const COLUMNS = [
  'time',
  'log',
  'monitor',
  'run',
  'client',
  'program',
  'pid',
  'uid',
  'user',
  'login',
  'address',
  'listener',
  'kind',
  'what',
  'result',
  'latency_us',
  'arguments',
  'answer',
  'seq',
  'answer_seq',
] as const;

/** Records that are an outcome by themselves. */
const FATES: ReadonlySet<Kind> = new Set<Kind>(['denied', 'malformed', 'reply', 'error', 'unanswered', 'refused']);

/** @returns the first row. */
export function csvHead(): string {
  return `${COLUMNS.join(',')}\r\n`;
}

/** @param most the most characters of arguments and answer, each */
export function csvRow(entry: Entry, zone: Zone, most: number): string {
  const { record, answer, log, run } = entry;
  const peer = objectOf(record, 'peer') ?? {};
  const port = peer['port'];
  const parts = momentParts(record.time, zone, true);
  const isCommand = record.kind === 'command' || record.kind === 'denied';
  const given = isCommand ? argumentsOf(record) : null;
  const client = numberOf(record, 'client');
  const cells: Record<(typeof COLUMNS)[number], JsonValue | undefined> = {
    time: parts === null ? record.time : `${parts.day}T${parts.clock}${parts.offset}`,
    log,
    monitor: textOf(record, 'monitor') ?? '',
    run: client === null ? '' : run,
    client: client ?? '',
    program: peer['program'],
    pid: peer['pid'],
    uid: peer['uid'],
    user: peer['user'],
    login: peer['login'] ?? peer['loginuid'],
    address: port === undefined ? peer['address'] : `${text(peer['address'])}:${text(port)}`,
    listener: textOf(record, 'listener') ?? '',
    kind: record.kind,
    what: whatOf(record),
    result:
      answer !== null
        ? answer.kind
        : record.kind === 'command'
          ? 'no answer'
          : FATES.has(record.kind)
            ? record.kind
            : '',
    latency_us: answer === null ? '' : (numberOf(answer, 'latency') ?? ''),
    arguments: given === null ? outcomeOf({ ...entry, answer: null }, most).detail : brief(given, most),
    answer: answer === null ? '' : outcomeOf({ ...entry, record: answer, answer: null }, most).detail,
    seq: record.seq,
    answer_seq: answer === null ? '' : answer.seq,
  };
  return `${COLUMNS.map((name) => cell(cells[name])).join(',')}\r\n`;
}

function cell(value: JsonValue | undefined): string {
  if (value === undefined || value === null) return '';
  if (typeof value === 'number') return String(value);
  const shown = printable(text(value));
  const harmless = /^[=+\-@]/.test(shown) ? `'${shown}` : shown;
  return /[",]|^ | $/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
}

const LONGEST_NAME = 1000;

function text(value: JsonValue | undefined): string {
  return typeof value === 'string' ? value : brief(value ?? null, LONGEST_NAME);
}
