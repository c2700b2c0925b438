/** Replies that are too long for libvirt. */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { ask, isLost, isWaiting, negotiated, sharing, warnings } from '../../support/libvirt/domain.js';
import { startLibvirt } from '../../support/libvirt/libvirt.js';

const { skip, libvirt } = await startLibvirt();
after(async () => {
  await libvirt.stop();
});
const { shareVm } = sharing(libvirt);

/** Has so many words of the guest's memory printed, of some 16 bytes each. */
function dump(words: number): string {
  return `{"execute":"human-monitor-command","arguments":{"command-line":"xp /${words}xw 0"},"id":1}`;
}

describe('a domain of libvirt’s', { skip, concurrency: 1 }, () => {
  test('whose reply is longer than libvirt passes gives an error, and goes on for all', async (t) => {
    const { daemon, mux } = await shareVm(t);
    const [client, other] = [await negotiated(t, mux), await negotiated(t, mux)];
    assert.match(await ask(client, dump(200_000)), /^\{"return": "0{16}: 0x.{3200000,}, "id": 1\}$/);
    assert.equal(
      await ask(client, dump(300_000)),
      '{"id": 1, "error": {"class": "GenericError", "desc": "libvirt cannot pass on the reply (Unable to encode message payload): the limit is 4194304 bytes. The command was executed"}}',
    );
    for (const each of [client, other]) {
      assert.match(await ask(each, '{"execute":"query-status","id":2}'), /^\{"return": .*, "id": 2\}$/);
    }
    await daemon.stop();
    assert.deepEqual(warnings(daemon), []);
  });

  test('whose reply is so long that libvirt loses its monitor is lost, until libvirtd is restarted', async (t) => {
    const { daemon, mux } = await shareVm(t);
    const client = await negotiated(t, mux);
    await client.write(dump(800_000));
    assert.equal((await client.readToEnd()).toString('latin1'), '');
    const problem = 'libvirt: internal error: QEMU monitor reply exceeds buffer size (10485760 bytes)';
    assert.equal((await daemon.logged(isLost)).reason, problem);
    assert.equal(
      (await daemon.logged(isWaiting)).reason,
      `${problem}; if that lasts, libvirtd has lost this VM's monitor: restart libvirtd`,
    );
    await libvirt.stopDaemon();
    await libvirt.start();
    await daemon.ready();
    const again = await negotiated(t, mux);
    assert.match(await ask(again, '{"execute":"query-status"}'), /^\{"return": /);
  });
});
