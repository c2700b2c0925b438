import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { describe, it } from 'node:test';
import { missing } from '../support/daemon/programs.js';
import { soak } from './soak.js';
import { formatTable } from './table.js';

describe('a minute of everything at once', { skip: missing('qemu') }, () => {
  it('leaves a thousand clients with their own answers, in order, and every event, and the daemon within its bounds', async (context) => {
    const seed = Number(process.env['QMPMUX_SEED'] ?? randomInt(1_000_000_000));
    context.diagnostic(`seed ${seed}`);
    const seconds = Number(process.env['QMPMUX_SOAK_SECONDS'] ?? '60');
    const { figures, problems } = await soak(
      context,
      { seconds, seed, clients: 1000, vanishing: 5000, inputs: 1000 },
      () => {},
    );
    for (const line of formatTable(figures).trimEnd().split('\n')) context.diagnostic(line);
    assert.deepEqual(problems, []);
    assert.deepEqual(
      figures.filter(({ isGood }) => !isGood).map(({ what, value }) => `${what}: ${value}`),
      [],
    );
  });
});
