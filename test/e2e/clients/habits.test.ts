/** What real QMP clients do, each habit as a client of a few lines, against a real QEMU through the real daemon. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createConnection } from 'node:net';
import { before, describe, test } from 'node:test';
import { blockage } from '../../support/daemon/blockage.js';
import { type Scope, suiteScope } from '../../support/files/scratch.js';
import { missing } from '../../support/qemu/qemu.js';
import { type SharedVm, shareVm } from '../../support/qemu/shared-vm.js';
import { parseTarget, RawClient } from '../../support/world/raw-client.js';

describe('a client that', { skip: missing('qemu') }, () => {
  const scope = suiteScope();
  let vm: SharedVm;
  before(async () => {
    vm = await shareVm(scope, { name: 'habits' });
  });

  async function connect(t: Scope): Promise<RawClient> {
    const client = await RawClient.connect(vm.target);
    t.after(() => client.close());
    return client;
  }

  async function negotiated(t: Scope): Promise<RawClient> {
    const client = await connect(t);
    await client.readLine();
    await client.write('{"execute":"qmp_capabilities"}');
    await client.readLine();
    return client;
  }

  test('never ends a command with a newline is answered at once', async (t) => {
    const client = await connect(t);
    await client.readLine();
    await client.write('{"execute":"qmp_capabilities"}');
    assert.equal(await client.readLine(), '{"return": {}}');
    for (const id of [1, 2, 3]) {
      await client.write(`{"execute":"query-name","id":${id}}`);
      assert.equal(await client.readLine(), `{"return": {"name": "habits"}, "id": ${id}}`);
    }
  });

  test('splits what it reads at CRLF gets whole messages, and no LF elsewhere', async (t) => {
    const client = await negotiated(t);
    await client.write('{"execute":"query-name"}{"execute":"query-commands"}{"execute":"stop"}{}');
    await client.readLines(4);
    const messages = client.received.toString('latin1').split('\r\n');
    assert.equal(messages.pop(), '');
    assert.equal(messages.length, 6);
    for (const message of messages) assert.equal(typeof JSON.parse(message), 'object');
  });

  test('writes its JSON in single quotes is understood', async (t) => {
    const client = await connect(t);
    await client.readLine();
    await client.write("{'execute':'qmp_capabilities'}");
    assert.equal(await client.readLine(), '{"return": {}}');
    await client.write("{'execute': 'device_del', 'arguments': {'id': 'say \"hello\"'}}");
    assert.equal(
      await client.readLine(),
      '{"error": {"class": "DeviceNotFound", "desc": "Device \'say \\"hello\\"\' not found"}}',
    );
  });

  test('writes before it has read the greeting gets the greeting first', async (t) => {
    const client = await connect(t);
    await client.write("{'execute':'qmp_capabilities'}{'execute':'query-name'}");
    assert.match(await client.readLine(), /^\{"QMP": /);
    assert.deepEqual(await client.readLines(2), ['{"return": {}}', '{"return": {"name": "habits"}}']);
  });

  test('cuts two bytes off every read and compares with {"return": {}} sees success', async (t) => {
    const socket = createConnection(parseTarget(vm.target));
    t.after(() => {
      socket.destroy();
    });
    const read = async () => {
      const [chunk]: Buffer[] = await once(socket, 'data');
      return chunk?.subarray(0, -2).toString('latin1');
    };
    assert.match((await read()) ?? '', /^\{"QMP": .*\}\}$/);
    socket.write("{'execute':'qmp_capabilities'}");
    assert.equal(await read(), '{"return": {}}');
    socket.write("{'execute':'system_reset'}");
    let answer = await read();
    // QEMU writes the event and the answer apart, so they may be read apart, as they may be without qmpmux.
    while (answer?.includes('"RESET"') === true && !answer.includes('\r\n')) answer = await read();
    assert.ok(answer === '{"return": {}}' || answer?.endsWith('\r\n{"return": {}}') === true, answer);
  });

  test('takes its first read for the greeting and nothing else finds nothing glued to it', async (t) => {
    // others are at work and make events meanwhile
    const other = await negotiated(t);
    await other.write(`${'{"execute":"cont"}{"execute":"stop"}'.repeat(50)}{"execute":"query-name","id":"done"}`);
    for (let round = 0; round < 20; round++) {
      const socket = createConnection(parseTarget(vm.target));
      const [first]: Buffer[] = await once(socket, 'data');
      const greeting = first?.toString('latin1') ?? '';
      assert.ok(greeting.endsWith('\r\n'));
      assert.equal(typeof JSON.parse(greeting), 'object');
      assert.equal(greeting.indexOf('\n'), greeting.length - 1);
      socket.destroy();
    }
    await other.readLinesUntil((line) => line.includes('"done"'));
  });

  test('leaves on a blank line is never sent one', async (t) => {
    const client = await negotiated(t);
    await client.write('\n\n{"execute":"query-name"}\n\r\n\n{"execute":"stop"}\n\n[]\n\n@\n\n');
    await client.readLinesUntil((line) => line.includes("stray '@'"));
    for (const line of client.received.toString('latin1').split('\r\n').slice(0, -1)) assert.notEqual(line.trim(), '');
  });

  test('matches answers by order alone gets them in order, whoever answers', async (t) => {
    const client = await negotiated(t);
    const others = await Promise.all([negotiated(t), negotiated(t), negotiated(t)]);
    for (const other of others) await other.write('{"execute":"query-name"}{"execute":"query-version"}'.repeat(100));
    const expected: string[] = [];
    for (let round = 0; round < 100; round++) {
      const kinds = [
        ['{"execute":"query-name"}', '{"return": {"name": "habits"}}'],
        [
          `{"execute":"no-such-${round}"}`,
          `{"error": {"class": "CommandNotFound", "desc": "The command no-such-${round} has not been found"}}`,
        ],
        ['{}', `{"error": {"class": "GenericError", "desc": "QMP input lacks member 'execute'"}}`],
        [
          `{"execute":"device_del","arguments":{"id":"d${round}"}}`,
          `{"error": {"class": "DeviceNotFound", "desc": "Device 'd${round}' not found"}}`,
        ],
      ] as const;
      const [command, answer] = kinds[(round * 7) % 4] ?? kinds[0];
      await client.write(command);
      expected.push(answer);
    }
    assert.deepEqual(await client.readLines(100), expected);
  });

  test('wants oob in the greeting finds it, and may leave it alone', async (t) => {
    const client = await connect(t);
    assert.match(await client.readLine(), /"capabilities": \["oob"\]/);
    await client.write('{"execute":"qmp_capabilities"}{"exec-oob":"query-yank","id":1}');
    assert.deepEqual(await client.readLines(2), [
      '{"return": {}}',
      `{"id": 1, "error": {"class": "GenericError", "desc": "QMP input member 'exec-oob' is unexpected"}}`,
    ]);
  });

  test('enables oob whenever it is offered can use it, beside those that do not', async (t) => {
    const plain = await negotiated(t);
    const client = await connect(t);
    await client.readLine();
    await client.write('{"execute":"qmp_capabilities","arguments":{"enable":["oob"]}}');
    assert.equal(await client.readLine(), '{"return": {}}');
    await client.write('{"exec-oob":"migrate-pause","id":"oob"}');
    assert.match(await client.readLine(), /^\{"id": "oob", "error": .*postcopy-active/);
    await plain.write('{"exec-oob":"migrate-pause","id":"oob"}');
    assert.match(await plain.readLine(), /'exec-oob' is unexpected/);
  });

  test('gives up after a short time and asks again on a new connection gets its own answers only', async (t) => {
    const busy = await blockage(t);
    const other = await negotiated(t);
    await other.write(`{${busy.members},"id":"busy"}`);
    await busy.begun;
    for (let attempt = 0; attempt < 5; attempt++) {
      const impatient = await RawClient.connect(vm.target);
      await impatient.readLine();
      await impatient.write(`{"execute":"qmp_capabilities"}{"execute":"query-name","id":"attempt ${attempt}"}`);
      assert.equal(await impatient.readLine(), '{"return": {}}');
      await impatient.close();
    }
    const last = await negotiated(t);
    await last.write('{"execute":"query-name","id":"last"}');
    busy.release();
    assert.equal(await other.readLine(), `{"id": "busy", "error": ${busy.error}}`);
    assert.equal(await last.readLine(), '{"return": {"name": "habits"}, "id": "last"}');
  });

  test('cannot read lines over 64 KiB gets none but what it asks for', async (t) => {
    const modest = await negotiated(t);
    const greedy = await negotiated(t);
    await greedy.write('{"execute":"query-qmp-schema"}'.repeat(3));
    await modest.write('{"execute":"query-status"}{"execute":"query-name"}');
    await modest.readLines(2);
    await greedy.write('{"execute":"stop"}');
    await greedy.readLines(4);
    const lines = modest.received.toString('latin1').split('\r\n');
    assert.ok(lines.every((line) => line.length < 64 * 1024));
  });

  test('speaks HTTP, SSH or TLS to the socket harms nobody', async (t) => {
    const client = await negotiated(t);
    for (const hello of [
      'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n',
      'SSH-2.0-OpenSSH_9.2p1\r\n',
      '\x16\x03\x01\x02\x00\x01',
    ]) {
      const stranger = await RawClient.connect(vm.target);
      await stranger.write(Buffer.from(hello, 'latin1'));
      stranger.halfClose();
      assert.match((await stranger.readToEnd()).toString('latin1'), /"error"/);
      await stranger.close();
    }
    await client.write('{"execute":"query-name","id":1}');
    assert.equal(await client.readLine(), '{"return": {"name": "habits"}, "id": 1}');
  });
});
