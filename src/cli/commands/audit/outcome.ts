/** An occurrence and its outcome, in words: for lines and for cells of CSV. */
import { type AuditRecord, numberOf, objectOf, textOf } from '../../../audit/log/record.js';
import { brief, start } from '../../../audit/read/brief.js';
import { deedOf, messageOf } from '../../../audit/read/deed.js';
import type { Occurrence } from '../../../audit/read/filter.js';
import { isJsonObject, type JsonObject } from '../../../qmp/json/value.js';
import type { Style } from '../../screen/colour.js';

/** The outcome of an occurrence, in a word, and its style. */
export interface Outcome {
  readonly word: string;
  readonly style: Style;
  /** Microseconds, or null. */
  readonly took: number | null;
  readonly detail: string;
}

/** Names of hostile length are not measured and painted in full, in characters. */
const LONGEST_NAME = 256;

export function inShort(text: string): string {
  return text.length > LONGEST_NAME ? text.slice(0, LONGEST_NAME) : text;
}

/** @returns the occurrence: the command, the event, the change. */
export function whatOf(record: AuditRecord): string {
  switch (record.kind) {
    case 'command':
    case 'denied':
      return `${deedOf(record).name.trim()}${record.members['oob'] === true ? ' (oob)' : ''}`;
    case 'event':
      return `* ${textOf(record, 'event') ?? ''}`;
    case 'probe':
      return `probe ${textOf(record, 'command') ?? `${numberOf(record, 'of') ?? '?'}`}${record.members['oob'] === true ? ' (oob)' : ''}`;
    case 'upstream':
      return `upstream ${textOf(record, 'state') ?? ''}`;
    case 'daemon':
      return `qmpmux ${textOf(record, 'action') ?? ''}`;
    case 'reply':
    case 'error':
    case 'unanswered':
      return `${record.kind} to ${numberOf(record, 'of') ?? '?'}`;
    case 'descriptors':
      return `descriptors ${numberOf(record, 'count') ?? 0}`;
    case 'connect':
    case 'disconnect':
    case 'malformed':
    case 'negotiated':
    case 'refused':
    case 'paused':
    case 'left-out':
    case 'stray':
      return record.kind;
  }
}

/** @param most characters of its detail, about */
export function outcomeOf({ record, answer }: Occurrence, most: number): Outcome {
  const plain = (word: string, style: Style, detail: string): Outcome => ({ word, style, took: null, detail });
  switch (record.kind) {
    case 'command': {
      if (answer === null) return plain('no answer', 'yellow', argumentsText(record, most));
      // The answer is seen, however long the arguments are.
      const given = argumentsText(record, (most * 3) / 4);
      const outcome = outcomeOfAnswer(answer, most - given.length);
      return { ...outcome, detail: [given, outcome.detail].filter(Boolean).join(' → ') };
    }
    case 'reply':
    case 'error':
    case 'unanswered':
      return outcomeOfAnswer(record, most);
    case 'denied':
      return plain('denied', 'red', [ruleOf(record), argumentsText(record, most)].filter(Boolean).join(' '));
    case 'malformed':
      return plain('malformed', 'red', malformedDetail(record, most));
    case 'event':
      return plain(`to ${numberOf(record, 'receivers') ?? 0}`, 'magenta', dataOf(record, most));
    case 'connect':
      return plain('', 'green', connectDetail(record));
    case 'negotiated':
      return plain('', 'green', brief(record.members['capabilities'] ?? [], most));
    case 'left-out':
      return plain('counted', 'dim', leftOutDetail(record, most));
    case 'disconnect':
    case 'refused':
    case 'paused':
    case 'stray':
      return plain('', 'yellow', start(textOf(record, 'reason') ?? '', most));
    case 'descriptors':
      return plain('', 'green', start(descriptorsDetail(record), most));
    case 'probe':
      return probeOutcome(record, most);
    case 'upstream':
      return plain('', 'blue', start(textOf(record, 'reason') ?? textOf(record, 'version') ?? '', most));
    case 'daemon':
      return plain('', 'blue', daemonDetail(record, most));
  }
}

/** Facts about a client that only the record of its connection has: its listener, its unit, its file. */
function connectDetail(record: AuditRecord): string {
  const peer = objectOf(record, 'peer');
  const more = (['unit', 'exe'] as const).map((name) => {
    const value = peer?.[name];
    return typeof value === 'string' ? `${name}=${inShort(value)}` : '';
  });
  return [inShort(textOf(record, 'listener') ?? ''), ...more].filter(Boolean).join(' ');
}

/** The probe itself, or its outcome. */
function probeOutcome(record: AuditRecord, most: number): Outcome {
  const word = textOf(record, 'outcome');
  if (word === null) return { word: '', style: 'blue', took: null, detail: 'asked by qmpmux itself' };
  const detail = start(textOf(record, 'reason') ?? messageText(record, most), most);
  return { word: inShort(word), style: word === 'ok' ? 'blue' : 'yellow', took: numberOf(record, 'latency'), detail };
}

/** How often each command was left out: `query-status=60 query-block=60 errors=1`. */
function leftOutDetail(record: AuditRecord, most: number): string {
  const { commands, errors, unanswered } = record.members;
  const faults = Object.entries({ errors, unanswered }).flatMap(([name, count]) =>
    typeof count === 'number' ? [`${name}=${count}`] : [],
  );
  return [isJsonObject(commands) ? assignments(commands, most) : '', ...faults].filter(Boolean).join(' ');
}

function ruleOf(record: AuditRecord): string {
  return inShort(textOf(record, 'rule') ?? '');
}

function descriptorsDetail(record: AuditRecord): string {
  const { descriptors } = record.members;
  const each = Array.isArray(descriptors) ? descriptors.filter(isJsonObject) : [];
  const names = each.map(({ type, path }) => (typeof path === 'string' ? path : typeof type === 'string' ? type : '?'));
  return [names.join(', '), textOf(record, 'reason')].filter(Boolean).join(': ');
}

function outcomeOfAnswer(answer: AuditRecord, most: number): Outcome {
  const took = numberOf(answer, 'latency');
  const source = textOf(answer, 'source');
  const suffix = source === null || source === 'upstream' ? '' : ` ${source}`;
  const message = objectOf(answer, 'message');
  if (answer.kind === 'reply') {
    const detail = message === null ? messageText(answer, most) : brief(message['return'] ?? null, most);
    return { word: `ok${suffix}`, style: 'green', took, detail };
  }
  if (answer.kind === 'error') {
    const error = message?.['error'];
    const desc = isJsonObject(error) ? error['desc'] : undefined;
    const detail = typeof desc === 'string' ? start(desc, most) : messageText(answer, most);
    return { word: `error${suffix}`, style: 'red', took, detail };
  }
  const reason = ruleOf(answer) || start(textOf(answer, 'reason') ?? '', most);
  return { word: answer.kind, style: 'red', took, detail: reason };
}

/** @returns a command's arguments: how they would be typed, more or less. */
function argumentsText(record: AuditRecord, most: number): string {
  const { rest } = deedOf(record);
  if (rest !== null) return start(rest, most);
  const message = messageOf(record);
  if (message === null) return messageText(record, most);
  const given = message['arguments'];
  return isJsonObject(given) ? assignments(given, most) : '';
}

function assignments(object: JsonObject, most: number): string {
  let text = '';
  for (const name of Object.keys(object)) {
    if (text.length > most) return `${text} …`;
    text += `${text === '' ? '' : ' '}${start(name, most)}=${brief(object[name] ?? null, most - text.length)}`;
  }
  return text;
}

function dataOf(record: AuditRecord, most: number): string {
  const data = objectOf(record, 'message')?.['data'];
  return isJsonObject(data) ? assignments(data, most) : '';
}

/** A single record has the input; a sum gives its amount. */
function malformedDetail(record: AuditRecord, most: number): string {
  const count = numberOf(record, 'count');
  return count === null ? messageText(record, most) : `${count} more, ${numberOf(record, 'length') ?? 0} bytes in all`;
}

function messageText(record: AuditRecord, most: number): string {
  const { message } = record.members;
  if (message !== undefined) return brief(message, most);
  return start(textOf(record, 'text') ?? textOf(record, 'latin1') ?? '', most);
}

function daemonDetail(record: AuditRecord, most: number): string {
  const skipped = new Set(['v', 'seq', 'time', 'mono', 'kind', 'action', 'hash', 'settings', 'previous']);
  return assignments(Object.fromEntries(Object.entries(record.members).filter(([name]) => !skipped.has(name))), most);
}
