/** `qmpmux audit stats`: how many commands, errors and bytes, and how long, by client and by command. */
import { Joiner } from '../audit/joiner.js';
import { formatDuration } from '../audit/line-format.js';
import { parseRecord } from '../audit/record.js';
import { Stats, type StatsRow } from '../audit/stats.js';
import { filesOf, filterOf, FILTERS, readAll } from './audit-files.js';
import { EXIT } from './exit-code.js';
import { subcommand } from './subcommand.js';

const DEFAULT_ROWS = 20;

export const auditStats = subcommand({
  name: 'audit stats',
  usage: 'audit stats FILE…',
  operands: 'words',
  options: {
    ...FILTERS,
    rows: {
      type: 'number',
      requiresArg: true,
      default: DEFAULT_ROWS,
      describe: 'how many rows of each table are shown; 0 for all',
    },
    json: { type: 'boolean', describe: 'all rows as one JSON object; times are in microseconds' },
  },
  examples: [
    ['$0 audit stats /var/log/qmpmux/audit.log*', 'everything'],
    ['$0 audit stats --since 1d --command "query-*" audit.log', "a day's queries"],
    ['$0 audit stats --json audit.log | jq .pairs', 'by client and command'],
  ],
  notes: [
    'Files may be rotated and compressed ones, in any order. Denied commands count as errors. Times are from the last byte of a command to its',
    'answer; p50 and p99 are exact to 3 %. Bytes are those of commands and answers together. Client numbers begin anew with each start of qmpmux.',
  ].join('\n'),

  async run(flags, operands) {
    const files = await filesOf(operands, 'stats');
    const stats = new Stats(filterOf(flags));
    const joiner = new Joiner((entry) => {
      stats.add(entry);
    });
    await readAll(files, false, ({ text }) => {
      const record = parseRecord(text);
      if (record !== null) joiner.push(record, text);
    });
    joiner.flush();
    const { clients, commands } = stats;
    if (flags.json === true) process.stdout.write(`${JSON.stringify({ clients, commands, pairs: stats.pairs })}\n`);
    else {
      const most = flags.rows > 0 ? flags.rows : Number.POSITIVE_INFINITY;
      process.stdout.write(`${table('client', clients, most)}\n${table('command', commands, most)}`);
    }
    return EXIT.ok;
  },
});

function table(what: string, rows: readonly StatsRow[], most: number): string {
  const shown = rows.slice(0, most);
  const cells = [
    [what, 'count', 'errors', 'p50', 'p99', 'max', 'bytes'],
    ...shown.map((row) => [
      printable(row.name),
      String(row.count),
      String(row.errors),
      ...[row.p50, row.p99, row.max].map((time) => (time === null ? '-' : formatDuration(time))),
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
function printable(name: string): string {
  const text = name.replace(/[^\x20-\x7e]/g, '?');
  return text.length > LONGEST_NAME ? `${text.slice(0, LONGEST_NAME - 1)}…` : text;
}
