import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { appendFileSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import type { Head } from '../../../dist/audit/log/chain.js';
import { findLogs } from '../../../dist/audit/read/log-files.js';
import { type Finding, formatHead, parseHead, Verifier, type VerifyResult } from '../../../dist/audit/read/verify.js';
import { type Scope, scratch } from '../../support/files/scratch.js';
import { openTestLog, testClient, testCommand, wire } from '../../support/text/audit.js';
import { eachLine } from '../../support/text/log-reading.js';

interface Verified extends VerifyResult {
  readonly findings: readonly Finding[];
  /** `problem 3 what` of each finding, 3 being the line. */
  readonly told: readonly string[];
}

async function verify(files: readonly string[], head: Head | null = null): Promise<Verified> {
  const findings: Finding[] = [];
  const verifier = new Verifier((finding) => findings.push(finding), head);
  const { logs, faults } = await findLogs(files);
  if (faults[0] !== undefined) throw faults[0];
  assert.equal(logs.length, 1);
  for (const { path } of logs.flatMap((log) => log.files))
    await eachLine(path, (line) => {
      verifier.line(line);
    });
  return { ...verifier.finish(), findings, told: findings.map(({ level, line, what }) => `${level} ${line} ${what}`) };
}

/** Verifies a log of these lines. */
function verifyLines(scope: Scope, lines: readonly (string | Buffer)[], head: Head | null = null): Promise<Verified> {
  const file = join(scratch(scope), 'audit.log');
  writeFileSync(file, Buffer.concat(lines.map((line) => Buffer.concat([Buffer.from(line), Buffer.from('\n')]))));
  return verify([file], head);
}

/** @returns the lines of a log: start, four commands with their answers, stop. */
async function sampleLines(scope: Scope, chain: boolean): Promise<string[]> {
  const log = await openTestLog(scope, { chain });
  for (const name of ['stop', 'cont', 'query-näme', 'quit']) {
    const command = testCommand(testClient(), name, `{"execute":"${name}"}`);
    log.recorder.command(command);
    log.recorder.flush();
    log.recorder.answered(command, [wire('{"return": {}}')], false, 'upstream');
  }
  return (await log.close()).split('\n').slice(0, -1);
}

describe('a log that nobody has touched', () => {
  test('is found whole, with and without a chain', async (t) => {
    for (const chain of [true, false]) {
      const result = await verifyLines(t, await sampleLines(t, chain));
      assert.deepEqual(result.told, []);
      assert.equal(result.records, 10);
      assert.equal(result.chained, chain ? 10 : 0);
      assert.equal(result.head?.seq, 10);
    }
  });

  test('is found whole across rotations and restarts, in whatever order its files are named', async (t) => {
    const folder = scratch(t);
    const path = join(folder, 'audit.log');
    const files: string[] = [];
    for (let i = 0; i < 3; i++) {
      const log = await openTestLog(t, { chain: true }, path);
      for (let k = 0; k < 50; k++) {
        const command = testCommand(testClient(), 'stop', '{"execute":"stop"}');
        log.recorder.command(command);
        log.recorder.flush();
        log.recorder.answered(command, [wire('{"return": {}}')], false, 'upstream');
        if (k !== 25) continue;
        renameSync(path, `${path}.${i}`);
        log.audit.reopen();
        files.push(`${path}.${i}`);
      }
      await log.close();
    }
    writeFileSync(`${path}.1`, gzipSync(readFileSync(`${path}.1`)));
    const result = await verify([path, ...files.toReversed()]);
    assert.deepEqual(result.told, []);
    assert.equal(result.records, 3 * 103);
    // Each file can also be looked at by itself: it says what it follows.
    const last = await verify([path]);
    assert.deepEqual(last.told, [
      `remark 1 the log begins with record ${result.records - 49}; earlier records were not given`,
    ]);
    const lost = await verify([`${path}.0`, path]);
    assert.equal(lost.problems, 1);
    assert.match(lost.told[0] ?? '', /^problem 1 records \d+ to \d+ are missing before record/);
  });

  test('may have a chain from some record on, and that is reported', async (t) => {
    const path = join(scratch(t), 'audit.log');
    for (const chain of [false, true, false]) await (await openTestLog(t, { chain }, path)).close();
    const result = await verify([path]);
    assert.deepEqual(result.told, ['remark 5 the chain ends before record 5: qmpmux was started without it']);
    assert.equal(result.chained, 2);
  });
});

describe('tampering is found, and its place named', () => {
  const cases: readonly [what: string, tamper: (lines: (string | Buffer)[]) => void, told: readonly RegExp[]][] = [
    ['removing a line', (lines) => lines.splice(4, 1), [/^problem 5 record 5 is missing before record 6$/]],
    ['removing several', (lines) => lines.splice(3, 3), [/^problem 4 records 4 to 6 are missing before record 7$/]],
    [
      'changing a line',
      (lines) => {
        lines[5] = String(lines[5]).replace('"kind"', '"kind" ');
      },
      [/^problem 6 the hash of record 6 is wrong/],
    ],
    [
      'changing a value',
      (lines) => {
        lines[3] = String(lines[3]).replace('cont', 'quit');
      },
      [/^problem 4 the hash of record 4 is wrong/],
    ],
    [
      'changing a hash',
      (lines) => {
        lines[3] = String(lines[3]).replace(/[0-9a-f]{64}/, 'a'.repeat(64));
      },
      [/^problem 4 the hash of record 4 is wrong/, /^problem 5 the hash of record 5 is wrong/],
    ],
    [
      'removing a hash',
      (lines) => {
        lines[3] = String(lines[3]).replace(/,"hash":"[0-9a-f]{64}"/, '');
      },
      [/^problem 4 record 4 has no hash/, /^problem 5 the hash of record 5 is wrong/],
    ],
    [
      'swapping two lines',
      (lines) => {
        [lines[3], lines[4]] = [lines[4] ?? '', lines[3] ?? ''];
      },
      [
        /^problem 4 record 4 is missing before record 5$/,
        /^problem 5 record 4 comes after record 5: repeated, inserted, or out of order$/,
      ],
    ],
    ['repeating a line', (lines) => lines.splice(4, 0, lines[2] ?? ''), [/^problem 5 record 3 comes after record 4/]],
    [
      'inserting a line',
      (lines) => lines.splice(4, 0, String(lines[4]).replace('"seq":5', '"seq":5')),
      [/^problem 6 record 5 comes after record 5/],
    ],
    [
      'inserting what is no record',
      (lines) => lines.splice(4, 0, 'nothing to see here'),
      [/^problem 5 this line is not an audit record$/],
    ],
    ['inserting an empty line', (lines) => lines.splice(4, 0, ''), [/^problem 5 this line is not an audit record$/]],
    [
      'changing the first line',
      (lines) => {
        lines[0] = String(lines[0]).replace('"refuse"', '"continue"');
      },
      [/^problem 1 the hash of record 1 is wrong/],
    ],
    [
      'changing bytes into others that read the same',
      (lines) => {
        const bytes = Buffer.from(String(lines[5]));
        const at = bytes.indexOf('ä');
        lines[5] = Buffer.concat([bytes.subarray(0, at), Buffer.of(0xe4), bytes.subarray(at + 2)]);
      },
      [/^problem 6 this line is not UTF-8: it was changed$/, /^problem 7 record 6 is missing/],
    ],
    [
      'turning a chain off',
      (lines) => {
        for (let i = 5; i < lines.length; i++) lines[i] = String(lines[i]).replace(/,"hash":"[0-9a-f]{64}"/, '');
      },
      [/^problem 6 record 6 has no hash, but the one before it has$/],
    ],
  ];
  for (const [what, tamper, told] of cases) {
    test(what, async (t) => {
      const lines: (string | Buffer)[] = await sampleLines(t, true);
      tamper(lines);
      const problems = (await verifyLines(t, lines)).told.filter((text) => text.startsWith('problem'));
      assert.equal(problems.length, told.length, problems.join('\n'));
      told.forEach((pattern, index) => {
        assert.match(problems[index] ?? '', pattern);
      });
    });
  }

  test('cutting off the end, against a saved head', async (t) => {
    const lines = await sampleLines(t, true);
    const { head } = await verifyLines(t, lines);
    assert.ok(head !== null);
    assert.deepEqual((await verifyLines(t, lines, head)).told, []);
    const cut = await verifyLines(t, lines.slice(0, -3), head);
    assert.deepEqual(
      cut.told.filter((text) => text.startsWith('problem')),
      ['problem 7 the log ends with record 7, but it had record 10: 3 records were cut off its end'],
    );
    // Written anew with the right numbers, and a good chain of its own.
    const other = await sampleLines(t, true);
    assert.match(
      (await verifyLines(t, other, head)).told[0] ?? '',
      /^problem 10 record 10 does not match the saved head/,
    );
    assert.deepEqual(parseHead(formatHead(head)), head);
    assert.deepEqual(parseHead('12'), { seq: 12, hash: null });
    assert.equal(parseHead('12:xyz'), null);
  });

  test('a log that was thrown away and begun again', async (t) => {
    const result = await verifyLines(t, [...(await sampleLines(t, true)), ...(await sampleLines(t, true))]);
    assert.deepEqual(result.told, ['problem 11 a new log begins after record 10']);
  });

  test('by anyone with sha256sum: the form of the hash is as documented', async (t) => {
    const lines = await sampleLines(t, true);
    let previous = '0'.repeat(64);
    for (const line of lines) {
      const [content = '', rest = ''] = line.split(',"hash":"');
      const made = createHash('sha256').update(`${previous}"}\n${content}`).digest('hex');
      assert.equal(rest, `${made}"}`);
      previous = made;
    }
  });
});

describe('a torn line', () => {
  test('is a remark once it is marked, and the chain holds across it', async (t) => {
    const path = join(scratch(t), 'audit.log');
    await (await openTestLog(t, { chain: true }, path)).close();
    const whole = readFileSync(path, 'utf8');
    for (const torn of ['{"v":1,"seq":3,"ti', '\0\0\0', Buffer.from([0x7b, 0xc3])]) {
      writeFileSync(path, whole);
      appendFileSync(path, torn);
      const before = await verify([path]);
      assert.deepEqual(before.told.length, 1);
      assert.match(before.told[0] ?? '', /^remark 3 the last line is torn and not marked yet/);
      await (await openTestLog(t, { chain: true }, path)).close();
      const after = await verify([path]);
      assert.equal(after.problems, 0, after.told.join('\n'));
      assert.match(after.told.at(-1) ?? '', /^remark 3 a torn line, marked as such/);
    }
  });

  test('that is a whole record but for its newline is accounted for', async (t) => {
    const lines = await sampleLines(t, true);
    const path = join(scratch(t), 'audit.log');
    writeFileSync(path, lines.slice(0, 5).join('\n'));
    await (await openTestLog(t, { chain: true }, path)).close();
    const result = await verify([path]);
    assert.equal(result.problems, 0, result.told.join('\n'));
    assert.ok(result.told.some((text) => text.startsWith('remark 5 a torn line, marked as such')));
  });

  test('that is not the one its mark is about is a problem', async (t) => {
    const path = join(scratch(t), 'audit.log');
    await (await openTestLog(t, { chain: true }, path)).close();
    appendFileSync(path, '{"v":1,"se');
    await (await openTestLog(t, { chain: true }, path)).close();
    writeFileSync(path, readFileSync(path, 'utf8').replace('"se\n', '"sf\n'));
    assert.deepEqual((await verify([path])).told, ['problem 3 this line is not an audit record']);
  });
});

describe('commands without an answer', () => {
  test('are reported, unless answers are left out', async (t) => {
    const log = await openTestLog(t, { chain: true });
    log.recorder.command(testCommand(testClient(), 'stop', '{"execute":"stop"}'));
    log.recorder.flush();
    const gone = testCommand(testClient(), 'quit', '{"execute":"quit"}');
    log.recorder.command(gone);
    log.recorder.unanswered(gone, 'QEMU has exited');
    await log.close();
    assert.deepEqual((await verify([log.path])).told, ['remark 2 command 2 ("stop") has no answer: the log ends']);
    await (await openTestLog(t, { chain: true }, log.path)).close();
    assert.deepEqual((await verify([log.path])).told, [
      'remark 2 command 2 ("stop") has no answer: qmpmux was restarted',
    ]);
    const silent = await openTestLog(t, { leftOut: { kinds: new Set(['reply']), events: new Set(), commands: [] } });
    silent.recorder.command(testCommand(testClient(), 'stop', '{"execute":"stop"}'));
    await silent.close();
    assert.deepEqual((await verify([silent.path])).told, []);
  });
});

test('a file that cannot be read is reported by name', async () => {
  await assert.rejects(verify(['/no/such/log']), {
    code: 'QMPMUX_AUDIT_READ',
    message: /^\/no\/such\/log cannot be read: ENOENT/,
  });
});
