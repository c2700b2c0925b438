import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { missing, type Qemu, startQemu } from '../support/qemu.js';
import { suiteScope } from '../support/scratch.js';
import { type Chunking, expectedLines, type Heard, play } from './runner.js';
import { anything, type Case, escape, loadTranscripts } from './transcript.js';
import { vmOptions } from './vm.js';

const folder = join(fileURLToPath(new URL('../..', import.meta.url)), 'test/conformance/transcripts');
const full = process.env['QMPMUX_CONFORMANCE'] === 'full';

/** What a transcript says is of QEMU 7.2; what another says is compared, but not with that. */
function assertRecorded(heard: Heard, one: Case, chunking: Chunking): void {
  const expected = expectedLines(one);
  const lines = heard.lines.map((line, index) => (expected[index] === anything ? anything : line));
  assert.deepEqual(lines.map(readable), expected.map(readable), `${one.place}, ${chunking}`);
}

function readable(line: string): string {
  return escape(Buffer.from(line, 'latin1'));
}

describe('conformance', { skip: missing('qemu'), concurrency: 2 }, () => {
  let count = 0;
  for (const { file, cases } of loadTranscripts(folder)) {
    describe(file, () => {
      const scope = suiteScope();
      let shared: Qemu;
      before(async () => {
        shared = await startQemu(scope, vmOptions);
      });
      for (const one of cases) {
        if (one.slow && !full) continue;
        test(one.name, async (t) => {
          count++;
          for (const chunking of one.chunks === 'whole' ? (['whole'] as const) : (['whole', 'bytes'] as const)) {
            const qemu = one.vm === 'own' ? await startQemu(t, vmOptions) : shared;
            const heard = await play(qemu.monitor, one, chunking);
            if (qemu.version.startsWith('7.2.')) assertRecorded(heard, one, chunking);
          }
        });
      }
    });
  }
  after(() => {
    process.stdout.write(`${count} conformance cases\n`);
  });
});
