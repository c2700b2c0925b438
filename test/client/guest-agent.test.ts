import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { ConnectionError } from '../../dist/client/errors.js';
import { QmpClient } from '../../dist/client/qmp-client.js';
import { scratch } from '../support/files/scratch.js';
import { startFakeAgent } from '../support/qemu/fake-agent.js';
import { GREETING, ScriptedServer } from '../support/world/scripted-server.js';

const failure = (code: string, message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof ConnectionError);
  assert.equal(error.code, code);
  assert.match(error.message, message);
  return true;
};

describe('a guest agent that others have used before', () => {
  for (const earlier of [
    '[[[[',
    '{"execute":',
    '{"execute":"guest-ping","arguments":{',
    '{"execute":"guest-ping","arguments":{"x":"',
    '{"execute":"guest-pi',
    '"',
    "'\\",
    '{"execute":"guest-ping"',
    '{"execute":"guest-ping"}\n',
    '}]x\u00ff[',
  ]) {
    it(`answers after ${JSON.stringify(earlier)}`, async (t) => {
      const agent = await startFakeAgent(t, { earlier });
      const client = await QmpClient.connect({ path: agent.path }, { greeting: false });
      assert.deepEqual(await client.execute('guest-ping'), {});
      await client.close();
    });
  }

  const answer = '{"return": {"text": "a \\"{[ b", "list": [{"n": 1}, {"n": 2}]}, "id": 1}\n';
  it('is understood after any end of an answer', async (t) => {
    for (let from = 0; from < answer.length; from++) {
      const agent = await startFakeAgent(t, { stale: answer.slice(from) });
      const client = await QmpClient.connect({ path: agent.path }, { greeting: false });
      await assert.rejects(client.execute('guest-none'), { class: 'CommandNotFound' });
      client.destroy();
    }
  });

  it('is understood after any beginning of an answer, such as a kill leaves', async (t) => {
    for (let to = 1; to < answer.length; to++) {
      const agent = await startFakeAgent(t, { stale: answer.slice(0, to) });
      const client = await QmpClient.connect({ path: agent.path }, { greeting: false });
      assert.deepEqual(await client.execute('guest-ping'), {});
      client.destroy();
    }
  });

  it('is not confused by its answers to other clients that synchronized', async () => {
    const server = new ScriptedServer();
    const connecting = QmpClient.connect(server.clientEnd, { greeting: false });
    const sync = await server.command();
    server.say(Buffer.from('\u00ff{"return": 5, "id": 1}\n\u00ff{"return": 6}\n', 'latin1'));
    server.say('{"error": {"class": "GenericError", "desc": "JSON parse error"}}\n');
    for (const byte of Buffer.from(
      `\u00ff{"return": ${String(sync.arguments?.['id'])}, "id": "${String(sync.id)}"}\n`,
      'latin1',
    ))
      server.say(Buffer.of(byte));
    const client = await connecting;
    const pong = client.execute('guest-ping');
    server.reply(await server.command(), { pong: true });
    assert.deepEqual(await pong, { pong: true });
    client.destroy();
  });
});

describe('connecting without a greeting', () => {
  it('resets the parser of the other side by 0xFF before anything else', async () => {
    const server = new ScriptedServer();
    const connecting = QmpClient.connect(server.clientEnd, { greeting: false });
    const sync = await server.command();
    assert.match(server.received, /^\u00ff\{"execute":"guest-sync-delimited","arguments":\{"id":\d+\},"id":"/);
    server.reply(sync, sync.arguments?.['id']);
    (await connecting).destroy();
  });

  it('asks for another number each time', async () => {
    const numbers = new Set<unknown>();
    for (let count = 0; count < 5; count++) {
      const server = new ScriptedServer();
      const connecting = QmpClient.connect(server.clientEnd, { greeting: false });
      const sync = await server.command();
      numbers.add(sync.arguments?.['id']);
      server.reply(sync, sync.arguments?.['id']);
      (await connecting).destroy();
    }
    assert.equal(numbers.size, 5);
  });

  it('does without guest-sync-delimited where that is refused, and takes a greeting for nothing', async () => {
    for (const errorClass of ['CommandNotFound', 'GenericError']) {
      const server = new ScriptedServer();
      const connecting = QmpClient.connect(server.clientEnd, { greeting: false });
      const sync = await server.command();
      server.say(`${GREETING}{"error": {"class": "GenericError", "desc": "JSON parse error"}}\r\n`);
      server.say(`{"id": "${String(sync.id)}", "error": {"class": "${errorClass}", "desc": "no"}}\r\n`);
      const client = await connecting;
      const answer = client.execute('query-name');
      server.reply(await server.command(), { name: 'vm' });
      assert.deepEqual(await answer, { name: 'vm' });
      client.destroy();
    }
  });

  it('gives up in time where nobody answers, and says why', async (t) => {
    const path = join(scratch(t), 'silent');
    const server = createServer((socket) => {
      socket.on('error', () => {});
      t.after(() => socket.destroy());
    }).listen(path);
    t.after(() => server.close());
    await once(server, 'listening');
    await assert.rejects(
      QmpClient.connect({ path }, { greeting: false, timeout: 20 }),
      failure(
        'QMPMUX_GREETING_TIMEOUT',
        /no answer to guest-sync-delimited within 20 ms; the guest agent may not be running/,
      ),
    );
  });

  it('says so where an agent answers without ids', async () => {
    const server = new ScriptedServer();
    const connecting = QmpClient.connect(server.clientEnd, { greeting: false });
    const sync = await server.command();
    server.say(Buffer.from(`\u00ff{"return": ${String(sync.arguments?.['id'])}}\n`, 'latin1'));
    await assert.rejects(connecting, failure('QMPMUX_NOT_QMP', /too old: it answers without the id/));
  });

  it('reads the answer to guest-sync-delimited of the caller, before which 0xFF comes', async (t) => {
    const agent = await startFakeAgent(t);
    const client = await QmpClient.connect({ path: agent.path }, { greeting: false });
    assert.equal(await client.execute('guest-sync-delimited', { id: 5 }), 5);
    const raw = await client.executeRaw('{"execute": "guest-sync-delimited", "arguments": {"id": 6}}');
    assert.equal(raw.bytes.toString(), '{"return":6}');
    assert.deepEqual(await client.execute('guest-ping'), {});
    await client.close();
  });
});
