/** A signal can come at any moment, also while a changed config is gone over to. */
import assert from 'node:assert/strict';
import { existsSync, lstatSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { startDaemon } from '../../support/daemon/daemon.js';
import { missing, startQemu } from '../../support/qemu/qemu.js';
import { RawClient } from '../../support/world/raw-client.js';

describe('a daemon that is told to end while it goes over to another config', { skip: missing('qemu') }, () => {
  it('ends all the same, and begins nothing any more', async (context) => {
    const qemu = await startQemu(context);
    const { ino } = lstatSync(qemu.monitor);
    const [file, mux] = [join(qemu.folder, 'config.toml'), join(qemu.folder, 'mux')];
    const config = (more: string) =>
      `drain-timeout = "1m"\n[monitor.vm]\nupstream = "${qemu.monitor}"\ntakeover = true\nlisten = ["${mux}"]\n${more}`;
    writeFileSync(file, config(''));
    const daemon = startDaemon(context, ['--config', file]);
    await daemon.ready();
    const client = await RawClient.connect(mux);
    await client.readLine();
    // What is to be begun anew waits for the answer to this: longer than a busy machine takes to hand over a signal.
    process.kill(qemu.pid, 'SIGSTOP');
    await client.write('{"execute":"qmp_capabilities"}{"execute":"query-status"}');
    await client.readLine();
    writeFileSync(file, config('keep-clients = true\n'));
    daemon.kill('SIGHUP');
    while (existsSync(mux)) await new Promise(setImmediate);
    daemon.kill('SIGTERM');
    await daemon.logged(({ msg }) => msg === 'ending');
    process.kill(qemu.pid, 'SIGCONT');
    assert.deepEqual(await daemon.exited, { code: 0, signal: null });
    assert.equal(lstatSync(qemu.monitor).ino, ino, 'QEMU has its place again');
    assert.ok(!existsSync(`${qemu.monitor}.qemu`) && !existsSync(mux));
    assert.deepEqual(
      daemon.log.filter(({ level }) => level >= 40).map(({ msg }) => msg),
      [],
    );
  });
});
