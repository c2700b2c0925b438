import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { describe, test } from 'node:test';
import { RawClient } from '../world/raw-client.js';
import { missing, startQemu } from './qemu.js';

describe('a QEMU of the tests', { skip: missing('qemu') }, () => {
  test('listens as soon as it is handed over, on every kind of monitor', async (t) => {
    const qemu = await startQemu(t, {
      name: 'several',
      monitors: [{}, { kind: 'tcp' }, { pretty: true }, { hmp: true }],
    });
    const [plain, tcp, pretty, hmp] = qemu.monitors;
    assert.ok(plain !== undefined && tcp !== undefined && pretty !== undefined && hmp !== undefined);
    const greetings: string[] = [];
    for (const target of [plain, tcp, pretty]) {
      const client = await RawClient.connect(target);
      greetings.push(await client.readLine());
      await client.close();
    }
    assert.match(greetings[0] ?? '', /^\{"QMP": .*"capabilities": \["oob"\]\}\}$/);
    assert.equal(greetings[1], greetings[0]);
    assert.equal(greetings[2], '{');
    const text = await RawClient.connect(hmp);
    assert.match((await text.readUntil('(qemu) ')).toString(), /^QEMU \d+\.\d+/);
    await text.close();
  });

  test('takes commands aside, and is gone when killed', async (t) => {
    const qemu = await startQemu(t, { name: 'aside' });
    assert.deepEqual(await qemu.execute('query-name'), { name: 'aside' });
    await assert.rejects(qemu.execute('no-such'), /CommandNotFound: The command no-such has not been found/);
    const client = await RawClient.connect(qemu.monitor);
    await client.readLine();
    await qemu.kill();
    await client.readToEnd();
    assert.ok(existsSync(qemu.folder));
    assert.throws(() => process.kill(qemu.pid, 0), { code: 'ESRCH' });
  });

  test('that does not start says why', async (t) => {
    await assert.rejects(startQemu(t, { extraArgs: ['-no-such-flag'] }), /QEMU ended \(1\): .*no-such-flag/);
  });
});
