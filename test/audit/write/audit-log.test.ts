import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { cannotMount, cannotMountExt4, mountExt4, mountTmpfs } from '../../support/files/filesystem.js';
import { scratch } from '../../support/files/scratch.js';
import {
  assertValid,
  openTestLog,
  parseLines,
  type TestLog,
  testClient,
  testCommand,
  wire,
} from '../../support/text/audit.js';

const client = testClient();

/** Records a command as the multiplexer does. @returns why it was refused, or null */
function run(log: TestLog, name = 'stop'): string | null {
  const command = testCommand(client, name, `{"execute":"${name}"}`);
  log.recorder.command(command);
  const trouble = log.recorder.flush();
  if (trouble === null) log.recorder.answered(command, [wire('{"return": {}}')], false, 'upstream');
  else log.recorder.denied(command, 'audit', wire('{"error": {}}'));
  return trouble;
}

/** Waits until commands are recorded again. */
async function recovered(log: TestLog): Promise<void> {
  for (let i = 0; log.reports.every((report) => !report.includes('can be written again')); i++) {
    assert.ok(i < 1000, `it does not recover: ${log.reports.join('\n')}`);
    await delay(20);
  }
}

function kinds(text: string): unknown[] {
  return parseLines(text).map((record) => record['kind']);
}

describe('a command', () => {
  test('is in the file when flush returns, and so is all that came before it', async (t) => {
    const log = await openTestLog(t);
    log.recorder.event('STOP', [wire('{}')], 0);
    log.recorder.command(testCommand(client, 'stop', '{"execute":"stop"}'));
    assert.deepEqual(kinds(readFileSync(log.path, 'utf8')), ['daemon']);
    assert.equal(log.recorder.flush(), null);
    assert.deepEqual(kinds(readFileSync(log.path, 'utf8')), ['daemon', 'event', 'command']);
  });

  test('is on the disk as well where that is wanted', async (t) => {
    const log = await openTestLog(t, { sync: true });
    assert.equal(run(log), null);
    assert.deepEqual(kinds(await log.close()), ['daemon', 'command', 'reply', 'daemon']);
  });

  test('that cannot be recorded is refused, with the reason', { skip: cannotMount() }, async (t) => {
    const small = mountTmpfs(t, 64);
    const path = join(small.path, 'audit.log');
    const log = await openTestLog(t, { chain: true }, path);
    assert.equal(run(log), null);
    const free = small.fill();
    let refused = 0;
    while (run(log) === null) assert.ok(++refused < 1000, 'the file system does not fill up');
    const trouble = run(log);
    assert.match(trouble ?? '', /^the audit log .*audit\.log cannot be written: ENOSPC: no space left on device$/);
    log.recorder.event('STOP', [wire('{}')], 1);
    for (let i = 0; i < 50; i++) assert.notEqual(run(log), null);
    free();
    await recovered(log);
    assert.equal(run(log), null);
    const records = await log.records();
    const resumed = records.find((record) => record['action'] === 'resumed');
    assert.equal(resumed?.['reason'], 'ENOSPC: no space left on device');
    assert.equal(resumed['refused'], 52);
    assert.deepEqual(resumed['lost'], {});
    // Nothing is lost, split or twice: each number once, in order.
    assert.deepEqual(
      records.map((record) => record['seq']),
      records.map((_, index) => index + 1),
    );
    assert.equal(records.filter((record) => record['kind'] === 'denied').length, 52);
    assert.equal(records.filter((record) => record['kind'] === 'event').length, 1);
    assert.ok(
      log.reports.some((report) => /^error the audit log .* commands are refused until it can be$/.test(report)),
    );
    assert.ok(
      log.reports.some((report) =>
        /^warn the audit log .* can be written again, after .*commands refused: 52, records lost: 0$/.test(report),
      ),
    );
  });

  test('whose line was written in part when the disk was full has it whole afterwards', {
    skip: cannotMount(),
  }, async (t) => {
    for (const reason of ['freed', 'removed']) {
      const small = mountTmpfs(t, 64);
      const path = join(small.path, 'audit.log');
      const log = await openTestLog(t, { chain: true }, path);
      const free = small.fill();
      let count = 0;
      while (run(log, `stop-${'x'.repeat(count % 97)}`) === null) assert.ok(++count < 1000);
      const torn = readFileSync(path);
      if (reason === 'removed') rmSync(path);
      free();
      await recovered(log);
      assert.equal(run(log), null);
      const text = await log.close();
      if (reason === 'freed') {
        assert.ok(torn.at(-1) !== 0x0a, 'the case did not come about: no line was torn');
        assert.ok(text.startsWith(torn.toString()), 'what was there was not continued');
      } else {
        const [first] = parseLines(text);
        const whole = torn.toString().split('\n').length - 1;
        assert.equal(first?.['seq'], whole + 1, 'the torn line was not begun anew');
      }
    }
  });

  test('goes on unrecorded where the user wants that, and is counted', { skip: cannotMount() }, async (t) => {
    const small = mountTmpfs(t, 64);
    const log = await openTestLog(t, { onError: 'continue' }, join(small.path, 'audit.log'));
    const free = small.fill();
    for (let i = 0; i < 6000; i++) assert.equal(run(log), null);
    assert.ok(
      log.reports.some((report) => /^error .* commands continue unrecorded$/.test(report)),
      log.reports.join(),
    );
    free();
    small.remount('size=8192k');
    await recovered(log);
    assert.equal(run(log), null);
    const records = await log.records();
    const resumed = records.find((record) => record['action'] === 'resumed');
    const lost: unknown = resumed?.['lost'];
    const kept = (kind: string) => records.filter((record) => record['kind'] === kind).length;
    const count = (kind: string): number =>
      typeof lost === 'object' && lost !== null ? Number(Reflect.get(lost, kind)) : 0;
    assert.ok(count('command') > 0);
    assert.equal(kept('command') + count('command'), 6001);
    assert.equal(kept('reply') + count('reply'), 6001);
    assert.deepEqual(
      records.map((record) => record['seq']),
      records.map((_, index) => index + 1),
    );
  });

  test('is refused while the directory is gone, and taken when it is back', async (t) => {
    const folder = join(scratch(t), 'log');
    mkdirSync(folder);
    const path = join(folder, 'audit.log');
    const log = await openTestLog(t, { chain: true }, path);
    assert.equal(run(log), null);
    rmSync(folder, { recursive: true });
    await delay(30);
    assert.match(run(log) ?? '', /ENOENT: no such file or directory/);
    mkdirSync(folder);
    await recovered(log);
    assert.equal(run(log), null);
    const records = await log.records();
    assert.ok(Number(records[0]?.['seq']) > 1, 'the new file does not go on where the lost one has ended');
    assert.ok(records.some((record) => record['action'] === 'resumed'));
    assert.ok(log.reports.some((report) => report.includes('was removed; a new file was created')));
  });

  test('goes into a new file where only the file was removed', async (t) => {
    const log = await openTestLog(t);
    rmSync(log.path);
    await delay(30);
    assert.equal(run(log), null);
    assert.deepEqual(kinds(await log.close()), ['command', 'reply', 'daemon']);
  });

  test('is refused while the file system is read-only, and taken when it is not', {
    skip: cannotMountExt4(),
  }, async (t) => {
    const disk = mountExt4(t);
    const path = join(disk.path, 'audit.log');
    const log = await openTestLog(t, {}, path);
    assert.equal(run(log), null);
    // What the kernel does to an ext4 on errors: read-only at once, also for files that are open.
    disk.remount('abort');
    assert.match(run(log) ?? '', /EROFS: read-only file system|EIO: i\/o error/);
    assert.match(run(log) ?? '', /EROFS: read-only file system|EIO: i\/o error/);
  });

  test('is taken again when a read-only file system has become writable', { skip: cannotMount() }, async (t) => {
    const small = mountTmpfs(t, 64);
    const log = await openTestLog(t, {}, join(small.path, 'audit.log'));
    const free = small.fill();
    for (let i = 0; run(log) === null; i++) assert.ok(i < 1000);
    // The failed file is closed, so that this is possible at all.
    for (let i = 0; ; i++) {
      try {
        small.remount('ro');
        break;
      } catch {
        assert.ok(i < 100);
        await delay(20);
      }
    }
    await delay(300);
    assert.match(run(log) ?? '', /EROFS: read-only file system/);
    small.remount('rw');
    free();
    await recovered(log);
    assert.equal(run(log), null);
    const records = await log.records();
    assert.deepEqual(
      records.map((record) => record['seq']),
      records.map((_, index) => index + 1),
    );
  });
});

describe('the file', () => {
  test('is made for its owner alone, and an existing one keeps its mode', async (t) => {
    const log = await openTestLog(t);
    assert.equal(statSync(log.path).mode & 0o777, 0o600);
    await log.close();
    chmodSync(log.path, 0o640);
    const again = await openTestLog(t, {}, log.path);
    await again.close();
    assert.equal(statSync(log.path).mode & 0o777, 0o640);
  });

  test('is not reached through a link, and is a file', async (t) => {
    const folder = scratch(t);
    writeFileSync(join(folder, 'target'), '');
    symlinkSync('target', join(folder, 'link'));
    await assert.rejects(openTestLog(t, {}, join(folder, 'link')), { code: 'QMPMUX_AUDIT_OPEN', message: /ELOOP/ });
    await assert.rejects(openTestLog(t, {}, '/dev/null'), {
      code: 'QMPMUX_AUDIT_OPEN',
      message: /is not a regular file/,
    });
    await assert.rejects(openTestLog(t, {}, folder), { code: 'QMPMUX_AUDIT_OPEN', message: /EISDIR/ });
    await assert.rejects(openTestLog(t, {}, join(folder, 'no', 'log')), {
      code: 'QMPMUX_AUDIT_OPEN',
      message: /ENOENT/,
    });
  });

  test('is left alone when it holds something else', async (t) => {
    const path = join(scratch(t), 'notes');
    writeFileSync(path, 'dear diary\n');
    await assert.rejects(openTestLog(t, {}, path), { message: /holds something other than audit records/ });
    assert.equal(readFileSync(path, 'utf8'), 'dear diary\n');
  });

  test('goes on where an earlier daemon has ended', async (t) => {
    const first = await openTestLog(t, { chain: true });
    run(first);
    const head = (await first.records()).at(-1);
    const second = await openTestLog(t, { chain: true }, first.path);
    const records = await second.records();
    assert.deepEqual(
      records.map((record) => record['seq']),
      records.map((_, index) => index + 1),
    );
    assert.deepEqual(records[4]?.['previous'], { seq: 4, hash: head?.['hash'] });
  });

  test('goes on where a rotated one has ended, compressed or not', async (t) => {
    for (const compress of [false, true]) {
      const first = await openTestLog(t, { chain: true });
      run(first);
      const text = await first.close();
      const hash = parseLines(text).at(-1)?.['hash'];
      rmSync(first.path);
      writeFileSync(`${first.path}.2.gz`, gzipSync('{"v":1,"seq":1}\n'));
      await delay(10);
      if (compress) writeFileSync(`${first.path}.1.gz`, gzipSync(text));
      else writeFileSync(`${first.path}-20260101`, text);
      const second = await openTestLog(t, { chain: true }, first.path);
      const [start] = await second.records();
      assert.equal(start?.['seq'], 5);
      assert.deepEqual(start['previous'], { seq: 4, hash });
    }
  });

  test('that ends within a line has that line kept and marked, and goes on after it', async (t) => {
    const first = await openTestLog(t, { chain: true });
    run(first);
    const whole = await first.close();
    for (const torn of [
      '{"v":1,"seq":5,"time":"2026-',
      '\0\0\0\0',
      whole.slice(whole.lastIndexOf('\n', whole.length - 2) + 1, -1),
    ]) {
      writeFileSync(first.path, whole + torn);
      const second = await openTestLog(t, { chain: true }, first.path);
      const text = await second.close();
      assert.ok(text.startsWith(`${whole}${torn}\n`));
      const records = parseLines(text.slice(whole.length + torn.length + 1));
      records.forEach(assertValid);
      assert.equal(records[0]?.['action'], 'torn');
      assert.equal(records[0]['seq'], 5);
      assert.equal(records[0]['length'], Buffer.byteLength(torn));
      assert.equal(records[0]['sha256'], createHash('sha256').update(torn).digest('hex'));
      assert.ok(second.reports.some((report) => report.startsWith('warn the last line of')));
    }
  });

  test('that holds nothing but a torn line is taken too', async (t) => {
    const path = join(scratch(t), 'audit.log');
    writeFileSync(path, '{"v":1,"se');
    const log = await openTestLog(t, {}, path);
    await log.close();
    assert.equal(readFileSync(path, 'utf8').split('\n')[0], '{"v":1,"se');
  });

  test('is followed by a new one when it was renamed, without a line lost or split', async (t) => {
    const log = await openTestLog(t, { chain: true });
    let texts = '';
    for (let i = 0; i < 5; i++) {
      for (let k = 0; k < 100; k++) run(log);
      renameSync(log.path, `${log.path}.1`);
      for (let k = 0; k < 100; k++) run(log);
      log.audit.reopen();
      const rotated = readFileSync(`${log.path}.1`, 'utf8');
      assert.ok(rotated.endsWith('\n'));
      texts += rotated;
      const [first] = parseLines(readFileSync(log.path, 'utf8'));
      assert.equal(first?.['action'], 'rotated');
      assert.equal((first['previous'] as { seq: number }).seq, parseLines(rotated).at(-1)?.['seq']);
    }
    const records = parseLines(texts + (await log.close()));
    assert.deepEqual(
      records.map((record) => record['seq']),
      records.map((_, index) => index + 1),
    );
    assert.equal(records.filter((record) => record['kind'] === 'command').length, 1000);
  });

  test('is kept, whatever its name, while no new one can be opened', async (t) => {
    const folder = join(scratch(t), 'log');
    mkdirSync(folder);
    const path = join(folder, 'audit.log');
    const log = await openTestLog(t, {}, path);
    const moved = `${folder}.moved`;
    renameSync(folder, moved);
    log.audit.reopen();
    assert.equal(run(log), null);
    assert.ok(log.reports.some((report) => report.includes('a new one cannot be created')));
    assert.deepEqual(kinds(readFileSync(join(moved, 'audit.log'), 'utf8')), ['daemon', 'command']);
    mkdirSync(folder);
    for (let i = 0; !existsSync(path); i++) {
      assert.ok(i < 500, 'the new file is not made');
      await delay(20);
    }
    assert.equal(run(log), null);
    const all = parseLines(readFileSync(join(moved, 'audit.log'), 'utf8') + (await log.close()));
    assert.deepEqual(
      all.map((record) => record['seq']),
      all.map((_, index) => index + 1),
    );
  });

  test('that somebody cuts short stays a file of whole lines', async (t) => {
    const log = await openTestLog(t);
    run(log);
    await delay(20);
    truncateSync(log.path, 100);
    run(log);
    const text = await log.close();
    assert.ok(text.endsWith('\n'));
  });
});

describe('a log that cannot be written until the end', () => {
  test('says so when it is closed, and does not hang', { skip: cannotMount() }, async (t) => {
    const small = mountTmpfs(t, 64);
    const log = await openTestLog(t, {}, join(small.path, 'audit.log'));
    small.fill();
    for (let i = 0; run(log) === null; i++) assert.ok(i < 1000);
    await log.audit.close('the test is over');
    assert.ok(log.reports.some((report) => report.startsWith('error audit records are lost')));
    assert.equal(log.recorder.flush(), 'the audit log is closed');
  });

  test('does not let memory grow', { skip: cannotMount() }, async (t) => {
    const small = mountTmpfs(t, 64);
    const log = await openTestLog(t, {}, join(small.path, 'audit.log'));
    small.fill();
    for (let i = 0; run(log) === null; i++) assert.ok(i < 1000);
    const large = wire(`{"event": "X", "data": "${'x'.repeat(10_000)}"}`);
    const before = process.memoryUsage().arrayBuffers;
    for (let i = 0; i < 20_000; i++) log.recorder.event('X', [large], 1);
    const grown = process.memoryUsage().arrayBuffers - before;
    assert.ok(grown < 16 * 1024 * 1024, `it has grown by ${grown} bytes`);
  });
});

test('a new log is refused when its disk is full from the start', { skip: cannotMount() }, async (t) => {
  const small = mountTmpfs(t, 64);
  appendFileSync(join(small.path, 'audit.log'), '');
  small.fill();
  await assert.rejects(openTestLog(t, {}, join(small.path, 'audit.log')), {
    code: 'QMPMUX_AUDIT_OPEN',
    message: /ENOSPC/,
  });
});
