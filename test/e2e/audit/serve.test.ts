import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, realpathSync, renameSync, rmSync, statSync } from 'node:fs';
import { userInfo } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { findLogs } from '../../../dist/audit/read/log-files.js';
import { Verifier } from '../../../dist/audit/read/verify.js';
import { SimulatedMonitor } from '../../../dist/demo/simulated-monitor.js';
import { startDaemon } from '../../support/daemon/daemon.js';
import { missing } from '../../support/daemon/programs.js';
import { runQmpmux } from '../../support/daemon/run-qmpmux.js';
import { brokenDisk } from '../../support/files/broken-disk.js';
import { cannotMount, mountTmpfs } from '../../support/files/filesystem.js';
import { scratch } from '../../support/files/scratch.js';
import { written } from '../../support/qemu/qemu.js';
import { shareVm } from '../../support/qemu/shared-vm.js';
import { assertValid, type LooseRecord, parseLines } from '../../support/text/audit.js';
import { eachLine } from '../../support/text/log-reading.js';
import { RawClient, type Target } from '../../support/world/raw-client.js';
import { Load, Witness } from '../../support/world/witness.js';

async function connect(target: Target): Promise<RawClient> {
  const client = await RawClient.connect(target);
  await client.readLine();
  await client.write('{"execute":"qmp_capabilities"}\n');
  await client.readLine();
  return client;
}

/** Reads a log as soon as `isComplete`. */
async function readLog(path: string, isComplete: (records: readonly LooseRecord[]) => boolean): Promise<LooseRecord[]> {
  for (let i = 0; ; i++) {
    const text = existsSync(path) ? readFileSync(path, 'utf8') : '';
    const records = parseLines(text.slice(0, text.lastIndexOf('\n') + 1));
    if (isComplete(records)) return records;
    assert.ok(i < 500, `the log stays at\n${text}`);
    await delay(20);
  }
}

async function problemsIn(paths: readonly string[]): Promise<string[]> {
  const problems: string[] = [];
  const verifier = new Verifier(({ level, file, line, what }) => {
    if (level === 'problem') problems.push(`${file}:${line}: ${what}`);
  });
  const { logs } = await findLogs(paths);
  for (const { path } of logs.flatMap(({ files }) => files))
    await eachLine(path, (line) => {
      verifier.line(line);
    });
  verifier.finish();
  return problems;
}

describe('a VM with an audit log', { skip: missing('qemu') }, () => {
  test('has a record of everything that everybody did, each as the schema says', async (t) => {
    const path = join(scratch(t), 'audit.log');
    const vm = await shareVm(t, {
      name: 'audited',
      listen: ['tcp:127.0.0.1:0'],
      flags: ['--audit', path, '--audit-chain', '--name', 'web1'],
    });
    const unix = await connect(vm.targets[0] ?? '');
    const tcp = await connect(vm.targets[1] ?? '');
    await unix.write('{"execute":"query-name","id":18446744073709551615}\n{"execute":"query-nothing"}\n');
    await unix.readLines(2);
    await unix.write("{'execute':'human-monitor-command',\n'arguments':{'command-line':'info version'},'id':[1]}\n");
    await unix.readLine();
    await tcp.write('{"execute":"object-add","arguments":{"qom-type":"secret","id":"s0","data":"hush-hush"}}\n');
    await tcp.readLine();
    await tcp.write('{"execute":"qom-get","arguments":{"path":"/objects/s0","property":"data"}}\n');
    assert.equal(await tcp.readLine(), '{"return": "hush-hush"}');
    await tcp.write('{"execute":}\n');
    await tcp.readLine();
    await vm.qemu.execute('cont');
    await unix.readLine();
    await unix.close();
    await tcp.close();
    await readLog(path, (all) => all.filter((record) => record['kind'] === 'disconnect').length === 2);
    const exit = await vm.daemon.stop();
    assert.equal(exit.code, 0);

    const text = readFileSync(path, 'utf8');
    assert.ok(!text.includes('hush-hush'));
    const records = parseLines(text);
    records.forEach(assertValid);
    assert.equal(statSync(path).mode & 0o777, 0o600);
    const of = (kind: string) => records.filter((record) => record['kind'] === kind);
    assert.deepEqual(
      of('command').map((record) => [record['client'], record['command']]),
      [
        [1, 'query-name'],
        [1, 'query-nothing'],
        [1, 'human-monitor-command'],
        [2, 'object-add'],
        [2, 'qom-get'],
      ],
    );
    assert.ok(text.includes('"message":{"execute":"query-name","id":18446744073709551615}'));
    assert.ok(text.includes('"message":{"return": {"name": "audited"}, "id": 18446744073709551615}'));
    assert.deepEqual(
      of('reply').map((record) => record['of']),
      of('command')
        .filter((record) => record['command'] !== 'query-nothing')
        .map((record) => record['seq']),
    );
    assert.equal(of('error').length, 1);
    assert.deepEqual(
      of('event').map((record) => [record['event'], record['receivers']]),
      [['RESUME', 2]],
    );
    const [first] = of('command');
    const self = {
      kind: 'unix',
      pid: process.pid,
      uid: process.getuid?.(),
      gid: process.getgid?.(),
      user: userInfo().username,
      program: basename(process.argv[1] ?? ''),
    };
    const { loginuid: _, login: __, ...peer } = { loginuid: null, login: null, ...Object(first?.['peer']) };
    assert.deepEqual(peer, self);
    assert.equal(first?.['monitor'], 'web1');
    const [connection, connected] = of('connect');
    // What takes room stands there alone.
    assert.equal(Reflect.get(Object(connection?.['peer']), 'exe'), realpathSync(process.execPath));
    assert.match(JSON.stringify(connected?.['peer']), /^\{"kind":"tcp","address":"127\.0\.0\.1","port":\d+\}$/);
    const all = 'command connect daemon disconnect error event malformed negotiated reply upstream';
    assert.deepEqual(new Set(records.map((record) => record['kind'])), new Set(all.split(' ')));
    assert.deepEqual(await problemsIn([path]), []);
  });

  test('counts what qmpmux itself asks, keeps QEMU’s description of itself short, and leaves out what is polled', async (t) => {
    const folder = scratch(t);
    const path = join(folder, 'audit.log');
    const control = join(folder, 'control');
    const exporter = `unix:${join(folder, 'exporter')}`;
    const vm = await shareVm(t, {
      listen: [`unix:${control},extensions=on`, exporter],
      flags: ['--audit', path, '--audit-chain', '--audit-without', `query-*@${exporter}`],
    });
    for (let i = 0; i < 2; i++) assert.equal((await runQmpmux(['status', control])).code, 0);
    const poller = await connect(vm.targets[2] ?? '');
    const other = await connect(vm.target);
    for (const client of [poller, other]) {
      for (let i = 0; i < 5; i++) {
        await client.write('{"execute":"query-status"}');
        await client.readLine();
      }
    }
    await poller.write('{"execute":"stop"}');
    await poller.readLinesUntil((line) => line.includes('return'));
    await poller.close();
    const shell = await runQmpmux(['shell', vm.target], { input: 'query-name\n' });
    assert.equal(shell.code, 0, shell.errors);
    const ends = (records: readonly LooseRecord[]) => records.filter(({ kind }) => kind === 'disconnect').length >= 4;
    const records = await readLog(path, ends);
    records.forEach(assertValid);
    const counted = records.filter(({ kind }) => kind === 'left-out').map((record) => record['commands']);
    const own = counted.filter((commands) => Object.keys(Object(commands)).some((name) => name.startsWith('__org')));
    assert.equal(own.length, 2);
    assert.deepEqual(
      counted.filter((commands) => Reflect.has(Object(commands), 'query-status')),
      [{ 'query-status': 5 }],
    );
    const names = records.filter(({ kind }) => kind === 'command').map((record) => record['command']);
    assert.equal(names.filter((name) => name === 'query-status').length, 5);
    assert.ok(names.includes('stop') && names.includes('query-name'));
    assert.ok(readFileSync(path).length < 30_000, `${readFileSync(path).length} bytes`);
    assert.deepEqual(await problemsIn([path]), []);
    const shown = await runQmpmux(['audit', 'show', '--utc', '--kind', 'left-out', path]);
    assert.match(shown.output, /left-out +counted +query-status=5$/m);
  });

  test('can be looked into with jq', { skip: missing('jq') }, async (t) => {
    const path = join(scratch(t), 'audit.log');
    const vm = await shareVm(t, { flags: ['--audit', path] });
    const client = await connect(vm.target);
    await client.write(
      `{"execute":"query-status"}{"execute":"stop","arguments":${'[{"a":'.repeat(200)}1${'}]'.repeat(200)}}\n`,
    );
    await client.readLines(2);
    await client.close();
    await vm.daemon.stop();
    const jq = spawnSync('jq', ['-r', 'select(.kind == "command") | .message.execute // .command', path], {
      encoding: 'utf8',
    });
    assert.equal(jq.status, 0, jq.stderr);
    assert.equal(jq.stdout.split('\n')[0], 'query-status');
  });

  test('refuses commands while its disk is full, with their ids and in order; everything else goes on', {
    skip: cannotMount(),
  }, async (t) => {
    const small = mountTmpfs(t, 64);
    const path = join(small.path, 'audit.log');
    const vm = await shareVm(t, { flags: ['--audit', path, '--audit-chain', '--log-format', 'json'] });
    const client = await connect(vm.target);
    await client.write('{"execute":"query-version","id":"warm"}\n');
    const version = (await client.readLine()).replace('"warm"', '"cached"');
    const free = small.fill();
    let last = '';
    for (let i = 0; !last.includes('error'); i++) {
      assert.ok(i < 1000, 'the disk does not fill up');
      await client.write(`{"execute":"query-status","id":${i}}\n`);
      last = await client.readLine();
    }
    assert.match(
      last,
      /^\{"id": \d+, "error": \{"class": "GenericError", "desc": "qmpmux cannot record this command, so it was not run: the audit log .*audit\.log cannot be written: ENOSPC: no space left on device"\}\}$/,
    );
    await client.write(
      '{"execute":"query-status","id":"a"}{"execute":"stop","id":"b"}[]{"execute":"query-version","id":"cached"}{"execute":"stop","id":"c"}\n',
    );
    const lines = await client.readLines(5);
    const ids = lines.map((line): unknown => (JSON.parse(line) as { id?: unknown }).id);
    assert.deepEqual(ids, ['a', 'b', undefined, 'cached', 'c']);
    assert.equal(lines[3], version);
    // The VM goes on to tell what happens to it.
    await vm.qemu.execute('cont');
    assert.match(await client.readLine(), /"event": "RESUME"/);
    assert.match(written(await vm.qemu.execute('query-status')), /"running": true/);
    await vm.daemon.logged((line) => line.level === 50 && line.msg.includes('commands are refused until it can be'));
    free();
    await vm.daemon.logged((line) => line.msg.includes('can be written again'));
    await client.write('{"execute":"stop","id":"d"}\n');
    await client.readLinesUntil((line) => line === '{"return": {}, "id": "d"}');
    await vm.daemon.stop();
    const records = parseLines(readFileSync(path, 'utf8'));
    records.forEach(assertValid);
    assert.equal(records.filter((record) => record['kind'] === 'denied').length, 4);
    assert.equal(records.filter((record) => record['event'] === 'RESUME').length, 1);
    assert.equal(records.find((record) => record['action'] === 'resumed')?.['refused'], 4);
    assert.deepEqual(await problemsIn([path]), []);
  });

  test('refuses commands while the directory of its log is gone', async (t) => {
    const path = join(scratch(t), 'log', 'audit.log');
    mkdirSync(dirname(path));
    const vm = await shareVm(t, { flags: ['--audit', path] });
    const client = await connect(vm.target);
    rmSync(dirname(path), { recursive: true });
    await delay(50);
    await client.write('{"execute":"query-status"}\n');
    assert.match(await client.readLine(), /was not run: .*ENOENT: no such file or directory/);
    mkdirSync(dirname(path));
    for (let i = 0, line = 'error'; line.includes('error'); i++) {
      assert.ok(i < 200, 'it does not recover');
      await delay(50);
      await client.write('{"execute":"query-status"}\n');
      line = await client.readLine();
    }
    assert.ok(parseLines(readFileSync(path, 'utf8')).some((record) => record['action'] === 'resumed'));
  });

  test('is recorded as the flags say', async (t) => {
    const folder = scratch(t);
    const path = join(folder, 'audit.log');
    const flags = ['--audit-sync', '--audit-chain', '--audit-on-error', 'continue', '--audit-max-message', '200'];
    const more = ['--audit-without', 'connect', '--audit-without', 'STOP', '--audit-redact', 'send-key:arguments.keys'];
    const vm = await shareVm(t, { flags: ['--audit', path, ...flags, ...more] });
    const client = await connect(vm.target);
    await client.write(
      '{"execute":"query-qmp-schema"}{"execute":"send-key","arguments":{"keys":[{"type":"qcode","data":"a"}]}}\n',
    );
    await client.readLines(2);
    await vm.daemon.stop();
    const records = parseLines(readFileSync(path, 'utf8'));
    records.forEach(assertValid);
    assert.deepEqual(records[0]?.['settings'], {
      chain: true,
      sync: true,
      on_error: 'continue',
      max_message: 200,
      left_out: ['connect', 'STOP', '__org.qmpmux_query-*'],
    });
    const cut = records.find((record) => record['cut'] !== undefined);
    assert.equal(String(cut?.['text']).length, 200);
    assert.deepEqual(records.find((record) => record['command'] === 'send-key')?.['redacted'], ['arguments.keys']);
    assert.ok(!records.some((record) => record['kind'] === 'connect'));
    const wrong = startDaemon(t, ['--upstream', 'q', '--listen', 'm', '--audit-chain']);
    assert.equal((await wrong.exited).code, 64);
    assert.match(wrong.errors, /--audit-chain needs --audit FILE/);
  });

  test('is not started when the log cannot be written', async (t) => {
    const folder = scratch(t);
    const daemon = startDaemon(t, [
      '--upstream',
      join(folder, 'q'),
      '--listen',
      join(folder, 'm'),
      '--audit',
      join(folder, 'no', 'audit.log'),
    ]);
    const { code } = await daemon.exited;
    assert.equal(code, 69);
    assert.match(daemon.errors, /qmpmux: the audit log .* cannot be opened: ENOENT/);
  });

  test('is not started while another one writes the same log, and is when that has ended, however it did', async (t) => {
    const path = join(scratch(t), 'audit.log');
    const vm = await shareVm(t, { monitors: [{}, {}], flags: ['--audit', path, '--audit-chain'] });
    const [, monitor = ''] = vm.qemu.monitors;
    const words = ['--upstream', monitor, '--listen', join(vm.qemu.folder, 'second'), '--audit', path, '--audit-chain'];
    const refused = startDaemon(t, words);
    assert.deepEqual(await refused.exited, { code: 69, signal: null });
    assert.equal(
      refused.errors,
      `qmpmux: the audit log ${path} cannot be opened: another program is writing it (pid ${vm.daemon.pid}): ` +
        'give each qmpmux its own log\n',
    );
    // Nor by a log that was rotated away under it.
    renameSync(path, `${path}.1`);
    vm.daemon.kill('SIGUSR2');
    await vm.daemon.logged(({ msg }) => msg.startsWith('audit log reopened'));
    const again = startDaemon(t, words);
    assert.equal((await again.exited).code, 69);
    vm.daemon.kill('SIGKILL');
    await vm.daemon.exited;
    const next = startDaemon(t, words);
    const client = await connect((await next.ready())[0] ?? '');
    await client.close();
    await next.stop();
    assert.deepEqual(await problemsIn([`${path}.1`, path]), []);
  });

  test('may have its log on standard output, and tells that it is ready elsewhere', async (t) => {
    const folder = scratch(t);
    const monitor = new SimulatedMonitor();
    await monitor.start(join(folder, 'q'));
    t.after(() => monitor.stop());
    const daemon = startDaemon(t, [
      '--upstream',
      join(folder, 'q'),
      '--listen',
      join(folder, 'm'),
      '--audit',
      'stdout',
    ]);
    for (let i = 0; !daemon.errors.includes('qmpmux: ready: '); i++) {
      assert.ok(i < 500, daemon.errors);
      await delay(20);
    }
    const client = await connect(join(folder, 'm'));
    await client.write('{"execute":"query-status"}\n');
    await client.readLine();
    await client.close();
    await daemon.stop();
    const records = parseLines(daemon.output);
    records.forEach(assertValid);
    assert.ok(records.some((record) => record['command'] === 'query-status'));
  });
});

describe('a disk that fails', { skip: missing('gcc') }, () => {
  for (const [fault, flags] of [
    ['write', []],
    ['sync', ['--audit-sync']],
  ] as const) {
    test(`on ${fault}: commands are refused, what is in flight is answered, and it goes on afterwards`, async (t) => {
      const folder = scratch(t);
      const path = join(folder, 'audit.log');
      const disk = brokenDisk(folder, path);
      const monitor = new SimulatedMonitor();
      await monitor.start(join(folder, 'q'));
      t.after(() => monitor.stop());
      const daemon = startDaemon(
        t,
        ['--upstream', join(folder, 'q'), '--listen', join(folder, 'm'), '--audit', path, '--audit-chain', ...flags],
        disk.environment,
      );
      await daemon.ready();
      const client = await connect(join(folder, 'm'));
      const held = monitor.hold('query-status');
      await client.write('{"execute":"query-status","id":"held"}\n');
      await held.reached;
      disk.break(fault);
      const other = await connect(join(folder, 'm'));
      await other.write('{"execute":"stop","id":1}\n');
      assert.match(await other.readLine(), /^\{"id": 1, "error": .*cannot be written: EIO: i\/o error/);
      assert.equal(monitor.executions('stop'), 0);
      monitor.emit('SOMETHING');
      assert.match(await other.readLine(), /SOMETHING/);
      held.release();
      await client.readLinesUntil((line) => line.startsWith('{"return": ') && line.endsWith('"id": "held"}'));
      disk.mend(fault);
      for (let i = 0, line = 'error'; line.includes('error'); i++) {
        assert.ok(i < 200, 'it does not recover');
        await delay(50);
        await other.write('{"execute":"query-status","id":2}\n');
        line = await other.readLine();
      }
      await daemon.stop();
      parseLines(readFileSync(path, 'utf8')).forEach(assertValid);
      assert.deepEqual(await problemsIn([path]), []);
    });
  }

  test('is asked once to keep all commands of a turn', async (t) => {
    const folder = scratch(t);
    const path = join(folder, 'audit.log');
    const disk = brokenDisk(folder, path);
    const monitor = new SimulatedMonitor();
    await monitor.start(join(folder, 'q'));
    t.after(() => monitor.stop());
    const flags = ['--audit', path, '--audit-sync'];
    const listen = ['--upstream', join(folder, 'q'), '--listen', join(folder, 'm')];
    const daemon = startDaemon(t, [...listen, ...flags], disk.environment);
    await daemon.ready();
    const client = await connect(join(folder, 'm'));
    disk.break('count');
    await client.write('{"execute":"stop"}{"execute":"cont"}{"execute":"stop"}{"execute":"cont"}\n');
    await client.readLinesUntil(() => monitor.executions('cont') === 2);
    assert.equal(disk.syncs(), 1);
    await client.write('{"execute":"stop"}\n');
    await client.readLinesUntil(() => monitor.executions('stop') === 3);
    assert.equal(disk.syncs(), 2);
  });

  test('by taking half of everything still has every line whole', async (t) => {
    const folder = scratch(t);
    const path = join(folder, 'audit.log');
    const disk = brokenDisk(folder, path);
    disk.break('short');
    const witness = await Witness.start(t, join(folder, 'q'));
    const daemon = startDaemon(
      t,
      ['--upstream', join(folder, 'q'), '--listen', join(folder, 'm'), '--audit', path, '--audit-chain'],
      disk.environment,
    );
    await daemon.ready();
    const load = new Load(join(folder, 'm'), 'x');
    while (load.answers < 200) await delay(10);
    await load.stop();
    await daemon.stop();
    assert.deepEqual(await problemsIn([path]), []);
    assert.equal(
      parseLines(readFileSync(path, 'utf8')).filter((record) => record['kind'] === 'command').length,
      witness.seen.length,
    );
  });
});

describe('rotation under load', () => {
  test('by rename and SIGUSR2 loses no line and splits none', async (t) => {
    const folder = scratch(t);
    const path = join(folder, 'audit.log');
    const witness = await Witness.start(t, join(folder, 'q'));
    const daemon = startDaemon(t, [
      '--upstream',
      join(folder, 'q'),
      '--listen',
      join(folder, 'm'),
      '--audit',
      path,
      '--audit-chain',
    ]);
    await daemon.ready();
    const loads = Array.from({ length: 8 }, (_, client) => new Load(join(folder, 'm'), String(client)));
    const files: string[] = [];
    for (let i = 0; i < 10; i++) {
      const before = witness.seen.length;
      while (witness.seen.length < before + 200) await delay(5);
      files.push(`${path}.${i}`);
      renameSync(path, `${path}.${i}`);
      daemon.kill('SIGUSR2');
      while (!existsSync(path)) await delay(1);
    }
    await Promise.all(loads.map((load) => load.stop()));
    await daemon.stop();
    files.push(path);
    const text = files.map((file) => readFileSync(file, 'utf8')).join('');
    const records = parseLines(text);
    assert.deepEqual(
      records.map((record) => record['seq']),
      records.map((_, index) => index + 1),
    );
    const recorded = records
      .filter((record) => record['kind'] === 'command')
      .map((record) => (record['message'] as { arguments: { n: string } }).arguments.n);
    assert.deepEqual(recorded.toSorted(), witness.seen.toSorted());
    assert.deepEqual(await problemsIn(files), []);
  });
});
