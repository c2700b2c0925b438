/** One occurrence as a line for people. */
import { formatJson, isJsonObject, type JsonObject, type JsonValue } from '../qmp/value.js';
import type { Occurrence } from './filter.js';
import { type AuditRecord, numberOf, objectOf, textOf } from './record.js';

export interface LineStyle {
  readonly isColoured: boolean;
  /** Longer lines are cut; 0 for never. */
  readonly width: number;
}

const ESCAPE = '\u001b[';
const COLOURS = {
  dim: '2',
  red: '31',
  green: '32',
  yellow: '33',
  blue: '34',
  magenta: '35',
  cyan: '36',
  bold: '1',
} as const;
type Colour = keyof typeof COLOURS;

const WHO = 20;
const WHAT = 26;
const RESULT = 10;

/** What an occurrence comes to, in a word, and how that is coloured. */
interface Outcome {
  readonly word: string;
  readonly colour: Colour;
  /** Microseconds, or null. */
  readonly took: number | null;
  readonly detail: string;
}

/** @returns the line, without its end. Nothing in it can move a terminal's cursor, whatever a client has sent. */
export function formatLine(occurrence: Occurrence, style: LineStyle): string {
  const { record } = occurrence;
  const outcome = outcomeOf(occurrence);
  const paint = (text: string, colour: Colour) =>
    style.isColoured ? `${ESCAPE}${COLOURS[colour]}m${text}${ESCAPE}0m` : text;
  const time = record.time.replace('T', ' ');
  const who = cell(whoOf(record), WHO);
  const what = cell(whatOf(record), WHAT);
  const word = cell(outcome.word, RESULT);
  const took = outcome.took === null ? ' '.repeat(9) : formatDuration(outcome.took).padStart(9);
  const plain = `${time}  ${who}  ${what}  ${word}  ${took}  `;
  const room = style.width === 0 ? Number.POSITIVE_INFINITY : Math.max(0, style.width - plain.length);
  const detail = visible(outcome.detail);
  const shown = detail.length > room ? `${detail.slice(0, Math.max(0, room - 1))}…` : detail;
  const whatColour: Colour = record.kind === 'command' || record.kind === 'denied' ? 'bold' : 'dim';
  const line = `${paint(time, 'dim')}  ${paint(who, 'cyan')}  ${paint(what, whatColour)}  ${paint(word, outcome.colour)}  ${took}  ${paint(shown, 'dim')}`;
  return style.isColoured ? line : line.trimEnd();
}

/** @returns microseconds in the unit that suits them, with three digits or so. */
export function formatDuration(microseconds: number): string {
  if (microseconds < 1000) return `${Math.round(microseconds)} µs`;
  if (microseconds < 1e6) return `${(microseconds / 1000).toFixed(microseconds < 1e4 ? 2 : 1)} ms`;
  return `${(microseconds / 1e6).toFixed(microseconds < 1e7 ? 2 : 1)} s`;
}

/** @returns who a record is about: the client, or the VM. */
export function whoOf(record: AuditRecord): string {
  const client = numberOf(record, 'client');
  if (client === null) return textOf(record, 'monitor') ?? 'qmpmux';
  const peer = objectOf(record, 'peer');
  const at = (name: string) => {
    const value = peer?.[name];
    return typeof value === 'string' || typeof value === 'number' ? String(value) : null;
  };
  const pid = at('pid');
  const name = at('program') ?? (pid === null ? null : `pid ${pid}`);
  const uid = at('uid');
  if (name !== null) return `#${client} ${name}${uid === null ? '' : `(${uid})`}`;
  const address = at('address');
  return address === null ? `#${client}` : `#${client} ${address}:${at('port') ?? ''}`;
}

function whatOf(record: AuditRecord): string {
  switch (record.kind) {
    case 'command':
    case 'denied':
      return `${textOf(record, 'command') ?? ''}${record.members['oob'] === true ? ' (oob)' : ''}`;
    case 'event':
      return `* ${textOf(record, 'event') ?? ''}`;
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
    case 'stray':
      return record.kind;
  }
}

function outcomeOf({ record, answer }: Occurrence): Outcome {
  switch (record.kind) {
    case 'command':
      return answer === null
        ? { word: 'no answer', colour: 'yellow', took: null, detail: argumentsOf(record) }
        : {
            ...outcomeOfAnswer(answer),
            detail: [argumentsOf(record), outcomeOfAnswer(answer).detail].filter(Boolean).join(' → '),
          };
    case 'reply':
    case 'error':
    case 'unanswered':
      return outcomeOfAnswer(record);
    case 'denied':
      return {
        word: 'denied',
        colour: 'red',
        took: null,
        detail: `${textOf(record, 'rule') ?? ''} ${argumentsOf(record)}`.trim(),
      };
    case 'malformed':
      return { word: 'malformed', colour: 'red', took: null, detail: malformedDetail(record) };
    case 'event':
      return {
        word: `to ${numberOf(record, 'receivers') ?? 0}`,
        colour: 'magenta',
        took: null,
        detail: dataOf(record),
      };
    case 'connect':
      return { word: '', colour: 'green', took: null, detail: textOf(record, 'listener') ?? '' };
    case 'negotiated':
      return { word: '', colour: 'green', took: null, detail: formatJson(record.members['capabilities'] ?? []) };
    case 'disconnect':
    case 'refused':
    case 'paused':
    case 'stray':
      return { word: '', colour: 'yellow', took: null, detail: textOf(record, 'reason') ?? '' };
    case 'descriptors':
      return { word: '', colour: 'green', took: null, detail: descriptorsDetail(record) };
    case 'upstream':
      return {
        word: '',
        colour: 'blue',
        took: null,
        detail: textOf(record, 'reason') ?? textOf(record, 'version') ?? '',
      };
    case 'daemon':
      return { word: '', colour: 'blue', took: null, detail: daemonDetail(record) };
  }
}

function descriptorsDetail(record: AuditRecord): string {
  const { descriptors } = record.members;
  const each = Array.isArray(descriptors) ? descriptors.filter(isJsonObject) : [];
  const names = each.map(({ type, path }) => (typeof path === 'string' ? path : typeof type === 'string' ? type : '?'));
  return [names.join(', '), textOf(record, 'reason')].filter(Boolean).join(': ');
}

function outcomeOfAnswer(answer: AuditRecord): Outcome {
  const took = numberOf(answer, 'latency');
  const source = textOf(answer, 'source');
  const suffix = source === null || source === 'upstream' ? '' : ` ${source}`;
  const message = objectOf(answer, 'message');
  if (answer.kind === 'reply') {
    const detail = message === null ? messageText(answer) : write(message['return'] ?? null);
    return { word: `ok${suffix}`, colour: 'green', took, detail };
  }
  if (answer.kind === 'error') {
    const error = message?.['error'];
    const desc = isJsonObject(error) ? error['desc'] : undefined;
    return {
      word: `error${suffix}`,
      colour: 'red',
      took,
      detail: typeof desc === 'string' ? desc : messageText(answer),
    };
  }
  return { word: answer.kind, colour: 'red', took, detail: textOf(answer, 'rule') ?? textOf(answer, 'reason') ?? '' };
}

function argumentsOf(record: AuditRecord): string {
  const message = objectOf(record, 'message');
  if (message === null) return messageText(record);
  const given = message['arguments'];
  return isJsonObject(given) ? assignments(given) : '';
}

/** `a=1 b="x"`: how the arguments would be typed, more or less. */
function assignments(object: JsonObject): string {
  return Object.entries(object)
    .map(([name, value]) => `${name}=${write(value)}`)
    .join(' ');
}

function dataOf(record: AuditRecord): string {
  const data = objectOf(record, 'message')?.['data'];
  return isJsonObject(data) ? assignments(data) : '';
}

/** A record of its own has the input; a sum says how much there was. */
function malformedDetail(record: AuditRecord): string {
  const count = numberOf(record, 'count');
  return count === null ? messageText(record) : `${count} more, ${numberOf(record, 'length') ?? 0} bytes in all`;
}

function messageText(record: AuditRecord): string {
  const { message } = record.members;
  return message === undefined ? (textOf(record, 'text') ?? textOf(record, 'latin1') ?? '') : write(message);
}

function daemonDetail(record: AuditRecord): string {
  const skipped = new Set(['v', 'seq', 'time', 'mono', 'kind', 'action', 'hash', 'settings', 'previous']);
  return assignments(Object.fromEntries(Object.entries(record.members).filter(([name]) => !skipped.has(name))));
}

function write(value: JsonValue): string {
  try {
    return formatJson(value);
  } catch {
    // Half a surrogate pair: QEMU would not have sent it, but a log may hold anything.
    return JSON.stringify(value, (_, item: unknown) => (typeof item === 'bigint' ? String(item) : item));
  }
}

function cell(text: string, width: number): string {
  const shown = visible(text);
  return shown.length > width ? `${shown.slice(0, width - 1)}…` : shown.padEnd(width);
}

/** @returns `text` with what a terminal would act upon, or show as something else, spelled out. */
function visible(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`,
  );
}
