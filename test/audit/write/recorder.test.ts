import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { parseLeftOut } from '../../../dist/audit/log/kinds.js';
import type { ProbeView } from '../../../dist/mux/ports/observer.js';
import { type LooseRecord, openTestLog, testClient, testCommand, wire } from '../../support/text/audit.js';

function without(record: LooseRecord | undefined, ...names: string[]): LooseRecord {
  return Object.fromEntries(Object.entries(record ?? {}).filter(([name]) => !names.includes(name)));
}
const TIMES = ['v', 'seq', 'time', 'mono'];
const WHO = {
  monitor: 'vm1',
  listener: 'unix:/run/vm.mux',
  client: 1,
  peer: { kind: 'unix', pid: 4711, uid: 1000, gid: 100, program: 'backup' },
};

describe('a record', () => {
  test('has the time of those that are made together with it, and a later one than those before', async (t) => {
    const log = await openTestLog(t);
    const { recorder } = log;
    for (let i = 0; i < 3; i++) {
      // The event loop goes on, for more than a microsecond.
      await setTimeout(2);
      recorder.connected(testClient(1));
      recorder.connected(testClient(2));
    }
    const records = await log.records();
    const times = records.filter(({ kind }) => kind === 'connect').map((record) => [record['mono'], record['time']]);
    assert.equal(times.length, 6);
    for (let i = 0; i < 6; i += 2) assert.deepEqual(times[i], times[i + 1]);
    assert.equal(new Set(times.map(([mono]) => mono)).size, 3);
    const monos = times.map(([mono]) => Number(mono));
    assert.deepEqual(
      monos,
      monos.toSorted((a, b) => a - b),
    );
  });

  test('of every kind is as the schema says, in the order in which things happened', async (t) => {
    const log = await openTestLog(t);
    const { recorder, audit } = log;
    const client = testClient();
    recorder.upstream({ name: 'running', oob: true, pretty: false, version: '7.2.22' });
    recorder.connected(client);
    recorder.negotiated(client, ['oob'], Buffer.from('{"execute":"qmp_capabilities"}'));
    const command = testCommand(client, 'query-status', '{"execute":"query-status","id":7}', { id: Buffer.from('7') });
    recorder.command(command);
    assert.equal(recorder.flush(), null);
    recorder.answered(command, [wire('{"return": {}, "id": 7}')], false, 'upstream');
    const failing = testCommand(client, 'nonsense', '{"execute":"nonsense"}', { oob: true });
    recorder.command(failing);
    recorder.answered(failing, [wire('{"error": {"class": "CommandNotFound", "desc": "no"}}')], true, 'upstream');
    const lost = testCommand(client, 'quit', '{"execute":"quit"}');
    recorder.command(lost);
    recorder.unanswered(lost, 'connection reset');
    recorder.dropped(testCommand(client, 'stop', '{"execute":"stop"}'), 'connection reset');
    recorder.denied(testCommand(client, 'quit', '{"execute":"quit"}'), 'read-only', wire('{"error": {}}'));
    recorder.malformed(client, Buffer.from('{"execute":'), wire('{"error": {}}'));
    recorder.event('STOP', [wire('{"timestamp": {}, "event": "STOP"}')], 3);
    recorder.stray([wire('{"return": {}, "id": 99}')], 'an answer that no client waits for');
    recorder.disconnected(client, 'client closed');
    recorder.upstream({ name: 'lost', reason: 'connection reset' });
    audit.reloaded();
    const records = await log.records();
    const kinds =
      'daemon upstream connect negotiated command reply command error command unanswered command unanswered denied malformed event stray disconnect upstream daemon daemon';
    assert.deepEqual(
      records.map((record) => record['kind']),
      kinds.split(' '),
    );
    assert.deepEqual(
      records.map((record) => record['seq']),
      records.map((_, index) => index + 1),
    );

    assert.deepEqual(without(records[4], ...TIMES), {
      kind: 'command',
      ...WHO,
      command: 'query-status',
      id: 7,
      upstream: 3,
      message: { execute: 'query-status', id: 7 },
    });
    assert.deepEqual(without(records[5], ...TIMES, 'latency', 'queued'), {
      kind: 'reply',
      ...WHO,
      of: 5,
      id: 7,
      upstream: 3,
      source: 'upstream',
      message: { return: {}, id: 7 },
    });
    assert.equal(records[6]?.['oob'], true);
    assert.equal(records[7]?.['of'], 7);
    assert.equal(records[9]?.['of'], 9);
    assert.equal(records[11]?.['reason'], 'never sent: connection reset');
    assert.deepEqual(without(records[14], ...TIMES), {
      kind: 'event',
      monitor: 'vm1',
      event: 'STOP',
      receivers: 3,
      message: { timestamp: {}, event: 'STOP' },
    });
    assert.deepEqual(without(records.at(-1), ...TIMES), { kind: 'daemon', action: 'stop', reason: 'the test is over' });
  });

  test('has qmpmux’s own questions, before QEMU has them, with the outcome of each', async (t) => {
    const log = await openTestLog(t);
    const { recorder } = log;
    // The brand is the multiplexer's to give; here there is none
    const upstreamId = 1000 as ProbeView['upstreamId'];
    const raw = Buffer.from('{"exec-oob":"query-yank","id":1000}');
    const newProbe = (): ProbeView => ({ name: 'query-yank', oob: true, raw, upstreamId, sentAt: 0, auditSeq: 0 });
    const [answered, failed, lost] = [newProbe(), newProbe(), newProbe()];
    recorder.probe(answered);
    assert.equal(recorder.flush(), null);
    assert.match(readFileSync(log.path, 'utf8'), /"kind":"probe"/);
    recorder.probeAnswered(answered, [wire('{"return": [], "id": 1000}')], false);
    recorder.probe(failed);
    recorder.probeAnswered(failed, [wire('{"id": 1000, "error": {"class": "CommandNotFound", "desc": "no"}}')], true);
    recorder.probe(lost);
    recorder.probeUnanswered(lost, 'connection reset');
    const records = (await log.records()).filter(({ kind }) => kind === 'probe');
    assert.deepEqual(
      records.map((record) => without(record, ...TIMES, 'latency', 'kind', 'monitor')),
      [
        { command: 'query-yank', oob: true, upstream: 1000, message: { 'exec-oob': 'query-yank', id: 1000 } },
        { of: records[0]?.['seq'], outcome: 'ok', message: { return: [], id: 1000 } },
        { command: 'query-yank', oob: true, upstream: 1000, message: { 'exec-oob': 'query-yank', id: 1000 } },
        {
          of: records[2]?.['seq'],
          outcome: 'error',
          message: { id: 1000, error: { class: 'CommandNotFound', desc: 'no' } },
        },
        { command: 'query-yank', oob: true, upstream: 1000, message: { 'exec-oob': 'query-yank', id: 1000 } },
        { of: records[4]?.['seq'], outcome: 'unanswered', reason: 'connection reset' },
      ],
    );
  });

  test('has the time to the microsecond, and one that only goes forward', async (t) => {
    const before = Date.now();
    const log = await openTestLog(t);
    for (let i = 0; i < 100; i++) log.recorder.event('RESUME', [wire('{}')], 0);
    const records = await log.records();
    const after = Date.now();
    let last = 0;
    for (const record of records) {
      const time = Date.parse(String(record['time']));
      assert.ok(
        time >= before - 5 && time <= after + 5,
        `${String(record['time'])} is not between ${before} and ${after}`,
      );
      const mono = Number(record['mono']);
      assert.ok(mono >= last);
      last = mono;
    }
    assert.ok(Math.abs(last - Number(process.hrtime.bigint() / 1000n)) < 60e6, 'it is not CLOCK_MONOTONIC');
  });

  test('of an answer has how long it took, and how long of that it waited for its turn', async (t) => {
    const log = await openTestLog(t);
    const now = performance.now() * 1000;
    const command = testCommand(testClient(), 'stop', '{"execute":"stop"}', {
      receivedAt: now - 9000,
      sentAt: now - 4000,
    });
    log.recorder.command(command);
    log.recorder.answered(command, [wire('{"return": {}}')], false, 'upstream');
    const answer = (await log.records())[2];
    assert.equal(answer?.['queued'], 5000);
    assert.ok(Number(answer['latency']) >= 9000);
  });

  test('of an answer that did not come from QEMU says so, and follows its command', async (t) => {
    const log = await openTestLog(t);
    const client = testClient();
    for (const source of ['cached', 'shared', 'local'] as const) {
      const command = testCommand(client, 'query-version', '{"execute":"query-version"}');
      log.recorder.answered(command, [wire('{"return": {}}')], false, source);
    }
    const records = await log.records();
    assert.deepEqual(
      records.slice(1, -1).map((record) => [record['kind'], record['of'], record['source']]),
      [
        ['command', undefined, undefined],
        ['reply', 2, 'cached'],
        ['command', undefined, undefined],
        ['reply', 4, 'shared'],
        ['command', undefined, undefined],
        ['reply', 6, 'local'],
      ],
    );
  });

  test('has address and port of a client on TCP, and of one on stdio nothing', async (t) => {
    const log = await openTestLog(t);
    log.recorder.connected(testClient(1, { kind: 'tcp', address: '127.0.0.1', port: 4444 }));
    log.recorder.connected(testClient(2, { kind: 'stdio' }));
    const records = await log.records();
    assert.deepEqual(records[1]?.['peer'], { kind: 'tcp', address: '127.0.0.1', port: 4444 });
    assert.deepEqual(records[2]?.['peer'], { kind: 'stdio' });
  });
});

describe('the message in a record', () => {
  test('has the very bytes that were sent: big integers, escapes, blanks, the order of keys', async (t) => {
    const log = await openTestLog(t);
    const raw = '{ "id":18446744073709551615,"execute" : "\\u0071uery-status", "arguments":{"é":1.0,"a":-0} }';
    log.recorder.command(testCommand(testClient(), 'query-status', raw));
    const reply = '{"return": {"n": 18446744073709551615, "s": "\\u00E9"}, "id": 18446744073709551615}';
    log.recorder.answered(
      testCommand(testClient(), 'query-status', raw),
      [Buffer.from(reply.slice(0, 20)), wire(reply.slice(20))],
      false,
      'upstream',
    );
    const lines = (await log.close()).split('\n');
    assert.ok(lines[1]?.endsWith(`,"message":${raw}}`), lines[1]);
    assert.ok(lines[3]?.endsWith(`,"message":${reply}}`), lines[3]);
  });

  test('stays on one line when it was sent on many, and is there exactly as well', async (t) => {
    const log = await openTestLog(t);
    const raw = '{\n  "execute": "stop",\r\n\t"id": 1\n}';
    log.recorder.command(testCommand(testClient(), 'stop', raw));
    const [, record] = await log.records();
    assert.deepEqual(record?.['message'], { execute: 'stop', id: 1 });
    assert.equal(record['text'], raw);
  });

  test('is text where it is not JSON, to the byte', async (t) => {
    const log = await openTestLog(t);
    const quoted = `{'execute': 'stop', 'id': "\u00e9\\'"}`;
    log.recorder.command(testCommand(testClient(), 'stop', quoted));
    log.recorder.malformed(testClient(), Buffer.from('\u0000{"a"\n\u007f "😀'), wire('{"error": {}}'));
    const [, command, malformed] = await log.records();
    assert.equal(command?.['text'], quoted);
    assert.equal(command['command'], 'stop');
    assert.equal('message' in command, false);
    assert.equal(malformed?.['text'], '\u0000{"a"\n\u007f "😀');
  });

  test('is Latin-1, one character a byte, where it is not UTF-8', async (t) => {
    const log = await openTestLog(t);
    const every = Uint8Array.from({ length: 256 }, (_, byte) => byte);
    log.recorder.malformed(testClient(), every, wire('{"error": {}}'));
    const [, record] = await log.records();
    assert.deepEqual(Buffer.from(String(record?.['latin1']), 'latin1'), Buffer.from(every));
  });

  test('cannot be made up to look like another record', async (t) => {
    const log = await openTestLog(t);
    const forged = '{"return": {}}, "client": 7, "x": {"a": 1}}\n{"v":1,"seq":4,"kind":"connect"}';
    log.recorder.stray([wire(forged)], 'not a QMP message');
    log.recorder.command(testCommand(testClient(), 'a","client":7,"x":"', '{"execute":"a"}'));
    log.recorder.answered(
      testCommand(testClient(), 'stop', '{"execute":"stop"}', { id: Buffer.from('1,"client":9') }),
      [wire(forged)],
      false,
      'upstream',
    );
    const records = await log.records();
    assert.equal(records.length, 6);
    assert.equal(records[1]?.['text'], forged);
    assert.equal(records[2]?.['command'], 'a","client":7,"x":"');
    assert.equal(records[4]?.['client'], 1);
    assert.equal(records[4]['id_text'], '1,"client":9');
  });

  test('of an answer is cut where it is longer than wanted, its length and hash kept; a command never is', async (t) => {
    const log = await openTestLog(t, { maxMessage: 20 });
    const reply = `{"return": "${'é'.repeat(30)}"}`;
    const raw = `{"execute":"stop","arguments":{"x":"${'y'.repeat(100)}"}}`;
    const command = testCommand(testClient(), 'stop', raw);
    log.recorder.command(command);
    log.recorder.answered(command, [wire(reply)], false, 'upstream');
    const [, recorded, answer] = await log.records();
    assert.deepEqual(recorded?.['message'], JSON.parse(raw));
    assert.equal(answer?.['text'], `{"return": "${'é'.repeat(4)}`);
    assert.deepEqual(answer['cut'], {
      length: Buffer.byteLength(reply),
      sha256: createHash('sha256').update(reply).digest('hex'),
    });
  });
});

describe('the part left out of the log', () => {
  test('is the kinds and the events that the user names', async (t) => {
    const log = await openTestLog(t, { leftOut: parseLeftOut(['reply', 'RTC_CHANGE', 'connect']) });
    const client = testClient();
    log.recorder.connected(client);
    const command = testCommand(client, 'stop', '{"execute":"stop"}');
    log.recorder.command(command);
    log.recorder.answered(command, [wire('{"return": {}}')], false, 'upstream');
    log.recorder.event('RTC_CHANGE', [wire('{}')], 1);
    log.recorder.event('STOP', [wire('{}')], 1);
    const records = await log.records();
    assert.deepEqual(
      records.map((record) => record['kind']),
      ['daemon', 'command', 'event', 'daemon'],
    );
    assert.deepEqual(records[0]?.['settings'], {
      chain: false,
      sync: false,
      on_error: 'refuse',
      max_message: 0,
      left_out: ['reply', 'connect', 'RTC_CHANGE'],
    });
  });

  test('is never a kind that records an action, nor the outcome of one without an answer', () => {
    for (const kind of ['command', 'denied', 'unanswered', 'daemon']) {
      assert.throws(() => parseLeftOut([kind]), { code: 'QMPMUX_AUDIT_SETTING', message: /cannot be left out/ });
    }
    assert.throws(
      () => parseLeftOut(['replies']),
      /"replies" is not a kind of record, an event, or a command known to only read; /,
    );
  });
});
