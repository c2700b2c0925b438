import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { prettyPrinted } from '../../support/world/fake-qemu.js';
import { World } from '../../support/world/world.js';

/** @returns why the upstream is lost after a peer that said `pieces`; undefined when it is not. */
function lostReason(...pieces: string[]): string | undefined {
  const world = new World();
  const link = world.connectUpstream();
  for (const piece of pieces) world.qemu.send(piece);
  assert.equal(link.isDestroyed, world.mux.state.name === 'lost');
  return world.mux.state.name === 'lost' ? world.mux.state.reason : undefined;
}

/** @returns a world with a client that waits for answers to `a`, `b` and an out-of-band command. */
function waiting(): { world: World; client: ReturnType<World['client']> } {
  const world = World.running();
  const client = world.client().negotiate('oob');
  client.send('{"execute":"a","id":"a"}{"execute":"b","id":"b"}{"exec-oob":"yank","id":"o"}');
  world.log.length = 0;
  return { world, client };
}

describe('an upstream that is long-winded', () => {
  const greeting = (length: number) =>
    `{"QMP": {"version": {"qemu": {"micro": 1, "minor": 2, "major": 7}, "package": "${'x'.repeat(length)}"}, "capabilities": []}}\r\n`;

  it('that greets with more than 64 KiB is no QMP server, and answers to the handshake of more than 4 MiB are nobody’s', () => {
    assert.match(lostReason(greeting(70_000)) ?? '', /^not a QMP server/);
    assert.equal(lostReason(greeting(60_000)), undefined);
    const world = new World();
    world.connectUpstream();
    world.qemu.greet();
    world.qemu.send(`{"return": "${'x'.repeat(4_200_000)}", "id": "nonce1nonce"}\r\n`);
    assert.equal(world.mux.state.name, 'negotiating');
    assert.equal(world.logged('stray').length, 1);
    world.qemu.answerHandshake();
    assert.equal(world.mux.state.name, 'running');
  });

  it('has messages of other servers read up to 4 MiB, and longer ones belong to nobody', () => {
    const world = World.running();
    const client = world.client().negotiate();
    client.send('{"execute":"a","id":1}');
    const id = /"id":(\d+)\}$/.exec(world.upstream.text)?.[1] ?? '';
    world.qemu.send(`{"id": ${id}, "return": "${'x'.repeat(5 * 1024 * 1024)}"}\r\n`);
    assert.equal(world.logged('stray').length, 1);
    assert.deepEqual(client.take(), []);
    world.qemu.returns();
    world.settle();
    assert.deepEqual(client.take(), ['{"return": {}, "id": 1}']);
  });
});

describe('the end of the upstream', () => {
  it('is EOF for every client, after the rest of its output', () => {
    const world = World.running();
    const client = world.client().negotiate('oob');
    const fresh = world.client();
    client.send('{"execute":"quit","id":1}{"execute":"a"}{"exec-oob":"yank"}');
    const event = world.qemu.event('SHUTDOWN', '{"guest": false}');
    world.qemu.waiting.sort((a, b) => Number(a.oob) - Number(b.oob));
    world.qemu.returns();
    world.mux.upstreamClosed('QEMU has exited');
    assert.deepEqual(client.take(), [event, '{"return": {}, "id": 1}']);
    for (const each of [client, fresh]) {
      assert.equal(each.link.isEnded, true);
      assert.equal(each.link.isDestroyed, false);
    }
    assert.equal(world.mux.clientCount, 0);
    world.settle();
    client.write('{"execute":"late"}');
    client.port.receiveEnd();
    client.port.closed('late');
    world.settle();
  });

  it('leaves commands in flight unanswered and waiting ones unsent, and reports both to the observer', () => {
    const world = World.running();
    const client = world.client().negotiate('oob');
    const gone = world.client().negotiate();
    gone.write('{"execute":"of the gone"}');
    gone.port.closed('left early');
    world.settle();
    client.send(`${'{"execute":"a"}'.repeat(10)}[]{"exec-oob":"yank"}`);
    world.log.length = 0;
    world.mux.upstreamClosed('QEMU has exited');
    world.settle();
    assert.deepEqual(world.log, [
      'unanswered 2 of the gone QEMU has exited',
      ...Array.from({ length: 6 }, () => 'unanswered 1 a QEMU has exited'),
      'unanswered 1 yank QEMU has exited',
      ...Array.from({ length: 4 }, () => 'dropped 1 a the upstream is gone'),
      'disconnected 1 the upstream is gone',
      'upstream lost QEMU has exited',
    ]);
    assert.equal(world.mux.clientCount, 0);
    assert.deepEqual(world.mux.inFlight, []);
  });

  it('drops commands that wait to be sent upstream, out-of-band ones too', () => {
    const world = World.running();
    const client = world.client().negotiate('oob');
    client.write(`${'{"exec-oob":"yank"}'.repeat(50)}{"execute":"a"}`);
    world.mux.upstreamClosed('gone');
    world.settle();
    assert.equal(world.qemu.arrivedCount, 0);
    world.connectUpstream();
    world.qemu.greet();
    world.qemu.answerHandshake();
    world.settle();
    assert.equal(world.qemu.arrivedCount, 0);
    assert.equal(world.logged('unanswered').length, 0);
    assert.deepEqual(world.logged('dropped').slice(-2), [
      'dropped 1 yank the upstream is gone',
      'dropped 1 a the upstream is gone',
    ]);
    assert.equal(world.logged('dropped').length, 51);
  });

  it('is reported once, and may come before the greeting or in the middle of a message', () => {
    for (const text of ['', '{"QMP": ', '{"QMP": {"version": {}, "capabilities": []}}\r\n', '\r\n']) {
      const world = new World();
      world.connectUpstream();
      world.qemu.send(text);
      world.mux.upstreamClosed('gone');
      world.mux.upstreamClosed('gone again');
      world.qemu.greet();
      assert.equal(world.states.at(-1), 'lost');
      assert.deepEqual(world.logged('upstream').at(-1), 'upstream lost gone');
      assert.throws(() => world.client(), /no client can be served: the upstream is lost/);
    }
  });

  it('by our own wish ends everything', () => {
    const world = World.running();
    const client = world.client().negotiate();
    client.send('{"execute":"a"}');
    world.mux.close('shutting down');
    assert.equal(world.upstream.isDestroyed, true);
    assert.equal(client.link.isEnded, true);
    assert.deepEqual(world.logged('unanswered', 'upstream'), [
      'unanswered 1 a shutting down',
      'upstream lost shutting down',
    ]);
    world.mux.close('again');
    world.settle();
    const idle = new World();
    idle.mux.close('never connected');
    assert.equal(idle.mux.state.name, 'connecting');
  });
});

describe('an upstream that comes back', () => {
  it('serves new clients, with ids that start over', () => {
    const world = World.running();
    const old = world.client().negotiate();
    old.send('{"execute":"a"}');
    world.mux.upstreamClosed('restart');
    world.connectUpstream();
    world.qemu.greet();
    world.qemu.answerHandshake();
    world.settle();
    assert.deepEqual(world.states, [
      'greeting',
      'negotiating',
      'running',
      'lost',
      'greeting',
      'negotiating',
      'running',
    ]);
    const client = world.client().negotiate();
    assert.equal(client.port.id, 2, 'ids of clients are not used again');
    client.send('{"execute":"b","id":"b"}');
    world.qemu.returns();
    world.settle();
    assert.deepEqual(client.take(), ['{"return": {}, "id": "b"}']);
    assert.deepEqual(old.take(), []);
  });

  it('may have learnt or forgotten oob, and may print pretty now', () => {
    const world = World.running();
    world.mux.upstreamClosed('restart');
    world.connectUpstream();
    const greeting = world.qemu.greetingLine.replace('["oob"]', '[]');
    world.qemu.send(`${prettyPrinted(greeting)}\r\n`);
    while (world.qemu.waiting.length > 1) world.qemu.fails('whatever');
    world.qemu.returns();
    world.settle();
    const state = world.mux.state;
    assert.ok(state.name === 'running' && !state.oob && state.pretty && state.version === '7.2.22');
  });

  it('that hands out an answer due to a client of before gives it to nobody', () => {
    const world = World.running();
    const old = world.client().negotiate();
    old.send('{"execute":"a","id":"old"}'.repeat(3));
    world.mux.upstreamClosed('network');
    const [answer] = world.qemu.waiting;
    world.connectUpstream();
    world.qemu.greet();
    const stale = [
      `{"return": "secret", "id": ${answer?.id}}`,
      '{"return": "secret"}',
      `{"id": 1, "error": {"class": "GenericError", "desc": "secret"}}`,
      '{"error": {"class": "GenericError", "desc": "secret"}}',
      '{"return": "secret", "id": "nonce1nonce"}',
      '{"return": "secret", "id": ["nonce2nonce"]}',
      '{"timestamp": {"seconds": 1, "microseconds": 1}, "event": "STOP"}',
      'garbage',
      '{"QMP": {}}',
    ];
    world.log.length = 0;
    for (const line of stale) world.qemu.say(line);
    assert.deepEqual(
      world.log,
      stale.map((line) => `stray an answer to an earlier connection: ${line}`),
    );
    world.qemu.answerHandshake();
    world.settle();
    const client = world.client().negotiate();
    client.send('{"execute":"b","id":"new"}');
    world.qemu.returns('"mine"');
    world.settle();
    assert.deepEqual(client.take(), ['{"return": "mine", "id": "new"}']);
  });

  it('uses another word in its handshake every time', () => {
    const world = new World();
    const words = [0, 1].map(() => {
      world.connectUpstream();
      world.qemu.greet();
      const word = world.qemu.waiting.at(-1)?.id;
      world.mux.upstreamClosed('gone');
      return word;
    });
    assert.deepEqual(words, ['"nonce1nonce"', '"nonce2nonce"']);
  });
});

describe('a peer that is no QMP server', () => {
  it('is left, with its first line shown', () => {
    assert.equal(lostReason('SSH-2.0-OpenSSH_9.2\r\n'), 'not a QMP server: its first line is "SSH-2.0-OpenSSH_9.2"');
    assert.equal(lostReason('{"a"', ': 1}\n'), 'not a QMP server: its first line is "{\\"a\\": 1}"');
    assert.equal(lostReason('{"QMP": 7}\r\n'), 'not a QMP server: its first line is "{\\"QMP\\": 7}"');
    assert.equal(lostReason('[]\r\n'), 'not a QMP server: its first line is "[]"');
    assert.equal(lostReason('null\r\n'), 'not a QMP server: its first line is "null"');
    assert.equal(
      lostReason(`\x1b[31m${'x'.repeat(300)}\n`),
      `not a QMP server: its first line is "[31m${'x'.repeat(76)}"`,
    );
  });

  it('is left when it never ends its first line', () => {
    assert.match(lostReason('x'.repeat(65_537)) ?? '', /no line break in its first 64 KiB/);
    assert.equal(lostReason('x'.repeat(65_536)), undefined);
  });

  it('is left when it refuses the handshake', () => {
    const world = new World();
    world.connectUpstream();
    world.qemu.greet();
    while (world.qemu.waiting.length > 1) world.qemu.returns();
    world.qemu.fails('not today');
    world.qemu.event('STOP');
    assert.equal(world.mux.state.name === 'lost' && world.mux.state.reason, 'QEMU refused the handshake: not today');
  });
});

describe('a pretty-printing upstream', () => {
  it('is passed on in the one-line form, in whatever pieces it comes', () => {
    for (const chunkSize of [1, 5, 100_000]) {
      const world = new World({ pretty: true });
      world.connectUpstream();
      world.qemu.send(`${prettyPrinted(world.qemu.greetingLine)}\r\n`, chunkSize);
      world.qemu.answerHandshake();
      world.settle();
      assert.ok(world.mux.state.name === 'running' && world.mux.state.pretty);
      const client = world.client().negotiate();
      client.send('{"execute":"a","id":[1]}{"execute":"b","id":"x"}');
      const value = '{"a": [], "b": {}, "c": [{"d": "}\\"\\\\,[ "}, [1, 2]], "e": ", \\n"}';
      world.qemu.send(`${prettyPrinted(`{"return": ${value}, "id": 0}`)}\r\n`, chunkSize);
      world.qemu.send(`${prettyPrinted('{"id": 1, "error": {"class": "GenericError", "desc": "no"}}')}\r\n`, chunkSize);
      const event = '{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP"}';
      world.qemu.send(`${prettyPrinted(event)}\r\n`, chunkSize);
      world.settle();
      assert.deepEqual(client.take(), [
        `{"return": ${value}, "id": [1]}`,
        '{"id": "x", "error": {"class": "GenericError", "desc": "no"}}',
        event,
      ]);
    }
  });
});

describe('an upstream without oob', () => {
  it('is asked for none', () => {
    const world = new World({ oob: false });
    world.connectUpstream();
    world.qemu.greet();
    const last = world.qemu.waiting.at(-1);
    assert.equal(last?.text, '{"execute":"qmp_capabilities","id":"nonce1nonce"}');
    world.qemu.answerHandshake();
    assert.ok(world.mux.state.name === 'running' && !world.mux.state.oob);
  });
});

describe('the words of an upstream', () => {
  it('are those its clients hear during their negotiation', () => {
    const words = {
      "Expecting capabilities negotiation with 'qmp_capabilities'": 'Negotiate first',
      "Parameter 'null' does not accept value '": "Invalid capability '",
      'is unexpected': 'ist unerwartet \u00c3\u00a9',
      "Invalid parameter type for 'enable', expected: array": 'enable must be a list',
      "Invalid parameter type for 'enable[0]', expected: string": 'item [0] must be a string',
      'Capability oob not available': 'no oob here',
    };
    for (const oob of [true, false]) {
      const client = World.running({ words, oob }).client();
      const descs = client
        .send(
          '{"execute":"a"}' +
            ['{"enable":["x\\u0041"]}', '{"b":1}', '{"enable":1}', '{"enable":["oob",1]}', '{"enable":["oob"]}']
              .map((args) => `{"execute":"qmp_capabilities","arguments":${args}}`)
              .join(''),
        )
        .map((line) => /"desc": "(.*)"/.exec(line)?.[1]);
      assert.deepEqual(descs, [
        'Negotiate first',
        "Invalid capability 'xA'",
        "Parameter 'b' ist unerwartet \\u00E9",
        'enable must be a list',
        'item [1] must be a string',
        oob ? undefined : 'no oob here',
      ]);
    }
  });

  it("are 7.2's if an upstream does not say", () => {
    const world = new World();
    world.connectUpstream();
    world.qemu.greet();
    while (world.qemu.waiting.length > 1) world.qemu.returns();
    world.qemu.returns();
    world.settle();
    assert.match(world.client().send('{"execute":"a"}')[0] ?? '', /Expecting capabilities negotiation/);
  });
});

describe('an answer of the upstream', () => {
  const nobodys: readonly (readonly [string, string])[] = [
    ['with an id that nobody has', '{"return": 1, "id": 5}'],
    ['with the id of a later command', '{"return": 1, "id": 1}'],
    ['with the id of an out-of-band command that is not there', '{"return": 1, "id": 11}'],
    ['with a string for an id', '{"return": 1, "id": "0"}'],
    ['with a list for an id', '{"return": 1, "id": [0]}'],
    ['with null for an id', '{"return": 1, "id": null}'],
    ['with a fraction for an id', '{"return": 1, "id": 0.5}'],
    ['with a negative id', '{"return": 1, "id": -1}'],
    ['with a huge id', '{"return": 1, "id": 4294967296}'],
    ['with an endless id', `{"return": 1, "id": 1${'0'.repeat(400)}}`],
    ['without an id', '{"return": 1}'],
    ['without an id but with one inside', '{"return": {"x": 1, "id": 0}}'],
    ['in error with an id that nobody has', '{"id": 5, "error": {"class": "GenericError", "desc": "no"}}'],
    ['in error with a string for an id', '{"id": "0", "error": {"class": "GenericError", "desc": "no"}}'],
    ['that breaks off', '{"return": {"a": 1, "id": 0'],
    ['that breaks off behind its id', '{"return": {"a": 1}, "id": 0'],
    ['with something behind it', '{"return": {}, "id": 0}x'],
    ['that is no object', '[1, 2]'],
    ['that is no JSON', '%$&/'],
    ['that is an object of another kind', '{"id": 0, "foo": 1}'],
    ['that is an event without a name', '{"timestamp": {"seconds": 1, "microseconds": 1}, "event": 7}'],
  ];
  for (const [what, line] of nobodys) {
    it(`${what} is delivered to nobody, and harms no other`, () => {
      const { world, client } = waiting();
      world.qemu.say(line);
      world.settle();
      assert.deepEqual(client.take(), []);
      assert.equal(world.log.length, 1);
      assert.match(world.log[0] ?? '', /^stray /);
      assert.ok(world.log[0]?.endsWith(`: ${line}`));
      while (world.qemu.waiting.length > 0) world.qemu.returns();
      world.settle();
      assert.deepEqual(client.take(), [
        '{"return": {}, "id": "o"}',
        '{"return": {}, "id": "a"}',
        '{"return": {}, "id": "b"}',
      ]);
    });
  }

  it('that is a greeting ends the connection: QEMU has made its monitor again, and knows of no command', () => {
    const { world, client } = waiting();
    world.qemu.say(world.qemu.greetingLine);
    world.settle();
    assert.ok(world.upstream.isDestroyed);
    assert.equal(world.states.at(-1), 'lost');
    assert.ok(client.link.isEnded);
    assert.equal(world.logged('stray').length, 1);
    assert.match(world.logged('unanswered')[0] ?? '', /QEMU has made its monitor again$/);
  });

  it('that comes twice is delivered once', () => {
    const { world, client } = waiting();
    for (const id of ['0', '0', '900', '900', '1', '1', '0']) world.qemu.say(`{"return": {}, "id": ${id}}`);
    world.settle();
    assert.deepEqual(client.take(), [
      '{"return": {}, "id": "a"}',
      '{"return": {}, "id": "o"}',
      '{"return": {}, "id": "b"}',
    ]);
    assert.equal(world.logged('stray').length, 4);
  });

  it('that comes twice is delivered once, also with the window full', () => {
    const world = World.running();
    const client = world.client().negotiate();
    client.send('{"execute":"a"}'.repeat(100));
    for (let round = 0; round < 100; round++) {
      const id = world.qemu.waiting.shift()?.id ?? '';
      for (let again = 0; again < 3; again++) world.qemu.say(`{"return": ${round}, "id": ${id}}`);
      world.settle();
    }
    assert.deepEqual(
      client.take(),
      Array.from({ length: 100 }, (_, round) => `{"return": ${round}}`),
    );
  });

  it('in error without an id is that of the oldest in-band command', () => {
    const { world, client } = waiting();
    world.qemu.say('{"error": {"class": "GenericError", "desc": "JSON parse error, unknown"}}');
    world.settle();
    assert.deepEqual(client.take(), [
      '{"id": "a", "error": {"class": "GenericError", "desc": "JSON parse error, unknown"}}',
    ]);
    const later = World.running();
    later.qemu.say('{"error": {"class": "GenericError", "desc": "nobody asked"}}');
    assert.deepEqual(later.logged('stray').length, 1);
  });

  const foreign: readonly (readonly [string, string])[] = [
    ['{ "return" : { "a" : 1 } , "id" : 0 }', '{ "return" : { "a" : 1 } , "id": "a" }'],
    ['{"return":{"a":1},"id":0}', '{"return":{"a":1}, "id": "a"}'],
    ['{"id":0,"return":{"a":1}}', '{"id": "a", "return":{"a":1}}'],
    ['{"id": 0, "return": {"a": 1}}', '{"id": "a", "return": {"a": 1}}'],
    ['{"return": {}, "id": 0, "x": [0]}', '{"return": {}, "id": "a", "x": [0]}'],
    ['{"return": {}, "id": 0, "x": {}}', '{"return": {}, "id": "a", "x": {}}'],
    ['{"return": {}, "id": 0} ', '{"return": {}, "id": "a"} '],
    ['  {"return": {}, "id": 0}', '  {"return": {}, "id": "a"}'],
    ['{"return": 5, "id": 0}', '{"return": 5, "id": "a"}'],
    ['{"return": "x", "id": 0}', '{"return": "x", "id": "a"}'],
    ['{"return": "\\", \\"id\\": 7}", "id": 0}', '{"return": "\\", \\"id\\": 7}", "id": "a"}'],
    ['{"ret\\u0075rn": 1, "i\\u0064": 0}', '{"ret\\u0075rn": 1, "id": "a"}'],
  ];
  for (const [said, heard] of foreign) {
    it(`spelt ${said} is understood`, () => {
      const { world, client } = waiting();
      world.qemu.say(said);
      world.settle();
      assert.deepEqual(client.take(), [heard]);
      assert.deepEqual(world.logged('stray', 'error'), []);
    });
  }

  for (const [said, heard] of [
    [
      '{"error": {"class": "GenericError", "desc": "no"}, "id": 0}',
      '{"error": {"class": "GenericError", "desc": "no"}, "id": "a"}',
    ],
    [
      '{"id":0,"error":{"class":"GenericError","desc":"no"}}',
      '{"id": "a", "error":{"class":"GenericError","desc":"no"}}',
    ],
    ['{"id": 0, "error": {}}', '{"id": "a", "error": {}}'],
    ['{"id": 0, "x": 1, "error": {}}', '{"id": "a", "x": 1, "error": {}}'],
  ] as const) {
    it(`spelt ${said} is understood to be an error`, () => {
      const { world, client } = waiting();
      world.qemu.say(said);
      world.settle();
      assert.deepEqual(client.take(), [heard]);
      assert.equal(world.logged('error').length, 1);
    });
  }

  it('may be ended by LF alone, and blank lines between are nothing', () => {
    const { world, client } = waiting();
    world.qemu.send('\n\r\n{"return": 1, "id": 0}\n\r\n\n{"return": 2, "id": 1}\r\n');
    world.settle();
    assert.deepEqual(client.take(), ['{"return": 1, "id": "a"}', '{"return": 2, "id": "b"}']);
    assert.deepEqual(world.logged('stray'), []);
  });
});
