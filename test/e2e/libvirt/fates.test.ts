/** What becomes of a domain of libvirt's, and what clients and the log hear of it. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { ask, isLost, isWaiting, negotiated, sharing, warnings } from '../../support/libvirt/domain.js';
import { sessionLibvirt, startLibvirt } from '../../support/libvirt/libvirt.js';

const { skip, libvirt } = await startLibvirt();
after(async () => {
  await libvirt.stop();
});
const { share, shareVm } = sharing(libvirt);

const NOT_RUNNING = 'waiting: the domain is not running';

describe('a domain of libvirt’s', { skip, concurrency: 1 }, () => {
  test('that is paused and resumed is served on, and its clients hear of it', async (t) => {
    const { daemon, mux, vm } = await shareVm(t);
    const client = await negotiated(t, mux);
    await libvirt.virsh('resume', vm.name);
    assert.match(await client.readLine(), /"event": "RESUME"\}$/);
    await libvirt.virsh('suspend', vm.name);
    assert.match(await client.readLine(), /"event": "STOP"\}$/);
    assert.match(await ask(client, '{"execute":"query-status"}'), /"status": "paused"/);
    await daemon.stop();
    assert.deepEqual(warnings(daemon), []);
  });

  test('is asked nothing by qmpmux itself, however silent it is: libvirt watches its monitor', async (t) => {
    const vm = await libvirt.newVm(t);
    const flags = ['--probe-after', '0.1'];
    const { daemon, mux } = share(t, vm.name, flags, ',extensions=on');
    await daemon.ready();
    const client = await negotiated(t, mux);
    const status = await ask(client, '{"execute":"__org.qmpmux_query-status"}');
    assert.match(status, /"state": "running"/);
    assert.doesNotMatch(status, /"health"/);
  });

  test('that is saved ends for its clients, and is served again when it is restored', async (t) => {
    const { daemon, mux, vm } = await shareVm(t);
    const file = join(libvirt.folder, 'vm', `${vm.name}.save`);
    const client = await negotiated(t, mux);
    await libvirt.virsh('save', '--paused', vm.name, file);
    await daemon.logged(isWaiting);
    await client.readToEnd();
    assert.ok(!existsSync(mux));
    await libvirt.virsh('restore', '--paused', file);
    await daemon.ready();
    const again = await negotiated(t, mux);
    await libvirt.virsh('managedsave', vm.name);
    await daemon.logged(isWaiting);
    await again.readToEnd();
    await libvirt.virsh('start', '--paused', vm.name);
    await daemon.ready();
    assert.match(await ask(await negotiated(t, mux), '{"execute":"query-status"}'), /"running": false/);
    const saved = 'lost: the domain was saved and stopped';
    assert.deepEqual(warnings(daemon), [saved, NOT_RUNNING, saved, NOT_RUNNING]);
  });

  test('whose guest crashes ends for its clients, behind the event that says so', async (t) => {
    const vm = await libvirt.newVm(t, { crashes: true });
    const { daemon, mux } = share(t, vm.name);
    await daemon.ready();
    const client = await negotiated(t, mux);
    await client.write('{"execute":"cont"}');
    const heard = (await client.readToEnd()).toString('latin1');
    assert.match(heard, /"event": "GUEST_PANICKED", "data": \{"action": "\w+"/);
    await daemon.logged(isWaiting);
    assert.deepEqual(warnings(daemon), ['lost: the domain crashed', NOT_RUNNING]);
  });

  test('whose QEMU is killed ends for its clients; what it had not answered is told as such', async (t) => {
    const { daemon, mux, vm } = await shareVm(t, ['--warn-after', '0.1']);
    const client = await negotiated(t, mux);
    const pid = libvirt.qemuPid(vm.name);
    process.kill(pid, 'SIGSTOP');
    await client.write('{"execute":"query-name","id":1}');
    const waits = (await daemon.logged(({ msg }) => msg.startsWith('a command has no answer'))).msg;
    process.kill(pid, 'SIGKILL');
    assert.equal((await client.readToEnd()).toString('latin1'), '');
    await daemon.logged(isWaiting);
    const unanswered = 'a command was sent and will not be answered';
    const lost = 'lost: libvirt lost its QEMU: it was killed, crashed or quit';
    assert.deepEqual(warnings(daemon), [waits, unanswered, lost, NOT_RUNNING]);
  });

  test('that is migrated away ends here and is served there', async (t) => {
    const other = sessionLibvirt(['host_uuid = "11111111-2222-3333-4444-555555555555"']);
    t.after(() => other.stop());
    await other.start();
    const there = sharing(other);
    const { daemon, mux, vm } = await shareVm(t);
    const target = there.share(t, vm.name);
    assert.equal((await target.daemon.logged(isWaiting)).reason, `libvirt knows no domain "${vm.name}"`);
    const client = await negotiated(t, mux);
    const migration = `unix://${join(libvirt.folder, 'vm/migration')}`;
    await libvirt.virsh('migrate', '--live', vm.name, '--desturi', other.uri, '--migrateuri', migration);
    await daemon.logged(isLost);
    await client.readToEnd();
    await target.daemon.ready();
    const again = await negotiated(t, target.mux);
    assert.equal(await ask(again, '{"execute":"query-name"}'), `{"return": {"name": "${vm.name}"}}`);
    await daemon.logged(isWaiting);
    assert.deepEqual(warnings(daemon), ['lost: the domain was migrated away', NOT_RUNNING]);
    assert.deepEqual(warnings(target.daemon), [`waiting: libvirt knows no domain "${vm.name}"`]);
  });
});
