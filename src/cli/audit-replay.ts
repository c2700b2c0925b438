/** `qmpmux audit replay`: a log's commands once more, to a test VM. */
import { readLines } from '../audit/log-lines.js';
import { Replay } from '../audit/replay.js';
import { QmpClient } from '../client/qmp-client.js';
import { parseUpstream } from '../net/address-parser.js';
import { filesOf, filterOf, FILTERS, Meter } from './audit-files.js';
import { EXIT } from './exit-code.js';
import { subcommand, UsageError } from './subcommand.js';

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
      requiresArg: true,
      describe: 'the QMP monitor of the test VM: /path, unix:/path, tcp:HOST:PORT',
    },
    speed: {
      type: 'string',
      requiresArg: true,
      default: 'full',
      describe: 'full: as fast as the VM answers; recorded: as it was; a number: so many times as fast as it was',
    },
    ignore: {
      type: 'string',
      array: true,
      requiresArg: true,
      describe: 'a member of answers that may differ, such as return.*.timestamp; as often as wanted',
    },
    json: { type: 'boolean', describe: 'differences and result as JSON, one a line' },
  },
  examples: [
    ['$0 audit replay audit.log --to /run/test-vm.qmp', 'does a newer QEMU answer the same?'],
    [
      '$0 audit replay audit.log --to /run/test-vm.qmp --speed recorded --since 14:00',
      'what happened in the afternoon, once more',
    ],
  ],
  notes: [
    'Commands are sent in the order in which they went to the VM, all by one client; what was removed from them (secrets) cannot be sent, so those',
    'commands are skipped and counted. Answers are compared without their ids.',
    'Exit codes: 0 all answers are the same, 1 some differ, 64 wrong command line, 66 a file cannot be read, 69 the VM cannot be reached.',
  ].join('\n'),

  async run(flags, operands) {
    if (flags.to === undefined) throw new UsageError('the test VM is missing: --to ADDRESS');
    const target = targetOf(flags.to);
    const speed = speedOf(flags.speed);
    const filter = filterOf(flags);
    const files = await filesOf(operands, 'replay');
    const client = await QmpClient.connect(target, { oob: true });
    const meter = Meter.onTerminal();
    try {
      const replay = new Replay(client, {
        filter,
        speed,
        ignore: flags.ignore ?? [],
        tell: (difference) => {
          meter?.clear();
          const { seq, command, where } = difference;
          process.stdout.write(
            flags.json === true ? `${JSON.stringify(difference)}\n` : `${seq} ${command}: ${where.join('; ')}\n`,
          );
        },
      });
      for (const file of files) for await (const line of readLines(file, meter?.show)) await replay.line(line);
      const result = await replay.finish();
      const { sent, same, different, incomparable, skipped } = result;
      const text = `sent ${sent}, answers the same ${same}, different ${different}, not comparable ${incomparable}, commands skipped ${skipped}`;
      meter?.clear();
      process.stdout.write(flags.json === true ? `${JSON.stringify(result)}\n` : `${text}\n`);
      return different > 0 ? DIFFERENT : EXIT.ok;
    } finally {
      meter?.clear();
      await client.close();
    }
  },
});

function targetOf(text: string): { readonly path: string } | { readonly host: string; readonly port: number } {
  const address = parseUpstream(text);
  if (address.kind === 'unix') return { path: address.path };
  if (address.kind === 'tcp') return { host: address.host, port: address.port };
  throw new UsageError('--to takes a unix or a TCP socket');
}

function speedOf(text: string): number {
  if (text === 'full') return Number.POSITIVE_INFINITY;
  if (text === 'recorded') return 1;
  const factor = Number(text);
  if (!(factor > 0)) throw new UsageError(`--speed takes full, recorded or a number, not '${text}'`);
  return factor;
}
