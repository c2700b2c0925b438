/** The output of `qmpmux top` for a frame: lines for a terminal of some size, or for a pipe. */
import { type Colour, plain } from '../../screen/colour.js';
import { showBytes, showCount, showRate, showSize, showTime } from '../../screen/quantities.js';
import { type Column, cutTo, tableLines } from '../../screen/table.js';
import { clientNumber, peerText } from './client-table.js';
import { LONG, upstreamText } from './status-report.js';
import type { ClientLine, Frame } from './top-sample.js';

export interface Room {
  /** Null for a pipe: as wide, and as many lines, as needed. */
  readonly columns: number | null;
  readonly rows: number | null;
}

const COLUMNS: readonly Column[] = [
  { head: 'CLIENT', isNumber: true },
  { head: 'CMD/S', isNumber: true },
  { head: 'LATENCY', isNumber: true },
  { head: 'IN FLIGHT', isNumber: true },
  { head: 'WAITING', isNumber: true },
  { head: 'HELD', isNumber: true },
  { head: 'PEER', mayShrink: true },
  { head: 'OLDEST COMMAND', mayShrink: true },
  { head: 'LISTENER', mayShrink: true },
];

/** On a narrower terminal the last column is left out. */
const WIDE = 100;

/** @param clock the time of day, as it is to be shown */
export function topLines(frame: Frame, clock: string, { columns, rows }: Room, colour: Colour): string[] {
  const cut = (text: string) => (columns === null ? text : cutTo(text, columns));
  const head = headLines(frame, clock).map((line) => cut(line));
  const blocking = blockingText(frame);
  const lines = [
    ...head.map((line, at) => (at === 0 ? colour('bold', line) : line)),
    blocking.isLong ? colour('yellow', cut(blocking.text)) : cut(blocking.text),
    '',
  ];
  const columnCount = columns === null || columns >= WIDE ? COLUMNS.length : COLUMNS.length - 1;
  const clients = frame.clients.map((client) => cells(client).slice(0, columnCount));
  const [heads = '', ...table] = tableLines(COLUMNS.slice(0, columnCount), clients, { width: columns, colour: plain });
  lines.push(colour('inverse', columns === null ? heads : cut(heads).padEnd(columns)));
  const room = rows === null ? table.length : rows - lines.length;
  const isTooLong = table.length > room;
  const shown = table.slice(0, Math.max(0, isTooLong ? room - 1 : room));
  for (const [at, line] of shown.entries()) lines.push(styled(cut(line), frame.clients[at], colour));
  if (isTooLong) lines.push(colour('dim', cut(`and ${showCount(table.length - shown.length, 'more client')}`)));
  return rows === null ? lines : lines.slice(0, rows);
}

function headLines({ status, rates }: Frame, clock: string): string[] {
  const upstream = upstreamText(status.at('upstream'), plain);
  const title = `${status.at('monitor').text}: QEMU ${upstream}, ${showCount(status.at('clients').number, 'client')}  ${clock}`;
  const queue =
    `queue     ${status.at('in-flight').number} in flight, ${status.at('waiting').number} waiting; ` +
    `${showBytes(status.at('held').number)} buffered for clients`;
  if (rates === null) return [title, 'commands  …', queue];
  const { commands, errors, events, mean, median, high } = rates;
  const times =
    commands === 0
      ? ''
      : `; mean ${showTime(mean)}, half within about ${showTime(median)}, 99 % within about ${showTime(high)}`;
  return [
    title,
    `commands  ${showRate(commands)}/s, ${showRate(errors)} errors/s, ${showRate(events)} events/s${times}`,
    queue,
  ];
}

function blockingText({ running, status }: Frame): { readonly text: string; readonly isLong: boolean } {
  const age = running?.at('upstream').number ?? 0;
  if (running === null || age < LONG) return { text: 'blocking  nobody', isLong: false };
  const who = `client ${running.at('client').text}, ${peerText(running.at('peer'))}`;
  const behind = status.at('waiting').number + status.at('in-flight').number - 1;
  return {
    text: `blocking  ${who}: ${running.at('command').text} for ${showTime(age)}, ${behind} behind it`,
    isLong: true,
  };
}

function cells({ client, rate, latency, oldest }: ClientLine): string[] {
  return [
    clientNumber(client),
    rate === null ? '-' : showRate(rate),
    latency === null ? '-' : showTime(latency),
    client.at('in-flight').text,
    client.at('waiting').text,
    showSize(client.at('held').number),
    peerText(client.at('peer')),
    oldest === null ? '' : `${oldest.at('command').text} ${showTime(oldest.at('age').number)}`,
    client.at('listener').text,
  ];
}

function styled(line: string, shown: ClientLine | undefined, colour: Colour): string {
  if (shown === undefined) return line;
  if ((shown.oldest?.at('age').number ?? 0) >= LONG) return colour('yellow', line);
  return shown.client.at('self').isTrue ? colour('dim', line) : line;
}

const KEYS = 'q quit   space refresh now   h help';
/** On a lower terminal the keys have no line. */
const HIGH = 8;

/** Puts the keys below the lines. */
export function withKeys(lines: readonly string[], { columns, rows }: ScreenSize, colour: Colour): string[] {
  if (rows < HIGH) return [...lines];
  const shown = lines.slice(0, rows - 1);
  const blank = Array.from({ length: rows - 1 - shown.length }, () => '');
  return [...shown, ...blank, colour('dim', cutTo(KEYS, columns))];
}

/** @returns the number of rows left above the keys. */
export function rowsAboveKeys(rows: number): number {
  return rows < HIGH ? rows : rows - 1;
}

export interface ScreenSize {
  readonly columns: number;
  readonly rows: number;
}

const HELP = [
  ['q, Ctrl-C', 'quit'],
  ['space', 'refresh now'],
  ['h, ?', 'this help, and back'],
  ['', ''],
  ['CLIENT', 'its number, as in the logs; * is top itself'],
  ['CMD/S', 'commands in a second, since the last refresh'],
  ['LATENCY', 'mean time from a command to its answer, since the last refresh'],
  ['IN FLIGHT', 'commands that QEMU has'],
  ['WAITING', 'commands that wait in qmpmux'],
  ['HELD', 'bytes buffered for the client'],
  ['OLDEST COMMAND', 'the one it waits for the longest'],
] as const;

/** Explains the keys and columns. */
export function helpLines({ columns, rows }: ScreenSize): string[] {
  return HELP.map(([name, what]) => cutTo(`${name.padEnd(16)}${what}`.trimEnd(), columns)).slice(0, rows);
}
