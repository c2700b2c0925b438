/** `qmpmux status`: the state of a monitor; with `--check`, for Nagios and its like. */
import { QmpmuxError } from '../../../shared/errors.js';
import { parseDuration } from '../../../shared/units.js';
import { subcommand, UsageError } from '../../framework/subcommand.js';
import { Report } from '../../screen/json-view.js';
import { textFor } from '../../screen/screen-text.js';
import {
  JSON_OPTION,
  NotThereError,
  OWN_COMMANDS_NOTE,
  type OwnCommands,
  onlyTarget,
  withOwnCommands,
  writeAnswer,
} from './extension-client.js';
import { checked, type Thresholds, UNKNOWN, verdictLine } from './status-check.js';

/** With `--check`, where no --timeout is given, in seconds. */
const CHECK_TIMEOUT = '10';

export const status = subcommand({
  name: 'status',
  usage: 'status [OPTIONS] [ADDRESS]',
  operands: 'words',
  options: {
    json: JSON_OPTION,
    check: { type: 'boolean', describe: 'report the health in one line, as a plugin of Nagios or Icinga' },
    warning: {
      type: 'string',
      describe: 'with --check: warning threshold for a command without an answer (default 10s)',
    },
    critical: { type: 'string', describe: 'with --check: critical threshold (default 60s)' },
    timeout: {
      type: 'string',
      describe: `give up after this time, such as 5s (default: never; with --check ${CHECK_TIMEOUT}s)`,
    },
  },
  examples: [
    ['$0 status /run/vm.ctl', 'QEMU and, from 11.1 on, its monitors; clients, commands, refusals'],
    ['$0 status /run/vm.ctl --json | jq .clients', 'for scripts'],
    ['$0 status /run/vm.ctl --check --warning 5s --critical 30s', 'for Nagios'],
  ],
  notes: [
    OWN_COMMANDS_NOTE,
    'Exit codes: 0, 1 qmpmux refused it, 64 wrong command line, 69 no answer. With --check: 0 OK, 1 WARNING, 2 CRITICAL (QEMU or qmpmux ' +
      'is not there, or a command has no answer for too long), 3 UNKNOWN (the socket has no extensions=on).',
  ].join('\n'),

  async run(flags, operands) {
    const { json, check, timeout } = flags;
    if (json === true && check === true) throw new UsageError('--json and --check cannot be combined');
    const target = onlyTarget(operands);
    if (check !== true) {
      const other = (['warning', 'critical'] as const).find((flag) => flags[flag] !== undefined);
      if (other !== undefined) throw new UsageError(`--${other} needs --check`);
      const monitorsOf = async (commands: OwnCommands, report: Report) => {
        const { vmMonitors } = await import('./vm-monitors.js');
        return vmMonitors(commands, report);
      };
      return writeAnswer(
        target,
        flags,
        'query-status',
        async (report, commands) => {
          const { statusLines } = await import('./status-report.js');
          return statusLines(report, await monitorsOf(commands, report));
        },
        async (report, commands) => {
          const monitors = await monitorsOf(commands, report);
          return monitors === null ? {} : { monitors: monitors.map((each) => ({ ...each })) };
        },
      );
    }
    const thresholds = thresholdsOf(flags.warning, flags.critical);
    try {
      return await withOwnCommands(target, timeout ?? CHECK_TIMEOUT, async (commands) => {
        const verdict = checked(new Report((await commands.ask('query-status')).value), thresholds);
        process.stdout.write(`${verdict.line}\n`);
        return verdict.code;
      });
    } catch (error) {
      if (!(error instanceof QmpmuxError) || error instanceof UsageError) throw error;
      const isRefused = error instanceof NotThereError || error.code === 'QMPMUX_COMMAND_FAILED';
      const verdict = verdictLine(isRefused ? UNKNOWN : 2, error.message);
      process.stdout.write(`${textFor(process.stdout, verdict.line)}\n`);
      return verdict.code;
    }
  },
});

/** @throws UsageError */
function thresholdsOf(warning = '10s', critical = '60s'): Thresholds {
  const thresholds = { warning: secondsOf('warning', warning), critical: secondsOf('critical', critical) };
  if (thresholds.warning > thresholds.critical) throw new UsageError('--warning must not be longer than --critical');
  return thresholds;
}

function secondsOf(flag: string, text: string): number {
  const time = parseDuration(text) ?? 0;
  if (time === 0) throw new UsageError(`--${flag}: ${JSON.stringify(text)} is not a time such as 10s, 500ms or 5m`);
  return time / 1000;
}
