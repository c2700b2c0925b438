/** `qmpmux audit stats`: how many commands, errors and bytes, and how long, by VM, by client and by command. */

import { feed } from '../../../audit/read/feed.js';
import { Joiner } from '../../../audit/read/join-replies.js';
import type { Log } from '../../../audit/read/log-files.js';
import { Stats, type StatsRow } from '../../../audit/read/stats.js';
import { printable } from '../../../shared/printable.js';
import { EXIT } from '../../framework/exit-code.js';
import { subcommand } from '../../framework/subcommand.js';
import { showTime } from '../../screen/quantities.js';
import { FILTERS, logsOf, Meter, questionOf, ReadingSummary, rangeOf } from './files.js';

const DEFAULT_ROWS = 20;

export const auditStats = subcommand({
  name: 'audit stats',
  usage: 'audit stats FILE…',
  operands: 'words',
  options: {
    ...FILTERS,
    rows: {
      type: 'number',
      default: DEFAULT_ROWS,
      describe: `show this many rows of each table (default ${DEFAULT_ROWS}; 0: all)`,
    },
    json: { type: 'boolean', describe: 'print all rows as one JSON object, with times in microseconds' },
  },
  examples: [
    ['$0 audit stats /var/log/qmpmux/audit.log*', 'everything'],
    ['$0 audit stats --since 1d --command "query-*" audit.log', "a day's queries"],
    ['$0 audit stats --json audit.log | jq .pairs', 'by client and command'],
  ],
  notes: [
    'Files may be rotated or compressed, in any order. Denied commands count as errors. Times are from the last byte of a command to its ' +
      'answer; p50 and p99 are accurate to 3 %. Bytes count commands and answers. Client numbers start at 1 with each start of ' +
      'qmpmux: web1#5/2 is client 5 of VM web1 in the second run. Commands of the human monitor are counted by verb.',
    'Exit codes: 0, 64 wrong command line, 66 a file cannot be read or is not a log.',
  ].join('\n'),

  async run(flags, operands) {
    const question = questionOf(flags);
    const { logs, hasFaults } = await logsOf(operands, 'stats');
    const nameOf = (log: Log): string => (logs.length > 1 ? log.name : '');
    const stats = new Stats(question.filter);
    const summary = new ReadingSummary();
    const joiner = new Joiner((entry) => {
      stats.add(entry);
    });
    const until = question.filter.until ?? Number.POSITIVE_INFINITY;
    const isAwaiting = (log: Log) => joiner.isAwaiting(nameOf(log), until);
    const meter = Meter.onTerminal();
    try {
      const range = { ...rangeOf(question, flags['read-all']), isAwaiting, progress: meter?.show };
      for await (const items of feed(logs, range)) {
        for (const item of items) {
          summary.add(item);
          if (item.record !== null) joiner.push(item.record, item.line.text, nameOf(item.log));
        }
      }
    } finally {
      meter?.clear();
    }
    joiner.flush();
    const { monitors, clients, commands } = stats;
    if (flags.json === true) {
      process.stdout.write(`${JSON.stringify({ monitors, clients, commands, pairs: stats.pairs })}\n`);
    } else if (commands.length > 0) {
      const most = flags.rows > 0 ? flags.rows : Number.POSITIVE_INFINITY;
      const tables = [table('client', clients, most), table('command', commands, most)];
      if (monitors.length > 1) tables.unshift(table('VM', monitors, most));
      process.stdout.write(tables.join('\n'));
    }
    summary.tellStrange();
    if (commands.length === 0) summary.tellNothing(question, logs);
    return hasFaults ? EXIT.noInput : EXIT.ok;
  },
});

function table(what: string, rows: readonly StatsRow[], most: number): string {
  const shown = rows.slice(0, most);
  const cells = [
    [what, 'count', 'errors', 'p50', 'p99', 'max', 'bytes'],
    ...shown.map((row) => [
      inShort(row.name),
      String(row.count),
      String(row.errors),
      ...[row.p50, row.p99, row.max].map((time) => (time === null ? '-' : showTime(time / 1e6))),
      String(row.bytes),
    ]),
  ];
  const widths = cells[0]?.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0))) ?? [];
  const lines = cells.map((row) =>
    row
      .map((text, column) => (column === 0 ? text.padEnd(widths[0] ?? 0) : text.padStart(widths[column] ?? 0)))
      .join('  '),
  );
  if (rows.length > shown.length) lines.push(`and ${rows.length - shown.length} more; --rows 0 shows all`);
  return `${lines.join('\n')}\n`;
}

const LONGEST_NAME = 48;

/** Names come from clients. */
function inShort(name: string): string {
  const text = printable(name);
  return text.length > LONGEST_NAME ? `${text.slice(0, LONGEST_NAME - 1)}…` : text;
}
