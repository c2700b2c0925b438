/** VMs of a real libvirt daemon behind qmpmux. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { type Daemon, startDaemon } from '../../support/daemon/daemon.js';
import { scratch } from '../../support/files/scratch.js';
import { ask, isLost, isWaiting, negotiated, sharing } from '../../support/libvirt/domain.js';
import { startLibvirt } from '../../support/libvirt/libvirt.js';
import { RawClient } from '../../support/world/raw-client.js';

const { skip, libvirt } = await startLibvirt();
after(async () => {
  await libvirt.stop();
});

const { share, shareVm } = sharing(libvirt);

function troubles(daemon: Daemon): string[] {
  return daemon.log.filter((line) => line.level >= 40).map((line) => `${line.msg}: ${line.reason ?? ''}`);
}

describe('a VM that libvirt owns', { skip, concurrency: 1 }, () => {
  test('is found by name, by UUID and by id', async (t) => {
    const vm = await libvirt.newVm(t);
    const id = await libvirt.virsh('domid', vm.name);
    for (const domain of [vm.name, vm.uuid, vm.uuid.replaceAll('-', '').toUpperCase(), id]) {
      const { daemon, mux } = share(t, domain);
      await daemon.ready();
      const client = await negotiated(t, mux);
      assert.equal(await ask(client, '{"execute":"query-name"}'), `{"return": {"name": "${vm.name}"}}`);
      await client.close();
      await daemon.stop();
      assert.deepEqual(troubles(daemon), []);
    }
  });

  test('greets with its own version, without oob, and has QEMU’s words for a client that has not negotiated', async (t) => {
    const { mux, vm } = await shareVm(t);
    const direct = await RawClient.connect(vm.direct);
    t.after(() => direct.close());
    const client = await RawClient.connect(mux);
    t.after(() => client.close());
    assert.equal(await client.readLine(), (await direct.readLine()).replace('["oob"]', '[]'));
    const faults = [
      '{"execute":"query-name","id":1}',
      '{"execute":"qmp_capabilities","arguments":{"enable":["zzz"]}}',
      '{"execute":"qmp_capabilities","arguments":{"enable":5}}',
      '{"execute":"qmp_capabilities","arguments":{"enable":[5]}}',
      '{"execute":"qmp_capabilities","arguments":{"foo":5},"id":"x"}',
    ];
    for (const fault of faults) assert.equal(await ask(client, fault), await ask(direct, fault));
    assert.equal(
      await ask(client, '{"execute":"qmp_capabilities","arguments":{"enable":["oob"]}}'),
      '{"error": {"class": "GenericError", "desc": "Capability oob not available"}}',
    );
  });

  test('gives replies and errors in QEMU’s bytes, with the ids of the clients', async (t) => {
    const { mux, vm } = await shareVm(t);
    const client = await negotiated(t, mux);
    const direct = await negotiated(t, vm.direct);
    const commands = [
      '{"execute":"query-version","id":1.0}',
      '{"execute":"query-qmp-schema","id":{"b":[null,true,-0,1e2],"a":"é"}}',
      '{"execute":"query-memory-size-summary","id":18446744073709551615}',
      '{"execute":"query-chardev"}',
      '{"execute":"no-such-ü","id":"libvirt-1"}',
      `{'execute':'query-name','arguments':{'it\\'s':1}}`,
      '{"execute":"qom-get","arguments":{"path":"/machine","property":"no"},"id":[]}',
      '{"execute":"qom-list","arguments":{"path":"/machine"}}',
      '{"execute":"query-hotpluggable-cpus","id":null}',
      '{"execute":"human-monitor-command","arguments":{"command-line":"info qtree"}}',
      '{"execute":"object-add","arguments":{"qom-type":"secret","id":"s","data":"\\"\\\\ \\t ü \\ud83d\\ude00 \\u007f"}}',
      '{"execute":"qom-get","arguments":{"path":"/objects/s","property":"data"}}',
      '{"execute":"object-del","arguments":{"id":"s"}}',
    ];
    for (const command of commands) {
      const isSame = !/object-/.test(command);
      const expected = isSame ? await ask(direct, command) : '{"return": {}}';
      // What these bring up differs between two monitors by nothing.
      assert.equal(await ask(client, command), expected, command);
    }
  });

  test('gives events in QEMU’s bytes, all and in their order', async (t) => {
    const { mux, vm } = await shareVm(t);
    const direct = await negotiated(t, vm.direct);
    const client = await negotiated(t, mux);
    await client.write('{"execute":"cont","id":1}{"execute":"stop","id":2}{"execute":"system_reset","id":3}');
    const lines = await client.readLines(6);
    const events = lines.filter((line) => line.includes('"event"'));
    assert.deepEqual(await direct.readLines(3), events);
    // libvirt hands out events and replies by different ways, so an event may come just behind the reply it belongs to.
    const replies = lines.filter((line) => !line.includes('"event"'));
    assert.deepEqual(
      replies,
      [1, 2, 3].map((id) => `{"return": {}, "id": ${id}}`),
    );
    assert.deepEqual(
      events.map((line) => /"event": "(\w+)"/.exec(line)?.[1]),
      ['RESUME', 'STOP', 'RESET'],
    );
    assert.match(events[2] ?? '', /"event": "RESET", "data": \{"guest": false, "reason": "host-qmp-system-reset"\}\}$/);
  });

  test('serves eight clients beside those of another domain, each its own answers and all its events', async (t) => {
    const one = await shareVm(t);
    const two = await shareVm(t);
    const talk = async ({ mux, vm }: typeof one, number: number) => {
      const client = await negotiated(t, mux);
      for (let round = 0; round < 20; round++) {
        await client.write(
          `{"execute":"query-name","id":"${number}.${round}"}{"execute":"qom-get","arguments":{"path":"/machine","property":"type"},"id":[${number}]}`,
        );
        assert.deepEqual(await client.readLines(2), [
          `{"return": {"name": "${vm.name}"}, "id": "${number}.${round}"}`,
          `{"return": "pc-i440fx-7.2-machine", "id": [${number}]}`,
        ]);
      }
      return client;
    };
    const clients = await Promise.all(
      [one, two].map((shared) => Promise.all(Array.from({ length: 8 }, (_, number) => talk(shared, number)))),
    );
    await libvirt.virsh('resume', two.vm.name);
    for (const client of clients[1] ?? []) assert.match(await client.readLine(), /"event": "RESUME"/);
    for (const client of clients[0] ?? []) {
      assert.equal(await ask(client, '{"execute":"query-name"}'), `{"return": {"name": "${one.vm.name}"}}`);
      assert.equal(client.unread.length, 0);
    }
  });

  test('may be defined later, started later, shut off and started again', async (t) => {
    const name = 'later';
    const { daemon, mux } = share(t, name);
    assert.equal((await daemon.logged(isWaiting)).reason, 'libvirt knows no domain "later"');
    const vm = await libvirt.newVm(t, { start: false });
    await libvirt.virsh('domrename', vm.name, name);
    t.after(async () => {
      await libvirt.virsh('destroy', name).catch(() => null);
      await libvirt.virsh('undefine', name).catch(() => null);
    });
    assert.equal((await daemon.logged(isWaiting)).reason, 'the domain is not running');
    assert.ok(!existsSync(mux));
    await libvirt.virsh('start', '--paused', name);
    await daemon.ready();
    const client = await negotiated(t, mux);
    await libvirt.virsh('destroy', name);
    assert.equal((await daemon.logged(isLost)).reason, 'the domain was destroyed');
    await client.readToEnd();
    assert.ok(!existsSync(mux));
    assert.equal((await daemon.logged(isWaiting)).reason, 'the domain is not running');
    await libvirt.virsh('start', '--paused', name);
    await daemon.ready();
    const again = await negotiated(t, mux);
    await again.write('{"execute":"quit","id":9}');
    const last = (await again.readToEnd()).toString('latin1');
    // libvirt may lose the answer; then there is none, but no error either.
    assert.doesNotMatch(last, /"error"/);
    assert.match(last, /"event": "SHUTDOWN"/);
    assert.match(String((await daemon.logged(isLost)).reason), /^the domain was shut down$|^libvirt lost its QEMU: /);
    await daemon.logged(isWaiting);
    // One line for each change, however often it was tried.
    assert.deepEqual(
      daemon.log.filter((line) => isLost(line) || isWaiting(line)).map((line) => line.msg.slice(0, 7)),
      ['waiting', 'waiting', 'lost QE', 'waiting', 'lost QE', 'waiting'],
      troubles(daemon).join('\n'),
    );
  });

  test('is reached again when its libvirtd was restarted', async (t) => {
    const { daemon, mux, vm } = await shareVm(t);
    const client = await negotiated(t, mux);
    await libvirt.stopDaemon();
    assert.equal((await daemon.logged(isLost)).reason, 'libvirtd closed the connection');
    await client.readToEnd();
    assert.match(String((await daemon.logged(isWaiting)).reason), /^libvirtd is not running: /);
    await libvirt.start();
    await daemon.ready();
    const again = await negotiated(t, mux);
    assert.equal(
      await ask(again, '{"execute":"query-status"}'),
      '{"return": {"status": "prelaunch", "singlestep": false, "running": false}}',
    );
    await libvirt.virsh('resume', vm.name);
    assert.match(await again.readLine(), /"event": "RESUME"\}$/);
  });

  test('is the one that has the name, whatever its UUID, or the one that has the UUID, whatever its name', async (t) => {
    const first = await libvirt.newVm(t);
    const byName = share(t, first.name);
    const byUuid = share(t, first.uuid);
    const uuidAt = async (mux: string) => {
      const client = await negotiated(t, mux);
      const [uuid] = /[\da-f-]{36}/.exec(await ask(client, '{"execute":"query-uuid"}')) ?? [];
      await client.close();
      return uuid;
    };
    for (const { daemon, mux } of [byName, byUuid]) {
      await daemon.ready();
      assert.equal(await uuidAt(mux), first.uuid);
    }
    await libvirt.virsh('destroy', first.name);
    for (const { daemon } of [byName, byUuid]) await daemon.logged(isLost);
    const second = await libvirt.newVm(t, { start: false });
    await libvirt.virsh('domrename', first.name, `${first.name}-old`);
    await libvirt.virsh('domrename', second.name, first.name);
    t.after(() => libvirt.virsh('undefine', `${first.name}-old`).then(() => undefined));
    await libvirt.virsh('start', '--paused', first.name);
    await byName.daemon.ready();
    assert.equal(await uuidAt(byName.mux), second.uuid);
    assert.notEqual(second.uuid, first.uuid);
    assert.ok(!existsSync(byUuid.mux));
    await libvirt.virsh('start', '--paused', `${first.name}-old`);
    await byUuid.daemon.ready();
    assert.equal(await uuidAt(byUuid.mux), first.uuid);
    await libvirt.virsh('destroy', `${first.name}-old`);
  });

  test('that was given by its id is gone when it is started again, with another id', async (t) => {
    const vm = await libvirt.newVm(t);
    const id = await libvirt.virsh('domid', vm.name);
    const { daemon } = share(t, id);
    await daemon.ready();
    await libvirt.virsh('destroy', vm.name);
    await libvirt.virsh('start', '--paused', vm.name);
    await daemon.logged(({ reason }) => reason === `libvirt knows no domain "${id}"`);
  });

  test('that is asked for with parameters behind its name is not found, and the log says where they go', async (t) => {
    const { daemon } = share(t, 'web1?mode=legacy');
    assert.equal(
      (await daemon.logged(isWaiting)).reason,
      'libvirt knows no domain "web1?mode=legacy"; write what follows its name into a URI: libvirt:DOMAIN?uri=URI',
    );
  });

  test('has policy and audit as any other upstream, and the record says libvirt', async (t) => {
    const vm = await libvirt.newVm(t);
    const file = join(scratch(t), 'audit.ndjson');
    const { daemon, mux } = share(t, vm.name, ['--audit', file]);
    await daemon.ready();
    const client = await negotiated(t, mux);
    await ask(client, '{"execute":"query-chardev","id":"mine"}');
    await client.close();
    await daemon.stop();
    const records: Record<string, unknown>[] = readFileSync(file, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    assert.ok(records.some((record) => record['command'] === 'query-chardev' && record['id'] === 'mine'));
    const running = records.find((record) => record['kind'] === 'upstream' && record['state'] === 'running');
    assert.equal(running?.['address'], `libvirt:${vm.name}?uri=${libvirt.uri}`);
  });

  test('refuses what libvirt would cut or not take, with an error, and goes on', async (t) => {
    const { mux } = await shareVm(t);
    const client = await negotiated(t, mux);
    assert.match(
      await ask(client, '{"execute":"query-name","arguments":{"a":"x\\u0000y"},"id":1}'),
      /^\{"id": 1, "error": \{"class": "GenericError", "desc": "libvirt does not pass strings with the character U\+0000/,
    );
    assert.match(
      await ask(client, `{"execute":"query-name","arguments":{"a":"${'x'.repeat(4 * 1024 * 1024)}"},"id":2}`),
      /^\{"id": 2, "error": \{"class": "GenericError", "desc": "libvirt passes commands of at most 4194304 bytes/,
    );
    assert.match(await ask(client, '{"execute":"query-status","id":3}'), /^\{"return": .*"id": 3\}$/);
  });

  test('is reached through ssh', async (t) => {
    const vm = await libvirt.newVm(t);
    // In ssh's stead, a program that runs here what was to be run over there.
    const ssh = libvirt.script(
      'ssh',
      `#!/bin/sh\necho "$*" > ${libvirt.folder}/vm/ssh-words\nfor last; do :; done\nexec sh -c "$last"\n`,
    );
    const mux = join(scratch(t), 'mux');
    const uri = `qemu+ssh://me@far.example:2222/session?socket=${libvirt.socket}&command=${ssh}`;
    const daemon = startDaemon(t, ['--upstream', `libvirt:${vm.name}?uri=${uri}`, '--listen', mux]);
    await daemon.ready();
    const client = await negotiated(t, mux);
    assert.equal(await ask(client, '{"execute":"query-name"}'), `{"return": {"name": "${vm.name}"}}`);
    assert.equal(
      readFileSync(join(libvirt.folder, 'vm/ssh-words'), 'utf8').trim(),
      `-T -e none -o BatchMode=yes -p 2222 -l me -- far.example sh -c 'exec nc -U ${libvirt.socket}'`,
    );
    await libvirt.virsh('destroy', vm.name);
    assert.equal((await daemon.logged(isLost)).reason, 'the domain was destroyed');
  });
});
