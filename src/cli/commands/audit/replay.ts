/** `qmpmux audit replay`: a log's commands once more, to a test VM. */

import { textOf } from '../../../audit/log/record.js';
import { type FeedItem, feed } from '../../../audit/read/feed.js';
import { type Filter, matches } from '../../../audit/read/filter.js';
import type { Log } from '../../../audit/read/log-files.js';
import { Replay } from '../../../audit/read/replay.js';
import { QmpClient } from '../../../client/qmp-client.js';
import { parseUpstream } from '../../../net/address/address-parser.js';
import { printable } from '../../../shared/printable.js';
import { EXIT } from '../../framework/exit-code.js';
import { subcommand, UsageError } from '../../framework/subcommand.js';
import { FILTERS, logsOf, Meter, questionOf, rangeOf } from './files.js';

/** Some answers differ. */
const DIFFERENT = 1;

export const auditReplay = subcommand({
  name: 'audit replay',
  usage: 'audit replay FILE… --to ADDRESS',
  operands: 'words',
  options: {
    ...FILTERS,
    to: {
      type: 'string',
      describe: 'the QMP monitor of the test VM: /path, unix:/path, tcp:HOST:PORT',
    },
    speed: {
      type: 'string',
      default: 'full',
      describe:
        'full: as fast as the VM answers (default); recorded: at the recorded pace; a number N: N times as fast',
    },
    ignore: {
      type: 'string',
      array: true,
      describe: 'ignore this member of answers, such as return.*.timestamp; may be repeated',
    },
    json: { type: 'boolean', describe: 'print differences and the result as JSON, one object per line' },
  },
  examples: [
    ['$0 audit replay audit.log --to /run/test-vm.qmp', 'check that a newer QEMU gives the same answers'],
    [
      '$0 audit replay audit.log --to /run/test-vm.qmp --speed recorded --since 14:00',
      'repeat the afternoon at the recorded pace',
    ],
  ],
  notes: [
    'Commands are sent in their original order by one client. Commands with secrets removed from them, and commands to qmpmux itself, are skipped ' +
      'and counted. If the log covers several VMs, choose one with --monitor.',
    'Answers are compared without their ids.',
    'Exit codes: 0 all answers match, 1 some differ, 64 wrong command line, 66 a file cannot be read, 69 the VM cannot be reached.',
  ].join('\n'),

  async run(flags, operands) {
    if (flags.to === undefined) throw new UsageError('the test VM is missing: --to ADDRESS');
    const target = targetOf(flags.to);
    const speed = speedOf(flags.speed);
    const question = questionOf(flags);
    const { filter } = question;
    const { logs, hasFaults } = await logsOf(operands, 'replay');
    const range = rangeOf(question, flags['read-all']);
    const isReadOnce = logs.some(({ files }) => files.some(({ path }) => path === '-'));
    const vm = new OneVm(filter);
    // Before anything is sent; records from standard input can only be checked as they are sent.
    if (!isReadOnce) for await (const items of feed(logs, range)) for (const item of items) vm.check(item);
    const nameOf = (log: Log): string => (logs.length > 1 ? log.name : '');
    const client = await QmpClient.connect(target, { oob: true });
    const meter = Meter.onTerminal();
    try {
      const replay = new Replay(client, {
        filter,
        speed,
        ignore: flags.ignore ?? [],
        tell: (difference) => {
          meter?.clear();
          const { log, seq, command, where } = difference;
          const place = log === '' ? String(seq) : `${log}:${seq}`;
          process.stdout.write(
            flags.json === true
              ? `${JSON.stringify(difference)}\n`
              : `${printable(`${place} ${command}: ${where.join('; ')}`)}\n`,
          );
        },
      });
      for await (const items of feed(logs, { ...range, progress: meter?.show }))
        for (const item of items) {
          if (isReadOnce) vm.check(item);
          await replay.line(item.line.text, nameOf(item.log));
        }
      const result = await replay.finish();
      const { sent, same, different, incomparable, skipped, own } = result;
      const text = `sent ${sent}, answers the same ${same}, different ${different}, not comparable ${incomparable}, commands skipped ${skipped}, qmpmux's own ${own}`;
      meter?.clear();
      process.stdout.write(flags.json === true ? `${JSON.stringify(result)}\n` : `${text}\n`);
      return hasFaults ? EXIT.noInput : different > 0 ? DIFFERENT : EXIT.ok;
    } finally {
      meter?.clear();
      await client.close();
    }
  },
});

/** Sees that all commands that are to be sent are of one VM: those of one must not go to another. */
class OneVm {
  readonly #filter: Filter;
  #monitor: string | null = null;

  constructor(filter: Filter) {
    this.#filter = { ...filter, slow: null, errors: false };
  }

  /** @throws UsageError for a command of a second VM */
  check({ record, line }: FeedItem): void {
    if (record?.kind !== 'command') return;
    if (!matches(this.#filter, { record, answer: null, line: line.text, answerLine: null, run: 1 })) return;
    const monitor = textOf(record, 'monitor') ?? '';
    this.#monitor ??= monitor;
    if (this.#monitor === monitor) return;
    const names = [this.#monitor, monitor].map((name) => printable(name.slice(0, 50))).join(' and ');
    throw new UsageError(`the log has commands for more than one VM (${names}): choose one with --monitor`);
  }
}

function targetOf(text: string): { readonly path: string } | { readonly host: string; readonly port: number } {
  const address = parseUpstream(text);
  if (address.kind === 'unix') return { path: address.path };
  if (address.kind === 'tcp') return { host: address.host, port: address.port };
  throw new UsageError('--to must be a unix or TCP socket');
}

function speedOf(text: string): number {
  if (text === 'full') return Number.POSITIVE_INFINITY;
  if (text === 'recorded') return 1;
  const factor = Number(text);
  if (!(factor > 0)) throw new UsageError(`--speed must be full, recorded or a number, not '${text}'`);
  return factor;
}
