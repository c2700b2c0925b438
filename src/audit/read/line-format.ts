/** One occurrence as a line for people. */
import stringWidth from 'string-width';
import { isJsonArray, isJsonObject, type JsonObject, type JsonValue } from '../../qmp/json/value.js';
import { type PeerFacts, peerText, readPeerFacts } from '../../shared/peer-text.js';
import { printable } from '../../shared/printable.js';
import { type AuditRecord, numberOf, objectOf, textOf } from '../log/record.js';
import { deedOf, messageOf } from './deed.js';
import type { Occurrence } from './filter.js';
import type { Entry } from './join-replies.js';
import { type MomentParts, momentParts, type Zone } from './moment.js';

export interface LineStyle {
  readonly isColoured: boolean;
  /** Longer lines are cut; 0 for never. */
  readonly width: number;
  /** The most characters that are shown of arguments and answer, each; 0 for all. */
  readonly most: number;
  readonly zone: Zone;
  /** Times with microseconds. */
  readonly isPrecise: boolean;
  /** Whether lines say which log they are from. */
  readonly hasLogs: boolean;
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

/** Below this width the day stands in a line of its own. */
const WIDE = 110;
/** What is left to arguments and answer, at least: so much, or this part of the line. */
const LEAST_DETAIL = 22;
const DETAIL_SHARE = 0.3;
/** No column is cut below this, nor, where lines have no width, above that. */
const NARROWEST = 8;
const WIDEST = 64;

/** What an occurrence comes to, in a word, and how that is coloured. */
interface Outcome {
  readonly word: string;
  readonly colour: Colour;
  /** Microseconds, or null. */
  readonly took: number | null;
  readonly detail: string;
}

/** The columns of a line, but for the time and the last one. */
interface Cells {
  readonly log: string;
  readonly who: string;
  /** The same, for a column in which that has no room. */
  readonly shortWho: string;
  readonly what: string;
  readonly word: string;
  readonly took: string;
}

type Widths = Record<Exclude<keyof Cells, 'shortWho'>, number>;

/**
 * Lays lines out in columns as wide as what stands in them. What has not been seen yet may need more: a column grows, and lines
 * before it keep their narrower one.
 */
export class LineLayout {
  readonly #style: LineStyle;
  readonly #widest: Widths = { log: 0, who: 0, what: 0, word: 0, took: 0 };
  #day = '';

  constructor(style: LineStyle) {
    this.#style = style;
  }

  /** Makes columns wide enough for what will be shown. */
  prepare(entries: readonly Entry[]): void {
    for (const entry of entries) this.#grow(this.#cells(entry, outcomeOf(entry, 1)));
  }

  /**
   * @returns the lines of an occurrence, without their ends: one, and before it, where lines are short, a day that begins. Nothing in
   * them can move a terminal's cursor, whatever a client has sent
   */
  format(entry: Entry): string[] {
    const { isColoured, width, most, zone, isPrecise } = this.#style;
    const outcome = outcomeOf(entry, most === 0 ? Number.POSITIVE_INFINITY : most);
    const cells = this.#cells(entry, outcome);
    this.#grow(cells);
    const paint = (text: string, colour: Colour) =>
      isColoured && text !== '' ? `${ESCAPE}${COLOURS[colour]}m${text}${ESCAPE}0m` : text;
    const parts = momentParts(entry.record.time, zone, isPrecise);
    const time = this.#time(parts, entry.record.time);
    const widths = this.#widths(time.length);
    const whatColour: Colour = entry.record.kind === 'command' || entry.record.kind === 'denied' ? 'bold' : 'dim';
    const columns: [text: string, colour: Colour][] = [
      [time, 'dim'],
      [cell(cells.log, widths.log), 'dim'],
      [cell(columnsOf(cells.who) > widths.who ? cells.shortWho : cells.who, widths.who), 'cyan'],
      [cell(cells.what, widths.what), whatColour],
      [cell(cells.word, widths.word), outcome.colour],
      [cells.took.padStart(widths.took), 'dim'],
    ];
    const shown = columns.filter(([text]) => text !== '');
    const before = shown.reduce((sum, [text]) => sum + columnsOf(text) + GAP.length, 0);
    const detail =
      width === 0 ? printable(outcome.detail) : cut(printable(outcome.detail), Math.max(0, width - before));
    const line = [...shown, [detail, 'dim'] as const].map(([text, colour]) => paint(text, colour)).join(GAP);
    const lines = [isColoured ? line : line.trimEnd()];
    const day = parts === null ? '' : `${parts.day}, UTC${parts.offset === 'Z' ? '' : parts.offset}`;
    if (this.#hasDays && day !== '' && day !== this.#day) {
      this.#day = day;
      lines.unshift(paint(day, 'dim'));
    }
    return lines;
  }

  get #hasDays(): boolean {
    return this.#style.width > 0 && this.#style.width < WIDE;
  }

  #time(parts: MomentParts | null, written: string): string {
    if (parts === null) return cut(printable(written), 24);
    return this.#hasDays ? parts.clock : `${parts.day} ${parts.clock}${parts.offset}`;
  }

  #cells(entry: Entry, outcome: Outcome): Cells {
    const { record } = entry;
    return {
      log: this.#style.hasLogs ? printable(inShort(entry.log)) : '',
      who: printable(inShort(clientText(entry))),
      shortWho: printable(inShort(clientText(entry, true))),
      what: printable(inShort(whatOf(record))),
      word: printable(inShort(outcome.word)),
      took: outcome.took === null ? '' : formatDuration(outcome.took),
    };
  }

  #grow(cells: Cells): void {
    for (const name of ['log', 'who', 'what', 'word', 'took'] as const) {
      this.#widest[name] = Math.min(WIDEST, Math.max(this.#widest[name], columnsOf(cells[name])));
    }
  }

  /** @returns how wide the columns are: what names need, unless that leaves too little for arguments. */
  #widths(time: number): Widths {
    const { width } = this.#style;
    const widths = { ...this.#widest };
    if (width === 0) return widths;
    const fixed = time + widths.word + widths.took;
    const gaps = GAP.length * (widths.log === 0 ? 5 : 6);
    let excess =
      fixed +
      gaps +
      widths.log +
      widths.who +
      widths.what +
      Math.max(LEAST_DETAIL, Math.floor(width * DETAIL_SHARE)) -
      width;
    // The widest gives way first.
    while (excess > 0) {
      const name = (['who', 'what', 'log'] as const).reduce((a, b) => (widths[b] > widths[a] ? b : a));
      if (widths[name] <= NARROWEST) break;
      widths[name]--;
      excess--;
    }
    return widths;
  }
}

const GAP = '  ';

/** Names of hostile length are not measured and painted in full. */
function inShort(text: string): string {
  return text.length > 4 * WIDEST ? text.slice(0, 4 * WIDEST) : text;
}

/** @returns microseconds in the unit that suits them, with three digits or so. */
export function formatDuration(microseconds: number): string {
  if (microseconds < 1000) return `${Math.round(microseconds)} µs`;
  if (microseconds < 1e6) return `${(microseconds / 1000).toFixed(microseconds < 1e4 ? 2 : 1)} ms`;
  return `${(microseconds / 1e6).toFixed(microseconds < 1e7 ? 2 : 1)} s`;
}

/**
 * @returns who an occurrence is about: the client of a VM, with its program and user (`web1#5 nc (pid 8770, root)`), in later runs of the
 * daemon with the run's number (`web1#5/2 …`); or the VM, or qmpmux
 * @param isShort without the number of the process, the least of it
 */
export function clientText({ record, run }: Occurrence, isShort = false): string {
  const client = numberOf(record, 'client');
  const monitor = textOf(record, 'monitor');
  if (client === null) return monitor ?? 'qmpmux';
  const number = `${monitor ?? ''}#${client}${run === 1 ? '' : `/${run}`}`;
  const facts = peerFacts(objectOf(record, 'peer') ?? {});
  const who = peerText(isShort ? { ...facts, pid: undefined } : facts);
  return who === '' ? number : `${number} ${who}`;
}

/** @returns what a record says of a peer, as far as it has the types that it should have */
function peerFacts(peer: JsonObject): PeerFacts {
  const text = (name: string) => (typeof peer[name] === 'string' ? peer[name] : undefined);
  const number = (name: string) => (typeof peer[name] === 'number' ? peer[name] : undefined);
  return readPeerFacts(text, number);
}

/** @returns what happened: the command, the event, the change. */
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
  const plain = (word: string, colour: Colour, detail: string): Outcome => ({ word, colour, took: null, detail });
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

/** What only the record of its connection has of a client: where it came in, its unit, its file. */
function connectDetail(record: AuditRecord): string {
  const peer = objectOf(record, 'peer');
  const more = (['unit', 'exe'] as const).map((name) => {
    const value = peer?.[name];
    return typeof value === 'string' ? `${name}=${inShort(value)}` : '';
  });
  return [inShort(textOf(record, 'listener') ?? ''), ...more].filter(Boolean).join(' ');
}

/** The probe itself, or what became of it. */
function probeOutcome(record: AuditRecord, most: number): Outcome {
  const word = textOf(record, 'outcome');
  if (word === null) return { word: '', colour: 'blue', took: null, detail: 'asked by qmpmux itself' };
  const detail = start(textOf(record, 'reason') ?? messageText(record, most), most);
  return { word: inShort(word), colour: word === 'ok' ? 'blue' : 'yellow', took: numberOf(record, 'latency'), detail };
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
    return { word: `ok${suffix}`, colour: 'green', took, detail };
  }
  if (answer.kind === 'error') {
    const error = message?.['error'];
    const desc = isJsonObject(error) ? error['desc'] : undefined;
    const detail = typeof desc === 'string' ? start(desc, most) : messageText(answer, most);
    return { word: `error${suffix}`, colour: 'red', took, detail };
  }
  const reason = ruleOf(answer) || start(textOf(answer, 'reason') ?? '', most);
  return { word: answer.kind, colour: 'red', took, detail: reason };
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

/** A record of its own has the input; a sum says how much there was. */
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

/** Deeper than messages of QEMU's are nested: it takes no more than 1024 levels. */
const DEEPEST = 1100;

/**
 * @param most about so many characters of it, which are all the work that it makes
 * @returns a value as JSON, or its beginning and `…`
 */
export function brief(value: JsonValue, most: number): string {
  const writer = new BriefWriter(most);
  writer.value(value, 0);
  return writer.text;
}

class BriefWriter {
  text = '';
  readonly #most: number;

  constructor(most: number) {
    this.#most = most;
  }

  /** @returns whether there is room for more */
  value(value: JsonValue, depth: number): boolean {
    if (depth > DEEPEST) return this.#put('…');
    if (typeof value === 'string') return this.#put(JSON.stringify(start(value, this.#most - this.text.length)));
    if (isJsonArray(value)) {
      this.#put('[');
      for (const [index, item] of value.entries()) {
        if (index > 0) this.#put(',');
        if (!this.value(item, depth + 1)) return false;
      }
      return this.#put(']');
    }
    if (isJsonObject(value)) {
      this.#put('{');
      let isFirst = true;
      for (const name in value) {
        if (!Object.hasOwn(value, name)) continue;
        this.#put(`${isFirst ? '' : ','}${JSON.stringify(start(name, this.#most - this.text.length))}:`);
        isFirst = false;
        if (!this.value(value[name] ?? null, depth + 1)) return false;
      }
      return this.#put('}');
    }
    return this.#put(String(value));
  }

  #put(text: string): boolean {
    if (this.text.length >= this.#most) {
      if (!this.text.endsWith('…')) this.text += '…';
      return false;
    }
    this.text += text;
    return true;
  }
}

/** @returns a text, or its beginning and `…`. */
function start(text: string, most: number): string {
  return text.length > Math.max(0, most) ? `${text.slice(0, Math.max(0, most))}…` : text;
}

function cell(text: string, width: number): string {
  const shown = cut(text, width);
  return shown + ' '.repeat(Math.max(0, width - columnsOf(shown)));
}

/** @returns how many columns of a terminal a text takes. */
function columnsOf(text: string): number {
  return PLAIN.test(text) ? text.length : stringWidth(text);
}

/** @returns as much of a text as a terminal shows in `width` columns. */
function cut(text: string, width: number): string {
  if (width <= 0) return '';
  if (PLAIN.test(text)) return text.length > width ? `${text.slice(0, width - 1)}…` : text;
  const room = text.slice(0, 2 * width + 1);
  if (room.length === text.length && stringWidth(text) <= width) return text;
  let shown = '';
  let taken = 0;
  for (const { segment } of new Intl.Segmenter().segment(room)) {
    taken += stringWidth(segment);
    if (taken > width - 1) break;
    shown += segment;
  }
  return `${shown}…`;
}

/** Characters that take a column each. */
const PLAIN = /^[\x20-\x7e…→µ]*$/;
