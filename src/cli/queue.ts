/** `qmpmux queue`: which commands have no answer yet, and which one all others wait for. */
import { peerText } from './client-table.js';
import { type Colour, colourOf } from './colour.js';
import { EXIT } from './exit-code.js';
import { JSON_OPTION, OWN_COMMANDS_NOTE, onlyTarget, TIMEOUT_OPTION, withOwnCommands } from './own-commands.js';
import { showTime } from './quantities.js';
import { Report } from './report.js';
import { LONG } from './status-report.js';
import { subcommand } from './subcommand.js';
import { type Column, outputWidth, tableLines } from './table.js';

const COLUMNS: readonly Column[] = [
  { head: 'STATE' },
  { head: 'CLIENT', isNumber: true },
  { head: 'AGE', isNumber: true },
  { head: 'COMMAND', mayShrink: true },
  { head: 'PEER', mayShrink: true },
];

export const queue = subcommand({
  name: 'queue',
  usage: 'queue [OPTIONS] [ADDRESS]',
  operands: 'words',
  options: { json: JSON_OPTION, timeout: TIMEOUT_OPTION },
  examples: [
    ['$0 queue /run/vm.ctl', 'who blocks, and who waits'],
    ['$0 queue /run/vm.ctl --json | jq \'.["waiting-count"]\'', 'how many wait'],
  ],
  notes: [
    'STATE: running (QEMU executes it, all others wait for it), sent (QEMU has it too), waiting. AGE is since the client sent it. ' +
      'Arguments are not shown: they may hold secrets.',
    OWN_COMMANDS_NOTE,
    'Exit codes: 0, 1 qmpmux refused it, 64 wrong command line, 69 no answer.',
  ].join('\n'),

  async run({ json, timeout }, operands) {
    return withOwnCommands(onlyTarget(operands), timeout, async (commands) => {
      const { value, text } = await commands.ask('query-queue');
      const lines = json === true ? [text] : queueLines(new Report(value), outputWidth(), colourOf(process.stdout));
      process.stdout.write(`${lines.join('\n')}\n`);
      return EXIT.ok;
    });
  },
});

/** The queue as a table, or that there is none. */
export function queueLines(report: Report, width: number | null, colour: Colour): string[] {
  const sent = report.at('in-flight').items;
  const waiting = report.at('waiting').items;
  if (sent.length + waiting.length === 0) return ['no command waits'];
  const rows = [
    ...sent.map((command) => row(command.at('running').isTrue ? 'running' : 'sent', command, colour)),
    ...waiting.map((command) => row('waiting', command, colour)),
  ];
  const more = report.at('waiting-count').number - waiting.length;
  const lines = tableLines(COLUMNS, rows, { width, colour });
  return more > 0 ? [...lines, `and ${more} more that wait`] : lines;
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
