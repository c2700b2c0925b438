/**
 * qmpmux in front of a QEMU must be indistinguishable from that QEMU: every case is played to a QEMU and to qmpmux before
 * an identical one, whole and byte by byte, and every byte that comes back must be the same. What is recorded in the
 * transcripts is what a QEMU 7.2 says, so that they can be read as documentation, and in `recorded` what others say instead; where the
 * QEMU at hand is of such a version, that is checked too.
 *
 * QMPMUX_CONFORMANCE=full plays the slow cases as well; QMPMUX_STREAMS=N plays N random streams; QMPMUX_SEED=N begins with
 * stream N, which is how a failure is played again.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Scope, suiteScope } from '../support/files/scratch.js';
import { missing, type Qemu, startQemu } from '../support/qemu/qemu.js';
import { type SharedVm, shareVm } from '../support/qemu/shared-vm.js';
import { describeDifference, describeStream, difference, shrink, streams } from './random.js';
import { recordedOf, transcripts } from './recorded.js';
import { type Chunking, type Heard, play } from './runner.js';
import { anything, type Case, escape, loadTranscripts } from './transcript.js';
import { vmOptions } from './vm.js';

const isFull = process.env['QMPMUX_CONFORMANCE'] === 'full';
const streamCount = Number(process.env['QMPMUX_STREAMS'] ?? '300');
const seed = Number(process.env['QMPMUX_SEED'] ?? Math.floor(Math.random() * 2 ** 32));

/** A QEMU spoken to directly, and one behind qmpmux. */
interface Pair {
  readonly direct: Qemu;
  readonly shared: SharedVm;
}

async function startPair(scope: Scope): Promise<Pair> {
  const [direct, shared] = await Promise.all([startQemu(scope, vmOptions), shareVm(scope, vmOptions)]);
  return { direct, shared };
}

function readable(lines: readonly string[]): string[] {
  return lines.map((line) => escape(Buffer.from(line.slice(0, 2000), 'latin1')) + (line.length > 2000 ? '…' : ''));
}

function allLines(heard: Heard): string[] {
  return readable(heard.bytes.toString('latin1').split(/(?<=\n)/));
}

function assertRecorded(heard: Heard, expected: readonly string[], one: Case, chunking: Chunking): void {
  const lines = heard.lines.map((line, index) => (expected[index] === anything ? anything : line));
  assert.deepEqual(readable(lines), readable(expected), `QEMU does not say what ${one.place} has, written ${chunking}`);
}

function assertSame(direct: Heard, shared: Heard, one: Case, chunking: Chunking): void {
  if (shared.bytes.equals(direct.bytes)) return;
  assert.deepEqual(allLines(shared), allLines(direct), `qmpmux differs from QEMU in ${one.place}, written ${chunking}`);
}

describe('conformance', { skip: missing('qemu'), concurrency: 2 }, () => {
  let cases = 0;
  let played = 0;

  for (const { file, cases: all } of loadTranscripts(transcripts)) {
    // One case after the other: clients of one VM see one another's events.
    describe(file, { concurrency: 1 }, () => {
      const scope = suiteScope();
      let common: Pair;
      before(async () => {
        common = await startPair(scope);
      });
      for (const one of all) {
        if (one.slow && !isFull) continue;
        test(one.name, async (t) => {
          cases++;
          for (const chunking of one.chunks === 'whole' ? (['whole'] as const) : (['whole', 'bytes'] as const)) {
            const { direct, shared } = one.vm === 'own' ? await startPair(t) : common;
            const [expected, actual] = await Promise.all([
              play(direct.monitor, one, chunking),
              play(shared.target, one, chunking),
            ]);
            const recorded = recordedOf(direct.version);
            if (recorded !== null) assertRecorded(expected, recorded(file, one), one, chunking);
            assertSame(expected, actual, one, chunking);
          }
        });
      }
    });
  }

  test(`random streams from seed ${seed}`, async (t) => {
    const { direct, shared } = await startPair(t);
    for (const stream of streams(seed, streamCount)) {
      const found = await difference(direct.monitor, shared.target, stream, ['whole', 'cut']).catch(
        (error: unknown) => {
          throw new Error(`no answer to this:\n${describeStream(stream)}`, { cause: error });
        },
      );
      if (found !== null) {
        const smallest = await shrink(direct.monitor, shared.target, found);
        assert.fail(`${describeDifference(found)}\n\nmade smaller:\n${describeDifference(smallest)}`);
      }
      played++;
    }
  });

  after(() => {
    process.stdout.write(`${cases} conformance cases, ${played} random streams (from seed ${seed})\n`);
  });
});
