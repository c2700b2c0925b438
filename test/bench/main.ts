/**
 * `npm run bench`: measures qmpmux beside what it is to be compared with, and prints one table.
 *
 * A figure is a ratio within one run, wherever it can be: what is compared runs in turn, in short rounds, and the figure is the
 * median of the rounds' ratios, so that what else the machine does falls on all of them alike. Nothing here needs a network.
 */
import { parseArgs } from 'node:util';
import { available, qemuProgram } from '../support/daemon/programs.js';
import { describeMachine } from './machine.js';
import { type Effort, type Finding, measure, type Need, type Row } from './row.js';
import { execStart } from './rows/exec.js';
import { libvirtTrip } from './rows/libvirt.js';
import { growthRow, memory, start } from './rows/process.js';
import { audited, descriptors, polling, realRate, realTrip, schema } from './rows/qemu.js';
import { events, largeReplies, latency } from './rows/responder.js';
import { eventTrip, firstCommand, neighbours, sparse } from './rows/sparse.js';
import { virshTrip } from './rows/virsh.js';

const ROWS: readonly Row[] = [
  latency,
  sparse,
  firstCommand,
  eventTrip,
  neighbours,
  realTrip,
  realRate,
  audited,
  descriptors,
  largeReplies,
  events,
  schema,
  polling,
  memory,
  growthRow,
  start,
  libvirtTrip,
  virshTrip,
  execStart,
];

const HELP = `Usage: npm run bench -- [--row NAME]… [--seconds S] [--rounds N]

Measures qmpmux beside socat, a direct connection and a bare Node loop.

  --row NAME     only this row; may be given more than once: ${ROWS.map((row) => row.name).join(', ')}
  --seconds S    how long each run takes (default 0.4)
  --rounds N     how often each is repeated; the figure is the median (default 9; up to a multiple
                 of three where processes are placed on two CPUs in three ways)
`;

const PROGRAMS: Readonly<Record<Need, string>> = {
  socat: 'socat',
  qemu: qemuProgram,
  'virt-qemu-qmp-proxy': 'virt-qemu-qmp-proxy',
  virsh: '/usr/bin/virsh',
};

function shown(value: number, unit: Finding['goal']['unit']): string {
  const digits = Math.abs(value) >= 10 ? value.toFixed(value < 100 ? 1 : 0) : value.toFixed(2);
  return unit === '×' ? `${digits}×` : `${digits} ${unit}`;
}

function verdict({ goal, figure }: Finding): string {
  const reaches = (bound: number) => (goal.better === 'less' ? figure <= bound : figure >= bound);
  if (reaches(goal.aim)) return 'aim';
  return reaches(goal.must) ? 'must' : 'MISSED';
}

function table(findings: readonly Finding[]): string {
  const sign = (finding: Finding) => (finding.goal.better === 'less' ? '≤' : '≥');
  const lines = [
    ['what', 'against', 'must', 'aim', 'measured', 'quartiles', 'reaches'],
    ...findings.map((finding) => {
      const { goal, figure, low, high } = finding;
      return [
        goal.what,
        goal.against,
        `${sign(finding)} ${shown(goal.must, goal.unit)}`,
        `${sign(finding)} ${shown(goal.aim, goal.unit)}`,
        shown(figure, goal.unit),
        `${shown(low, goal.unit)} – ${shown(high, goal.unit)}`,
        verdict(finding),
      ];
    }),
  ];
  const widths = (lines[0] ?? []).map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  const written = lines.map((line) => `| ${line.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join(' | ')} |`);
  written.splice(1, 0, `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`);
  return written.join('\n');
}

async function run(rows: readonly Row[], effort: Effort): Promise<void> {
  process.stdout.write(`${describeMachine().join('\n')}\n`);
  process.stdout.write(`runs of ${effort.seconds} s, ${effort.rounds} rounds\n\n`);
  const findings: Finding[] = [];
  for (const row of rows) {
    const lacking = row.needs.filter((need) => !available(PROGRAMS[need]));
    if (lacking.length > 0) {
      process.stdout.write(`${row.name}: skipped, not installed: ${lacking.join(', ')}\n`);
      continue;
    }
    process.stderr.write(`${row.name} …\n`);
    try {
      findings.push(...(await measure(row, effort)));
    } catch (error) {
      process.stdout.write(`${row.name}: failed: ${error instanceof Error ? error.message : String(error)}\n`);
      process.exitCode = 1;
    }
  }
  process.stdout.write(`${table(findings)}\n\n`);
  for (const { goal, notes } of findings) {
    for (const note of notes) process.stdout.write(`${goal.what}: ${note}\n`);
  }
}

function numberOf(option: string, text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new Error(`--${option}: not a positive number: ${text}`);
  return value;
}

try {
  const { values } = parseArgs({
    options: {
      row: { type: 'string', multiple: true },
      seconds: { type: 'string', default: '0.4' },
      rounds: { type: 'string', default: '9' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  const unknown = values.row?.find((name) => !ROWS.some((row) => row.name === name));
  if (unknown !== undefined) throw new Error(`--row: unknown row ${unknown}; see --help`);
  if (values.help === true) process.stdout.write(HELP);
  else {
    const wanted = ROWS.filter((row) => values.row === undefined || values.row.includes(row.name));
    await run(wanted, {
      seconds: numberOf('seconds', values.seconds),
      rounds: Math.ceil(numberOf('rounds', values.rounds)),
    });
  }
} catch (error) {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
