/** `qmpmux clients`: the connected clients. */

import { subcommand } from '../../framework/subcommand.js';
import { JSON_OPTION, OWN_COMMANDS_NOTE, onlyTarget, TIMEOUT_OPTION, writeAnswer } from './extension-client.js';

export const clients = subcommand({
  name: 'clients',
  usage: 'clients [OPTIONS] [ADDRESS]',
  operands: 'words',
  options: { json: JSON_OPTION, timeout: TIMEOUT_OPTION },
  examples: [
    ['$0 clients /run/vm.ctl', 'one line per client'],
    ["$0 clients /run/vm.ctl --json | jq -r '.[] | select(.waiting > 100).client'", 'those with a long queue'],
  ],
  notes: [
    "* marks this command's own connection. LATENCY is the mean time from a command to its answer.",
    OWN_COMMANDS_NOTE,
    'Exit codes: 0, 1 qmpmux refused it, 64 wrong command line, 69 no answer.',
  ].join('\n'),

  async run(flags, operands) {
    return writeAnswer(onlyTarget(operands), flags, 'query-clients', async (report) => {
      return (await import('./client-table.js')).clientLines(report);
    });
  },
});
