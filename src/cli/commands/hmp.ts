/** `qmpmux hmp`: a command of the human monitor, and its text. */
import { QmpError } from '../../client/errors.js';
import { saysWithoutHmp, WITHOUT_HMP } from '../../hmp/absence.js';
import { ADDRESS_NOTE, takeTarget } from '../framework/address-operand.js';
import { Deadline } from '../framework/deadline.js';
import { EXIT } from '../framework/exit-code.js';
import { subcommand, UsageError } from '../framework/subcommand.js';
import { writeText } from '../screen/reply-output.js';

export const hmp = subcommand({
  name: 'hmp',
  usage: 'hmp [OPTIONS] [ADDRESS] COMMAND…',
  operands: 'command',
  options: {
    cpu: {
      type: 'string',
      describe: 'the CPU for commands such as info registers (default 0)',
    },
    timeout: {
      type: 'string',
      describe: 'give up after this time, such as 5s; QEMU still finishes a command it has started (default: never)',
    },
  },
  examples: [
    ['$0 hmp /run/vm.mux info block -v', 'the block devices'],
    ['$0 hmp --cpu 1 /run/vm.mux info registers', 'the registers of the second CPU'],
    ['$0 hmp /run/vm.mux help migrate', "the human monitor's help on a command"],
  ],
  notes: [
    'Everything after the first word of COMMAND belongs to it, so put options of qmpmux before it. For many commands: qmpmux exec --hmp ' +
      'ADDRESS -; at a terminal: qmpmux shell -H.',
    ADDRESS_NOTE,
    'Exit codes: 0 executed (the human monitor reports its errors as text), 1 refused, 64 wrong command line, 69 no answer.',
  ].join('\n'),

  async run({ cpu, timeout }, operands) {
    const { target, rest } = takeTarget(operands);
    const line = rest.join(' ');
    if (line.trim() === '') throw new UsageError('the command is missing, such as info status');
    if (cpu !== undefined && !/^\d{1,9}$/.test(cpu)) {
      throw new UsageError(`--cpu must be a number from 0, not ${JSON.stringify(cpu)}`);
    }
    const deadline = new Deadline(timeout);
    try {
      const client = await deadline.connect(target);
      try {
        const args = { 'command-line': line, ...(cpu === undefined ? {} : { 'cpu-index': Number(cpu) }) };
        const text = await client.execute('human-monitor-command', args, deadline.waiting);
        writeText(typeof text === 'string' ? text : '');
        return EXIT.ok;
      } finally {
        client.destroy();
      }
    } catch (error) {
      if (error instanceof QmpError && saysWithoutHmp(error.desc)) {
        process.stderr.write(`qmpmux: ${target.text}: ${WITHOUT_HMP}\n`);
        return EXIT.failed;
      }
      throw deadline.explain(error, target);
    }
  },
});
