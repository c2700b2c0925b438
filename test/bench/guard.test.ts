/**
 * Keeps what makes qmpmux fast from getting lost: the rows of `npm run bench`, in short runs. A figure fails only where it is several
 * times worse than what is promised (docs/explanation/performance.md), so that a busy machine fails nothing and a lost order of magnitude does.
 */
import assert from 'node:assert/strict';
import { availableParallelism } from 'node:os';
import { test } from 'node:test';
import { missing } from '../support/daemon/programs.js';
import { type Effort, type Finding, measure, type Row } from './row.js';
import { start } from './rows/process.js';
import { audited, polling, realRate, realTrip, schema } from './rows/qemu.js';
import { events, largeReplies, latency } from './rows/responder.js';
import { neighbours, sparse } from './rows/sparse.js';

/** How many times worse than promised a figure may be. Where there is one CPU, all processes of a run have it between them. */
const MARGIN = availableParallelism() > 1 ? 4 : 8;
const EFFORT: Effort = { seconds: 0.1, rounds: 5 };
/** Of large replies few come in a short run, and a daemon that has not compiled its code yet takes twice as long for them. */
const LONGER: Effort = { seconds: 0.3, rounds: 3 };

function isLost({ goal, figure }: Finding): boolean {
  return goal.better === 'less' ? figure > goal.must * MARGIN : figure < goal.must / MARGIN;
}

/** @param counts which findings must be within the margin */
function guard(row: Row, effort = EFFORT, counts: (finding: Finding) => boolean = () => true): void {
  test(`the figures of ${row.name} are within ${MARGIN} times of what is promised`, {
    skip: missing(...row.needs),
  }, async () => {
    for (const finding of (await measure(row, effort)).filter(counts)) {
      const { goal, figure } = finding;
      assert.ok(Number.isFinite(figure), `${goal.what}: no figure`);
      const text = `${goal.what}: ${figure.toFixed(2)}${goal.unit} of ${goal.against}, promised ${goal.must}${goal.unit}`;
      console.log(text);
      assert.ok(!isLost(finding), text);
    }
  });
}

for (const row of [latency, events, realTrip, realRate, audited, schema, polling, start]) {
  guard(row);
}
// Beside socat with a large buffer it is known to be slower, by how much depends on the machine's memory.
guard(largeReplies, LONGER, ({ goal }) => goal.against === 'socat');
// The slowest of few commands says nothing.
guard(sparse, EFFORT, ({ goal }) => !goal.what.endsWith('p99'));
guard(neighbours, { seconds: 0.2, rounds: 2 });
