/** No message, from a client or from QEMU, makes more of the audit log fail than its own record. */
import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import type { Sink } from '../../../dist/audit/log/sink.js';
import { Redactor } from '../../../dist/audit/redact/redaction.js';
import { AuditLog } from '../../../dist/audit/write/audit-log.js';
import { MOST_IN_A_ROW } from '../../../dist/audit/write/malformed-flood.js';
import { Recorder } from '../../../dist/audit/write/recorder.js';
import { parseRedaction } from '../../../dist/audit/write/settings.js';
import {
  assertValid,
  type LooseRecord,
  openTestLog,
  parseLines,
  testClient,
  testCommand,
  wire,
} from '../../support/text/audit.js';

/** A log in memory. */
class MemorySink implements Sink {
  readonly name = 'memory';
  text = '';
  #awaited: { readonly text: string; readonly resolve: () => void } | null = null;
  write(bytes: Uint8Array): null {
    this.text += Buffer.from(bytes).toString();
    if (this.#awaited !== null && this.text.includes(this.#awaited.text)) this.#awaited.resolve();
    return null;
  }
  /** Waits until `text` has been written. */
  async written(text: string): Promise<void> {
    const deadline = setTimeout(() => assert.fail(`${text} is never written`), 30_000);
    await new Promise<void>((resolve) => {
      this.#awaited = { text, resolve };
    });
    clearTimeout(deadline);
  }
  sync(): null {
    return null;
  }
  retry(): null {
    return null;
  }
  reopen(): { readonly kind: 'same' } {
    return { kind: 'same' };
  }
  close(): void {
    // There is nothing to close.
  }
}

/** A redactor with a fault. */
class Faulty extends Redactor {
  override command(): never {
    throw new RangeError('Maximum call stack size exceeded');
  }
  override answer(): never {
    throw new RangeError('Invalid string length');
  }
  override other(): never {
    throw new TypeError('a fault');
  }
  override malformed(): never {
    throw new TypeError('a fault');
  }
}

interface MemoryLog {
  readonly recorder: Recorder;
  readonly reports: string[];
  readonly sink: MemorySink;
  readonly records: () => LooseRecord[];
  /** Microseconds. */
  now: number;
}

function memoryLog(t: TestContext, redactor = new Redactor()): MemoryLog {
  const sink = new MemorySink();
  const log = new AuditLog({ sink, chain: true });
  t.after(() => log.close());
  const reports: string[] = [];
  const memory = { sink, reports, now: 0 };
  const recorder = new Recorder({
    log,
    monitor: 'vm1',
    address: null,
    redactor,
    maxMessage: 0,
    now: () => memory.now,
    report: (level, message) => reports.push(`${level} ${message}`),
  });
  return Object.assign(memory, {
    recorder,
    records: () => {
      assert.equal(recorder.flush(), null);
      const records = parseLines(sink.text);
      records.forEach(assertValid);
      return records;
    },
  });
}

const client = testClient();

describe('a fault of the redactor', () => {
  test('withholds the message, with its length and hash, and is said once', (t) => {
    const { recorder, records, reports } = memoryLog(t, new Faulty());
    const id = Buffer.from('"my-id"');
    const sent = testCommand(client, 'stop', '{"execute":"stop","id":"my-id"}', { id });
    recorder.command(sent);
    recorder.answered(sent, [wire('{"return": {}, "id": "my-id"}')], false, 'upstream');
    recorder.denied(testCommand(client, 'quit', '{"execute":"quit"}'), 'read-only', wire('{"error": {}}'));
    recorder.negotiated(client, [], Buffer.from('{"execute":"qmp_capabilities"}'));
    recorder.malformed(client, Buffer.from('{'), wire('{"error": {}}'));
    recorder.event('STOP', [wire('{"event": "STOP"}')], 1);
    recorder.stray([wire('{"return": {}}')], 'an answer that no client waits for');
    const all = records();
    assert.deepEqual(
      all.map((record) => record['kind']),
      ['command', 'reply', 'denied', 'negotiated', 'malformed', 'event', 'stray'],
    );
    for (const record of all) {
      assert.match(String(record['message']), /^\[withheld \d+ bytes? #[0-9a-f]{8}\]$/);
      assert.deepEqual(record['redacted'], ['*']);
      assert.ok(!JSON.stringify(record).includes('my-id'));
    }
    assert.equal(all[0]?.['command'], 'stop');
    assert.equal(reports.length, 1);
    assert.match(
      reports[0] ?? '',
      /^error a message of 31 bytes could not be prepared .* please report this: RangeError/s,
    );
  });
});

describe('a message', () => {
  test('of more bytes than Node has for a string is withheld, whole or in pieces', {
    skip: process.env['CI'] === '1',
  }, (t) => {
    const { recorder, records } = memoryLog(t);
    const piece = Buffer.alloc(180 * 1024 * 1024, '@');
    const sent = testCommand(client, 'query-block', '{"execute":"query-block"}');
    recorder.command(sent);
    recorder.answered(sent, [piece, piece, piece], false, 'upstream');
    recorder.event('X', [piece], 0);
    recorder.stray([piece, piece, piece], 'not a QMP message');
    const [, answer, event, stray] = records();
    assert.match(String(answer?.['message']), /^\[withheld 566231040 bytes #[0-9a-f]{8}\]$/);
    assert.match(String(event?.['message']), /^\[withheld 188743680 bytes #/);
    assert.match(String(stray?.['message']), /^\[withheld 566231040 bytes #/);
  });

  test('that does not fit into a record is withheld there, and the number and the chain have no gap', (t) => {
    const { recorder, records, reports } = memoryLog(t);
    recorder.connected(client);
    const state = { name: 'lost', reason: 'x' } as const;
    // What throws while a record is put together: here, because it is no text.
    const broken = Object.defineProperty({ ...state }, 'reason', {
      get: () => {
        throw new RangeError('Array buffer allocation failed');
      },
    });
    recorder.upstream(broken);
    recorder.upstream(state);
    const all = records();
    assert.deepEqual(
      all.map(({ kind, seq }) => [kind, seq]),
      [
        ['connect', 1],
        ['upstream', 2],
      ],
    );
    assert.match(reports.join(), /could not be prepared/);
  });

  test('that cannot be recorded at all is not sent: commands are refused until the next turn', (t) => {
    const { recorder } = memoryLog(t);
    const sent = testCommand(client, 'stop', '{"execute":"stop"}');
    const broken = Object.defineProperty({ ...sent }, 'oob', {
      get: () => {
        throw new RangeError('Array buffer allocation failed');
      },
    });
    recorder.command(broken);
    assert.match(recorder.flush() ?? '', /cannot write a command to the audit log/);
    assert.equal(recorder.flush(), null);
  });

  test('nested in texts beyond all bounds is withheld as far as it is', (t) => {
    const { recorder, records } = memoryLog(t);
    let inner = '"https://u:hush4711@h/"';
    for (let level = 0; level < 8; level++) {
      inner = JSON.stringify(`json:{"a":${'['.repeat(1018)}${inner}${']'.repeat(1018)}}`);
    }
    recorder.command(testCommand(client, 'blockdev-add', `{"execute":"blockdev-add","arguments":{"f":${inner}}}`));
    const [record] = records();
    assert.equal(record?.['command'], 'blockdev-add');
    assert.ok(!JSON.stringify(record).includes('hush4711'));
  });
});

describe('the list of removals in a record is bounded', () => {
  test('paths: 64 of at most 256 bytes, and how many more there were', () => {
    const key = 'k'.repeat(200);
    const depth = 900;
    const members = Array.from({ length: 2000 }, () => '{"osk":1}').join(',');
    const raw = `{"execute":"x","arguments":${`{"${key}":`.repeat(depth)}[${members}]${'}'.repeat(depth)}}`;
    const found = new Redactor().command('x', Buffer.from(raw));
    const paths = found?.message?.paths ?? [];
    assert.equal(paths.length, 65);
    for (const path of paths) assert.ok(path.length <= 256);
    assert.equal(paths.at(-1), '…and 1936 more');
    // The marks are longer than what they stand for, but not by much more than so many digits.
    assert.ok((found?.message?.bytes.length ?? 0) < raw.length + 2000 * 40);
    assert.equal(found?.answer?.hides, 'nothing');
  });

  test('echoes: more secrets than can be looked for in the answer withhold it', () => {
    const redactor = new Redactor();
    const args = Object.fromEntries(
      Array.from({ length: 50 }, (_, index) => [`a${index}.password`, `secret-${index}`]),
    );
    const secrets =
      redactor.command('x', Buffer.from(JSON.stringify({ execute: 'x', arguments: args })))?.answer ?? null;
    assert.equal(secrets?.hides, 'all');
    assert.ok(secrets.values.length <= 64);
    const answer = redactor.answer('x', secrets, Buffer.from('{"error": {"desc": "I do not like secret-49"}}'));
    assert.deepEqual(answer?.paths, ['*']);
    const long = redactor.command(
      'x',
      Buffer.from(JSON.stringify({ execute: 'x', arguments: { password: 'y '.repeat(20_000) } })),
    );
    assert.equal(long?.answer?.hides, 'all');
  });

  test('a rule of the user with many ** is followed in one go', () => {
    const path = Array.from({ length: 10 }, () => '**.a').join('.');
    const redactor = new Redactor([parseRedaction(`x*:${path}.pin`), parseRedaction('*a*a*a*a*b:arguments.x')]);
    const deep = (last: string) => `{"execute":"x","arguments":${'{"a":'.repeat(400)}{"${last}":7}${'}'.repeat(400)}}`;
    assert.deepEqual(redactor.command('x', Buffer.from(deep('pin')))?.message?.paths.length, 1);
    assert.equal(redactor.command('x', Buffer.from(deep('pan'))), null);
    assert.equal(redactor.command('a'.repeat(50_000), Buffer.from('{"execute":"x","arguments":{"x":1}}')), null);
    assert.throws(() => parseRedaction(`x:${'a.'.repeat(31)}b`), /more than 30 parts/);
  });
});

describe('a client that sends garbage', () => {
  const error = wire('{"error": {"class": "GenericError", "desc": "JSON parse error"}}');

  test('has a record for each of the first ten pieces, and one a second for all others', async (t) => {
    const log = memoryLog(t);
    for (let i = 0; i < 100_000; i++) log.recorder.malformed(client, Buffer.from('}'), error);
    assert.equal(log.records().length, MOST_IN_A_ROW);
    await log.sink.written('"count":');
    const sum = log.records().at(-1);
    assert.equal(sum?.['kind'], 'malformed');
    assert.equal(sum['count'], 100_000 - MOST_IN_A_ROW);
    assert.equal(sum['length'], 100_000 - MOST_IN_A_ROW);
    assert.equal(sum['client'], 1);
    assert.ok(log.sink.text.length < 20_000);
  });

  test('has its sum before its next record, and ten records again after a quiet second', (t) => {
    const log = memoryLog(t);
    for (let i = 0; i < MOST_IN_A_ROW + 3; i++) log.recorder.malformed(client, Buffer.from('}}'), error);
    log.recorder.command(testCommand(client, 'stop', '{"execute":"stop"}'));
    log.recorder.malformed(client, Buffer.from('}'), error);
    log.now += 1_500_000;
    log.recorder.malformed(client, Buffer.from('}'), error);
    log.recorder.disconnected(client, 'client closed');
    const seen = log.records().map(({ kind, count, length }) => [kind, count, length]);
    assert.deepEqual(seen.slice(MOST_IN_A_ROW), [
      ['malformed', 3, 6],
      ['command', undefined, undefined],
      ['malformed', 1, 1],
      ['malformed', undefined, undefined],
      ['disconnect', undefined, undefined],
    ]);
  });

  test('does not use up the records of another', (t) => {
    const log = memoryLog(t);
    for (let i = 0; i < 1000; i++) log.recorder.malformed(client, Buffer.from('}'), error);
    log.recorder.malformed(testClient(2), Buffer.from('{"x"'), error);
    assert.equal(log.records().at(-1)?.['text'], '{"x"');
  });
});

test('names of commands that nobody has are not remembered', async (t) => {
  const log = await openTestLog(t, { redact: [parseRedaction('x*:arguments.pin')] });
  const before = process.memoryUsage().rss;
  const name = 'n'.repeat(1_000_000);
  for (let i = 0; i < 200; i++) {
    const raw = Buffer.from(`{"execute":"${name}${i}","arguments":{}}`);
    log.recorder.denied(testCommand(client, `${name}${i}`, raw), 'read-only', wire('{"error": {}}'));
    if (i % 20 === 0) log.recorder.flush();
  }
  const text = await log.close();
  assert.ok(process.memoryUsage().rss - before < 150 * 1024 * 1024, 'the names are kept');
  assert.ok(text.length < 1_000_000);
});
