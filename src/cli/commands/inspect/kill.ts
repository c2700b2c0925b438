/** `qmpmux kill`: disconnects clients. */
import { QmpError } from '../../../client/errors.js';
import { takeTarget } from '../../framework/address-operand.js';
import { EXIT } from '../../framework/exit-code.js';
import { subcommand, UsageError } from '../../framework/subcommand.js';
import { writeProblem } from '../../screen/screen-text.js';
import { OWN_COMMANDS_NOTE, TIMEOUT_OPTION, withOwnCommands } from './extension-client.js';

export const kill = subcommand({
  name: 'kill',
  usage: 'kill [OPTIONS] [ADDRESS] CLIENT…',
  operands: 'words',
  options: { timeout: TIMEOUT_OPTION },
  examples: [
    ['$0 kill /run/vm.ctl 3', 'disconnect client 3'],
    [
      '$0 kill /run/vm.ctl $($0 clients /run/vm.ctl --json | jq \'.[] | select(.peer.program == "exporter").client\')',
      'all connections of a program',
    ],
  ],
  notes: [
    'CLIENT is a number from `qmpmux clients`. Its connection is closed and its waiting commands are dropped; QEMU still executes those that ' +
      'it already has.',
    OWN_COMMANDS_NOTE,
    'Exit codes: 0, 1 one of them could not be disconnected, 64 wrong command line, 69 no answer.',
  ].join('\n'),

  async run({ timeout }, operands) {
    const { target, rest } = takeTarget(operands);
    const numbers = numbersOf(rest);
    return withOwnCommands(target, timeout, async (commands) => {
      let code: number = EXIT.ok;
      for (const client of numbers) {
        try {
          await commands.ask('disconnect-client', { client });
          process.stdout.write(`disconnected client ${client}\n`);
        } catch (error) {
          if (!(error instanceof QmpError)) throw error;
          // The error is for programs, and names a command of theirs.
          const desc = error.desc.replace('__org.qmpmux_query-clients', `qmpmux clients ${target.text}`);
          writeProblem(desc);
          code = EXIT.failed;
        }
      }
      return code;
    });
  },
});

/** @throws UsageError */
function numbersOf(words: readonly string[]): number[] {
  if (words.length === 0) throw new UsageError('name the clients by their numbers: qmpmux clients ADDRESS lists them');
  return words.map((word) => {
    if (!/^\d{1,15}$/.test(word)) {
      throw new UsageError(`${JSON.stringify(word)} is not a client number; qmpmux clients ADDRESS lists them`);
    }
    return Number(word);
  });
}
