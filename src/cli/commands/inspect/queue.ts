/** `qmpmux queue`: which commands have no answer yet, and which one all others wait for. */

import { subcommand } from '../../framework/subcommand.js';
import { JSON_OPTION, OWN_COMMANDS_NOTE, onlyTarget, TIMEOUT_OPTION, writeAnswer } from './extension-client.js';

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
    'STATE: running (QEMU executes it and all others wait for it), sent (QEMU has it too), waiting (in qmpmux). AGE counts from when the client sent it. ' +
      'Arguments are not shown, because they may hold secrets.',
    OWN_COMMANDS_NOTE,
    'Exit codes: 0, 1 qmpmux refused it, 64 wrong command line, 69 no answer.',
  ].join('\n'),

  async run(flags, operands) {
    return writeAnswer(onlyTarget(operands), flags, 'query-queue', async (report) => {
      return (await import('./queue-table.js')).queueLines(report);
    });
  },
});
