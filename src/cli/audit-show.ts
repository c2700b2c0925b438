/** `qmpmux audit show`: a log for people, one line an occurrence; or its records as they are, filtered. */
import { matches } from '../audit/filter.js';
import { follow } from '../audit/follow.js';
import { type Entry, Joiner } from '../audit/joiner.js';
import { KINDS } from '../audit/kinds.js';
import { formatLine, type LineStyle } from '../audit/line-format.js';
import { parseRecord } from '../audit/record.js';
import { filesOf, filterOf, FILTERS, readAll } from './audit-files.js';
import { EXIT } from './exit-code.js';
import { subcommand, UsageError } from './subcommand.js';

/** How long a command's line waits for its answer while a log is followed, in milliseconds. */
const ANSWER_WITHIN = 1000;
/** Output is handed over in pieces of this size. */
const BATCH = 64 * 1024;

export const auditShow = subcommand({
  name: 'audit show',
  usage: 'audit show FILE…',
  operands: 'words',
  options: {
    ...FILTERS,
    kind: {
      type: 'string',
      array: true,
      requiresArg: true,
      describe: `only records of this kind, as often as wanted: ${KINDS.join(', ')}`,
    },
    slow: { type: 'number', requiresArg: true, describe: 'only commands that took at least so many milliseconds' },
    errors: {
      type: 'boolean',
      describe: 'only what went wrong: errors, denials, malformed input, commands without an answer',
    },
    json: { type: 'boolean', describe: 'the records themselves, as they stand in the log' },
    follow: { type: 'boolean', alias: 'f', describe: 'go on with what comes, through rotations' },
    color: { type: 'boolean', describe: 'colours also where the output is no terminal' },
    'no-color': { type: 'boolean', describe: 'no colours' },
  },
  examples: [
    ['$0 audit show /var/log/qmpmux/audit.log', 'who did what'],
    ['$0 audit show -f --errors /var/log/qmpmux/audit.log', 'what goes wrong, as it happens'],
    [
      '$0 audit show --uid 0 --command "block*" --since 2h audit.log audit.log.1.gz',
      "root's block commands of two hours",
    ],
    ['$0 audit show --slow 100 --json audit.log | jq .command', 'which commands take longer than 100 ms'],
  ],
  notes: [
    'Files may be rotated and compressed ones, in any order; - is standard input. A command and its answer are one line.',
    'Columns: time (UTC), client or monitor, command, outcome, time it took, arguments and answer.',
  ].join('\n'),

  async run(flags, operands) {
    const filter = filterOf(flags);
    const files = await filesOf(operands, 'show');
    const isTerminal = process.stdout.isTTY;
    const isColoured =
      flags['no-color'] !== true && (flags.color === true || (isTerminal && (process.env['NO_COLOR'] ?? '') === ''));
    const style = (): LineStyle => ({ isColoured, width: isTerminal ? process.stdout.columns : 0 });
    const output = new Output();
    const give = (entry: Entry) => {
      if (!matches(filter, entry)) return;
      if (flags.json !== true) output.line(formatLine(entry, style()));
      else {
        output.line(entry.line);
        if (entry.answerLine !== null) output.line(entry.answerLine);
      }
    };
    const joiner = new Joiner(give);
    const take = (text: string) => {
      const record = parseRecord(text);
      if (record !== null) joiner.push(record, text);
      else if (text !== '')
        process.stderr.write('qmpmux: a line that is no audit record; `qmpmux audit verify` says where\n');
    };

    const last = flags.follow === true ? files.pop() : undefined;
    if (last === '-') throw new UsageError('standard input cannot be followed');
    await readAll(files, isTerminal, ({ text }) => {
      take(text);
    });
    if (last === undefined) {
      joiner.flush();
      await output.end();
      return EXIT.ok;
    }
    const end = new AbortController();
    process.once('SIGINT', () => {
      end.abort();
    });
    process.stdout.once('error', () => {
      end.abort();
    });
    let quietSince = performance.now();
    const idle = () => {
      if (joiner.isWaiting && performance.now() - quietSince > ANSWER_WITHIN) joiner.flush();
      output.flush();
    };
    for await (const line of follow(last, end.signal, idle)) {
      quietSince = performance.now();
      take(line);
    }
    joiner.flush();
    await output.end();
    return EXIT.ok;
  },
});

/** Standard output, in large pieces. */
class Output {
  #text = '';

  line(text: string): void {
    this.#text += `${text}\n`;
    if (this.#text.length >= BATCH) this.flush();
  }

  flush(): void {
    if (this.#text !== '') process.stdout.write(this.#text);
    this.#text = '';
  }

  /** @returns when all of it has been taken, or nobody takes it any more. */
  end(): Promise<void> {
    return new Promise((resolve) => {
      process.stdout.write(this.#text, () => {
        resolve();
      });
      this.#text = '';
    });
  }
}
