/** `qmpmux audit show`: a log for people, one line an occurrence; or its records as they are, filtered; or a table for spreadsheets. */

import { KINDS } from '../../../audit/log/kinds.js';
import { parseRecord } from '../../../audit/log/record.js';
import { feed } from '../../../audit/read/feed.js';
import { matches } from '../../../audit/read/filter.js';
import { follow } from '../../../audit/read/follow.js';
import { type Entry, Joiner } from '../../../audit/read/join-replies.js';
import type { Log } from '../../../audit/read/log-files.js';
import { seekTime } from '../../../audit/read/seek.js';
import { printable } from '../../../shared/printable.js';
import { EXIT } from '../../framework/exit-code.js';
import { whenReaderLeaves } from '../../framework/output.js';
import { subcommand, UsageError } from '../../framework/subcommand.js';
import { colourOf, painted, plain } from '../../screen/colour.js';
import { csvHead, csvRow } from './csv.js';
import { FILTERS, logsOf, Meter, type Question, questionOf, ReadingSummary, rangeOf, tell } from './files.js';
import { LineLayout } from './lines.js';

/** How long a command's line waits for its answer while a log is followed, in milliseconds. */
const ANSWER_WITHIN = 1000;
/** Output is handed over in pieces of this size. */
const BATCH = 64 * 1024;
/** So much is shown of arguments and of an answer, in characters, unless all is wanted. */
const MOST_SHOWN = 2048;
/** So many lines are seen before columns are laid out. */
const LAID_OUT = 500;
/** The last part shown first of a log followed from its end, in bytes. */
const LAST_PART = 4096;

export const auditShow = subcommand({
  name: 'audit show',
  usage: 'audit show FILE…',
  operands: 'words',
  options: {
    ...FILTERS,
    kind: {
      type: 'string',
      array: true,
      describe: `only records of this kind; may be repeated: ${KINDS.join(', ')}`,
    },
    slow: { type: 'number', describe: 'only commands that took at least this many milliseconds' },
    errors: {
      type: 'boolean',
      describe: 'only failures: errors, denials, malformed input, commands without an answer',
    },
    full: {
      type: 'boolean',
      describe: 'show arguments and answers in full, not cut at 2 KB or at the end of the line',
    },
    precise: { type: 'boolean', describe: 'show times with microseconds' },
    json: { type: 'boolean', describe: 'print the records as they are in the log' },
    csv: {
      type: 'boolean',
      describe: 'print CSV for spreadsheets (RFC 4180), with a command and its answer in one row',
    },
    follow: {
      type: 'boolean',
      alias: 'f',
      describe: 'follow the log through rotations, from its end or from --since',
    },
    color: { type: 'boolean', describe: 'use colours even if the output is not a terminal' },
    'no-color': { type: 'boolean', describe: 'use no colours' },
  },
  values: { kind: KINDS },
  examples: [
    ['$0 audit show /var/log/qmpmux/audit.log', 'who did what'],
    ['$0 audit show -f --errors /var/log/qmpmux/audit.log', 'failures as they happen'],
    ['$0 audit show --monitor web1 --command system_reset --since "yesterday 14:00" audit.log', 'who reset web1'],
    [
      '$0 audit show --uid root --command "block*" --since 2h audit.log audit.log.1.gz',
      "root's block commands of the last two hours",
    ],
    ['$0 audit show --csv --since 1w /var/log/qmpmux/audit.log* > week.csv', 'the last week, for a spreadsheet'],
    ['$0 audit show --slow 100 --json audit.log | jq .command', 'which commands take longer than 100 ms'],
  ],
  notes: [
    'Files may be rotated or compressed (gzip, zstd, xz), in any order; - is standard input. Several logs are merged by ' +
      'time. A command and its answer are one line.',
    'Columns: time with UTC offset; VM and number of the client, its program and user (web1#5 nc(0): client 5 of VM web1, nc ' +
      'of user 0); command; outcome; time it took; arguments and answer. Commands of the human monitor are shown as "hmp VERB". Client ' +
      'numbers start at 1 with each start of qmpmux: web1#5/2 is client 5 of the second run in what is read.',
    'In long files, only the part between --since and --until is read.',
    'Exit codes: 0, 64 wrong command line, 66 a file cannot be read or is not a log.',
  ].join('\n'),

  async run(flags, operands) {
    if (flags.json === true && flags.csv === true) throw new UsageError('--json and --csv cannot be combined');
    const question = questionOf(flags);
    const { logs, hasFaults } = await logsOf(operands, 'show', flags.follow);
    const meter = Meter.onTerminal();
    const printer = new Printer(question, flags, logs.length > 1, meter);
    const summary = new ReadingSummary();
    const joiner = new Joiner(printer.give);
    const nameOf = (log: Log): string => (logs.length > 1 ? log.name : '');
    try {
      if (flags.follow === true) await followLogs(logs, question, joiner, printer, nameOf);
      else {
        const until = question.filter.until ?? Number.POSITIVE_INFINITY;
        const isAwaiting = (log: Log) => joiner.isAwaiting(nameOf(log), until);
        const range = { ...rangeOf(question, flags['read-all']), isAwaiting, progress: meter?.show };
        let isRead = true;
        whenReaderLeaves(() => {
          isRead = false;
        });
        for await (const items of feed(logs, range)) {
          if (!isRead) break;
          for (const item of items) {
            summary.add(item);
            if (item.record !== null) joiner.push(item.record, item.line.text, nameOf(item.log));
          }
        }
      }
      joiner.flush();
    } finally {
      meter?.clear();
      await printer.end();
    }
    summary.tellStrange();
    if (printer.count === 0 && flags.follow !== true) summary.tellNothing(question, logs);
    return hasFaults ? EXIT.noInput : EXIT.ok;
  },
});

/** Shows new records of each log, from its end or from a time on. */
async function followLogs(
  logs: readonly Log[],
  { filter }: Question,
  joiner: Joiner,
  printer: Printer,
  nameOf: (log: Log) => string,
): Promise<void> {
  const end = new AbortController();
  process.once('SIGINT', () => {
    end.abort();
  });
  whenReaderLeaves(() => {
    end.abort();
  });
  let quietSince = performance.now();
  const idle = () => {
    if (joiner.isWaiting && performance.now() - quietSince > ANSWER_WITHIN) joiner.flush();
    printer.flush();
  };
  const take = (log: Log, line: string) => {
    quietSince = performance.now();
    const record = parseRecord(line);
    if (record !== null) joiner.push(record, line, nameOf(log));
    else if (line !== '') tell('a line is not an audit record; qmpmux audit verify shows where');
  };
  const each = async (log: Log) => {
    const last = log.files.at(-1);
    if (last === undefined) return;
    if (last.access !== 'anywhere') throw new UsageError(`${last.path} cannot be followed: it is not a regular file`);
    if (filter.since !== null) {
      const before = [{ ...log, files: log.files.slice(0, -1) }];
      for await (const items of feed(before, { since: filter.since }))
        for (const { record, line } of items) if (record !== null) joiner.push(record, line.text, nameOf(log));
    }
    const start = filter.since === null ? Math.max(0, last.size - LAST_PART) : await seekTime(last.path, filter.since);
    for await (const line of follow(last.path, end.signal, idle, start)) take(log, line);
  };
  try {
    await Promise.all(logs.map(each));
  } finally {
    end.abort();
  }
}

interface PrinterFlags {
  readonly json?: boolean | undefined;
  readonly csv?: boolean | undefined;
  readonly full?: boolean | undefined;
  readonly precise?: boolean | undefined;
  readonly color?: boolean | undefined;
  readonly 'no-color'?: boolean | undefined;
}

/** Standard output, in large pieces. */
class Printer {
  /** The number of records shown. */
  count = 0;
  readonly #question: Question;
  readonly #flags: PrinterFlags;
  readonly #layout: LineLayout;
  readonly #meter: Meter | null;
  readonly #isTerminal = process.stdout.isTTY;
  /** Records to show once the columns are laid out; null when they are. */
  #first: Entry[] | null = [];
  #text = '';

  constructor(question: Question, flags: PrinterFlags, hasLogs: boolean, meter: Meter | null) {
    this.#question = question;
    this.#flags = flags;
    this.#meter = meter;
    const usual = flags.color === true ? painted : colourOf(process.stdout);
    this.#layout = new LineLayout({
      colour: flags['no-color'] === true ? plain : usual,
      zone: question.zone,
      width: this.#isTerminal && flags.full !== true ? process.stdout.columns : 0,
      most: this.#most,
      isPrecise: flags.precise ?? false,
      hasLogs,
    });
    if (flags.csv === true) this.#text = csvHead();
  }

  get #most(): number {
    return this.#flags.full === true ? 0 : MOST_SHOWN;
  }

  readonly give = (entry: Entry): void => {
    if (!matches(this.#question.filter, entry)) return;
    this.count++;
    if (this.#flags.json === true) {
      this.#json(entry.line);
      if (entry.answerLine !== null) this.#json(entry.answerLine);
    } else if (this.#flags.csv === true) {
      this.#text += csvRow(entry, this.#question.zone, this.#most || Number.POSITIVE_INFINITY);
    } else if (this.#first === null) this.#lines(entry);
    else if (this.#first.push(entry) >= LAID_OUT) this.#layOut();
    if (this.#text.length >= BATCH) this.flush();
  };

  /** Shows the records so far. */
  flush(): void {
    if ((this.#first?.length ?? 0) > 0) this.#layOut();
    if (this.#text === '') return;
    this.#meter?.clear();
    process.stdout.write(this.#text);
    this.#text = '';
  }

  /** @returns when all of it has been taken, or nobody takes it any more. */
  end(): Promise<void> {
    if ((this.#first?.length ?? 0) > 0) this.#layOut();
    return new Promise((resolve) => {
      process.stdout.write(this.#text, () => {
        resolve();
      });
      this.#text = '';
    });
  }

  #layOut(): void {
    const entries = this.#first ?? [];
    this.#first = null;
    this.#layout.prepare(entries);
    for (const entry of entries) this.#lines(entry);
  }

  #lines(entry: Entry): void {
    for (const line of this.#layout.format(entry)) this.#text += `${line}\n`;
  }

  /** JSON stays JSON, as it is written; but a terminal is not to act on it. */
  #json(line: string): void {
    if (line === '') tell('a record is too long to show');
    else this.#text += `${this.#isTerminal ? printable(line) : line}\n`;
  }
}
