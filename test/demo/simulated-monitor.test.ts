import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import * as fc from 'fast-check';
import { QmpClient } from '../../dist/client/qmp-client.js';
import { prettyLines } from '../../dist/demo/pretty-lines.js';
import { SimulatedMonitor, type SimulatedMonitorOptions } from '../../dist/demo/simulated-monitor.js';
import { PrettyFolder } from '../../dist/qmp/stream/pretty.js';
import { scratch } from '../support/files/scratch.js';
import { missing, startQemu } from '../support/qemu/qemu.js';
import { RawClient } from '../support/world/raw-client.js';

async function start(t: TestContext, options: SimulatedMonitorOptions = {}): Promise<[SimulatedMonitor, string]> {
  const path = join(scratch(t), 'qmp');
  const monitor = new SimulatedMonitor(options);
  await monitor.start(path);
  t.after(() => monitor.stop());
  return [monitor, path];
}

async function negotiated(path: string, oob = false): Promise<RawClient> {
  const client = await RawClient.connect(path);
  await client.readLine();
  await client.write(`{"execute":"qmp_capabilities"${oob ? ',"arguments":{"enable":["oob"]}' : ''}}`);
  assert.equal(await client.readLine(), '{"return": {}}');
  return client;
}

/** A machine whose firmware does nothing but halt: a guest that starts would have events of its own. */
function haltingMachine(t: TestContext): { machine: 'q35'; name: string; extraArgs: string[] } {
  const firmware = join(scratch(t), 'firmware');
  const HLT = 0xf4;
  writeFileSync(firmware, Buffer.alloc(65536, HLT));
  return { machine: 'q35', name: 'demo', extraArgs: ['-bios', firmware] };
}

/** What is one thing here and another there, though both are right. */
function withoutDifferences(text: string): string {
  return text
    .replace(/"seconds": \d+,\s+"microseconds": \d+/g, 'T')
    .replace(/"package": "[^"]*"/g, '"package": P')
    .replace(/(7\.2\.\d+)[^"\\]*/g, '$1P');
}

function execute(name: string, args?: object, id: unknown = 1): string {
  return JSON.stringify({ execute: name, ...(args === undefined ? {} : { arguments: args }), id });
}

function human(line: string): string {
  return execute('human-monitor-command', { 'command-line': line });
}

/** Every line here is one write; the last command of each has an answer. */
const dialogue: readonly string[] = [
  execute('query-version'),
  '{"exec-oob":"query-yank","id":1}',
  execute('qmp_capabilities', { enable: 1, x: 2 }),
  execute('qmp_capabilities', { enable: ['zz'] }),
  execute('qmp_capabilities', { enable: [1] }),
  '{"execute":"qmp_capabilities"}',
  execute('qmp_capabilities', {}, 'again'),
  execute('query-name') + execute('query-version', undefined, [1, { b: 2, a: 1.5 }]) + execute('query-status'),
  "{'execute': 'query-name', 'id': 'it\\'s \\u20ac'}",
  '{"execute":"query-name","id":18446744073709551615}',
  '{"execute":"query-name","id":1e3}{"execute":"query-name","id":"x"}',
  execute('no-such-command'),
  '{}',
  '[]',
  '{"execute":"query-name",}',
  '{"execute":5,"id":2}',
  '{"execute":"query-name","extra":1,"id":2}',
  '{"execute":"query-name","arguments":[]}',
  '{"exec-oob":"query-status","id":1}',
  ...['stop', 'cont', 'query-status', 'cont', 'stop', 'query-status', 'stop'].map((name) => execute(name)),
  execute('system_reset') + execute('query-status'),
  execute('system_powerdown') + execute('query-status'),
  execute('system_wakeup'),
  execute('query-status', { x: 1 }),
  execute('qom-list'),
  execute('qom-list', { path: 1 }),
  execute('qom-list', { path: '/', x: 1 }),
  execute('set_link', { name: 'x', up: 1 }),
  execute('balloon', { value: '1' }),
  execute('balloon', { value: 1.5 }),
  execute('balloon', { value: 134217728 }),
  execute('blockdev-add'),
  execute('blockdev-add', { driver: 'zzz' }),
  execute('blockdev-add', { driver: 'null-co', zz: 1 }),
  execute('blockdev-add', { driver: 'qcow2', file: { driver: 'null-co', zz: 1 } }),
  execute('blockdev-add', { driver: 'qcow2', file: { driver: 'file' } }),
  execute('send-key', { keys: [{ type: 'number', data: 'x' }] }),
  execute('send-key', { keys: [{ type: 'qcode', data: 'zz' }] }),
  execute('send-key', { keys: [{ type: 'number', data: 1, y: 1 }] }),
  execute('transaction', { actions: [{ type: 'abort', data: { x: 1 } }] }),
  execute('migrate-set-capabilities', { capabilities: [{ capability: 'xbzrle' }] }),
  execute('human-monitor-command'),
  execute('qom-get', { path: '/machine', property: 'type' }),
  execute('device-list-properties', { typename: 'bogus' }),
  execute('query-commands'),
  execute('query-qmp-schema'),
  execute('query-command-line-options', { option: 'memory' }),
  human('cont'),
  human(' info   status '),
  human('s'),
  human('info status'),
  human('system_reset'),
  human('info status'),
  human('info name'),
  human('info version'),
  human('system_powerdown'),
  human(''),
  human('bogus'),
  human('info bogus x'),
  human('help'),
  human('?'),
  human('info'),
  human('help info status'),
  human('help q'),
  human('help bogus'),
  human('stop x'),
  human('info balloon'),
  execute('query-status') + execute('quit'),
];

/** The simulated monitor says what a QEMU of this version was recorded to say. */
const RECORDED = '7.2.';

async function transcript(path: string): Promise<string[]> {
  const client = await RawClient.connect(path);
  const lines = [await client.readLine()];
  for (const text of dialogue) {
    await client.write(`${text}\n`);
    // One reply a message, whatever events come with them; malformed input has one error here.
    let replies = Math.max(1, text.split(/"exec(?:ute|-oob)":/).length - 1);
    const read = await client.readLinesUntil((line) => /^\{"(return|id|error)":/.test(line) && --replies === 0);
    lines.push(text, ...read);
  }
  await client.readToEnd();
  return lines.map(withoutDifferences);
}

describe('the simulated monitor', () => {
  it('answers byte for byte as a real QEMU does', { skip: missing('qemu') }, async (t) => {
    const [, simulated] = await start(t);
    const qemu = await startQemu(t, haltingMachine(t));
    if (!qemu.version.startsWith(RECORDED)) return t.skip(`the QEMU here is a ${qemu.version}`);
    assert.deepEqual(await transcript(simulated), await transcript(qemu.monitor));
  });

  it('writes many lines as a real QEMU with pretty=on does', { skip: missing('qemu') }, async (t) => {
    const [, simulated] = await start(t, { pretty: true });
    const qemu = await startQemu(t, { ...haltingMachine(t), monitors: [{ pretty: true }] });
    if (!qemu.version.startsWith(RECORDED)) return t.skip(`the QEMU here is a ${qemu.version}`);
    const texts: string[] = [];
    for (const path of [simulated, qemu.monitor]) {
      const client = await RawClient.connect(path);
      await client.write(
        ['qmp_capabilities', 'cont', 'query-name', 'query-commands', 'x', 'query-jobs']
          .map((name) => execute(name))
          .join(''),
      );
      await client.write('{"execute":"query-name","id":{"a":"]\\"{,","b":[],"c":[1,{}]}}{"execute":"x","id":"last"}');
      const text = await client.readUntil('"id": "last"');
      texts.push(
        withoutDifferences(text.toString('latin1') + (await client.readUntil('\r\n}\r\n')).toString('latin1')),
      );
      await client.close();
    }
    assert.deepEqual(texts[0]?.split('\n'), texts[1]?.split('\n'));
  });

  it('says that it is simulated', async (t) => {
    const [, path] = await start(t);
    const client = await QmpClient.connect({ path });
    assert.equal(client.greeting.version['package'], 'simulated by qmpmux');
    assert.deepEqual(await client.execute('query-version'), client.greeting.version);
    await assert.rejects(client.execute('blockdev-add', { driver: 'null-co', 'node-name': 'x' }), {
      class: 'GenericError',
      desc: /simulated, and has no recorded answer to blockdev-add/,
    });
    assert.match(
      await client.execute<string>('human-monitor-command', { 'command-line': 'info registers' }),
      /^This monitor is simulated/,
    );
    await client.close();
  });

  it('reads commands that come byte by byte, or many in one piece', async (t) => {
    const [monitor, path] = await start(t);
    const client = await negotiated(path);
    await client.writeByByte("{'execute':\n 'query-name',\r\n'id': 1}");
    assert.equal(await client.readLine(), '{"return": {"name": "demo"}, "id": 1}');
    await client.write(Array.from({ length: 500 }, (_, id) => execute('query-name', undefined, id)).join(''));
    const lines = await client.readLines(500);
    assert.equal(lines[499], '{"return": {"name": "demo"}, "id": 499}');
    assert.equal(monitor.executions('query-name'), 501);
    await client.close();
  });

  it('can be without out-of-band execution', async (t) => {
    const [, path] = await start(t, { oob: false });
    const client = await RawClient.connect(path);
    assert.match(await client.readLine(), /"capabilities": \[\]\}\}$/);
    await client.write(execute('qmp_capabilities', { enable: ['oob'] }));
    assert.equal(
      await client.readLine(),
      '{"id": 1, "error": {"class": "GenericError", "desc": "Capability oob not available"}}',
    );
    await client.close();
  });

  it('serves one client at a time', async (t) => {
    const [, path] = await start(t);
    const first = await negotiated(path);
    const second = await RawClient.connect(path);
    await second.write(`{"execute":"qmp_capabilities"}${execute('query-name')}`);
    await first.write(execute('query-name'));
    assert.equal(await first.readLine(), '{"return": {"name": "demo"}, "id": 1}');
    assert.equal(second.unread.length, 0);
    await first.close();
    assert.deepEqual((await second.readLines(3)).slice(1), ['{"return": {}}', '{"return": {"name": "demo"}, "id": 1}']);
    await second.close();
  });

  it('ends with the answer to quit, and takes its socket with it', async (t) => {
    const [monitor, path] = await start(t);
    const client = await negotiated(path);
    await client.write(execute('quit') + execute('query-name'));
    const said = withoutDifferences((await client.readToEnd()).toString());
    assert.equal(
      said,
      '{"timestamp": {T}, "event": "SHUTDOWN", "data": {"guest": false, "reason": "host-qmp-quit"}}\r\n{"return": {}, "id": 1}\r\n',
    );
    await monitor.quitted;
    await monitor.stop();
    assert.ok(!existsSync(path));
  });

  it('answers what a client sent before it shut down its side, then ends', async (t) => {
    const [monitor, path] = await start(t);
    const client = await negotiated(path);
    const hold = monitor.hold('query-name');
    await client.write(execute('query-name'));
    client.halfClose();
    await hold.reached;
    assert.equal(client.ended, false);
    hold.release();
    assert.equal((await client.readToEnd()).toString(), '{"return": {"name": "demo"}, "id": 1}\r\n');
  });
});

describe('for tests, the simulated monitor', () => {
  it('holds a command back until it is told, and those behind it', async (t) => {
    const [monitor, path] = await start(t);
    const client = await negotiated(path, true);
    const hold = monitor.hold('query-name');
    await client.write(execute('query-name', undefined, 'slow') + execute('query-uuid', undefined, 'behind'));
    await hold.reached;
    await client.write('{"exec-oob":"migrate-pause","id":"oob"}');
    assert.match(await client.readLine(), /^\{"id": "oob", "error"/);
    assert.equal(monitor.executions('query-uuid'), 0);
    hold.release();
    assert.deepEqual(
      (await client.readLines(2)).map((line) => /"id": "(.*?)"/.exec(line)?.[1]),
      ['slow', 'behind'],
    );
    await client.close();
  });

  it('stops reading when eight commands wait, out-of-band ones included, as QEMU does', async (t) => {
    const [monitor, path] = await start(t);
    const client = await negotiated(path, true);
    const hold = monitor.hold('query-name');
    const ids = [0, 1, 2, 3, 4, 5, 6, 7, 8];
    await client.write(ids.map((id) => execute('query-name', undefined, id)).join(''));
    await hold.reached;
    await client.write('{"exec-oob":"migrate-pause","id":"late"}');
    hold.release();
    const order = (await client.readLines(10)).map((line) => /"id": "?(\w+)/.exec(line)?.[1]);
    assert.equal(order[0], '0');
    assert.equal(order.indexOf('late') > 0, true);
    await client.close();
  });

  it('sends a reply that was due to a client that has left to the next one', async (t) => {
    const [monitor, path] = await start(t);
    const first = await negotiated(path);
    const hold = monitor.hold('query-name');
    await first.write(execute('query-name', undefined, 'gone'));
    await hold.reached;
    await first.close();
    const second = await RawClient.connect(path);
    await second.readLine();
    await second.write(execute('qmp_capabilities'));
    hold.release();
    const lines = await second.readLines(2);
    assert.match(lines[0] ?? '', /"id": "gone"/);
    assert.equal(lines[1], '{"return": {}, "id": 1}');
    await second.close();
  });

  it('sends events, replies and bytes as it is told, and breaks its connection', async (t) => {
    const [monitor, path] = await start(t);
    monitor.answer('query-name', `[18446744073709551615, "${'x'.repeat(1_000_000)}"]`);
    const client = await negotiated(path);
    assert.ok(monitor.hasClient);
    monitor.emit('BALLOON_CHANGE', { actual: 5 });
    assert.equal(
      withoutDifferences(await client.readLine()),
      '{"timestamp": {T}, "event": "BALLOON_CHANGE", "data": {"actual": 5}}',
    );
    await client.write(execute('query-name'));
    assert.equal(await client.readLine(), `{"return": [18446744073709551615, "${'x'.repeat(1_000_000)}"], "id": 1}`);
    monitor.say('no JSON\n');
    assert.equal(await client.readLine(), 'no JSON');
    monitor.drop();
    await client.readToEnd();
    const again = await negotiated(path);
    await again.close();
  });
});

describe('the client against the simulated monitor', () => {
  it('takes a reply of 20 MB, parsed or as it is, with 64-bit integers in it', async (t) => {
    const [monitor, path] = await start(t);
    const json = `[${'18446744073709551615, '.repeat(900_000)}"end"]`;
    monitor.answer('query-block', json);
    const client = await QmpClient.connect({ path });
    const [values, raw] = await Promise.all([
      client.execute<(bigint | string)[]>('query-block'),
      client.executeRaw('{"execute":"query-block","id":"raw"}'),
    ]);
    assert.deepEqual([values.length, values[0], values.at(-1)], [900_001, 18446744073709551615n, 'end']);
    assert.ok(raw.bytes.equals(Buffer.from(`{"return": ${json}, "id": "raw"}`)));
    await client.close();
  });

  it('is told by the error when the connection breaks under a command', async (t) => {
    const [monitor, path] = await start(t);
    const client = await QmpClient.connect({ path });
    const hold = monitor.hold('query-name');
    const answer = client.execute('query-name');
    await hold.reached;
    monitor.drop();
    await assert.rejects(answer, { code: 'QMPMUX_CLOSED', message: /before query-name was answered/ });
    // The command is still being executed, and the negotiation of the next client waits behind it.
    const connecting = QmpClient.connect({ path });
    hold.release();
    const again = await connecting;
    assert.deepEqual(await again.execute('query-name'), { name: 'demo' });
    await again.close();
  });
});

describe('pretty lines', () => {
  it('fold back into the one line they were made of', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const line = JSON.stringify({ value }).replace(
          /("(?:[^"\\]|\\.)*")|([:,])/g,
          (_, text?: string, mark?: string) => text ?? `${mark} `,
        );
        const folded = Buffer.from(new PrettyFolder().fold(Buffer.from(`${prettyLines(line)}\r\n`))).toString();
        assert.equal(folded, `${line}\r\n`);
      }),
    );
  });
});
