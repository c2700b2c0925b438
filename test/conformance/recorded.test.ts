/**
 * Each kind of QEMU that was recorded, spoken by a simulated monitor behind qmpmux: also where none of them is installed, clients get what
 * it was recorded to say of malformed input, of shapes, ids and negotiations. What needs a VM is left to conformance.test.ts.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { SimulatedMonitor } from '../../dist/demo/simulated-monitor.js';
import { startDaemon } from '../support/daemon/daemon.js';
import { scratch } from '../support/files/scratch.js';
import { recordedOf, transcripts } from './recorded.js';
import { play } from './runner.js';
import { anything, escape, loadTranscripts } from './transcript.js';

const KINDS = [
  ['7.2', 'classic'],
  ['10.0', 'classic'],
  ['11.1', 'prompt'],
] as const;
const FILES = /^(?:0[1-8]|12)-/;
/** The simulated monitor has no answer of the kind; or QEMU cuts a text of its own, which the simulated one writes whole. */
const NOT_SIMULATED = '"desc": "This monitor is simulated, and ';
const NOT_CUT = 'an unknown command with a name of 3000 letters';

function readable(lines: readonly string[]): string[] {
  return lines.map((line) => escape(Buffer.from(line.slice(0, 2000), 'latin1')));
}

for (const [version, dialect] of KINDS) {
  describe(`a client of qmpmux before a monitor that speaks as QEMU ${version}`, () => {
    test('hears what was recorded', async (t) => {
      const folder = scratch(t);
      const monitor = new SimulatedMonitor({ dialect });
      monitor.answer('query-name', '{"name": "vm"}');
      await monitor.start(join(folder, 'qmp'));
      t.after(() => monitor.stop());
      const daemon = startDaemon(t, ['--upstream', join(folder, 'qmp'), '--listen', join(folder, 'mux')]);
      const [target = ''] = await daemon.ready();
      const recorded = recordedOf(version);
      assert.ok(recorded !== null);
      let played = 0;
      const left: string[] = [];
      for (const { file, cases } of loadTranscripts(transcripts)) {
        if (!FILES.test(file)) continue;
        for (const one of cases) {
          if (one.slow || one.vm === 'own' || one.end === 'eof' || one.name === NOT_CUT) continue;
          const expected = recorded(file, one);
          const { lines } = await play(target, one, 'whole');
          if (lines.some((line) => line.includes(NOT_SIMULATED))) {
            left.push(one.name);
            continue;
          }
          played++;
          const said = lines.map((line, index) => (expected[index] === anything ? anything : line));
          assert.deepEqual(readable(said), readable(expected), `${one.place}, QEMU ${version}`);
        }
      }
      t.diagnostic(
        `${played} cases as QEMU ${version}; left out, since the simulated monitor cannot: ${left.join('; ')}`,
      );
      assert.ok(played > 550 && left.length < 20, `${played} played, ${left.length} left out`);
    });
  });
}
