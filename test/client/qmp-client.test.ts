import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import {
  ConnectionError,
  EventOverflowError,
  MalformedCommandError,
  OobUnavailableError,
  QmpError,
} from '../../dist/client/errors.js';
import type { ConnectOptions } from '../../dist/client/options.js';
import { QmpClient } from '../../dist/client/qmp-client.js';
import { scratch } from '../support/files/scratch.js';
import { GREETING, ScriptedServer } from '../support/world/scripted-server.js';

async function pair(options: ConnectOptions = {}): Promise<[QmpClient, ScriptedServer]> {
  const server = new ScriptedServer();
  const [client] = await Promise.all([QmpClient.connect(server.clientEnd, options), server.negotiate()]);
  return [client, server];
}

/** A listening socket that greets with `bytes`, or says nothing. */
async function listen(t: TestContext, bytes = ''): Promise<string> {
  const path = join(scratch(t), 's');
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    socket.write(bytes);
  });
  server.listen(path);
  await once(server, 'listening');
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return path;
}

const event = (name: string, data = '') =>
  `{"timestamp": {"seconds": 1700000000, "microseconds": 42}, "event": "${name}"${data}}\r\n`;

const failure = (code: string, message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof ConnectionError);
  assert.equal(error.code, code);
  assert.match(error.message, message);
  return true;
};

describe('connecting', () => {
  it('without waiting for a greeting sends at once, and takes one that comes for nothing', async () => {
    const server = new ScriptedServer();
    const connecting = QmpClient.connect(server.clientEnd, { greeting: false });
    const sync = await server.command();
    server.reply(sync, sync.arguments?.['id']);
    const client = await connecting;
    assert.deepEqual(client.greeting.capabilities, []);
    const answer = client.execute('guest-ping');
    server.say(GREETING);
    server.reply(await server.command(), { pong: true });
    assert.deepEqual(await answer, { pong: true });
  });

  it('reports every message, as it is on the wire and in order', async () => {
    const wire: string[] = [];
    const [client, server] = await pair({
      onMessage: (direction, bytes) => wire.push(`${direction} ${bytes.toString()}`),
    });
    const answer = client.executeRaw('{"execute": "stop"}');
    const command = await server.command();
    server.say(event('STOP'));
    server.reply(command, {});
    await answer;
    assert.match(wire[1] ?? '', /^sent \{"execute":"qmp_capabilities",/);
    assert.equal(wire[0], `received ${GREETING.trim()}`);
    assert.deepEqual(wire.slice(3), [
      'sent {"execute": "stop","id":1}',
      `received ${event('STOP').trim()}`,
      'received {"return": {}, "id": 1}',
    ]);
    assert.match(wire[2] ?? '', /^received \{"return": \{\}, /);
  });

  it('negotiates without oob unless asked, and with it where it is offered', async () => {
    for (const [oob, sent] of [
      [false, undefined],
      [true, { enable: ['oob'] }],
    ] as const) {
      const server = new ScriptedServer();
      const connecting = QmpClient.connect(server.clientEnd, { oob });
      const command = await server.negotiate();
      assert.equal(command.execute, 'qmp_capabilities');
      assert.deepEqual(command.arguments, sent);
      const client = await connecting;
      assert.equal(client.oob, oob);
      assert.deepEqual(client.greeting.capabilities, ['oob']);
      assert.deepEqual(client.greeting.version['package'], 'scripted');
      assert.equal(`${client.greeting.bytes.toString()}\r\n`, GREETING);
      client.destroy();
    }
  });

  it('does without oob where it is not offered', async () => {
    const server = new ScriptedServer();
    const connecting = QmpClient.connect(server.clientEnd, { oob: true });
    server.say('{"QMP": {"version": {}, "capabilities": []}}\r\n');
    const command = await server.command();
    assert.equal(command.arguments, undefined);
    server.reply(command, {});
    const client = await connecting;
    assert.equal(client.oob, false);
    await assert.rejects(client.executeOob('query-yank'), OobUnavailableError);
    client.destroy();
  });

  it('leaves negotiation to a caller that wants it', async () => {
    const server = new ScriptedServer();
    server.say(GREETING);
    const client = await QmpClient.connect(server.clientEnd, { negotiate: false });
    const answer = client.execute('query-status');
    const command = await server.command();
    assert.equal(command.execute, 'query-status');
    server.say(
      `{"id": ${JSON.stringify(command.id)}, "error": {"class": "CommandNotFound", "desc": "Expecting capabilities negotiation with 'qmp_capabilities'"}}\r\n`,
    );
    await assert.rejects(answer, { name: 'QmpError', class: 'CommandNotFound' });
    client.destroy();
  });

  it('is not confused by replies that were due to an earlier client', async () => {
    const server = new ScriptedServer();
    const connecting = QmpClient.connect(server.clientEnd);
    server.say(GREETING);
    server.say('{"return": {"stale": true}, "id": 1}\r\n{"error": {"class": "GenericError", "desc": "stale"}}\r\n');
    server.reply(await server.command(), {});
    const client = await connecting;
    const answer = client.execute('query-status');
    server.reply(await server.command(), { fresh: true });
    assert.deepEqual(await answer, { fresh: true });
    client.destroy();
  });

  it('distinguishes a server that is missing, busy, or not a QMP server', async (t) => {
    const folder = scratch(t);
    await assert.rejects(
      QmpClient.connect({ path: join(folder, 'none') }),
      failure('QMPMUX_REFUSED', /unix:.*none: no such socket/),
    );
    const closed = createServer().listen(0, '127.0.0.1');
    await once(closed, 'listening');
    const address = closed.address();
    assert.ok(typeof address === 'object' && address !== null);
    closed.close();
    await once(closed, 'close');
    await assert.rejects(
      QmpClient.connect({ host: '127.0.0.1', port: address.port }),
      failure('QMPMUX_REFUSED', /tcp:127\.0\.0\.1:\d+: nothing listens there/),
    );
    await assert.rejects(
      QmpClient.connect({ path: await listen(t) }, { timeout: 20 }),
      failure('QMPMUX_GREETING_TIMEOUT', /no greeting within 20 ms/),
    );
    for (const [greeting, said] of [
      ['SSH-2.0-OpenSSH_9.2\r\n', /not a QMP server: it sent "SSH-2.0-OpenSSH_9.2"/],
      ['{"hello": "world"}\n', /its first message is not a greeting/],
      ['{"QMP": }\n', /not a QMP server/],
      ['\u00ff\u00fb\u0001', /not a QMP server/],
    ] as const)
      await assert.rejects(QmpClient.connect({ path: await listen(t, greeting) }), failure('QMPMUX_NOT_QMP', said));
  });

  it('skips messages for an earlier client, before the greeting', async () => {
    const early = `${event('STOP')}{"return": {}, "id": 7}\r\n{"error": {"class": "GenericError", "desc": "x"}}\r\n`;
    for (const bytes of [1, 7, early.length + GREETING.length]) {
      const server = new ScriptedServer();
      const connecting = QmpClient.connect(server.clientEnd);
      const all = early + GREETING;
      for (let at = 0; at < all.length; at += bytes) server.say(all.slice(at, at + bytes));
      const command = await server.command();
      assert.equal(command.execute, 'qmp_capabilities');
      server.reply(command, {});
      const client = await connecting;
      assert.equal(client.greeting.version['package'], 'scripted');
      client.destroy();
    }
  });

  it('does not wait for ever for a greeting after events', async (t) => {
    const path = await listen(t, event('STOP').repeat(2000));
    await assert.rejects(QmpClient.connect({ path }), failure('QMPMUX_NOT_QMP', /1001 messages, and no greeting/));
  });

  it('says what to do where a human monitor answers', async (t) => {
    const path = await listen(t, "QEMU 7.2.22 monitor - type 'help' for more information\r\n(qemu) ");
    await assert.rejects(QmpClient.connect({ path }), failure('QMPMUX_NOT_QMP', /that is a human monitor/));
  });

  it('fails when the server closes instead of greeting or negotiating', async () => {
    const silent = new ScriptedServer();
    silent.end();
    await assert.rejects(QmpClient.connect(silent.clientEnd), failure('QMPMUX_CLOSED', /before its greeting/));
    const greets = new ScriptedServer();
    greets.say(GREETING);
    const connecting = QmpClient.connect(greets.clientEnd);
    await greets.command();
    greets.end();
    await assert.rejects(connecting, failure('QMPMUX_CLOSED', /before qmp_capabilities was answered/));
  });

  it('reports a refused negotiation as the error it is', async () => {
    const server = new ScriptedServer();
    const connecting = QmpClient.connect(server.clientEnd);
    server.say(GREETING);
    const { id } = await server.command();
    server.say(`{"id": ${JSON.stringify(id)}, "error": {"class": "GenericError", "desc": "no"}}\r\n`);
    await assert.rejects(connecting, { name: 'QmpError', desc: 'no', command: 'qmp_capabilities' });
    await server.ended();
  });

  it('can be given up at any point', async (t) => {
    const reason = new Error('enough');
    await assert.rejects(QmpClient.connect({ path: '/nowhere' }, { signal: AbortSignal.abort(reason) }), reason);
    const path = await listen(t);
    const controller = new AbortController();
    const connecting = QmpClient.connect({ path }, { signal: controller.signal });
    await setImmediate();
    controller.abort(reason);
    await assert.rejects(connecting, reason);
    const server = new ScriptedServer();
    const second = new AbortController();
    server.say(GREETING);
    const negotiating = QmpClient.connect(server.clientEnd, { signal: second.signal });
    await server.command();
    second.abort(reason);
    await assert.rejects(negotiating, reason);
    await server.ended();
  });
});

describe('a command', () => {
  it('gets the reply with its id, in whatever order replies come', async () => {
    const [client, server] = await pair();
    const answers = ['a', 'b', 'c'].map((name) => client.execute(name));
    assert.equal(client.inFlight, 3);
    const commands = await server.commands(3);
    for (const command of commands.toReversed()) server.reply(command, command.execute);
    assert.deepEqual(await Promise.all(answers), ['a', 'b', 'c']);
    assert.equal(client.inFlight, 0);
    client.destroy();
  });

  it('can be one of thousands in flight', async () => {
    const [client, server] = await pair();
    const answers = Promise.all(Array.from({ length: 5000 }, (_, n) => client.execute('echo', { n })));
    const served = (async () => {
      for (let n = 0; n < 5000; n++) {
        const command = await server.command();
        server.reply(command, command.arguments?.['n']);
      }
    })();
    assert.deepEqual(
      await answers,
      Array.from({ length: 5000 }, (_, n) => n),
    );
    await served;
    client.destroy();
  });

  it('keeps 64-bit integers exact both ways', async () => {
    const [client, server] = await pair();
    const answer = client.execute('x', { size: 18446744073709551615n, small: 7 });
    server.say(
      `{"return": {"big": 18446744073709551615, "small": 7, "float": 0.5}, "id": ${Number((await server.command()).id)}}\r\n`,
    );
    assert.deepEqual(await answer, { big: 18446744073709551615n, small: 7, float: 0.5 });
    assert.match(
      server.received,
      /\n\{"execute":"x","arguments":\{"size":18446744073709551615,"small":7\},"id":1\}\n$/,
    );
    client.destroy();
  });

  it('that fails rejects with class, description and its name', async () => {
    const [client, server] = await pair();
    const answer = client.execute('nope');
    const { id } = await server.command();
    server.say(
      `{"id": ${Number(id)}, "error": {"class": "CommandNotFound", "desc": "The command nope has not been found"}}\r\n`,
    );
    await assert.rejects(answer, (error) => {
      assert.ok(error instanceof QmpError);
      assert.deepEqual(
        [error.code, error.class, error.desc, error.message, error.command],
        [
          'QMPMUX_COMMAND_FAILED',
          'CommandNotFound',
          'The command nope has not been found',
          'The command nope has not been found',
          'nope',
        ],
      );
      return true;
    });
    client.destroy();
  });

  it('takes an error without an id for the oldest one', async () => {
    const [client, server] = await pair();
    const [first, second] = [client.execute('a'), client.execute('b')];
    const [, command] = await server.commands(2);
    server.say('{"error": {"class": "GenericError", "desc": "JSON parse error, expecting value"}}\r\n');
    await assert.rejects(first, { command: 'a', desc: /parse error/ });
    server.reply(command ?? {}, 1);
    assert.equal(await second, 1);
    client.destroy();
  });

  it('that is aborted stops waiting; its reply is swallowed when it comes', async () => {
    const [client, server] = await pair();
    const reason = new Error('enough');
    const controller = new AbortController();
    const [first, second] = [client.execute('a', {}, { signal: controller.signal }), client.execute('b')];
    const [a, b] = await server.commands(2);
    controller.abort(reason);
    await assert.rejects(first, reason);
    assert.equal(client.inFlight, 2);
    server.reply(a ?? {}, 'late');
    server.reply(b ?? {}, 'b');
    assert.equal(await second, 'b');
    assert.equal(client.inFlight, 0);
    await assert.rejects(client.execute('c', {}, { signal: controller.signal }), reason);
    assert.equal(client.inFlight, 0);
    client.destroy();
  });

  it('that cannot be written as JSON is the fault of the caller, and is not sent', async () => {
    const [client] = await pair();
    await assert.rejects(client.execute('x', { a: Number.NaN }), TypeError);
    await assert.rejects(client.execute('x', { a: 'half \ud800' }), TypeError);
    assert.equal(client.inFlight, 0);
    client.destroy();
  });

  it('goes out of band only when that was negotiated', async () => {
    const [client, server] = await pair({ oob: true });
    const answer = client.executeOob('migrate-pause');
    const command = await server.command();
    assert.equal(command['exec-oob'], 'migrate-pause');
    server.reply(command, {});
    assert.deepEqual(await answer, {});
    const [plain] = await pair();
    await assert.rejects(plain.executeOob('migrate-pause'), /connect with \{ oob: true \}/);
    client.destroy();
    plain.destroy();
  });

  it('fails when the connection ends, and says which one', async () => {
    const [client, server] = await pair();
    const answer = client.execute('query-status');
    await server.command();
    server.end();
    await assert.rejects(
      answer,
      failure('QMPMUX_CLOSED', /server closed the connection, before query-status was answered/),
    );
    assert.equal((await client.closed)?.code, 'QMPMUX_CLOSED');
    await assert.rejects(client.execute('x'), failure('QMPMUX_CLOSED', /x was not sent/));
  });
});

describe('a raw command', () => {
  it("gets the reply in the form the server writes, other forms than QEMU's included", async () => {
    const [client, server] = await pair();
    for (const [command, reply, restored] of [
      ['{"execute":"a"}', '{"return":{},"id":N}', '{"return":{}}'],
      ['{"execute":"a"}', '{"id" : N , "return" : "\\"}" }', '{"return" : "\\"}" }'],
      ['{"execute":"a"}', '{ "id": N , "error": {} }', '{ "error": {} }'],
      ['{"execute":"a","id":"x]"}', '{"return":1,"id":[N,"x]"]}', '{"return":1,"id":"x]"}'],
      ['{"execute":"a","id":[2,3]}', '{"id":[N, [2, 3]], "return":"[]"}', '{"id":[2, 3], "return":"[]"}'],
      ['{"execute":"a"}', '{\n    "return": {\n    },\n    "id": N\n}', '{\n    "return": {\n    }\n}'],
      [
        '{"execute":"a","id":1}',
        '{\n    "return": 1,\n    "id": [\n        N,\n        1\n    ]\n}',
        '{\n    "return": 1,\n    "id": 1\n}',
      ],
    ] as const) {
      const answer = client.executeRaw(command);
      const { id } = await server.command();
      server.say(`${event('X')}${reply.replace('N', String(Array.isArray(id) ? id[0] : id))}\r\n`);
      assert.equal((await answer).bytes.toString(), restored);
    }
    client.destroy();
  });

  it('that is malformed is refused before it is sent', async () => {
    const [client, server] = await pair();
    for (const [command, why] of [
      ['', /the command is missing/],
      ['  \n', /the command is missing/],
      ['{"execute":"a"', /is incomplete/],
      ['{"execute":"a"}{"execute":"b"}', /something follows the command/],
      ['{"execute":"a"} x', /something follows the command/],
      ['[]', /QMP input must be a JSON object/],
      ['{"execute":"a",}', /JSON parse error, expecting value/],
      ['{"execute":"a","execute":"a"}', /JSON parse error, duplicate key/],
      ['{"execute":"\u0001"}', /JSON parse error, stray/],
      [`{"execute":"a","id":${'['.repeat(1010)}${']'.repeat(1010)}}`, /nested too deep/],
    ] as const)
      await assert.rejects(client.executeRaw(command), (error) => {
        assert.ok(error instanceof MalformedCommandError);
        assert.match(error.message, why);
        return true;
      });
    assert.equal(client.inFlight, 0);
    assert.deepEqual(server.received.split('\n').length, 2);
    client.destroy();
  });

  it('can be aborted, and fails with the connection', async () => {
    const [client, server] = await pair();
    const reason = new Error('enough');
    const controller = new AbortController();
    const [first, second] = [
      client.executeRaw('{"execute":"a"}', { signal: controller.signal }),
      client.executeRaw('{"id":1}'),
    ];
    await server.commands(2);
    controller.abort(reason);
    await assert.rejects(first, reason);
    client.destroy();
    await assert.rejects(second, failure('QMPMUX_CLOSED', /before the command was answered/));
  });
});

describe('events', () => {
  it('reach listeners and every iterator, before the reply they precede', async () => {
    const [client, server] = await pair();
    const seen: string[] = [];
    client.on('event', ({ name }) => seen.push(`on ${name}`));
    const [one, two] = [client.events(), client.events()];
    const stopped = client.execute('stop').then(() => seen.push('answered'));
    const command = await server.command();
    server.say(event('STOP'));
    server.reply(command, {});
    await stopped;
    assert.deepEqual(seen, ['on STOP', 'answered']);
    for (const stream of [one, two]) assert.equal((await stream.next()).value?.name, 'STOP');
    client.destroy();
  });

  it('stay where the server put them among the replies, though all come in one packet', async () => {
    const [client, server] = await pair();
    const seen: string[] = [];
    client.on('event', ({ name }) => seen.push(name));
    const answers = ['a', 'b', 'c'].map(async (name) => {
      await client.execute(name);
      seen.push(name);
    });
    const ids = (await server.commands(3)).map(({ id }) => Number(id));
    server.say(`${event('A')}${ids.map((id) => `{"return": {}, "id": ${id}}\r\n${event('X')}${event('Y')}`).join('')}`);
    server.end();
    await Promise.all(answers);
    await client.closed;
    assert.deepEqual(seen, ['A', 'a', 'X', 'Y', 'b', 'X', 'Y', 'c', 'X', 'Y']);
  });

  it('carry data, time and the exact bytes', async () => {
    const [client, server] = await pair();
    const events = client.events();
    const text = event('RESET', ', "data": {"guest": true}');
    server.say(text);
    const { value } = await events.next();
    assert.deepEqual(value?.data, { guest: true });
    assert.deepEqual(value?.timestamp, { seconds: 1700000000, microseconds: 42 });
    assert.equal(`${value?.bytes.toString() ?? ''}\r\n`, text);
    client.destroy();
  });

  it('are not missed when they follow the negotiation in the same packet', async () => {
    const server = new ScriptedServer();
    const connecting = QmpClient.connect(server.clientEnd);
    server.say(GREETING);
    const { id } = await server.command();
    server.say(`{"return": {}, "id": ${JSON.stringify(id)}}\r\n${event('STOP')}`);
    const client = await connecting;
    assert.equal((await client.events().next()).value?.name, 'STOP');
    client.destroy();
  });

  it('end the iteration when the connection ends, after those that wait', async () => {
    const [client, server] = await pair();
    const events = client.events();
    server.say(event('A') + event('B'));
    server.end();
    await client.closed;
    const names: string[] = [];
    for await (const { name } of events) names.push(name);
    assert.deepEqual(names, ['A', 'B']);
    for await (const { name } of client.events()) names.push(name);
    assert.equal(names.length, 2);
  });

  it('fail a reader that falls behind its limit, after those that were kept', async () => {
    const [client, server] = await pair();
    const slow = client.events({ limit: 2 });
    const quick = client.events();
    for (const name of ['A', 'B', 'C', 'D']) server.say(event(name));
    const quickly: string[] = [];
    for await (const { name } of quick) if (quickly.push(name) === 4) break;
    assert.deepEqual(quickly, ['A', 'B', 'C', 'D']);
    assert.equal((await slow.next()).value?.name, 'A');
    assert.equal((await slow.next()).value?.name, 'B');
    await assert.rejects(slow.next(), EventOverflowError);
    assert.equal((await slow.next()).done, true);
    client.destroy();
  });

  it('stop coming to an iterator that is left or aborted', async () => {
    const [client, server] = await pair();
    const controller = new AbortController();
    const aborted = client.events({ signal: controller.signal });
    const waiting = aborted.next();
    const reason = new Error('enough');
    controller.abort(reason);
    await assert.rejects(waiting, reason);
    await assert.rejects(client.events({ signal: controller.signal }).next(), reason);
    const left = client.events();
    server.say(event('A') + event('B'));
    for await (const { name } of left) {
      assert.equal(name, 'A');
      break;
    }
    assert.equal((await left.next()).done, true);
    client.destroy();
  });
});

describe('a server that breaks the protocol', () => {
  for (const [what, bytes] of [
    ['garbage', 'garbage\r\n'],
    ['bytes that are no text', Buffer.from([0xff, 0xfe, 0x00])],
    ['a message that is no JSON', '{"return": {,}, "id": 1}\r\n'],
    ['mismatched brackets', '{"return": [}, "id": 1}]\r\n'],
    ['a number that is no JSON', '{"return": inf, "id": 1}\r\n'],
    ['an object that is no message', '{"hello": 1}\r\n'],
  ] as const) {
    it(`is left when it sends ${what}`, async () => {
      const [client, server] = await pair();
      const [answer, events] = [client.execute('a'), client.events()];
      await server.command();
      server.say(bytes);
      await assert.rejects(
        answer,
        failure('QMPMUX_MALFORMED', /the server broke the protocol: .*, before a was answered/s),
      );
      assert.equal((await client.closed)?.code, 'QMPMUX_MALFORMED');
      assert.equal((await events.next()).done, true);
      await server.ended();
    });
  }

  it('is left when its message grows beyond the limit', async () => {
    const [client, server] = await pair({ maxMessageBytes: 100_000 });
    const answer = client.execute('a');
    await server.command();
    server.say(`{"return": "${'x'.repeat(200_000)}`);
    await assert.rejects(answer, failure('QMPMUX_MALFORMED', /a message of more than 100000 bytes/));
  });

  it('that closes in the middle of a message is said to', async () => {
    const [client, server] = await pair();
    const answer = client.execute('a');
    await server.command();
    server.say('{"return": {"status": "runn');
    server.end();
    await assert.rejects(answer, failure('QMPMUX_CLOSED', /in the middle of a message/));
  });

  it('harms nobody by single bytes, blank lines or many lines', async () => {
    const [client, server] = await pair();
    const answer = client.execute('a');
    const { id } = await server.command();
    for (const byte of Buffer.from(
      `\r\n\n  {\n    "return": {\n        "a": "}{\\""\n    },\n    "id": ${Number(id)}\n}\r\n`,
    )) {
      server.say(Buffer.from([byte]));
    }
    assert.deepEqual(await answer, { a: '}{"' });
    client.destroy();
  });

  it('does not lose the messages after an event whose listener throws', async () => {
    const [client, server] = await pair();
    // The test runner listens for uncaught exceptions: this one is ours, and must come.
    const runners = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    const uncaught = once(process, 'uncaughtException');
    client.once('event', () => {
      throw new Error('the fault of a listener');
    });
    const answer = client.execute('a');
    const command = await server.command();
    server.say('{"event": "X"}\r\n');
    server.reply(command, 1);
    assert.equal(await answer, 1);
    const [error] = await uncaught;
    for (const listener of runners) process.on('uncaughtException', listener);
    assert.match(String(error), /the fault of a listener/);
    client.destroy();
  });
});

describe('closing', () => {
  it('waits for the answers that are due, and refuses new commands', async () => {
    const [client, server] = await pair();
    const answer = client.execute('a');
    const closing = client.close();
    assert.deepEqual(client.state, { name: 'closing' });
    await assert.rejects(client.execute('b'), failure('QMPMUX_CLOSED', /b was not sent/));
    server.reply(await server.command(), 'a');
    await server.ended();
    assert.equal(await answer, 'a');
    server.end();
    await closing;
    assert.equal(await client.closed, null);
    assert.deepEqual(client.state, { name: 'closed', error: null });
  });

  it('does not wait for ever for a server that keeps its side open', async () => {
    const [client] = await pair();
    await client.close();
    assert.equal(await client.closed, null);
  });

  it('at once fails commands in flight', async () => {
    const [client, server] = await pair();
    const answer = client.execute('a');
    await server.command();
    const told = once(client, 'close');
    client.destroy();
    await assert.rejects(answer, failure('QMPMUX_CLOSED', /the connection is closed, before a was answered/));
    assert.deepEqual(await told, [null]);
    await client.close();
  });
});
