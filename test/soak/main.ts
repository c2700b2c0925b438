/**
 * `npm run soak [-- --seconds 3600 --seed 7 --clients 1000 --vanishing 100000 --inputs 10000]`: the soak by hand, with its table at the
 * end; `npm run soak -- --chaos [--seconds 30 --seed 7 --clients 200]`: the chaos.
 */
import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { chaos } from './chaos.js';
import { soak } from './soak.js';
import { formatTable } from './table.js';

const HELP = `Usage: npm run soak -- [--seconds S] [--seed N] [--clients N] [--vanishing N] [--inputs N]
       npm run soak -- --chaos [--seconds S] [--seed N] [--clients N]

Floods a daemon from all sides, and prints a table of what that did to others.

  --seconds S      how long clients are held and flooded (default 60)
  --seed N         of what is random; printed first (default: another each time)
  --clients N      clients that are connected all the time (default 1000; of the chaos 200)
  --vanishing N    clients that come and go without a word (default 100000)
  --inputs N       pieces of garbage that are sent (default 10000)
  --chaos          hostile clients, a lying QEMU, and faults of all that is around the daemon, at random and at once
`;

const { values } = readOptions();
if (values.help === true || Object.values(values).some((value) => typeof value === 'string' && !/^\d+$/.test(value))) {
  process.stdout.write(HELP);
  process.exit(values.help === true ? 0 : 64);
}
function readOptions() {
  try {
    return parseArgs({
      options: {
        help: { type: 'boolean' },
        chaos: { type: 'boolean' },
        seconds: { type: 'string', default: '60' },
        seed: { type: 'string', default: String(randomInt(1_000_000_000)) },
        clients: { type: 'string' },
        vanishing: { type: 'string', default: '100000' },
        inputs: { type: 'string', default: '10000' },
      },
    });
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${HELP}`);
    process.exit(64);
  }
}

const cleanings: (() => void | Promise<void>)[] = [];
const scope = {
  after: (clean: () => void | Promise<void>) => {
    cleanings.unshift(clean);
  },
};
const options = {
  seconds: Number(values.seconds),
  seed: Number(values.seed),
  clients: Number(values.clients ?? (values.chaos === true ? '200' : '1000')),
  vanishing: Number(values.vanishing),
  inputs: Number(values.inputs),
};
process.stdout.write(`seed ${options.seed}\n`);
try {
  const run = values.chaos === true ? chaos : soak;
  const { figures, problems } = await run(scope, options, (line) => process.stderr.write(`${line}\n`));
  process.stdout.write(`\n${formatTable(figures)}`);
  for (const problem of problems) process.stdout.write(`problem: ${problem}\n`);
  process.exitCode = problems.length === 0 && figures.every(({ isGood }) => isGood) ? 0 : 1;
} finally {
  for (const clean of cleanings) await clean();
}
