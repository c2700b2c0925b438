import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { startDaemon } from '../../support/daemon/daemon.js';
import { missing, startQemu } from '../../support/qemu/qemu.js';
import { RawClient } from '../../support/world/raw-client.js';

describe('the log for eyes', { skip: missing('qemu') }, () => {
  test('has nothing of a client’s in it that a terminal would act on', async (t) => {
    const qemu = await startQemu(t);
    const mux = join(qemu.folder, 'mux');
    const words = ['--upstream', qemu.monitor, '--listen', `${mux},policy=read-only`, '--log-format', 'pretty'];
    const daemon = startDaemon(t, words);
    await daemon.ready();
    const client = await RawClient.negotiated(mux);
    await client.write(String.raw`{"execute":"\u001b[31m\u009b31m\u0007\u0085\u202e\u007f"}`);
    assert.match(await client.readLine(), /is not allowed here/);
    await client.close();
    await daemon.stop();
    assert.match(
      daemon.errors,
      /INFO: refused a command \{.*"command":"\\u001b\[31m\\u009b31m\\u0007\\u0085\\u202e\\u007f",/,
    );
    assert.doesNotMatch(daemon.errors, /(?!\n)[\p{Cc}\u202e]/u);
  });
});
