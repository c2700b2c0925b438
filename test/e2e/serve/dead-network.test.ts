/** Hosts that are gone without a word: no power, no cable. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { startDaemon } from '../../support/daemon/daemon.js';
import { noOtherHost, otherHost } from '../../support/daemon/other-host.js';
import { startProgram } from '../../support/daemon/program.js';
import { qemuProgram } from '../../support/daemon/programs.js';
import { scratch } from '../../support/files/scratch.js';
import { missing, startQemu } from '../../support/qemu/qemu.js';
import { RawClient } from '../../support/world/raw-client.js';

const skip = missing('qemu') || noOtherHost();

describe('a host that is gone without a word', { skip, concurrency: 2 }, () => {
  for (const [what, command] of [
    ['and nobody asks', ''],
    ['and a command is under way to it', '{"execute":"query-block"}'],
  ] as const) {
    test(`with QEMU, ${what}, is noticed: its clients end, and it is dialled again`, async (t) => {
      const host = otherHost(t);
      const folder = scratch(t);
      const monitor = `tcp:${host.its}:4444`;
      const [first, ...words] = [...host.there, qemuProgram, '-machine', 'none', '-S', '-display', 'none'];
      startProgram(t, first, ...words, '-nodefaults', '-qmp', `${monitor},server=on,wait=off`);
      const listen = `unix:${join(folder, 'mux')}`;
      const daemon = startDaemon(t, ['--upstream', `${monitor},keepalive=15s`, '--listen', listen]);
      const [target = ''] = await daemon.ready();
      const client = await RawClient.negotiated(target);
      host.pullCable();
      if (command !== '') await client.write(command);
      await client.readToEnd();
      const lost = await daemon.logged(({ msg }) => msg.startsWith('lost QEMU'));
      assert.equal(lost.reason, 'the peer stopped answering');
      await daemon.logged(({ msg }) => msg === 'waiting for QEMU');
    });
  }

  test('with clients is noticed: they are let go of, whether they were sent something or not', async (t) => {
    const host = otherHost(t);
    const qemu = await startQemu(t);
    const listen = `tcp:${host.ours}:4455,insecure,keepalive=15s`;
    const daemon = startDaemon(t, [
      '--upstream',
      qemu.monitor,
      '--listen',
      listen,
      '--listen',
      `unix:${join(qemu.folder, 'mux')}`,
      '--log-level',
      'debug',
    ]);
    const [, own = ''] = await daemon.ready();
    const [first, ...words] = [...host.there, 'nc', host.ours, '4455'];
    const silent = startProgram(t, first, ...words);
    const busy = startProgram(t, first, ...words);
    await silent.reads('"QMP"');
    await busy.reads('"QMP"');
    await busy.type('{"execute":"qmp_capabilities"}\n');
    await busy.reads('"return"');
    const here = await RawClient.negotiated(own);
    host.pullCable();
    await here.write('{"execute":"cont"}');
    await here.readLinesUntil((line) => line.includes('RESUME'));
    for (let gone = 0; gone < 2; gone++) {
      const line = await daemon.logged(({ msg }) => msg === 'a client is gone');
      assert.equal(line.reason, 'the peer stopped answering');
    }
    // who is well is served
    await here.write('{"execute":"query-status","id":"still here"}');
    await here.readLinesUntil((line) => line.includes('still here'));
  });
});
