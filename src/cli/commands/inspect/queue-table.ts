/** The output of `qmpmux queue`. */

import type { Colour } from '../../screen/colour.js';
import type { Report } from '../../screen/json-view.js';
import { showTime } from '../../screen/quantities.js';
import { type Column, outputOptions, type TableOptions, tableLines } from '../../screen/table.js';
import { peerText } from './client-table.js';
import { LONG } from './status-report.js';

const COLUMNS: readonly Column[] = [
  { head: 'STATE' },
  { head: 'CLIENT', isNumber: true },
  { head: 'AGE', isNumber: true },
  { head: 'COMMAND', mayShrink: true },
  { head: 'PEER', mayShrink: true },
];

/** The queue as a table, or that there is none. */
export function queueLines(report: Report, options: TableOptions = outputOptions()): string[] {
  const { colour } = options;
  const sent = report.at('in-flight').items;
  const waiting = report.at('waiting').items;
  if (sent.length + waiting.length === 0) return ['no command is waiting'];
  const rows = [
    ...sent.map((command) => row(command.at('running').isTrue ? 'running' : 'sent', command, colour)),
    ...waiting.map((command) => row('waiting', command, colour)),
  ];
  const more = report.at('waiting-count').number - waiting.length;
  const lines = tableLines(COLUMNS, rows, options);
  return more > 0 ? [...lines, `and ${more} more waiting`] : lines;
}

function row(state: string, command: Report, colour: Colour): string[] {
  const age = command.at('age').number;
  const marks = (['oob', 'shared', 'abandoned'] as const).filter((mark) => command.at(mark).isTrue);
  const name = command.at('command').text;
  const isLong = state === 'running' && age >= LONG;
  return [
    isLong ? colour('yellow', state) : state,
    command.at('client').text,
    showTime(age),
    marks.length === 0 ? name : `${name} (${marks.join(', ')})`,
    peerText(command.at('peer')) + (command.at('gone').isTrue ? ', gone' : ''),
  ];
}
