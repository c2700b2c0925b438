import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseLeftOut } from '../../../dist/audit/log/kinds.js';
import {
  LeftOutCommands,
  LeftOutCounts,
  OWN_QUERIES,
  parseCommandRule,
  SUM_INTERVAL,
} from '../../../dist/audit/log/left-out.js';
import { openTestLog, testClient, testCommand, wire } from '../../support/text/audit.js';

const EXPORTER = 'unix:/run/vm.exporter';

function leaves(rules: readonly string[], name: string, listener = EXPORTER): boolean {
  return new LeftOutCommands(rules.map(parseCommandRule)).has(name, listener);
}

describe('commands that are left out', () => {
  test('are named by command and listener', () => {
    assert.ok(leaves(['query-status'], 'query-status', 'tcp:[::1]:1'));
    assert.ok(!leaves(['query-status'], 'query-block'));
    for (const rule of ['query-*@unix:/run/vm.exporter', '*@unix:*.exporter', 'query-statu?@*']) {
      assert.ok(leaves([rule], 'query-status'), rule);
    }
    const commands = new LeftOutCommands([parseCommandRule(`query-*@${EXPORTER}`)]);
    for (let i = 0; i < 2; i++) {
      assert.ok(!commands.has('query-status', 'unix:/run/vm.mux'));
      assert.ok(commands.has('query-status', EXPORTER));
    }
  });

  test('change nothing, whatever a pattern matches', () => {
    for (const name of ['stop', 'quit', 'human-monitor-command', 'qom-get', 'query-rx-filter', 'query-of-the-future']) {
      assert.ok(!leaves(['*', 'query-*', `*@${EXPORTER}`], name), name);
    }
    assert.ok(!leaves([OWN_QUERIES], '__org.qmpmux_disconnect-client'));
    assert.ok(leaves([OWN_QUERIES], '__org.qmpmux_query-status'));
  });

  test('are others only where they are named in full, with a mark', () => {
    assert.ok(leaves([`qom-get!@${EXPORTER}`], 'qom-get'));
    assert.ok(!leaves([`qom-get!@${EXPORTER}`], 'qom-get', 'unix:/run/vm.mux'));
    const wrong: readonly [string, RegExp][] = [
      ['qom-get', /"qom-get" is not a kind.* write "qom-get!"/],
      ['qom-get@unix:/x', /write "qom-get!@unix:\/x"/],
      ['query-statsu', /\(is it query-stat(s|us)\?\)/],
      ['device_*', /"device_\*" matches no read-only command/],
      ['qom-*!', /"qom-\*!" may leave out commands that change something/],
      ['@unix:/x', /there is no kind of record, event or command/],
      ['query-status@', /write NAME or NAME@LISTENER/],
      ['a b', /there is no kind of record, event or command/],
    ];
    for (const [rule, message] of wrong) {
      assert.throws(() => parseLeftOut([rule]), { code: 'QMPMUX_AUDIT_SETTING', message }, rule);
    }
  });

  test('are counted in a record when the client leaves, with errors and unanswered commands', async (t) => {
    const log = await openTestLog(t, { chain: true, leftOut: parseLeftOut(['query-*']) });
    const { recorder } = log;
    const client = testClient();
    const query = (name = 'query-status') => testCommand(client, name, `{"execute":"${name}"}`);
    recorder.connected(client);
    for (let i = 0; i < 3; i++) {
      const command = query();
      recorder.command(command);
      recorder.answered(command, [wire('{"return": {}}')], false, 'upstream');
    }
    // From memory: without `command`.
    recorder.answered(query('query-block'), [wire('{"return": []}')], false, 'cached');
    const failing = query('query-block');
    recorder.command(failing);
    recorder.answered(failing, [wire('{"error": {}}')], true, 'upstream');
    const slow = query('query-block');
    recorder.command(slow);
    recorder.abandoned(slow, wire('{"error": {}}'));
    recorder.answered(slow, [wire('{"error": {}}')], true, 'late');
    recorder.dropped(query('query-name'), 'gone');
    const lost = query('query-name');
    recorder.command(lost);
    recorder.unanswered(lost, 'gone');
    // What is refused is recorded, and not counted as well.
    recorder.denied(query('query-name'), 'read-only', wire('{"error": {}}'));
    const unwritten = query('query-name');
    recorder.command(unwritten);
    recorder.denied(unwritten, 'audit', wire('{"error": {}}'));
    // What changes something is recorded.
    recorder.command(testCommand(client, 'stop', '{"execute":"stop"}'));
    // What comes with a file is recorded.
    const carrying = testCommand(client, 'query-name', '{}', { descriptor: { type: 'file', path: '/x' } });
    recorder.command(carrying);
    recorder.answered(carrying, [wire('{"return": {}}')], false, 'upstream');
    recorder.disconnected(client, 'bye');
    recorder.disconnected(client, 'bye');
    const records = await log.records();
    const kinds = records.map(({ kind }) => kind);
    const wanted = 'daemon connect denied denied command command reply left-out disconnect disconnect daemon';
    assert.deepEqual(kinds, wanted.split(' '));
    const sum = records.find(({ kind }) => kind === 'left-out') ?? {};
    assert.deepEqual(sum['commands'], { 'query-status': 3, 'query-block': 3, 'query-name': 2 });
    assert.deepEqual([sum['errors'], sum['unanswered'], sum['client']], [2, 2, 1]);
    assert.ok(Number(sum['since']) <= Number(sum['mono']));
    assert.deepEqual(Reflect.get(Object(records[0]?.['settings']), 'left_out'), ['query-*']);
  });

  test('are counted before the log ends, or goes over to another', async (t) => {
    for (const end of ['close', 'conclude'] as const) {
      const log = await openTestLog(t, { leftOut: parseLeftOut(['query-*']) });
      log.recorder.command(testCommand(testClient(), 'query-status', '{}'));
      if (end === 'conclude') assert.equal(log.audit.conclude('other settings'), null);
      const kinds = (await log.records()).map(({ kind }) => kind);
      assert.deepEqual(kinds.slice(0, 3), ['daemon', 'left-out', 'daemon']);
    }
  });

  test('have one record a client and minute', (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const sums: [number, number | undefined][] = [];
    const counts = new LeftOutCounts((client, { commands }) => {
      sums.push([client.id, commands.get('a')]);
    }, new Set());
    const clients = [testClient(1), testClient(2)];
    for (let second = 0; second < 150; second++) {
      for (const client of clients) counts.count(client, 'a', second);
      t.mock.timers.tick(1000);
    }
    assert.equal(SUM_INTERVAL, 60_000);
    assert.deepEqual(sums, [
      [1, 60],
      [2, 60],
      [1, 60],
      [2, 60],
    ]);
  });
});

test('only the beginning is kept of answers that describe QEMU itself, with length and hash; errors are whole', async (t) => {
  const log = await openTestLog(t);
  const long = `{"return": [${'"x", '.repeat(10_000)}"x"]}`;
  for (const name of ['query-qmp-schema', 'query-block']) {
    const command = testCommand(testClient(), name, `{"execute":"${name}"}`);
    log.recorder.answered(command, [wire(long)], false, 'upstream');
  }
  const refused = testCommand(testClient(), 'qom-list-types', '{"execute":"qom-list-types"}');
  const error = `{"error": {"class": "GenericError", "desc": "${'x'.repeat(1000)}"}}`;
  log.recorder.answered(refused, [wire(error)], true, 'upstream');
  const [schema, block, failed] = (await log.records()).filter(({ kind }) => kind === 'reply' || kind === 'error');
  assert.equal(String(schema?.['text']), long.slice(0, 256));
  assert.equal(Reflect.get(Object(schema?.['cut']), 'length'), long.length);
  assert.equal(JSON.stringify(block?.['message']).length, long.replaceAll(' ', '').length);
  assert.ok(failed?.['cut'] === undefined && failed?.['message'] !== undefined);
});
