import assert from 'node:assert/strict';
import { appendFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import stringWidth from 'string-width';
import { memberText } from '../../../dist/audit/log/member-text.js';
import { exactMessage, messageLength, parseRecord } from '../../../dist/audit/log/record.js';
import { type Filter, matches, parseKinds, spellingsOf } from '../../../dist/audit/read/filter.js';
import { follow } from '../../../dist/audit/read/follow.js';
import { type Entry, Joiner } from '../../../dist/audit/read/join-replies.js';
import { type Difference, Replay } from '../../../dist/audit/read/replay.js';
import { OTHERS, Stats } from '../../../dist/audit/read/stats.js';
import { LineLayout, type LineStyle } from '../../../dist/cli/commands/audit/lines.js';
import { painted, plain as unpainted } from '../../../dist/cli/screen/colour.js';
import { type Scope, scratch } from '../../support/files/scratch.js';
import { openTestLog, testClient, testCommand } from '../../support/text/audit.js';
import { EVERYTHING } from '../../support/text/log-reading.js';

/** @returns a record's line. */
function recordLine(seq: number, kind: string, members: object = {}): string {
  return JSON.stringify({
    v: 1,
    seq,
    time: `2026-01-31T12:00:00.${String(seq).padStart(6, '0')}Z`,
    mono: seq,
    kind,
    ...members,
  });
}

/** @returns what the lines come to, joined. */
function joined(lines: readonly string[]): Entry[] {
  const entries: Entry[] = [];
  const joiner = new Joiner((entry) => entries.push(entry));
  for (const line of lines) {
    const record = parseRecord(line);
    assert.ok(record !== null, line);
    joiner.push(record, line);
  }
  joiner.flush();
  return entries;
}

function summary(entries: readonly Entry[]): string {
  return entries.map(({ record, answer }) => `${record.seq}${answer === null ? '' : `-${answer.seq}`}`).join(' ');
}

const WHO = {
  monitor: 'vm1',
  listener: 'unix:/m',
  client: 3,
  peer: { kind: 'unix', pid: 7, uid: 1000, gid: 100, program: 'backup' },
};
const command = (seq: number, name = 'stop', more: object = {}) =>
  recordLine(seq, 'command', { ...WHO, command: name, message: { execute: name }, ...more });
const reply = (seq: number, of: number, latency = 500) =>
  recordLine(seq, 'reply', { ...WHO, of, latency, source: 'upstream', message: { return: {} } });

describe('commands and answers', () => {
  test('are joined, in the order of the log', () => {
    const lines = [
      command(1),
      command(2),
      recordLine(3, 'event', { event: 'STOP', receivers: 1, monitor: 'vm1', message: {} }),
      reply(4, 2),
      reply(5, 1),
      command(6),
    ];
    assert.equal(summary(joined(lines)), '1-5 2-4 3 6');
  });

  test('that lie far apart are not waited for without end', () => {
    const lines = [command(1)];
    for (let seq = 2; seq < 5000; seq++)
      lines.push(recordLine(seq, 'event', { event: 'X', receivers: 0, monitor: 'vm1', message: {} }));
    lines.push(reply(5000, 1));
    let most = 0;
    const given: number[] = [];
    const joiner = new Joiner((entry) => given.push(entry.record.seq));
    lines.forEach((line, index) => {
      const record = parseRecord(line);
      assert.ok(record !== null);
      joiner.push(record, line);
      most = Math.max(most, index + 1 - given.length);
    });
    joiner.flush();
    assert.equal(given.length, 5000);
    assert.ok(most <= 2049, `${most} were held back`);
    assert.deepEqual(
      given,
      given.toSorted((a, b) => a - b),
    );
  });
});

describe('the exact message of a record', () => {
  test('is found in its line, whatever surrounds it', async (t) => {
    const raw = '{ "execute":"stop" ,"id":{"message":[1,"}\\"",{"x":2}]}, "arguments":{"n":18446744073709551615} }';
    const log = await openTestLog(t, { chain: true });
    log.recorder.command(testCommand(testClient(), 'stop', raw, { id: Buffer.from('{"message": "a\\\\"}') }));
    log.recorder.command(testCommand(testClient(), 'stop', "{'execute':'stop'}"));
    log.recorder.command(testCommand(testClient(), 'stop', '{"execute":\n"stop"}'));
    log.recorder.command(testCommand(testClient(), 'x', '{"execute":"x","arguments":{"password":"p"}}'));
    const lines = (await log.close()).split('\n').slice(1, -2);
    const exact = lines.map((line) => {
      const record = parseRecord(line);
      assert.ok(record !== null);
      return [exactMessage(line, record)?.toString() ?? null, messageLength(line, record)];
    });
    assert.deepEqual(exact, [
      [raw, raw.length],
      ["{'execute':'stop'}", 18],
      ['{"execute":\n"stop"}', 19],
      [null, '{"execute":"x","arguments":{"password":"[redacted 1 byte #00000000]"}}'.length],
    ]);
    for (const message of ['"" ', ' ""', '{"a":1} ', '[] ', ' 1 ', '"a,}" ']) {
      const line = recordLine(1, 'malformed', { ...WHO }).replace(/}$/, `,"message":${message},"reply":{}}`);
      const record = parseRecord(line);
      assert.ok(record !== null, line);
      assert.equal(exactMessage(line, record)?.toString(), message, 'blanks that were sent');
      assert.equal(memberText(line, 'reply'), '{}');
    }
    assert.equal(memberText(lines[0] ?? '', 'upstream'), '3');
    assert.equal(memberText(lines[0] ?? '', 'monitor'), '"vm1"');
    assert.equal(memberText(lines[0] ?? '', 'absent'), null);
  });
});

describe('a filter', () => {
  const [entry] = joined([command(1, 'block_resize'), reply(2, 1, 150_000)]);
  const [event] = joined([recordLine(1, 'event', { event: 'STOP', receivers: 1, monitor: 'vm1', message: {} })]);
  assert.ok(entry !== undefined && event !== undefined);
  const lets = (change: Partial<Filter>, what: Entry = entry) => matches({ ...EVERYTHING, ...change }, what);

  test('lets through the requested records, and nothing else', () => {
    assert.ok(lets({}));
    assert.ok(
      lets({ client: '3' }) && lets({ client: 'backup' }) && !lets({ client: '4' }) && !lets({ client: '3' }, event),
    );
    assert.ok(lets({ uid: 1000 }) && !lets({ uid: 0 }) && !lets({ uid: 1000 }, event));
    assert.ok(lets({ command: 'block*' }) && !lets({ command: 'block' }) && lets({ command: 'b?ock_*e' }));
    assert.ok(!lets({ command: '*' }, event));
    assert.ok(lets({ monitor: 'vm*' }) && !lets({ monitor: 'vm' }) && lets({ monitor: 'vm1' }, event));
    assert.ok(
      lets({ client: 'vm1#3' }) &&
        lets({ client: 'vm1#3/1' }) &&
        !lets({ client: 'vm2#3' }) &&
        !lets({ client: 'vm1#3/2' }),
    );
    assert.ok(
      lets({ kinds: parseKinds(['command,event']) }) &&
        lets({ kinds: parseKinds(['reply']) }) &&
        !lets({ kinds: parseKinds(['error']) }),
    );
    assert.ok(lets({ slow: 100_000 }) && !lets({ slow: 200_000 }) && !lets({ slow: 0 }, event));
    assert.ok(!lets({ errors: true }));
    assert.ok(lets({ errors: true }, joined([recordLine(1, 'malformed', { ...WHO, text: 'x', reply: {} })])[0]));
    const noon = Date.parse('2026-01-31T12:00:00Z');
    assert.ok(lets({ since: noon, until: noon + 1 }) && !lets({ since: noon + 1 }) && !lets({ until: noon - 1 }));
  });

  test('finds a text in a command or its answer, however it is spelled, and not in numbers, times and hashes', () => {
    const [found] = joined([
      command(1, 'x', {
        message: { execute: 'x', arguments: { file: '/a"b', name: 'grün' } },
        hash: 'facade'.repeat(11).slice(0, 64),
      }),
      recordLine(2, 'reply', { ...WHO, of: 1, latency: 1, source: 'upstream', text: '{"return": "gr\\u00FCn, gelb"}' }),
    ]);
    assert.ok(found !== undefined);
    const has = (text: string) => lets({ match: spellingsOf(text) }, found);
    for (const text of ['/a"b', 'grün', 'gelb', 'backup', 'execute']) assert.ok(has(text), text);
    for (const text of ['facade', '2026-01-31', 'GELB', '"mono"']) assert.ok(!has(text), text);
  });
});

describe('a line for people', () => {
  const show = (lines: readonly string[], style: Partial<LineStyle> = {}) => {
    const plain: LineStyle = { colour: unpainted, width: 0, most: 2048, zone: 'utc', isPrecise: false, hasLogs: false };
    const layout = new LineLayout({ ...plain, ...style });
    const entries = joined(lines);
    layout.prepare(entries);
    return entries.flatMap((entry) => layout.format(entry));
  };

  test('has command and answer, aligned', () => {
    const lines = show([
      command(1, 'query-status'),
      reply(2, 1),
      command(3, 'device_add', { message: { execute: 'device_add', arguments: { driver: 'e1000', n: 1 } } }),
      recordLine(4, 'error', {
        ...WHO,
        of: 3,
        latency: 1_234_567,
        source: 'upstream',
        message: { error: { class: 'GenericError', desc: 'no' } },
      }),
      recordLine(5, 'event', { event: 'STOP', receivers: 2, monitor: 'vm1', message: { data: { a: 1 } } }),
      command(6, 'quit'),
      recordLine(7, 'denied', { ...WHO, command: 'quit', rule: 'read-only', message: { execute: 'quit' }, reply: {} }),
    ]);
    assert.deepEqual(lines, [
      '2026-01-31 12:00:00Z  vm1#3 backup (pid 7, uid 1000)  query-status  ok         500µs  {}',
      '2026-01-31 12:00:00Z  vm1#3 backup (pid 7, uid 1000)  device_add    error       1.2s  driver="e1000" n=1 → no',
      '2026-01-31 12:00:00Z  vm1                             * STOP        to 2              a=1',
      '2026-01-31 12:00:00Z  vm1#3 backup (pid 7, uid 1000)  quit          no answer',
      '2026-01-31 12:00:00Z  vm1#3 backup (pid 7, uid 1000)  quit          denied            read-only',
    ]);
  });

  test('fits the width of a terminal, and is coloured only if that is wanted', () => {
    const long = command(1, 'x'.repeat(60), { message: { execute: 'x', arguments: { a: 'y'.repeat(500) } } });
    for (const width of [200, 120, 80, 60]) {
      const lines = show([long], { width });
      const line = lines.at(-1) ?? '';
      // Where there is little room, the day has a line of its own.
      assert.equal(lines.length, width < 110 ? 2 : 1);
      assert.equal(line.length, width);
      assert.ok(line.endsWith('…') && line.includes('a="yy'), line);
      const coloured = show([long], { colour: painted, width }).at(-1) ?? '';
      const plain = coloured
        .split('\u001b[')
        .map((piece, index) => (index === 0 ? piece : piece.replace(/^\d+m/, '')))
        .join('');
      assert.equal(plain, line);
    }
  });

  test('shows the day and the zone once where there is little room, and in each line elsewhere', () => {
    const lines = show([command(1), command(2), command(3).replace('2026-01-31', '2026-02-01')], { width: 80 });
    assert.deepEqual(
      lines.map((line) => line.split('  ')[0]),
      ['2026-01-31, UTC', '12:00:00', '12:00:00', '2026-02-01, UTC', '12:00:00'],
    );
    assert.deepEqual(
      show([command(1)], { isPrecise: true }).map((line) => line.split('  ')[0]),
      ['2026-01-31 12:00:00.000001Z'],
    );
  });

  test('shows a line of the human monitor by its verb', () => {
    const hmp = (line: string) =>
      command(1, 'human-monitor-command', {
        message: { execute: 'human-monitor-command', arguments: { 'command-line': line } },
      });
    assert.deepEqual(
      [hmp('system_reset'), hmp(' info  block -v'), hmp('q'), hmp('')].map((line) =>
        show([line])[0]?.split('  ').slice(2).join('  '),
      ),
      ['hmp system_reset  no answer', 'hmp info block  no answer  -v', 'hmp quit  no answer', 'hmp  no answer'],
    );
    const typed = command(1, 'human-monitor-command', {
      message: undefined,
      text: "{'execute':'human-monitor-command','arguments':{'command-line':'system_reset'}}",
    });
    assert.ok(show([typed])[0]?.includes('  hmp system_reset  '));
  });

  test('is cut where an answer is long, unless all of it is wanted', () => {
    const lines = [
      command(1, 'query-big'),
      recordLine(2, 'reply', {
        ...WHO,
        of: 1,
        latency: 1,
        source: 'upstream',
        message: { return: 'x'.repeat(100_000) },
      }),
    ];
    const [short = ''] = show(lines);
    assert.ok(short.length > 2000 && short.length < 2300, String(short.length));
    assert.ok(short.includes('x…'));
    assert.ok((show(lines, { most: 0 })[0]?.length ?? 0) > 100_000);
  });

  test('is as wide as it looks, whatever the script of a name', () => {
    const wide = command(1, '備份'.repeat(40), { message: { execute: 'x', arguments: { 名: '値'.repeat(200) } } });
    const line = show([wide], { width: 80 }).at(-1) ?? '';
    assert.ok(stringWidth(line) <= 80 && stringWidth(line) > 70, `${stringWidth(line)}: ${line}`);
  });

  test('cannot act on the terminal, whatever was sent', () => {
    const evil = '\u001b[2J\u0007\r\n\u009b31m\u202egnp.exe';
    const [line = ''] = show([
      command(1, evil, {
        peer: { kind: 'unix', program: evil },
        message: { execute: evil, arguments: { [evil]: evil } },
      }),
    ]);
    assert.match(line, /^[\x20-\x7e…→]*$/);
    const [answer = ''] = show([recordLine(1, 'error', { source: evil, message: { error: { desc: evil } } })]);
    assert.match(answer, /^[\x20-\x7e…→]*$/);
    const [probe = ''] = show([recordLine(1, 'probe', { outcome: evil, reason: evil })]);
    assert.match(probe, /^[\x20-\x7e…→]*$/);
  });

  test('has exact integers', () => {
    const [line = ''] = show([
      `${command(1).slice(0, -1)},"message":{"execute":"x","arguments":{"n":18446744073709551615}}}`,
    ]);
    assert.ok(line.endsWith('n=18446744073709551615'), line);
  });
});

describe('statistics', () => {
  test('count, time and weigh commands by client and by name', () => {
    const stats = new Stats(EVERYTHING);
    const lines: string[] = [];
    for (let i = 0; i < 1000; i++)
      lines.push(command(2 * i + 1, 'query-status'), reply(2 * i + 2, 2 * i + 1, (i + 1) * 1000));
    lines.push(
      command(2001, 'quit'),
      recordLine(2002, 'error', { ...WHO, of: 2001, latency: 7, source: 'upstream', message: { error: {} } }),
    );
    lines.push(
      recordLine(2003, 'denied', { ...WHO, command: 'quit', rule: 'r', message: {}, reply: {} }),
      command(2004, 'stop'),
    );
    for (const entry of joined(lines)) stats.add(entry);
    const [status, quit, stop] = stats.commands;
    assert.equal(status?.count, 1000);
    assert.equal(status.errors, 0);
    assert.ok(Math.abs((status.p50 ?? 0) / 500_000 - 1) < 0.035, String(status.p50));
    assert.ok(Math.abs((status.p99 ?? 0) / 990_000 - 1) < 0.035, String(status.p99));
    assert.equal(status.max, 1_000_000);
    assert.equal(status.bytes, 1000 * ('{"execute":"query-status"}'.length + '{"return":{}}'.length));
    assert.deepEqual([quit?.name, quit?.count, quit?.errors, quit?.max], ['quit', 2, 2, 7]);
    assert.deepEqual([stop?.count, stop?.errors, stop?.p50], [1, 0, null]);
    assert.deepEqual(
      stats.clients.map((row) => [row.name, row.count]),
      [['vm1#3 backup (pid 7, uid 1000)', 1003]],
    );
    assert.deepEqual(
      stats.pairs.map((row) => row.command),
      ['query-status', 'quit', 'stop'],
    );
  });

  test('stay small, however many names clients make up', () => {
    const stats = new Stats(EVERYTHING);
    for (let i = 1; i <= 12_000; i++) for (const entry of joined([command(i, `made-up-${i}`)])) stats.add(entry);
    assert.equal(stats.commands.length, 10_001);
    assert.equal(stats.commands.find((row) => row.name === OTHERS)?.count, 2000);
  });
});

describe('following a log', () => {
  function collect(
    scope: Scope,
    path: string,
  ): { readonly got: string[]; readonly until: (line: string) => Promise<void> } {
    const end = new AbortController();
    const got: string[] = [];
    let check = () => {};
    const done = (async () => {
      for await (const line of follow(path, end.signal, () => {})) {
        got.push(line);
        check();
      }
    })();
    scope.after(async () => {
      end.abort();
      await done;
    });
    return {
      got,
      until: (line) =>
        new Promise((resolve) => {
          check = () => {
            if (got.includes(line)) resolve();
          };
          check();
        }),
    };
  }

  test('brings lines as they are written, through rotations, none twice and none lost', async (t) => {
    const path = join(scratch(t), 'audit.log');
    const { got, until } = collect(t, path);
    const wanted: string[] = [];
    const write = (text: string, to = path) => {
      appendFileSync(to, text);
    };
    for (let turn = 0; turn < 3; turn++) {
      for (let i = 0; i < 200; i++) wanted.push(`${turn}-${i}`);
      write(
        wanted
          .slice(turn * 200, turn * 200 + 100)
          .map((line) => `${line}\n`)
          .join(''),
      );
      write(`${turn}-`);
      write('100\n');
      await until(`${turn}-100`);
      renameSync(path, `${path}.${turn}`);
      // As the daemon does, until it gets its signal.
      write(
        wanted
          .slice(turn * 200 + 101, turn * 200 + 199)
          .map((line) => `${line}\n`)
          .join(''),
        `${path}.${turn}`,
      );
      write(`${turn}-199\n`);
      await until(`${turn}-199`);
    }
    assert.deepEqual(got, wanted);
  });

  test('begins again where somebody empties the file', async (t) => {
    const path = join(scratch(t), 'audit.log');
    writeFileSync(path, 'one, and longer than the next\n');
    const { got, until } = collect(t, path);
    await until('one, and longer than the next');
    writeFileSync(path, 'two\n');
    await until('two');
    assert.deepEqual(got, ['one, and longer than the next', 'two']);
  });
});

describe('a replay', () => {
  /** Answers by name; keeps what it was sent. */
  class Target {
    readonly sent: string[] = [];
    readonly answers: Readonly<Record<string, string>>;
    constructor(answers: Readonly<Record<string, string>>) {
      this.answers = answers;
    }
    executeRaw(bytes: Uint8Array): Promise<{ readonly bytes: Uint8Array }> {
      const text = Buffer.from(bytes).toString();
      this.sent.push(text);
      const name = /"execute":\s*"([^"]*)"/.exec(text)?.[1] ?? '';
      const answer = this.answers[name];
      return answer === undefined
        ? Promise.reject(new Error('the VM is gone'))
        : Promise.resolve({ bytes: Buffer.from(answer) });
    }
  }

  async function replay(lines: readonly string[], target: Target, ignore: readonly string[] = []) {
    const told: Difference[] = [];
    const running = new Replay(target, {
      filter: EVERYTHING,
      speed: Number.POSITIVE_INFINITY,
      ignore,
      tell: (difference) => told.push(difference),
    });
    for (const line of lines) await running.line(line);
    return { ...(await running.finish()), told };
  }
  const answer = (seq: number, of: number, message: object) =>
    recordLine(seq, 'reply', { ...WHO, of, latency: 1, source: 'upstream', message });

  test('sends the recorded commands, and reports which answers differ, and where', async () => {
    const target = new Target({
      same: '{"return": {"b": 2, "a": 1}, "id": 9}',
      other: '{"return": {"list": [1, 3], "n": 18446744073709551615}}',
      big: '{"return": 18446744073709551614}',
    });
    const result = await replay(
      [
        command(1, 'same'),
        answer(2, 1, { return: { a: 1, b: 2 }, id: 1 }),
        command(3, 'other'),
        answer(4, 3, { return: { list: [1, 2, 3], n: 1 } }),
        command(5, 'big'),
        recordLine(6, 'reply', { ...WHO, of: 5, latency: 1, source: 'upstream' })
          .replace('}}', '},"message":{"return":18446744073709551615}}')
          .replace('"upstream"}', '"upstream","message":{"return": 18446744073709551615}}'),
      ],
      target,
    );
    assert.deepEqual(target.sent, ['{"execute":"same"}', '{"execute":"other"}', '{"execute":"big"}']);
    assert.deepEqual(
      result.told.map(({ seq, where }) => [seq, where]),
      [
        [3, ['return.list.1: 2 → 3', 'return.list.2: 3 → (nothing)', 'return.n: 1 → 18446744073709551615']],
        [5, ['return: 18446744073709551615 → 18446744073709551614']],
      ],
    );
    assert.deepEqual(
      [result.sent, result.same, result.different, result.incomparable, result.skipped],
      [3, 1, 2, 0, 0],
    );
  });

  test('leaves out commands it cannot send, and counts answers it cannot compare', async () => {
    const target = new Target({ x: '{"return": {"t": 2}}', y: '{"return": 1}', z: '{"return": 1}' });
    const result = await replay(
      [
        command(1, 'secret', { redacted: ['arguments.password'] }),
        command(2, 'x'),
        answer(3, 2, { return: { t: 1 } }),
        command(4, 'y'),
        recordLine(5, 'reply', {
          ...WHO,
          of: 4,
          latency: 1,
          source: 'upstream',
          text: '{"re',
          cut: { length: 10, sha256: 'a'.repeat(64) },
        }),
        command(6, 'z'),
        recordLine(7, 'denied', { ...WHO, of: 6, command: 'z', rule: 'audit', message: {}, reply: {} }),
        recordLine(8, 'denied', { ...WHO, command: 'z', rule: 'read-only', message: {}, reply: {} }),
      ],
      target,
      ['return.*'],
    );
    assert.deepEqual(target.sent, ['{"execute":"x"}', '{"execute":"y"}', '{"execute":"z"}']);
    assert.deepEqual(result.told, []);
    assert.deepEqual(
      [result.sent, result.same, result.different, result.incomparable, result.skipped],
      [3, 1, 0, 2, 1],
    );
  });

  test('keeps the recorded pace, or a multiple of it', async () => {
    const times: number[] = [];
    const target = {
      executeRaw: () => {
        times.push(performance.now());
        return Promise.resolve({ bytes: Buffer.from('{"return": {}}') });
      },
    };
    const running = new Replay(target, { filter: EVERYTHING, speed: 10, ignore: [], tell: () => {} });
    const begun = performance.now();
    for (const mono of [1_000_000, 2_000_000, 2_100_000])
      await running.line(command(1, 'stop', { mono }).replace('"mono":1,', `"mono":${mono},`));
    await running.finish();
    const [, second = 0] = times;
    assert.ok(second - begun >= 98, `${second - begun} ms instead of 100`);
  });

  test('fails when the VM does', async () => {
    await assert.rejects(replay([command(1, 'unknown'), command(2, 'unknown')], new Target({})), /the VM is gone/);
  });
});
