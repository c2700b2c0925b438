/**
 * The transcripts, played to a VM of libvirt's through qmpmux and to the same QEMU on a monitor that libvirt does not know of: every byte
 * must be the same, but for the greeting, which offers no `oob` over libvirt. Left out are cases with `oob`, whose VM must be another
 * each time, or that play for long, and what OTHER_FILES and LEFT_OUT say.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startDaemon } from '../support/daemon/daemon.js';
import { scratch, suiteScope } from '../support/files/scratch.js';
import { startLibvirt } from '../support/libvirt/libvirt.js';
import { play } from './runner.js';
import { type Case, escape, loadTranscripts } from './transcript.js';

const { skip, libvirt } = await startLibvirt();
after(async () => {
  await libvirt.stop();
});

const folder = join(fileURLToPath(new URL('../..', import.meta.url)), 'test/conformance/transcripts');
/**
 * Files of which nothing is played: limits beyond those of libvirt, `oob`, and events, since the two sides have one VM and each would
 * hear what the other did (test/e2e/libvirt/libvirt.test.ts compares them).
 */
const OTHER_FILES = ['08-limits.txt', '09-oob.txt', '10-events.txt'];
/** Cases that cannot be the same: they enable `oob`, or hold the character that libvirt cuts strings at. */
const LEFT_OUT = /enable oob|with oob|oob on$|with a NUL in/;

function isPlayed(one: Case): boolean {
  return one.setup !== 'oob' && one.vm === 'shared' && !one.slow && !LEFT_OUT.test(one.name) && one.end !== 'eof';
}

function readable(bytes: Buffer): string[] {
  const lines = bytes
    .toString('latin1')
    .replace('"capabilities": ["oob"]', '"capabilities": []')
    .split(/(?<=\n)/);
  return lines.map((line) => escape(Buffer.from(line, 'latin1')));
}

describe('conformance over libvirt', { skip, concurrency: 1 }, () => {
  const scope = suiteScope();
  let direct = '';
  let mux = '';
  before(async () => {
    const vm = await libvirt.newVm(scope);
    direct = vm.direct;
    mux = join(scratch(scope), 'mux');
    await startDaemon(scope, ['--upstream', `libvirt:${vm.name}?uri=${libvirt.uri}`, '--listen', mux]).ready();
  });
  for (const { file, cases } of loadTranscripts(folder)) {
    if (OTHER_FILES.includes(file)) continue;
    for (const one of cases.filter(isPlayed)) {
      test(`${file}: ${one.name}`, async () => {
        const expected = await play(direct, one, 'whole');
        const heard = await play(mux, one, 'whole');
        assert.deepEqual(readable(heard.bytes), readable(expected.bytes), one.place);
      });
    }
  }
});
