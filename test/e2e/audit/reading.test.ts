/** What auditors ask of a log of several VMs, hosts and runs, as they type it. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { startQmpmux } from '../../support/daemon/daemon.js';
import { missing } from '../../support/daemon/programs.js';
import { type Finished, type RunOptions, runQmpmux } from '../../support/daemon/run-qmpmux.js';
import { LogText } from '../../support/files/log-file.js';
import { type Scope, scratch } from '../../support/files/scratch.js';
import { startQemu } from '../../support/qemu/qemu.js';

const program = fileURLToPath(new URL('../../../bin/qmpmux.js', import.meta.url));
const NOON = Date.parse('2026-01-31T12:00:00Z');
const BERLIN = { environment: { TZ: 'Europe/Berlin' } };

function audit(words: readonly string[], options: RunOptions = {}): Promise<Finished> {
  return runQmpmux(['audit', ...words], options);
}

/** A log of two VMs, in which one of them is reset in four ways. */
function resets(): LogText {
  const log = new LogText(NOON, 1000);
  const hmp = (line: string) => ({ given: { 'command-line': line } });
  log.start();
  log.reply(log.command('system_reset', { monitor: 'web1', client: 5 }), { monitor: 'web1', client: 5 });
  log.reply(log.command('system_reset', { monitor: 'db1', client: 5 }), { monitor: 'db1', client: 5 });
  const typed = log.command('human-monitor-command', { monitor: 'web1', client: 6, ...hmp(' system_reset') });
  log.reply(typed, { monitor: 'web1', client: 6, value: '' });
  log.add('command', {
    monitor: 'web1',
    listener: 'unix:/run/web1.mux',
    client: 7,
    command: 'human-monitor-command',
    text: "{'execute':'human-monitor-command','arguments':{'command-line':'system_reset'}}",
  });
  log.reply(log.command('query-status', { monitor: 'web1', client: 5 }), { monitor: 'web1', client: 5 });
  log.reply(
    log.command('transaction', { monitor: 'db1', client: 5, given: { actions: [{ type: 'drive-backup', data: {} }] } }),
    { monitor: 'db1', client: 5 },
  );
  log.stop();
  return log;
}

function logFile(scope: Scope, log: LogText, name = 'vm.audit'): string {
  const path = join(scratch(scope), name);
  writeFileSync(path, log.text);
  return path;
}

describe('who did it', () => {
  test('is answered with the VM in every line, whichever way the command was sent', async (t) => {
    const path = logFile(t, resets());
    const all = await audit(['show', '--command', 'system_reset', path]);
    assert.equal(all.code, 0, all.errors);
    const lines = all.output.split('\n').slice(0, -1);
    assert.deepEqual(
      lines.map((line) => line.split(/ {2,}/).slice(1, 4)),
      [
        ['web1#5 backup (pid 7, uid 1000)', 'system_reset', 'ok'],
        ['db1#5 backup (pid 7, uid 1000)', 'system_reset', 'ok'],
        ['web1#6 backup (pid 7, uid 1000)', 'hmp system_reset', 'ok'],
        ['web1#7', 'hmp system_reset', 'no answer'],
      ],
    );
    const count = async (...words: string[]) => (await audit(['show', ...words, path])).output.split('\n').length - 1;
    assert.equal(await count('--command', 'system_reset', '--monitor', 'web*'), 3);
    assert.equal(await count('--command', 'hmp *'), 2);
    assert.equal(await count('--command', 'drive-backup'), 1);
    assert.equal(await count('--client', 'web1#5'), 2);
    assert.equal(await count('--client', '5'), 4);
    assert.equal(await count('--match', 'drive-backup', '--monitor', 'db1'), 1);
    assert.equal(await count('--uid', '1000', '--kind', 'command'), 5);
    const stats: { monitors: { name: string; count: number }[] } = JSON.parse(
      (await audit(['stats', '--json', path])).output,
    );
    assert.deepEqual(
      stats.monitors.map(({ name, count: each }) => [name, each]),
      [
        ['web1', 4],
        ['db1', 2],
      ],
    );
    assert.match((await audit(['stats', path])).output, /^VM +count .*\nweb1 +4 /);
    assert.match((await audit(['stats', '--command', 'hmp *', path])).output, /^hmp system_reset +2 /m);
  });

  test('may be asked by a name of a user', async (t) => {
    const log = new LogText(NOON, 1000);
    log.start();
    log.add('connect', {
      monitor: 'vm1',
      listener: 'unix:/m',
      client: 1,
      peer: { kind: 'unix', pid: 1, uid: 0, gid: 0, program: 'nc' },
    });
    const path = logFile(t, log);
    assert.equal((await audit(['show', '--uid', 'root', path])).output.split('\n').length, 2);
    const unknown = await audit(['show', '--uid', 'nobody-of-that-name', path]);
    assert.equal(unknown.code, 64);
    assert.match(unknown.errors, /there is no user nobody-of-that-name on this host; give the number/);
  });

  test('and nothing found is said, with what was searched', async (t) => {
    const path = logFile(t, resets());
    const { code, output, errors } = await audit(
      ['show', '--command', 'quit', '--monitor', 'mail1', '--since', '2026-01-31 12:59', path],
      BERLIN,
    );
    assert.deepEqual([code, output], [0, '']);
    assert.equal(
      errors,
      'qmpmux: nothing found for --monitor mail1, --command quit, since 2026-01-31 12:59:00+01:00, in 13 records of the log from 2026-01-31 13:00:00+01:00 to 2026-01-31 13:00:12+01:00, of web1, db1\n',
    );
    assert.match(
      (await audit(['stats', '--command', 'quit', path])).errors,
      /nothing found for --command quit, in 13 records/,
    );
  });
});

describe('times', () => {
  test('are local in and out, with their zone, or UTC', async (t) => {
    const path = logFile(t, resets());
    const shown = async (...words: string[]) =>
      (await audit(['show', ...words, path], BERLIN)).output
        .split('\n')
        .slice(0, -1)
        .map((line) => line.split('  ')[0]);
    assert.deepEqual(await shown('--since', '2026-01-31 13:00:12'), ['2026-01-31 13:00:12+01:00']);
    assert.deepEqual(await shown('--utc', '--since', '2026-01-31 12:00:12'), ['2026-01-31 12:00:12Z']);
    assert.deepEqual(await shown('--since', '2026-01-31T12:00:12Z', '--precise'), ['2026-01-31 13:00:12.000000+01:00']);
  });

  test('that leave their day open are said to be taken for one, and ranges that cannot be are refused', async (t) => {
    const path = logFile(t, resets());
    const tuesday = await audit(['show', '--since', 'Tuesday 14:00', path], BERLIN);
    assert.equal(tuesday.code, 0);
    assert.match(tuesday.errors, /^qmpmux: --since Tuesday 14:00 means \d{4}-\d\d-\d\d 14:00:00\+0[12]:00\n/);
    const future = await audit(['show', '--since', '2100-01-01', path]);
    assert.equal(future.code, 64);
    assert.match(future.errors, /--since 2100-01-01 lies in the future/);
    const reversed = await audit(['show', '--since', '2026-01-31', '--until', '2026-01-30', path], BERLIN);
    assert.equal(reversed.code, 64);
    assert.match(
      reversed.errors,
      /--until 2026-01-30 is before --since 2026-01-31: from 2026-01-31 00:00:00\+01:00 to/,
    );
    assert.equal((await audit(['show', '--since', 'someday', path])).code, 64);
  });
});

describe('several logs', () => {
  test('are shown by time, each line with its log, and their answers stay apart', async (t) => {
    const folder = scratch(t);
    for (const [index, host] of ['hosta', 'hostb'].entries()) {
      const log = new LogText(NOON + index * 500, 1000);
      log.start();
      const of = log.command('system_reset');
      if (host === 'hostb') log.reply(of, { value: 'of b' });
      mkdirSync(join(folder, host));
      const file = join(folder, host, `${host}.audit`);
      writeFileSync(host === 'hostb' ? `${file}.1.gz` : file, host === 'hostb' ? gzipSync(log.text) : log.text);
    }
    writeFileSync(join(folder, 'passwd'), 'root:x:0:0:root:/root:/bin/bash\n'.repeat(50));
    const files = [
      join(folder, 'hostb', 'hostb.audit.1.gz'),
      join(folder, 'passwd'),
      join(folder, 'hosta', 'hosta.audit'),
    ];
    const { code, output, errors } = await audit(['show', '--command', '*', ...files]);
    assert.equal(code, 66);
    assert.match(errors, /^qmpmux: .*passwd is not an audit log: there is no record in its first 50 lines\n$/);
    assert.deepEqual(
      output
        .split('\n')
        .slice(0, -1)
        .map((line) => line.split(/ {2,}/).slice(1)),
      [
        ['hosta.audit', 'vm1#1 backup (pid 7, uid 1000)', 'system_reset', 'no answer'],
        ['hostb.audit', 'vm1#1 backup (pid 7, uid 1000)', 'system_reset', 'ok', '500µs', '"of b"'],
      ],
    );
    const verified = await audit(['verify', files[0] ?? '', files[2] ?? '']);
    assert.equal(verified.code, 1);
    assert.match(verified.output, /^"hostb\.audit": whole, records 3, .*\n"hosta\.audit": whole, records 2, /m);
    assert.equal((await audit(['verify', '--head', '3', files[0] ?? '', files[2] ?? ''])).code, 64);
  });

  test('of which none is one are an error, in one line', async () => {
    for (const command of ['show', 'stats', 'verify']) {
      const { code, output, errors } = await audit([command, '/etc/passwd']);
      assert.deepEqual([code, output, errors.split('\n').length], [66, '', 2], errors);
    }
  });
});

describe('what is shown', () => {
  test('fits 80 columns, a line each, with the arguments', { skip: missing('script') }, async (t) => {
    const path = logFile(t, resets());
    const command = `stty cols 80; ${process.execPath} ${program} audit show --utc --no-color ${path}`;
    const { stdout } = spawnSync('script', ['-qec', command, '/dev/null'], { encoding: 'utf8' });
    const lines = stdout.split('\r\n').slice(0, -1);
    assert.equal(lines.length, 9);
    for (const line of lines) assert.ok(line.length <= 80, line);
    assert.equal(lines[0], '2026-01-31, UTC');
    assert.ok(
      lines.some((line) => line.includes('actions=[{"type":"d')),
      stdout,
    );
  });

  test('is cut where answers are long, and whole where that is wanted', async (t) => {
    const log = new LogText(NOON, 1000);
    log.reply(log.command('query-qmp-schema'), { value: 'x'.repeat(200_000) });
    const path = logFile(t, log);
    assert.ok((await audit(['show', path])).output.length < 2300);
    assert.ok((await audit(['show', '--full', path])).output.length > 200_000);
    assert.ok((await audit(['show', '--csv', path])).output.length < 2800);
    assert.equal((await audit(['show', '--json', path])).output, log.text);
  });

  test('can be a table for spreadsheets', async (t) => {
    const log = new LogText(NOON, 1000);
    log.reply(log.command('=cmd|calc', { given: { a: 'x, "y"', b: '\n' } }), { value: [1] });
    const { output, code } = await audit(['show', '--csv', '--utc', logFile(t, log)]);
    assert.equal(code, 0);
    const rows = output.split('\r\n');
    assert.equal(rows.length, 3);
    assert.equal(
      rows[0],
      'time,log,monitor,run,client,program,pid,uid,user,login,address,listener,kind,what,result,latency_us,arguments,answer,seq,answer_seq',
    );
    assert.equal(
      rows[1],
      `2026-01-31T12:00:00.000000Z,,vm1,1,1,backup,7,1000,,,,unix:/run/vm1.mux,command,'=cmd|calc,reply,500,"{""a"":""x, \\""y\\"""",""b"":""\\n""}",[1],1,2`,
    );
    assert.equal((await audit(['show', '--csv', '--json', logFile(t, log)])).code, 64);
  });

  test('of a log that is followed begins at its end, or where it is asked to', async (t) => {
    const log = new LogText(Date.now() - 86_400_000, 10_000);
    log.start();
    for (let i = 0; i < 8000; i++) log.command(`early-${i}`);
    const path = logFile(t, log);
    const shows = async (what: string, words: readonly string[]) => {
      const show = startQmpmux(t, ['audit', 'show', '-f', ...words, path]);
      for (let i = 0; !show.output.includes(what); i++) {
        assert.ok(i < 500, `${what} is not shown`);
        await delay(20);
      }
      show.kill('SIGINT');
      await show.exited;
      return show.output;
    };
    const fromEnd = await shows('early-7999', []);
    assert.ok(!fromEnd.includes('early-7900'), fromEnd.slice(0, 500));
    const since = await shows('early-7999', ['--since', '22h']);
    assert.ok(since.includes('early-4000') && !since.includes('early-10 '));
    appendFileSync(path, 'no record\n');
  });

  test('is read no further than anybody reads it', { skip: missing('head') }, async (t) => {
    const log = new LogText(NOON, 1000);
    for (let i = 0; i < 2000; i++) log.command('x', { given: { filler: 'x'.repeat(300) } });
    const path = logFile(t, log);
    writeFileSync(path, log.text.repeat(150));
    const cpu = (reader: string) => {
      const script = `TIMEFORMAT=%U; time ${process.execPath} ${program} audit show ${path} 2>/dev/null | ${reader}`;
      const { stderr } = spawnSync('bash', ['-c', script], { encoding: 'utf8' });
      return Number(stderr.trim().split('\n').at(-1));
    };
    const all = cpu('cat >/dev/null');
    const some = cpu('head -n 1 >/dev/null');
    assert.ok(some < all / 2, `${some} s instead of ${all} s`);
  });
});

describe('verify', () => {
  test('cannot be made to say what is not so, on a terminal or on a pipe', async (t) => {
    const verdict = 'whole, records 5, all chained, problems 0, remarks 0, head 5:000';
    const log = new LogText(NOON, 1000, { isChained: true });
    log.start();
    for (const name of [`\n${verdict}\n`, `\r${verdict}\u001b[8m`, '\u009b8m\u202e', verdict]) log.command(name);
    log.stop();
    // A name of a file, too.
    for (const name of ['vm.audit', `x\n${verdict}`, verdict]) {
      const { code, output } = await audit(['verify', logFile(t, log, name)]);
      assert.equal(code, 1);
      assert.match(output, /^[\x20-\x7e\n]*$/);
      const verdicts = output.split('\n').filter((line) => /^(?:NOT )?whole\b/i.test(line));
      assert.equal(verdicts.length, 1, output);
      assert.match(verdicts[0] ?? '', /^whole, records 6, all chained, problems 0, remarks 4, /);
    }
  });

  test('remarks on a start without a stop, and says what that may be', async (t) => {
    const log = new LogText(NOON, 1000);
    log.start(1);
    log.start(2);
    log.stop();
    const { code, output } = await audit(['verify', logFile(t, log)]);
    assert.equal(code, 1);
    assert.match(
      output,
      /:2: remark: qmpmux was started with record 2, but the run before has no stop record: it was killed or crashed, .* or the end of that run was cut off/,
    );
  });

  test('says what is wrong with a head', async (t) => {
    const path = logFile(t, resets());
    const wrong = await audit(['verify', '--head', '291000:abc', path]);
    assert.equal(wrong.code, 64);
    assert.match(wrong.errors, /--head 291000:abc is not a head: write SEQ:HASH, with a hash of 64 hexadecimal digits/);
    assert.equal((await audit(['verify', '--head', path, path])).code, 64);
    assert.equal((await audit(['verify', '--head', '/no/such/head', path])).code, 66);
  });

  test('takes what was compressed by others for what it is', { skip: missing('zstd', 'xz') }, async (t) => {
    const log = new LogText(NOON, 1000, { isChained: true });
    log.start();
    log.reply(log.command('stop'));
    log.stop();
    const path = logFile(t, log);
    for (const [name, extension] of [
      ['zstd', 'zst'],
      ['xz', 'xz'],
    ] as const) {
      assert.equal(spawnSync(name, ['-kq', path]).status, 0);
      const { code, output } = await audit(['verify', `${path}.${extension}`]);
      assert.equal(code, 0, output);
      assert.match(output, /^whole, records 4, all chained/);
      const piped = await runQmpmuxWith(readFileSync(`${path}.${extension}`), ['verify', '-']);
      assert.match(piped, /^whole, records 4, all chained/);
    }
  });
});

function runQmpmuxWith(input: Buffer, words: readonly string[]): Promise<string> {
  const { stdout } = spawnSync(process.execPath, [program, 'audit', ...words], { input, encoding: 'utf8' });
  return Promise.resolve(stdout);
}

describe('a replay', { skip: missing('qemu') }, () => {
  test('sends the commands of one VM alone, and none of qmpmux’s own', async (t) => {
    const log = new LogText(NOON, 1000);
    log.start();
    for (const monitor of ['web1', 'db1']) {
      log.reply(log.command('query-name', { monitor }), { monitor, value: { name: monitor } });
      log.reply(log.command('__org.qmpmux_query-status', { monitor }), { monitor });
    }
    const path = logFile(t, log);
    const vm = await startQemu(t, { name: 'web1' });
    const refused = await audit(['replay', path, '--to', vm.monitor]);
    assert.equal(refused.code, 64);
    assert.match(
      refused.errors,
      /the log has commands for more than one VM \(web1 and db1\): choose one with --monitor/,
    );
    const piped = await audit(['replay', '-', '--to', vm.monitor], { input: log.text });
    assert.equal(piped.code, 64);
    assert.match(piped.errors, /more than one VM/);
    const { code, output } = await audit(['replay', path, '--to', vm.monitor, '--monitor', 'web1']);
    assert.equal(
      output,
      "sent 1, answers the same 1, different 0, not comparable 0, commands skipped 0, qmpmux's own 1\n",
    );
    assert.equal(code, 0);
  });
});
