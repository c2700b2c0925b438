import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { LineGate } from '../../../dist/audit/log/line-gate.js';
import { type LogLine, lineBatches } from '../../../dist/audit/log/log-lines.js';
import { parseRecord, recordOf, textOf } from '../../../dist/audit/log/record.js';
import { type FeedOptions, feed } from '../../../dist/audit/read/feed.js';
import { type Entry, Joiner } from '../../../dist/audit/read/join-replies.js';
import { findLogs, stemOf } from '../../../dist/audit/read/log-files.js';
import { isSetBack, seekTime } from '../../../dist/audit/read/seek.js';
import { Stats } from '../../../dist/audit/read/stats.js';
import { type Finding, Verifier } from '../../../dist/audit/read/verify.js';
import { missing } from '../../support/daemon/programs.js';
import { LogText } from '../../support/files/log-file.js';
import { scratch } from '../../support/files/scratch.js';
import { EVERYTHING, eachLine } from '../../support/text/log-reading.js';

const NOON = Date.parse('2026-01-31T12:00:00Z');

async function read(files: readonly string[], options: FeedOptions = {}): Promise<Entry[]> {
  const { logs, faults } = await findLogs(files);
  assert.deepEqual(faults, []);
  const entries: Entry[] = [];
  const joiner = new Joiner((entry) => entries.push(entry));
  for await (const items of feed(logs, options)) {
    for (const { record, line, log } of items) if (record !== null) joiner.push(record, line.text, log.name);
  }
  joiner.flush();
  return entries;
}

function summary(entries: readonly Entry[]): string[] {
  return entries.map(({ log, record, answer }) => `${log} ${record.seq}${answer === null ? '' : `-${answer.seq}`}`);
}

describe('files', () => {
  test('are one log where their names say so', () => {
    const names = [
      'a.audit',
      'a.audit.1',
      'a.audit.12.gz',
      'a.audit-20260131',
      'a.audit-20260131-1700000000.xz',
      'a-20260131.audit.zst',
      'a.audit.old',
    ];
    assert.deepEqual(new Set(names.map((name) => stemOf(`/l/${name}`))), new Set(['/l/a.audit']));
    assert.equal(stemOf('vm.1'), 'vm');
    assert.equal(stemOf('/l/1.audit'), '/l/1.audit');
    assert.equal(stemOf('/l/.gz'), '/l/.gz');
  });

  test('are one log where one goes on where another ends, whatever their names', async (t) => {
    const folder = scratch(t);
    const first = new LogText(NOON, 1000, { isChained: true });
    first.start();
    const open = first.command('stop');
    const second = new LogText(NOON + 10_000, 1000, { isChained: true, seq: first.seq, hash: first.hash });
    second.add('daemon', { action: 'rotated', previous: { seq: first.seq, hash: first.hash } });
    second.reply(open);
    const other = new LogText(NOON, 1000);
    other.start();
    for (const [name, log] of [
      ['one', first],
      ['two', second],
      ['other', other],
    ] as const)
      writeFileSync(join(folder, name), name === 'one' ? gzipSync(log.text) : log.text);
    const files = ['two', 'other', 'one'].map((name) => join(folder, name));
    const { logs } = await findLogs(files);
    assert.deepEqual(
      logs.map((log) => log.files.map(({ path }) => path.slice(folder.length + 1)).join(' ')).toSorted(),
      ['one two', 'other'],
    );
    assert.deepEqual(summary(await read(files)).toSorted(), ['one 1', 'one 2-4', 'one 3', 'other 1']);
  });

  test('that are missing, no log, or named twice are distinguished, and the rest is read', async (t) => {
    const folder = scratch(t);
    const log = new LogText(NOON, 1000);
    log.start();
    const at = (name: string) => join(folder, name);
    writeFileSync(at('log'), log.text);
    writeFileSync(at('torn'), log.text.slice(0, 20));
    writeFileSync(at('empty'), '');
    writeFileSync(at('strange'), 'root:x:0:0:root:/root:/bin/bash\nno log\n');
    mkdirSync(at('folder'));
    const { logs, faults } = await findLogs(['log', 'log', 'torn', 'empty', 'strange', 'folder', 'absent'].map(at));
    assert.deepEqual(
      logs.map(({ name }) => name),
      ['log', 'torn', 'empty'],
    );
    const told = faults.map(({ message, code }) => `${code} ${message.replaceAll(folder, '')}`);
    assert.equal(told.length, 3);
    assert.match(
      told[0] ?? '',
      /^QMPMUX_AUDIT_READ \/strange is not an audit log: there is no record in its first 2 lines/,
    );
    assert.match(told[1] ?? '', /^QMPMUX_AUDIT_READ \/folder cannot be read: EISDIR/);
    assert.match(told[2] ?? '', /^QMPMUX_AUDIT_READ \/absent cannot be read: ENOENT/);
  });
});

describe('several logs', () => {
  test('are one in the order of time, each in its own order, and answers stay in theirs', async (t) => {
    const folder = scratch(t);
    // The same numbers, VM, listener and client in both.
    const a = new LogText(NOON, 1000);
    const b = new LogText(NOON + 500, 1000);
    for (const log of [a, b]) {
      log.start();
      log.command('system_reset');
      log.add('event', { monitor: 'vm1', event: 'RESET', receivers: 1, message: {} });
    }
    // Only one of them was answered.
    b.reply(2, { value: 'of b' });
    writeFileSync(join(folder, 'a.audit'), a.text);
    writeFileSync(join(folder, 'b.audit'), b.text);
    const entries = await read([join(folder, 'b.audit'), join(folder, 'a.audit')]);
    assert.deepEqual(summary(entries), [
      'a.audit 1',
      'b.audit 1',
      'a.audit 2',
      'b.audit 2-4',
      'a.audit 3',
      'b.audit 3',
    ]);
  });

  test('with one name in several folders are distinguished by these', async (t) => {
    const folder = scratch(t);
    const log = new LogText(NOON, 1000);
    log.start();
    const files = ['x', 'y'].map((host) => join(folder, host, 'vm.audit'));
    for (const [index, file] of files.entries()) {
      mkdirSync(join(folder, ['x', 'y'][index] ?? ''));
      writeFileSync(file, log.text);
    }
    assert.deepEqual(
      (await findLogs(files)).logs.map(({ name }) => name),
      files,
    );
  });

  test('of a clock that was set back keep their own order', async (t) => {
    const folder = scratch(t);
    const a = new LogText(NOON, 1000);
    for (let i = 0; i < 3; i++) a.start();
    a.setClock(NOON - 3_600_000);
    for (let i = 0; i < 3; i++) a.start();
    const b = new LogText(NOON + 1500, 1000);
    for (let i = 0; i < 3; i++) b.start();
    writeFileSync(join(folder, 'a'), a.text);
    writeFileSync(join(folder, 'b'), b.text);
    const order = summary(await read([join(folder, 'a'), join(folder, 'b')]));
    assert.deepEqual(
      order.filter((each) => each.startsWith('a')),
      ['a 1', 'a 2', 'a 3', 'a 4', 'a 5', 'a 6'],
    );
  });

  test('can be many more than files can be open, and are read once each', async (t) => {
    const folder = scratch(t);
    const files: string[] = [];
    for (let i = 0; i < 400; i++) {
      const log = new LogText(NOON + i, 1000);
      log.start();
      for (let k = 0; k < 5; k++) log.reply(log.command('query-status'));
      const file = join(folder, `vm${i}.audit`);
      writeFileSync(i % 2 === 0 ? file : `${file}.gz`, i % 2 === 0 ? log.text : gzipSync(log.text));
      files.push(i % 2 === 0 ? file : `${file}.gz`);
    }
    const { logs } = await findLogs(files);
    let most = 0;
    let count = 0;
    let last = 0;
    for await (const items of feed(logs)) {
      most = Math.max(most, readdirSync('/proc/self/fd').length);
      for (const { record } of items) {
        const time = Date.parse(record?.time ?? '');
        assert.ok(time >= last);
        last = time;
        count++;
      }
    }
    assert.equal(count, 400 * 11);
    assert.ok(most < 100, `${most} files were open`);
  });

  test('count clients of another run of the daemon apart, in one log as in several', async (t) => {
    const folder = scratch(t);
    const log = new LogText(NOON, 1000);
    for (const pid of [1, 1, 2]) {
      log.start(pid);
      log.reply(log.command('stop'));
    }
    writeFileSync(join(folder, 'a'), log.text);
    const stats = new Stats(EVERYTHING);
    const entries = await read([join(folder, 'a')]);
    assert.deepEqual(
      entries.filter(({ record }) => record.kind === 'command').map(({ run }) => run),
      [1, 1, 2],
    );
    for (const entry of entries) stats.add({ ...entry, log: '' });
    assert.deepEqual(
      stats.clients.map(({ name, count }) => [name, count]),
      [
        ['vm1#1 backup (pid 7, uid 1000)', 2],
        ['vm1#1/2 backup (pid 7, uid 1000)', 1],
      ],
    );
    assert.deepEqual(
      stats.monitors.map(({ name, count }) => [name, count]),
      [['vm1', 3]],
    );
  });
});

test('an answer is joined only with a command of its own VM and client, and of its own run', () => {
  const log = new LogText(NOON, 1000);
  log.start();
  const of = log.command('stop', { monitor: 'vm1', client: 1 });
  log.reply(of, { monitor: 'vm2', client: 1 });
  log.reply(of, { monitor: 'vm1', client: 2 });
  log.start(2);
  log.reply(of, { monitor: 'vm1', client: 1 });
  const entries: Entry[] = [];
  const joiner = new Joiner((entry) => entries.push(entry));
  for (const line of log.lines) {
    const record = parseRecord(line);
    assert.ok(record !== null);
    joiner.push(record, line);
  }
  joiner.flush();
  assert.ok(entries.every(({ answer }) => answer === null));
  assert.equal(entries.length, 6);
});

describe('a time in a long log', () => {
  /** An hour of records, 2 MB of them. */
  function longLog(): LogText {
    const log = new LogText(NOON, 1000);
    for (let i = 0; i < 3600; i++) log.command('query-status', { given: { filler: 'x'.repeat(400) } });
    return log;
  }

  test('is found without reading the log', async (t) => {
    const path = join(scratch(t), 'audit.log');
    const { text } = longLog();
    writeFileSync(path, text);
    for (const second of [0, 1, 599, 1800, 3599]) {
      let bytes = 0;
      const since = NOON + second * 1000;
      const start = await seekTime(path, since, (count) => {
        bytes += count;
      });
      assert.ok(bytes < 64 * 1024 * 12, `${bytes} bytes were read`);
      const before = text.slice(0, start);
      assert.ok(before === '' || before.endsWith('\n'));
      // Nothing that is wanted was passed over, and no more than the margin and a block is read in vain.
      const skipped = before.split('\n').length - 1;
      assert.ok(skipped <= Math.max(0, second - 60), `${skipped} for ${second}`);
      assert.ok(skipped >= second - 60 - 150, `${skipped} for ${second}`);
    }
  });

  test('costs the same in a log ten times as long, and no more than to its end is read', async (t) => {
    const folder = scratch(t);
    const { text } = longLog();
    const bytesFor = async (name: string, content: string, since: number) => {
      writeFileSync(join(folder, name), content);
      const { logs } = await findLogs([join(folder, name)]);
      let bytes = 0;
      const progress = (_: string, soFar: number) => {
        bytes = Math.max(bytes, soFar);
      };
      let found = 0;
      for await (const items of feed(logs, { since, until: since + 1000, progress })) {
        for (const { record } of items) {
          const time = Date.parse(record?.time ?? '');
          if (time >= since && time <= since + 1000) found++;
        }
      }
      assert.equal(found, 2);
      return bytes;
    };
    const long = new LogText(NOON, 1000);
    for (let i = 0; i < 36_000; i++) long.command('query-status', { given: { filler: 'x'.repeat(400) } });
    const short = await bytesFor('short', text, NOON + 1_800_000);
    const tenfold = await bytesFor('long', long.text, NOON + 18_000_000);
    assert.ok(short < 1_200_000 && tenfold < 1_200_000, `${short} and ${tenfold} bytes were read`);
  });

  test('in files of a log that lie outside of it opens none of them', async (t) => {
    const path = join(scratch(t), 'audit.log');
    const parts = [0, 1, 2].map((hour) => new LogText(NOON + hour * 3_600_000, 1000, { seq: hour * 10 }));
    for (const log of parts) for (let i = 0; i < 10; i++) log.command('stop');
    for (const [index, log] of parts.entries()) writeFileSync(`${path}.${3 - index}.gz`, gzipSync(log.text));
    const { logs } = await findLogs([1, 2, 3].map((number) => `${path}.${number}.gz`));
    const opened = new Set<string>();
    const progress = (file: string) => opened.add(file);
    const since = NOON + 3_600_000;
    for await (const items of feed(logs, { since, until: since + 5000, progress })) assert.ok(items.length > 0);
    // The first goes on until the second begins; that it is over an hour before, it does not say.
    assert.deepEqual([...opened], [`${path}.3.gz`, `${path}.2.gz`]);
  });

  test('is found although a clock was set back by hours, where that can be seen', async (t) => {
    const path = join(scratch(t), 'audit.log');
    // The host came up with a clock that was two hours ahead.
    const log = new LogText(NOON + 7_200_000, 1000);
    for (let i = 0; i < 1800; i++) log.command('early', { given: { filler: 'x'.repeat(400) } });
    log.setClock(NOON + 1_800_000);
    for (let i = 0; i < 1800; i++) log.command('late', { given: { filler: 'x'.repeat(400) } });
    writeFileSync(path, log.text);
    const since = NOON + 2_400_000;
    const found: string[] = [];
    for (const entry of await read([path], { since, until: since + 1000 })) {
      const time = Date.parse(entry.record.time);
      if (time >= since && time <= since + 1000) found.push(textOf(entry.record, 'command') ?? '');
    }
    assert.deepEqual(found, ['late', 'late']);
    assert.ok(isSetBack({ time: 100_000, mono: 10 }, { time: 0, mono: 20 }));
    assert.ok(!isSetBack({ time: 100_000, mono: 20 }, { time: 0, mono: 10 }), 'the host was started anew');
    const told: Finding[] = [];
    const verifier = new Verifier((finding) => told.push(finding));
    await eachLine(path, (line) => {
      verifier.line(line);
    });
    assert.ok(
      told.some(
        ({ level, what }) => level === 'remark' && what.includes('clock was set back by 7200 s before record 1801'),
      ),
    );
  });

  test('is waited for by answers that come after its end', async (t) => {
    const path = join(scratch(t), 'audit.log');
    const log = new LogText(NOON, 1000);
    const of = log.command('savevm');
    for (let i = 0; i < 900; i++)
      log.add('event', { monitor: 'vm1', event: 'X', receivers: 0, message: { filler: 'x'.repeat(400) } });
    log.reply(of);
    for (let i = 0; i < 5000; i++)
      log.add('event', { monitor: 'vm1', event: 'X', receivers: 0, message: { filler: 'x'.repeat(400) } });
    writeFileSync(path, log.text);
    const { logs } = await findLogs([path]);
    const entries: Entry[] = [];
    const joiner = new Joiner((entry) => entries.push(entry));
    const isAwaiting = () => joiner.isAwaiting('', NOON + 1000);
    let bytes = 0;
    const progress = (_: string, soFar: number) => {
      bytes = soFar;
    };
    for await (const items of feed(logs, { since: NOON, until: NOON + 1000, isAwaiting, progress })) {
      for (const { record, line } of items) if (record !== null) joiner.push(record, line.text);
    }
    joiner.flush();
    assert.equal(entries[0]?.answer?.kind, 'reply');
    assert.ok(bytes < 1_000_000, `${bytes} bytes were read`);
  });
});

describe('a compressed log', () => {
  const programs = [
    ['zstd', 'zst'],
    ['xz', 'xz'],
    ['bzip2', 'bz2'],
  ] as const;
  for (const [program, extension] of programs) {
    test(`by ${program} is known by its first bytes, and read`, { skip: missing(program) }, async (t) => {
      const folder = scratch(t);
      const log = new LogText(NOON, 1000, { isChained: true });
      log.start();
      for (let i = 0; i < 1000; i++) log.reply(log.command('query-status'));
      const packed = spawnSync(program, ['-c'], { input: log.text }).stdout;
      // Its name need not say so.
      for (const name of ['audit.log', `audit.log.${extension}`]) {
        const file = join(folder, name);
        writeFileSync(file, packed);
        const lines: string[] = [];
        await eachLine(file, ({ text, isUtf8 }) => {
          assert.ok(isUtf8);
          lines.push(text);
        });
        assert.deepEqual(lines, log.lines);
      }
      writeFileSync(join(folder, 'cut'), packed.subarray(0, packed.length - 40));
      await assert.rejects(
        eachLine(join(folder, 'cut'), () => undefined),
        { code: 'QMPMUX_AUDIT_READ' },
      );
    });
  }

  test('by a program that is missing is reported with the command to run', async (t) => {
    const path = process.env['PATH'];
    t.after(() => {
      process.env['PATH'] = path;
    });
    const file = join(scratch(t), 'audit.log');
    writeFileSync(file, Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00, 1, 2, 3]));
    process.env['PATH'] = '';
    await assert.rejects(
      eachLine(file, () => undefined),
      {
        code: 'QMPMUX_AUDIT_READ',
        message:
          /it is compressed with xz, and there is no program xz to unpack it: install xz, or pipe the output of "xz -dc /,
      },
    );
  });

  test('and cut off is reported', async (t) => {
    const file = join(scratch(t), 'audit.log.gz');
    const log = new LogText(NOON, 1000);
    for (let i = 0; i < 1000; i++) log.command('stop');
    writeFileSync(file, gzipSync(log.text).subarray(0, 500));
    await assert.rejects(
      eachLine(file, () => undefined),
      { code: 'QMPMUX_AUDIT_READ', message: /unexpected end of file/ },
    );
  });
});

test('records that a transport has wrapped are read byte for byte', async (t) => {
  const file = join(scratch(t), 'audit.log');
  const log = new LogText(NOON, 1000, { isChained: true });
  log.start();
  for (const value of [{}, 'a,"audit":{"v":1}', ['}}']]) log.reply(log.command('x', { given: { value } }), { value });
  log.stop();
  const wrapped = log.lines.map(
    (line, index) =>
      `{"level":30,"time":1,"pid":2,"hostname":"h \\"audit\\":{","name":"qmpmux-audit","msg":"x","audit":${line}${index % 2 === 0 ? '' : ',"more":[1]'}}`,
  );
  writeFileSync(file, wrapped.map((line) => `${line.replace('"return":{}', '"return":{}')}\n`).join(''));
  const verifier = new Verifier(({ what }) => assert.fail(what));
  const texts: string[] = [];
  await eachLine(file, (line) => {
    texts.push(line.text);
    verifier.line(line);
  });
  assert.deepEqual(texts, log.lines);
  assert.equal(verifier.finish().chained, 8);
});

describe('a line without an end', () => {
  const LONGEST = 1000;

  async function linesOf(bytes: Buffer, chunk: number): Promise<{ texts: string[]; lengths: number[]; moved: number }> {
    const gate = new LineGate(LONGEST);
    const texts: string[] = [];
    const lengths: number[] = [];
    for (let at = 0; at < bytes.length; at += chunk) {
      for (const { bytes: piece, longLine } of gate.push(bytes.subarray(at, at + chunk))) {
        if (longLine !== null) lengths.push(longLine.length);
        else texts.push(...piece.toString().split('\n').slice(0, -1));
      }
    }
    const last = gate.end();
    if (last !== null) texts.push(last.bytes.toString());
    return { texts, lengths, moved: 0 };
  }

  test('does not pass, however it is cut into pieces; others do', async () => {
    const wanted = ['', 'a', 'b'.repeat(LONGEST), '', 'ü'.repeat(100), 'end'];
    const bytes = Buffer.from(
      `\na\n${'b'.repeat(LONGEST)}\n${'c'.repeat(LONGEST + 1)}\n\n${'ü'.repeat(100)}\n${'d'.repeat(10 * LONGEST)}\nend`,
    );
    for (const chunk of [1, 2, 7, 999, 1000, 1001, 1_000_000]) {
      const { texts, lengths } = await linesOf(bytes, chunk);
      const whole = chunk === 1_000_000;
      // What comes in one piece is in memory already.
      if (whole) assert.ok(texts.length >= wanted.length);
      else {
        assert.deepEqual(texts, [...wanted.slice(0, -1), 'end\n'], String(chunk));
        assert.deepEqual(lengths, [LONGEST + 1, 10 * LONGEST], String(chunk));
      }
    }
  });

  test('is verified all the same: its number, and its hash', async (t) => {
    const file = join(scratch(t), 'audit.log');
    const log = new LogText(NOON, 1000, { isChained: true });
    log.start();
    log.reply(log.command('small'));
    log.reply(log.command('large', { given: { filler: 'x'.repeat(1_000_000) } }));
    log.stop();
    const verify = async (text: string) => {
      writeFileSync(file, text);
      const told: string[] = [];
      const verifier = new Verifier(({ line, what }) => told.push(`${line} ${what}`));
      for await (const lines of lineBatches(file, { longest: 100_000, chunk: 8192 }))
        for (const line of lines) verifier.line(line);
      return { ...verifier.finish(), told };
    };
    const whole = await verify(log.text);
    assert.deepEqual(whole.told, []);
    assert.equal(whole.chained, 6);
    const changed = await verify(log.text.replace('xxxx', 'xxxy'));
    assert.deepEqual(changed.told, ['4 the hash of record 4 is wrong: it was changed, or the record before it was']);
    const records: unknown[] = [];
    for await (const lines of lineBatches(file, { longest: 100_000, chunk: 8192 }))
      for (const line of lines) if (line.longLine !== null) records.push(recordOf(line)?.members['command']);
    assert.deepEqual(records, ['large']);
  });

  test('costs no memory', { skip: missing('gzip') }, async (t) => {
    const file = join(scratch(t), 'bomb.gz');
    const make = `{ printf '{"v":1,"seq":1,'; head -c 300000000 /dev/zero; echo; } | gzip -1 > ${file}`;
    assert.equal(spawnSync('sh', ['-c', make]).status, 0);
    const before = process.memoryUsage.rss();
    let most = 0;
    const seen: LogLine[] = [];
    const progress = () => {
      most = Math.max(most, process.memoryUsage.rss());
    };
    await eachLine(file, (line) => seen.push(line), { longest: 16_000_000, progress });
    assert.deepEqual(
      seen.map(({ longLine, text }) => [longLine?.length, text]),
      [[300_000_015, '']],
    );
    assert.ok(most - before < 200e6, `${most - before} bytes`);
  });
});
