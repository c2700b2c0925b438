import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { startDaemon, startQmpmux } from '../../support/daemon/daemon.js';
import { missing } from '../../support/daemon/programs.js';
import { type Scope, scratch } from '../../support/files/scratch.js';
import { startQemu } from '../../support/qemu/qemu.js';
import { shareVm } from '../../support/qemu/shared-vm.js';
import { openTestLog, testClient, testCommand, wire } from '../../support/text/audit.js';
import { RawClient } from '../../support/world/raw-client.js';
import { Load, Witness } from '../../support/world/witness.js';

const program = fileURLToPath(new URL('../../../bin/qmpmux.js', import.meta.url));

interface Ran {
  readonly code: number | null;
  readonly output: string;
  readonly errors: string;
}

function qmpmux(...args: readonly string[]): Ran {
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, 'audit', ...args], {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  return { code: status, output: stdout, errors: stderr };
}

/** Makes a log of a few commands, one of them wrong, by two clients. @returns its path */
async function sampleLog(scope: Scope, chain = true): Promise<string> {
  const log = await openTestLog(scope, { chain });
  const clients = [testClient(1), testClient(2, { kind: 'unix', pid: 1, uid: 0, gid: 0, program: 'nc' })];
  for (const client of clients) {
    log.recorder.connected(client);
    for (const name of ['query-status', 'stop', 'nonsense']) {
      const command = testCommand(client, name, `{"execute":"${name}"}`);
      log.recorder.command(command);
      log.recorder.flush();
      const isError = name === 'nonsense';
      log.recorder.answered(
        command,
        [wire(isError ? '{"error": {"class": "CommandNotFound", "desc": "no"}}' : '{"return": {}}')],
        isError,
        'upstream',
      );
    }
  }
  await log.close();
  return log.path;
}

describe('qmpmux audit show', () => {
  test('shows a log, its rotated and compressed files, in order', async (t) => {
    const path = await sampleLog(t);
    const lines = readFileSync(path, 'utf8').split('\n').slice(0, -1);
    writeFileSync(`${path}.2.gz`, gzipSync(`${lines.slice(0, 5).join('\n')}\n`));
    writeFileSync(`${path}.1`, `${lines.slice(5, 9).join('\n')}\n`);
    writeFileSync(path, `${lines.slice(9).join('\n')}\n`);
    const { code, output } = qmpmux('show', path, `${path}.1`, `${path}.2.gz`);
    assert.equal(code, 0);
    const shown = output
      .split('\n')
      .slice(0, -1)
      .map((line) => line.replace(/^\S+ \S+ +/, '').replace(/\s+/g, ' '));
    const wanted = (who: string) => [
      `${who} connect unix:/run/vm.mux`,
      `${who} query-status ok`,
      `${who} stop ok`,
      `${who} nonsense error`,
    ];
    assert.equal(shown.length, 10);
    wanted('vm1#1 backup (pid 4711, uid 1000)').forEach((text, index) => {
      assert.ok(shown[index + 1]?.startsWith(text), shown[index + 1]);
    });
    wanted('vm1#2 nc (pid 1, uid 0)').forEach((text, index) => {
      assert.ok(shown[index + 5]?.startsWith(text), shown[index + 5]);
    });
  });

  test('shows what is asked for', async (t) => {
    const path = await sampleLog(t);
    const count = (...args: string[]) => qmpmux('show', path, ...args).output.split('\n').length - 1;
    assert.equal(count('--errors'), 2);
    assert.equal(count('--client', '1'), 4);
    assert.equal(count('--client', 'nc'), 4);
    assert.equal(count('--uid', '0', '--command', 'q*'), 1);
    assert.equal(count('--kind', 'connect', '--kind', 'daemon'), 4);
    assert.equal(count('--slow', '60000'), 0);
    assert.equal(count('--since', '1h'), 10);
    assert.equal(count('--until', '1h'), 0);
    const json = qmpmux('show', path, '--json', '--command', 'stop', '--client', '1').output;
    const lines = readFileSync(path, 'utf8').split('\n');
    assert.equal(
      json,
      lines
        .filter((line) => /"seq":[56],/.test(line))
        .map((line) => `${line}\n`)
        .join(''),
    );
  });

  test('is coloured only on a terminal, or where that is wanted', { skip: missing('script') }, async (t) => {
    const path = await sampleLog(t);
    assert.ok(!qmpmux('show', path).output.includes('\u001b'));
    assert.ok(qmpmux('show', path, '--color').output.includes('\u001b[31m'));
    // Node takes no terminal of a CI's for one with colours.
    const { CI: _, ...environment } = process.env;
    const onTerminal = (flags: string) =>
      spawnSync('script', ['-qec', `${process.execPath} ${program} audit show ${path} ${flags}`, '/dev/null'], {
        encoding: 'utf8',
        env: { ...environment, NO_COLOR: '', TERM: 'xterm' },
      }).stdout;
    assert.ok(onTerminal('').includes('\u001b[31m'));
    assert.ok(!onTerminal('--no-color').includes('\u001b['));
  });

  test('follows a log through its rotation', async (t) => {
    const folder = scratch(t);
    const path = join(folder, 'audit.log');
    const witness = await Witness.start(t, join(folder, 'q'));
    const daemon = startDaemon(t, ['--upstream', join(folder, 'q'), '--listen', join(folder, 'm'), '--audit', path]);
    await daemon.ready();
    const show = startQmpmux(t, ['audit', 'show', '-f', '--since', '1h', '--json', '--kind', 'command', path]);
    const load = new Load(join(folder, 'm'), 'x', 2);
    const shows = async (n: string | undefined) => {
      for (let i = 0; !show.output.includes(`"n":"${n}"`); i++) {
        assert.ok(i < 500, `command ${n} is not shown`);
        await delay(20);
      }
    };
    for (let i = 0; i < 3; i++) {
      const until = load.answers + 30;
      while (load.answers < until) await delay(5);
      await shows(witness.seen.at(-1));
      renameSync(path, `${path}.${i}`);
      await delay(50);
      daemon.kill('SIGHUP');
      while (!existsSync(path)) await delay(5);
    }
    await load.stop();
    await shows(witness.seen.at(-1));
    show.kill('SIGINT');
    assert.equal((await show.exited).code, 0);
    const shown = show.output
      .split('\n')
      .map((line) => /"kind":"command".*"n":"([^"]*)"/.exec(line)?.[1])
      .filter((n) => n !== undefined);
    assert.deepEqual(shown, witness.seen);
  });

  test('stops when nobody reads on', { skip: missing('head') }, async (t) => {
    const path = await sampleLog(t);
    writeFileSync(path, readFileSync(path, 'utf8').repeat(3000));
    const { stdout, stderr, status } = spawnSync(
      'sh',
      ['-c', `${process.execPath} ${program} audit show ${path} | head -n 1`],
      { encoding: 'utf8' },
    );
    assert.equal(status, 0);
    assert.equal(stdout.split('\n').length, 2);
    assert.equal(stderr, '');
  });
});

describe('qmpmux audit verify', () => {
  test('ends with 0, 1 or 2, and says why', async (t) => {
    const path = await sampleLog(t);
    const whole = qmpmux('verify', path);
    assert.equal(whole.code, 0);
    assert.match(whole.output, /^whole, records 16, all chained, problems 0, remarks 0, head 16:[0-9a-f]{64}\n$/);
    const text = readFileSync(path, 'utf8');
    appendFileSync(path, '{"v":1,"se');
    const torn = qmpmux('verify', path);
    assert.equal(torn.code, 1);
    assert.match(torn.output, /audit\.log:17: remark: the last line is torn/);
    writeFileSync(path, text.replace('"stop"', '"quit"'));
    const changed = qmpmux('verify', path);
    assert.equal(changed.code, 2);
    assert.match(changed.output, /audit\.log:\d+: problem: the hash of record \d+ is wrong/);
    assert.match(changed.output, /^NOT WHOLE,/m);
    const quiet = qmpmux('verify', '-q', path);
    assert.deepEqual([quiet.code, quiet.output], [2, '']);
    const json = qmpmux('verify', '--json', path)
      .output.split('\n')
      .slice(0, -1)
      .map((line): Record<string, unknown> => JSON.parse(line));
    assert.equal(json[0]?.['level'], 'problem');
    assert.equal(json.at(-1)?.['problems'], 1);
    assert.equal(qmpmux('verify', '/no/such/file').code, 66);
    assert.equal(qmpmux('verify').code, 64);
    assert.equal(qmpmux('verify', path, '--heed', 'x').code, 64);
  });

  test('finds a cut tail against a saved head', async (t) => {
    const path = await sampleLog(t);
    const head = join(scratch(t), 'head');
    assert.equal(qmpmux('verify', path, '--save-head', head).code, 0);
    assert.equal(qmpmux('verify', path, '--head', head).code, 0);
    assert.equal(qmpmux('verify', path, '--head', readFileSync(head, 'utf8').trim()).code, 0);
    writeFileSync(
      path,
      readFileSync(path, 'utf8')
        .split('\n')
        .slice(0, 12)
        .map((line) => `${line}\n`)
        .join(''),
    );
    assert.notEqual(qmpmux('verify', path).code, 2);
    const cut = qmpmux('verify', path, '--head', head);
    assert.equal(cut.code, 2);
    assert.match(cut.output, /the log ends with record 12, but it had record 16: 4 records were cut off its end/);
    assert.equal(qmpmux('verify', path, '--head', '/no/such/head').code, 66);
  });

  test('shows its progress on a terminal, and nowhere else', { skip: missing('script') }, async (t) => {
    const path = await sampleLog(t, false);
    const text = readFileSync(path, 'utf8');
    writeFileSync(path, text.repeat(Math.ceil(60e6 / text.length)));
    assert.ok(!qmpmux('verify', path).errors.includes('%'));
    const { stdout } = spawnSync(
      'script',
      ['-qec', `${process.execPath} ${program} audit verify ${path}`, '/dev/null'],
      { encoding: 'utf8', maxBuffer: 1 << 28 },
    );
    assert.match(stdout, /audit\.log: \d+ % of [\d.]+M/);
  });

  test('needs no more memory for a large log than for a small one', async (t) => {
    const path = await sampleLog(t);
    const text = readFileSync(path, 'utf8');
    writeFileSync(path, text.repeat(Math.ceil(120e6 / text.length)));
    for (const command of ['verify', 'stats', 'show']) {
      const ran = spawnSync(process.execPath, ['--max-old-space-size=64', program, 'audit', command, path], {
        stdio: ['ignore', 'ignore', 'pipe'],
        encoding: 'utf8',
      });
      assert.equal(ran.stderr, '', command);
      assert.equal(ran.status, command === 'verify' ? 2 : 0);
    }
  });
});

describe('qmpmux audit stats', () => {
  test('counts by client and by command', async (t) => {
    const path = await sampleLog(t);
    const { code, output } = qmpmux('stats', path);
    assert.equal(code, 0);
    assert.match(output, /^client +count +errors +p50 +p99 +max +bytes$/m);
    assert.match(output, /^vm1#2 nc \(pid 1, uid 0\) +3 +1 +[\d.]+[µm]s /m);
    assert.match(output, /^nonsense +2 +2 /m);
    const json: { commands: { name: string; count: number }[]; pairs: unknown[] } = JSON.parse(
      qmpmux('stats', '--json', '--client', '1', path).output,
    );
    assert.deepEqual(
      json.commands.map(({ name, count }) => [name, count]),
      [
        ['nonsense', 1],
        ['query-status', 1],
        ['stop', 1],
      ],
    );
    assert.equal(json.pairs.length, 3);
    assert.match(qmpmux('stats', '--rows', '1', path).output, /and 2 more; --rows 0 shows all/);
  });
});

describe('qmpmux audit replay', { skip: missing('qemu') }, () => {
  test('sends a log to a test VM, and reports answers that differ', async (t) => {
    const path = join(scratch(t), 'audit.log');
    const vm = await shareVm(t, { name: 'first', flags: ['--audit', path] });
    const client = await RawClient.connect(vm.target);
    await client.readLine();
    await client.write(
      '{"execute":"qmp_capabilities"}{"execute":"query-status","id":"x"}{"execute":"query-name"}{"execute":"nonsense","id":[1]}\n',
    );
    await client.readLines(4);
    await client.write(
      `{'execute':'set_password','arguments':{'protocol':'vnc','password':'p'}}{"execute":"query-uuid"}\n`,
    );
    await client.readLines(2);
    await client.close();
    await vm.daemon.stop();
    const same = await startQemu(t, { name: 'first' });
    assert.deepEqual(qmpmux('replay', path, '--to', same.monitor), {
      code: 0,
      output: "sent 4, answers the same 4, different 0, not comparable 0, commands skipped 1, qmpmux's own 0\n",
      errors: '',
    });
    const other = await startQemu(t, { name: 'second' });
    const differs = qmpmux('replay', path, '--to', `unix:${other.monitor}`, '--speed', '100');
    assert.equal(differs.code, 1);
    assert.match(
      differs.output,
      /^\d+ query-name: return\.name: "first" → "second"\nsent 4, answers the same 3, different 1,/,
    );
    assert.equal(qmpmux('replay', path, '--to', other.monitor, '--ignore', 'return.name').code, 0);
    assert.equal(qmpmux('replay', path, '--to', '/no/such/vm').code, 69);
    assert.equal(qmpmux('replay', path).code, 64);
    assert.equal(qmpmux('replay', path, '--to', other.monitor, '--speed', 'slow').code, 64);
  });
});

test('the sample for logrotate rotates a log that is being written', { skip: missing('logrotate') }, async (t) => {
  const folder = scratch(t);
  const logs = join(folder, 'log');
  mkdirSync(logs, { mode: 0o700 });
  const path = join(logs, 'vm.audit');
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
  const config = join(folder, 'logrotate.conf');
  const sample = readFileSync(new URL('../../../systemd/qmpmux.logrotate', import.meta.url), 'utf8');
  writeFileSync(
    config,
    sample
      .replace('/var/log/qmpmux/', `${logs}/`)
      .replace(/^ +su .*$/m, '')
      .replaceAll(/systemctl .*/g, `kill -HUP ${daemon.pid}`),
  );
  chmodSync(config, 0o600);
  const load = new Load(join(folder, 'm'), 'x');
  for (let i = 0; i < 3; i++) {
    const until = load.answers + 100;
    while (load.answers < until) await delay(5);
    const ran = spawnSync('logrotate', ['--force', '--state', join(folder, 'state'), config], { encoding: 'utf8' });
    assert.equal(ran.status, 0, ran.stderr);
    while (!existsSync(path)) await delay(5);
  }
  await load.stop();
  await daemon.stop();
  // The key of the log's marks is there, too.
  const files = readdirSync(logs)
    .filter((name) => !name.startsWith('.'))
    .map((name) => join(logs, name));
  assert.equal(files.length, 4);
  assert.ok(files.some((file) => file.endsWith('.gz')));
  const verified = qmpmux('verify', ...files);
  assert.equal(verified.code, 0, verified.output);
  const shown = qmpmux('show', '--json', '--kind', 'command', ...files).output;
  assert.equal(shown.split('\n').filter((line) => line.includes('"kind":"command"')).length, witness.seen.length);
});
