/** A QEMU that takes descriptors beside all else that it is sent: before 11.0 its threads race for them (docs/how-to/descriptors.md). */
import assert from 'node:assert/strict';
import { closeSync, openSync } from 'node:fs';
import { before, describe, test } from 'node:test';
import { sendWith } from '../../support/daemon/descriptors.js';
import { suiteScope } from '../../support/files/scratch.js';
import { missing } from '../../support/qemu/qemu.js';
import { type SharedVm, shareVm } from '../../support/qemu/shared-vm.js';
import { RawClient } from '../../support/world/raw-client.js';

const GETFD = '{"execute":"getfd","arguments":{"fdname":"x"}}';
const DONE = '{"return": {}}';

describe('QEMU lives', { skip: missing('qemu'), concurrency: 1 }, () => {
  const scope = suiteScope();
  let vm: SharedVm;
  let fd = -1;
  before(async () => {
    vm = await shareVm(scope);
    fd = openSync('/etc/passwd', 'r');
    scope.after(() => {
      closeSync(fd);
    });
  });

  test('when it takes 8,000 descriptors of one client while commands of another come without a pause', async (t) => {
    const one = await RawClient.negotiated(vm.target);
    const two = await RawClient.negotiated(vm.target);
    t.after(() => Promise.all([one.close(), two.close()]));
    const over = new AbortController();
    const flood = async () => {
      const batch = '{"execute":"query-status"}'.repeat(20);
      while (!over.signal.aborted) {
        await two.write(batch);
        await two.readLines(20);
      }
    };
    const send = async () => {
      for (let round = 0; round < 8000; round++) {
        sendWith(one.socket, GETFD, [fd]);
        assert.equal(await one.readLine(), DONE);
      }
      over.abort();
    };
    await Promise.all([flood(), send()]);
    await vm.qemu.execute('query-status');
  });

  test('when one client sends 10,000, ten at a time, without waiting for answers', async (t) => {
    const client = await RawClient.negotiated(vm.target);
    t.after(() => client.close());
    for (let round = 0; round < 1000; round++) {
      for (let i = 0; i < 10; i++) sendWith(client.socket, `${GETFD}{"execute":"query-status"}`, [fd, fd]);
      await client.readLines(20);
    }
    await vm.qemu.execute('query-status');
  });
});
