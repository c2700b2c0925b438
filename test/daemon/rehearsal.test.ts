/** A rehearsal goes all the way, is ended at once, and leaves nothing that anyone could see. */
import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { describe, type TestContext, test } from 'node:test';
import { pino } from 'pino';
import { rehearse } from '../../dist/daemon/rehearsal.js';
import { startDaemon } from '../support/daemon/daemon.js';
import { scratch } from '../support/files/scratch.js';
import { startQemu } from '../support/qemu/qemu.js';

const silent = pino({ level: 'silent' });

/** Has temporary folders made below one of the test. */
function temporary(t: TestContext): string {
  const folder = scratch(t);
  const before = process.env['TMPDIR'];
  process.env['TMPDIR'] = folder;
  t.after(() => {
    if (before === undefined) delete process.env['TMPDIR'];
    else process.env['TMPDIR'] = before;
  });
  assert.equal(tmpdir(), folder);
  return folder;
}

describe('a rehearsal', () => {
  test('has all its commands answered, and leaves no file', async (t) => {
    const folder = temporary(t);
    assert.equal(await rehearse(silent, new AbortController().signal), 3000);
    assert.deepEqual(readdirSync(folder), []);
  });

  test('ends on request, before and while it runs', async (t) => {
    const folder = temporary(t);
    assert.equal(await rehearse(silent, AbortSignal.abort()), 0);
    const end = new AbortController();
    const running = rehearse(silent, end.signal);
    setTimeout(() => end.abort(), 100);
    assert.ok((await running) < 3000);
    assert.deepEqual(readdirSync(folder), []);
  });

  test('does nothing if no folder can be made, or if somebody listens to the channels', async (t) => {
    const folder = temporary(t);
    const listener = () => assert.fail('the rehearsal is published');
    subscribe('qmpmux:command:sent', listener);
    t.after(() => unsubscribe('qmpmux:command:sent', listener));
    assert.equal(await rehearse(silent, new AbortController().signal), 0);
    unsubscribe('qmpmux:command:sent', listener);
    process.env['TMPDIR'] = `${folder}/none`;
    assert.equal(await rehearse(silent, new AbortController().signal), 0);
  });

  test('is not seen in a daemon’s log, audit log, metrics or channels', async (t) => {
    const folder = scratch(t);
    const qemu = await startQemu(t, { machine: 'none' });
    const audit = `${folder}/audit`;
    const daemon = startDaemon(
      t,
      ['--upstream', qemu.monitor, '--listen', `${folder}/mux`, '--audit', audit, '--log-level', 'debug'],
      { QMPMUX_REHEARSAL: '', TMPDIR: folder },
    );
    await daemon.ready();
    // It makes a folder, and removes it.
    while (!readdirSync(folder).some((name) => name.startsWith('qmpmux-'))) await new Promise(setImmediate);
    while (readdirSync(folder).some((name) => name.startsWith('qmpmux-'))) await new Promise(setImmediate);
    await daemon.stop();
    assert.ok(!daemon.errors.includes('rehearsal'), daemon.errors);
    assert.doesNotMatch(readFileSync(audit, 'utf8'), /rehearsal|query-status/);
  });
});
