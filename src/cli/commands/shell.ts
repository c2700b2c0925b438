/** `qmpmux shell`: QMP, or the human monitor, for a person at a terminal; and for lines from a pipe. */

import { ADDRESS_NOTE, takeTarget } from '../framework/address-operand.js';
import { subcommand, UsageError } from '../framework/subcommand.js';

export const shell = subcommand({
  name: 'shell',
  usage: 'shell [OPTIONS] [ADDRESS]',
  operands: 'words',
  options: {
    hmp: { type: 'boolean', alias: 'H', describe: 'speak to the human monitor' },
    pretty: { type: 'boolean', alias: 'p', describe: 'pretty-print replies even if the output is not a terminal' },
    verbose: { type: 'boolean', alias: 'v', describe: 'show every message as it is sent and received' },
    'skip-negotiation': {
      type: 'boolean',
      alias: 'N',
      describe: 'expect no greeting and do not negotiate: for qemu-ga, or to type qmp_capabilities by hand',
    },
    logfile: { type: 'string', alias: 'l', describe: 'append every message to this file' },
  },
  examples: [
    ['$0 shell /run/vm.mux', 'Tab completes commands, arguments, values, and names in the VM'],
    ['$0 shell -H /run/vm.mux', 'the human monitor'],
    ["printf 'stop\\nquery-status\\n' | $0 shell /run/vm.mux", 'without a terminal: one reply a line'],
    ['$0 shell -N /run/vm.qga', 'the guest agent'],
  ],
  notes: [
    "Enter commands in qmp-shell's syntax, or JSON. help COMMAND shows the arguments of one, .help the shell's own commands. The " +
      'history is in $XDG_STATE_HOME/qmpmux; lines with secrets or a leading blank are not saved.',
    ADDRESS_NOTE,
    'Exit codes: 0 left by Ctrl-D; from a pipe: 0 all commands returned, 1 QEMU answered with an error, 64 a line was not sent; 69 no server, or it went away.',
  ].join('\n'),

  async run(flags, operands) {
    const { target, rest } = takeTarget(operands);
    const [unexpected] = rest;
    if (unexpected !== undefined) {
      throw new UsageError(`${JSON.stringify(unexpected)} is unexpected here; for one command: qmpmux exec`);
    }
    const skips = flags['skip-negotiation'] === true;
    const { ShellLink } = await import('../../shell/link.js');
    const log = flags.logfile === undefined ? null : await openLog(flags.logfile);
    const isAtTerminal = process.stdin.isTTY && process.stdout.isTTY;
    const shellFlags = { hmp: flags.hmp === true, verbose: flags.verbose === true, pretty: flags.pretty === true };
    const { run } = isAtTerminal
      ? { run: (await import('../../shell/terminal.js')).runAtTerminal }
      : { run: (await import('../../shell/pipe.js')).runPiped };
    return run(
      (observer, onMessage) =>
        ShellLink.open(
          target,
          {
            oob: true,
            ...(skips ? { greeting: false } : {}),
            onMessage: (direction, bytes) => {
              log?.(direction, bytes);
              onMessage(direction, bytes);
            },
          },
          observer,
        ),
      shellFlags,
    );
  },
});

/** @returns a function that appends a message to the file. @throws UsageError */
async function openLog(file: string): Promise<(direction: 'sent' | 'received', bytes: Buffer) => void> {
  const { appendFileSync } = await import('node:fs');
  const write = (text: string) => appendFileSync(file, text, { mode: 0o600 });
  try {
    write('');
  } catch (error) {
    throw new UsageError(`--logfile: ${error instanceof Error ? error.message : String(error)}`);
  }
  return (direction, bytes) => write(`${direction === 'sent' ? '->' : '<-'} ${bytes.toString()}\n`);
}
