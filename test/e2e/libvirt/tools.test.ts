/** All that qmpmux does for clients, over libvirt: our own commands, policies, audit; and what docs/how-to/libvirt.md offers for pasting. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startDaemon } from '../../support/daemon/daemon.js';
import { missing } from '../../support/daemon/programs.js';
import { runQmpmux } from '../../support/daemon/run-qmpmux.js';
import { scratch } from '../../support/files/scratch.js';
import { ask, isLost, isWaiting, negotiated, sharing } from '../../support/libvirt/domain.js';
import { type LibvirtVm, startLibvirt } from '../../support/libvirt/libvirt.js';
import { RawClient } from '../../support/world/raw-client.js';

const { skip, libvirt } = await startLibvirt();
after(async () => {
  await libvirt.stop();
});
const { shareVm } = sharing(libvirt);

const program = fileURLToPath(new URL('../../../bin/qmpmux.js', import.meta.url));
const page = readFileSync(new URL('../../../docs/how-to/libvirt.md', import.meta.url), 'utf8');

function block(language: string, marker: string): string {
  const blocks = [...page.matchAll(/^```(\w*)\n([^]*?)^```$/gm)].map(([, kind, text = '']) => ({ kind, text }));
  const found = blocks.find(({ kind, text }) => kind === language && text.includes(marker));
  assert.ok(found !== undefined, `a block of ${language} with ${marker}`);
  return found.text;
}

/** Runs a script as a shell would that was started with qmpmux in its PATH. @returns its output; fails when it does */
function shell(folder: string, script: string): Promise<string> {
  const command = join(folder, 'bin/qmpmux');
  writeFileSync(command, `#!/bin/sh\nexec ${process.execPath} ${program} "$@"\n`);
  chmodSync(command, 0o755);
  const env = { ...process.env, PATH: `${folder}/bin:${process.env['PATH']}` };
  return new Promise((resolve, reject) => {
    execFile('sh', ['-eu', '-c', script], { env, encoding: 'utf8' }, (error, output, errors) => {
      if (error === null) resolve(output);
      else reject(new Error(`${error.message}\n${output}${errors}`));
    });
  });
}

/** The page's config, started; what it says of paths is so below `folder`. */
async function startPage(t: TestContext, vm: LibvirtVm): Promise<{ folder: string; here: (text: string) => string }> {
  const folder = scratch(t);
  for (const name of ['qmpmux', 'node_exporter', 'bin']) mkdirSync(join(folder, name));
  const backups = join(libvirt.folder, 'vm');
  const here = (text: string) =>
    text
      .replaceAll('/run/qmpmux', join(folder, 'qmpmux'))
      .replaceAll('/var/lib/node_exporter', join(folder, 'node_exporter'))
      .replaceAll('/var/backups/web1', join(backups, `${vm.name}-backup`))
      // The VM's QEMU has another user here.
      .replaceAll(/^(qemu-img create .*)$/gm, '$1; chmod 666 "$target"');
  const config = here(block('toml', 'monitor.web1')).replace('libvirt:web1', `libvirt:${vm.name}?uri=${libvirt.uri}`);
  writeFileSync(join(folder, 'web1.toml'), config);
  await startDaemon(t, ['--config', join(folder, 'web1.toml')]).ready();
  return { folder, here };
}

describe('over libvirt', { skip, concurrency: 1 }, () => {
  test('exec, hmp and events work', async (t) => {
    const { mux, vm } = await shareVm(t);
    assert.deepEqual(await runQmpmux(['exec', mux, 'query-name']), {
      code: 0,
      output: `{"return": {"name": "${vm.name}"}}\n`,
      errors: '',
    });
    const refused = await runQmpmux(['exec', mux, 'qom-get', 'path=/machine', 'property=none']);
    assert.equal(refused.code, 1);
    assert.match(refused.output, /^\{"error": .*Property 'pc-i440fx-7.2-machine.none' not found/);
    const hmp = await runQmpmux(['hmp', mux, 'info', 'status']);
    assert.deepEqual([hmp.code, hmp.errors], [0, '']);
    assert.match(hmp.output, /^VM status: paused/);
    const lines = await runQmpmux(['exec', mux, '-'], { input: 'query-name\nnone\nquery-uuid\n' });
    assert.match(lines.output, /^\{"return": \{"name": .*\n.*"CommandNotFound".*\n.*"UUID"/);
    const waiting = runQmpmux(['events', mux, '--event', 'R*', '--json']);
    const watch = await negotiated(t, mux);
    // It is there as soon as it has negotiated; events that it misses come again.
    for (let isOver = false; !isOver; ) {
      await watch.write('{"execute":"system_reset"}');
      await watch.readLinesUntil((line) => line.includes('"return"'));
      isOver = await Promise.race([
        waiting.then(() => true),
        ask(watch, '{"execute":"query-status"}').then(() => false),
      ]);
    }
    assert.match((await waiting).output, /^\{"timestamp": .*"event": "RESET", "data": \{"guest": false, .*\}\}\n$/);
  });

  test('policies hold, for HMP as well, and the record says libvirt', async (t) => {
    const vm = await libvirt.newVm(t);
    const folder = scratch(t);
    const [full, limited, file] = ['full', 'limited', 'audit'].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    const upstream = `libvirt:${vm.name}?uri=${libvirt.uri}`;
    const listeners = ['--listen', full, '--listen', `${limited},policy=read-only`, '--audit', file];
    const daemon = startDaemon(t, ['--upstream', upstream, ...listeners]);
    await daemon.ready();
    const reader = await negotiated(t, limited);
    assert.match(await ask(reader, '{"execute":"query-status","id":1}'), /^\{"return": .*"id": 1\}$/);
    const denied = (name: string) =>
      `{"id": 2, "error": {"class": "GenericError", "desc": "Command '${name}' is not allowed here (policy read-only)"}}`;
    assert.equal(await ask(reader, '{"execute":"c\\u006fnt","id":2}'), denied('cont'));
    const hmp = `{"execute":"human-monitor-command","arguments":{"command-line":"info status"},"id":2}`;
    assert.equal(await ask(reader, hmp), denied('human-monitor-command'));
    assert.match(await ask(await negotiated(t, full), hmp), /^\{"return": "VM status: paused.*\\r\\n", "id": 2\}$/);
    await daemon.stop();
    const records: Record<string, unknown>[] = readFileSync(file, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    const running = records.filter((record) => record['kind'] === 'upstream' && record['state'] === 'running');
    assert.deepEqual(
      running.map((record) => record['address']),
      [upstream],
    );
    assert.ok(records.some((record) => record['kind'] === 'denied' && record['command'] === 'cont'));
  });

  test('clients stay when they are to, with an error for what was under way', async (t) => {
    const { daemon, mux, vm } = await shareVm(t, ['--keep-clients']);
    const client = await negotiated(t, mux);
    await libvirt.virsh('destroy', vm.name);
    await client.readLinesUntil((line) => line.includes('"event": "__org.qmpmux_UPSTREAM_LOST"'));
    assert.match(await ask(client, '{"execute":"query-name","id":1}'), /^\{"id": 1, "error": .*was not executed/);
    await daemon.logged(isWaiting);
    await libvirt.virsh('start', '--paused', vm.name);
    assert.match(await client.readLine(), /"event": "__org.qmpmux_UPSTREAM_RESTORED"/);
    assert.equal(await ask(client, '{"execute":"query-name","id":2}'), `{"return": {"name": "${vm.name}"}, "id": 2}`);
  });

  test('the exporter and the backup of the documentation work, at the same time', {
    skip: missing('qemu-img', 'awk'),
  }, async (t) => {
    const disk = Buffer.alloc(1024 * 1024, 'contents');
    const vm = await libvirt.newVm(t, { disk });
    const { folder, here } = await startPage(t, vm);
    const [, errors] = await Promise.all([
      shell(folder, here(block('sh', 'query-blockstats'))),
      shell(folder, here(block('sh', 'blockdev-backup')).replace('sleep 1', 'sleep 0.1')),
    ]);
    const metrics = readFileSync(join(folder, 'node_exporter/web1.prom'), 'utf8');
    assert.match(metrics, /^qemu_read_bytes_total\{vm="web1",node="libvirt-1-format"\} \d+\nqemu_written_bytes_total/);
    assert.equal(errors, 'backup\t\n');
    const copy = join(folder, 'copy');
    await shell(folder, here(`qemu-img convert -O raw /var/backups/web1.qcow2 ${copy}`));
    assert.ok(readFileSync(copy).equals(disk));
    // And neither can do more than it needs.
    for (const name of ['metrics', 'backup']) {
      const client = await negotiated(t, join(folder, 'qmpmux', `web1.${name}`));
      assert.match(await ask(client, '{"execute":"cont"}'), /is not allowed here/);
    }
  });

  test('a human monitor shows what QEMU’s own shows, byte for byte', async (t) => {
    const folder = scratch(t);
    const { daemon, vm } = await shareVm(t, ['--listen', `${folder}/hmp,protocol=hmp`]);
    const steps = [
      ['info status\n', 'VM status: paused (prelaunch)\r\n(qemu) '],
      ['info na\t\n', `${vm.name}\r\n(qemu) `],
      ['info nothing\n', '(qemu) '],
      ['nothing at all\n', "unknown command: 'nothing'\r\n(qemu) "],
      ['info qtree\n', '\r\n(qemu) '],
      ['object_add secret,id=s,data="a \\"\\\\ ü b"\n', '\r\n(qemu) '],
      ['object_del s\n', '\r\n(qemu) '],
    ] as const;
    const shown: string[] = [];
    for (const target of [vm.human, `${folder}/hmp`]) {
      const client = await RawClient.connect(target);
      t.after(() => client.close());
      await client.readUntil('(qemu) ');
      for (const [typed, end] of steps) {
        await client.write(typed);
        await client.readUntil(end);
      }
      shown.push(client.received.toString('latin1'));
    }
    assert.equal(shown[1], shown[0]);
    await libvirt.virsh('destroy', vm.name);
    assert.equal((await daemon.logged(isLost)).reason, 'the domain was destroyed');
  });

  test('a shell prints the same on it as on QEMU’s own socket', async (t) => {
    const { mux, vm } = await shareVm(t);
    const run = (target: string, input: string, ...flags: string[]) =>
      runQmpmux(['shell', ...flags, target], { input });
    const lines = 'query-name\n\ndevice_del id=nothing\nquery-statu\n{"execute":\n "query-uuid"}\n';
    const said = await run(mux, lines);
    assert.deepEqual(said, await run(vm.direct, lines));
    assert.equal(said.output, `{"return": {"name": "${vm.name}"}}\n{"return": {"UUID": "${vm.uuid}"}}\n`);
    assert.match(said.errors, /line 3: Device 'nothing' not found.*\n.*line 4: there is no command query-statu/);
    const human = await run(mux, 'info status\ninfo name\n', '-H');
    assert.deepEqual(human, { code: 0, output: `VM status: paused (prelaunch)\n${vm.name}\n`, errors: '' });
  });

  test('qmpmux’s own commands tell of the domain, of events, and of what waits for it', async (t) => {
    const control = join(scratch(t), 'control');
    const { mux, vm } = await shareVm(t, ['--listen', `${control},extensions=on`]);
    const json = async (...words: string[]) => JSON.parse((await runQmpmux([...words, '--json'])).output);
    const { upstream } = await json('status', control);
    assert.deepEqual([upstream.address, upstream.state], [`libvirt:${vm.name}?uri=${libvirt.uri}`, 'running']);
    const check = await runQmpmux(['status', control, '--check']);
    assert.match(check.output, new RegExp(`^QMPMUX OK - ${vm.name}: QEMU 7\\.2\\.\\d+, `));
    const client = await negotiated(t, mux);
    await libvirt.virsh('resume', vm.name);
    assert.match(await client.readLine(), /"event": "RESUME"/);
    const events = await runQmpmux(['events', control, '--since', '0', '--json']);
    assert.match(events.output, /^\{.*"event": "RESUME".*\}\n$/);
    // What it is asked while it stands still waits, and everybody sees for whom.
    const pid = libvirt.qemuPid(vm.name);
    process.kill(pid, 'SIGSTOP');
    await client.write('{"execute":"query-block","id":"late"}');
    const first = async () => (await json('queue', control))['in-flight'][0];
    let waits = await first();
    while (waits === undefined) waits = await first();
    assert.deepEqual([waits.command, waits.peer.pid], ['query-block', process.pid]);
    process.kill(pid, 'SIGCONT');
    assert.equal(await client.readLine(), '{"return": [], "id": "late"}');
    const killed = await runQmpmux(['kill', control, String(waits.client)]);
    assert.equal(killed.output, `disconnected client ${waits.client}\n`);
    await client.readToEnd();
  });

  test('commands in the form of qmp-shell’s are answered as by QEMU itself', async (t) => {
    const { mux, vm } = await shareVm(t);
    const heard = await Promise.all(
      [mux, vm.direct].map(async (target) => {
        const client = await RawClient.connect(target);
        t.after(() => client.close());
        // Written by hand, in the form in which qmp-shell writes; it also enables `oob` where that is offered.
        const greeting = await client.readLine();
        const lines = [
          '{"execute": "qmp_capabilities", "id": "__qmp#00000", "arguments": {}}',
          '{"execute": "query-commands", "id": "__qmp#00001"}',
          '{"execute": "query-name", "arguments": {}, "id": "__qmp#00002"}',
          '{"execute": "qom-get", "arguments": {"path": "/machine", "property": "type"}, "id": "__qmp#00003"}',
        ];
        const answers: string[] = [];
        for (const line of lines) answers.push(await ask(client, line));
        return [greeting.replace('["oob"]', '[]'), ...answers];
      }),
    );
    assert.deepEqual(heard[0], heard[1]);
  });
});
