/** `npm run soak [-- --seconds 3600 --seed 7 --clients 1000 --vanishing 100000 --inputs 10000]`: the soak by hand, with its table at the end. */
import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { soak } from './soak.js';
import { formatTable } from './table.js';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string', default: String(randomInt(1_000_000_000)) },
    clients: { type: 'string', default: '1000' },
    vanishing: { type: 'string', default: '100000' },
    inputs: { type: 'string', default: '10000' },
  },
});
const cleanings: (() => void | Promise<void>)[] = [];
const scope = {
  after: (clean: () => void | Promise<void>) => {
    cleanings.unshift(clean);
  },
};
const options = {
  seconds: Number(values.seconds),
  seed: Number(values.seed),
  clients: Number(values.clients),
  vanishing: Number(values.vanishing),
  inputs: Number(values.inputs),
};
process.stdout.write(`seed ${options.seed}\n`);
try {
  const { figures, problems } = await soak(scope, options, (line) => process.stderr.write(`${line}\n`));
  process.stdout.write(`\n${formatTable(figures)}`);
  for (const problem of problems) process.stdout.write(`problem: ${problem}\n`);
  process.exitCode = problems.length === 0 && figures.every(({ isGood }) => isGood) ? 0 : 1;
} finally {
  for (const clean of cleanings) await clean();
}
