/** The built program on the Node.js that runs this test; `node build/run.js nodes` runs it with others. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { startDaemon, startQmpmux } from '../../support/daemon/daemon.js';
import { runQmpmux } from '../../support/daemon/run-qmpmux.js';
import { scratch, suiteScope } from '../../support/files/scratch.js';
import { missing, startQemu } from '../../support/qemu/qemu.js';

/** Node warns of what it means to remove, and says where that is used. */
const environment = { NODE_OPTIONS: '--pending-deprecation --trace-deprecation --trace-warnings' };
const WARNING = /warning|DEP\d{4}|deprecat/i;

describe(`with Node.js ${process.version}`, { skip: missing('qemu') }, () => {
  const scope = suiteScope();
  const folder = scratch(scope);
  const place = join(folder, 'vm.mux');
  const log = join(folder, 'audit.log');
  let daemon: ReturnType<typeof startDaemon>;

  before(async () => {
    const vm = await startQemu(scope);
    const listen = [place, `${folder}/vm.ctl,extensions=on`].flatMap((each) => ['--listen', each]);
    daemon = startDaemon(scope, ['--upstream', vm.monitor, ...listen, '--audit', log], environment);
    await daemon.ready();
  });

  /** Runs a command to its end, and holds it to saying nothing on standard error. */
  async function quietly(words: readonly string[], input = ''): Promise<string> {
    const { code, output, errors } = await runQmpmux(words, {
      environment: { ...environment, XDG_STATE_HOME: folder, PAGER: 'cat' },
      input,
    });
    assert.deepEqual([words, code, errors], [words, 0, '']);
    return output;
  }

  test('serve and exec carry a command to QEMU and back, many times', async () => {
    for (let round = 0; round < 3; round++) {
      assert.match(await quietly(['exec', place, 'query-status']), /"status": *"\w+"/);
    }
  });

  test('no command draws a warning from Node, of what is deprecated or will be', { timeout: 300_000 }, async () => {
    assert.match(await quietly(['hmp', place, 'info status']), /VM status/);
    assert.match(await quietly(['shell', place], 'query-status\n'), /status/);
    assert.match(await quietly(['clients', join(folder, 'vm.ctl')]), /client|pid/i);
    await quietly(['status', join(folder, 'vm.ctl')]);
    assert.match(await quietly(['audit', 'show', log]), /query-status/);
    const events = startQmpmux(scope, ['events', place], environment);
    // It may not be connected yet when the first of them happens.
    while (!events.output.includes('RESUME')) {
      await quietly(['exec', place, 'stop']);
      await quietly(['exec', place, 'cont']);
    }
    await events.stop();
    await daemon.stop();
    for (const { errors } of [events, daemon]) assert.doesNotMatch(errors, WARNING);
  });
});
