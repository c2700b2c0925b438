/**
 * How much the fuzz tests run, and from which seed. QMPMUX_FUZZ_SEED replays a run; QMPMUX_FUZZ_RUNS is the total of runs,
 * shared out as below, for longer ones. The seed is printed by every file, and by fast-check with each counterexample.
 */
import * as fc from 'fast-check';

/** Runs of each property when nothing else is asked for. */
const SHARES = {
  'any chunking of client input': 3000,
  'the reference reader': 4000,
  'wire forms': 2000,
  'many clients': 2000,
  'nobody waits': 700,
  'any bytes from the upstream': 2000,
  'lines in any chunking': 1500,
  'pretty printing in any chunking': 1500,
  'audit records': 500,
  'secrets in audit records': 500,
  'audit logs that anyone wrote': 500,
  'work of redaction': 25,
  'short cuts of redaction': 3000,
  'secrets in HMP lines': 3000,
  'deeds in HMP lines': 1000,
  'extension commands': 500,
  'commands that come again': 3000,
  globs: 4000,
  'work of readers': 80,
  'paths of globs': 2000,
} as const;
export type Share = keyof typeof SHARES;

/** However many runs are asked for, a property is not begun again after this time, in milliseconds. */
const LONGEST = 240_000;

const total = Object.values(SHARES).reduce((sum, runs) => sum + runs, 0);
const asked = process.env['QMPMUX_FUZZ_RUNS'];
const wanted = Number(asked ?? total);
const seed = Number(process.env['QMPMUX_FUZZ_SEED'] ?? Math.floor(Math.random() * 0x7fffffff));
if (!Number.isSafeInteger(wanted) || wanted < 1) throw new RangeError('QMPMUX_FUZZ_RUNS must be a number of runs');
if (!Number.isSafeInteger(seed)) throw new RangeError('QMPMUX_FUZZ_SEED must be an integer');

/** Runs a property as many times as its share allows, and prints the number. */
export function fuzz<T extends unknown[]>(share: Share, property: fc.IProperty<T>): void {
  const numRuns = Math.max(1, Math.round((SHARES[share] * wanted) / total));
  const bound = asked === undefined ? {} : { interruptAfterTimeLimit: LONGEST };
  console.log(`${share}: ${numRuns} runs; QMPMUX_FUZZ_SEED=${seed} replays them`);
  const details = fc.check(property, { numRuns, seed, ...bound });
  if (details.failed) throw new Error(fc.defaultReportMessage(details), { cause: details.errorInstance });
  if (details.interrupted) console.log(`${share}: stopped after ${details.numRuns} runs, for the time it took`);
}
