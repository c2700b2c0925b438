import assert from 'node:assert/strict';
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { startDaemon } from '../support/daemon.js';
import { missing, startQemu } from '../support/qemu.js';
import { RawClient } from '../support/raw-client.js';
import { scratch } from '../support/scratch.js';

describe('qmpmux serve', { skip: missing('qemu') }, () => {
  test('shares a monitor, says so when it does, and removes its socket at the end', async (t) => {
    const folder = scratch(t);
    const qemu = await startQemu(t, { name: 'web' });
    const daemon = startDaemon(t, ['--upstream', qemu.monitor, '--listen', join(folder, 'mux')]);
    assert.deepEqual(await daemon.ready(), [`unix:${join(folder, 'mux')}`]);
    assert.equal(statSync(join(folder, 'mux')).mode & 0o777, 0o600);

    const clients = await Promise.all([1, 2, 3].map(() => RawClient.connect(join(folder, 'mux'))));
    for (const [index, client] of clients.entries()) {
      assert.match(await client.readLine(), /^\{"QMP": /);
      await client.write(`{"execute":"qmp_capabilities"}{"execute":"query-name","id":"same ${index}"}`);
      assert.equal(await client.readLine(), '{"return": {}}');
    }
    for (const [index, client] of clients.entries()) {
      assert.equal(await client.readLine(), `{"return": {"name": "web"}, "id": "same ${index}"}`);
    }

    assert.deepEqual(await daemon.stop(), { code: 0, signal: null });
    assert.ok(!existsSync(join(folder, 'mux')));
    for (const client of clients) {
      await client.readToEnd();
      assert.equal(client.failure, null);
    }
  });
});
