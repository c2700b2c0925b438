import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { bytesOf, World } from '../../support/world/world.js';

const EXPECTING = "Expecting capabilities negotiation with 'qmp_capabilities'";

function genericError(desc: string, id?: string): string {
  return `{${id === undefined ? '' : `"id": ${id}, `}"error": {"class": "GenericError", "desc": "${desc}"}}`;
}

function notFound(desc: string, id?: string): string {
  return genericError(desc, id).replace('GenericError', 'CommandNotFound');
}

describe('the negotiation of a client', () => {
  it('begins with the greeting QEMU gave, byte for byte, whether offering oob or not', () => {
    for (const oob of [true, false]) {
      const world = World.running({ oob });
      const client = world.client();
      assert.equal(client.link.text, `${world.qemu.greetingLine}\r\n`);
    }
  });

  it('is its own: nothing of it goes upstream', () => {
    const world = World.running();
    const client = world.client();
    assert.deepEqual(client.send('{"execute":"qmp_capabilities","id":1}'), ['{"return": {}, "id": 1}']);
    assert.equal(world.qemu.arrivedCount, 0);
  });

  it('is demanded before any other command, with the class and the id QEMU gives', () => {
    const world = World.running();
    const client = world.client();
    assert.deepEqual(client.send('{"execute":"query-version","id":"a"}{"execute":"quit"}'), [
      notFound(EXPECTING, '"a"'),
      notFound(EXPECTING),
    ]);
    assert.equal(world.qemu.arrivedCount, 0);
  });

  it('comes after errors of shape, which are judged first', () => {
    const client = World.running().client();
    assert.deepEqual(client.send('{"execute":"query-version","x":1}{"execute":7,"id":2}{}[]nul {]'), [
      genericError("QMP input member 'x' is unexpected"),
      genericError("QMP input member 'execute' must be a string", '2'),
      genericError("QMP input lacks member 'execute'"),
      genericError('QMP input must be a JSON object'),
      genericError("JSON parse error, invalid keyword 'nul'"),
      genericError('JSON parse error, expecting value'),
    ]);
  });

  it('knows no exec-oob before it is complete, nor after it if oob was not enabled', () => {
    const world = World.running();
    const client = world.client();
    const unexpected = genericError("QMP input member 'exec-oob' is unexpected", '1');
    assert.deepEqual(client.send('{"exec-oob":"qmp_capabilities","id":1}'), [unexpected]);
    client.negotiate();
    assert.deepEqual(client.send('{"exec-oob":"yank","id":1}'), [unexpected]);
    assert.equal(world.qemu.arrivedCount, 0);
  });

  it('takes empty arguments, an empty list, and oob twice', () => {
    const world = World.running();
    for (const args of ['{}', '{"enable":[]}', '{"enable":["oob","oob"]}', '{"\\u0065nable":["o\\u006fb"]}']) {
      const client = world.client();
      assert.deepEqual(client.send(`{"execute":"qmp_capabilities","arguments":${args}}`), ['{"return": {}}'], args);
    }
  });

  it('refuses the same requests as QEMU 7.2, in its words', () => {
    const client = World.running().client();
    const cases: readonly (readonly [string, string])[] = [
      ['{"enable":["zzz"]}', "Parameter 'null' does not accept value 'zzz'"],
      ['{"enable":["oob","nope"]}', "Parameter 'null' does not accept value 'nope'"],
      ['{"enable":["$&"]}', "Parameter 'null' does not accept value '$&'"],
      ['{"enable":"oob"}', "Invalid parameter type for 'enable', expected: array"],
      ['{"enable":null}', "Invalid parameter type for 'enable', expected: array"],
      ['{"enable":{"a":[1,{}]},"b":1}', "Invalid parameter type for 'enable', expected: array"],
      ['{"enable":["oob",7]}', "Invalid parameter type for 'enable[1]', expected: string"],
      ['{"enable":[["oob"]]}', "Invalid parameter type for 'enable[0]', expected: string"],
      ['{"foo":{"a":[1,2]}}', "Parameter 'foo' is unexpected"],
      ['{"$&":1}', "Parameter '$&' is unexpected"],
      ['{"one":1,"two":2,"three":3,"four":4,"five":5,"enable":[],"seven":7}', "Parameter 'five' is unexpected"],
      ['{"k1":7,"k2":6,"k3":5,"k4":4,"k5":3,"k6":2,"k7":1}', "Parameter 'k6' is unexpected"],
      ['{"\\u00e9":1,"\\u00fc":2}', "Parameter '\\u00FC' is unexpected"],
      ['{"foo":1,"enable":["oob"]}', "Parameter 'foo' is unexpected"],
      ['{"foo":1,"enable":["bar"]}', "Parameter 'null' does not accept value 'bar'"],
    ];
    for (const [args, desc] of cases) {
      assert.deepEqual(client.send(`{"execute":"qmp_capabilities","arguments":${args},"id":0}`), [
        genericError(desc, '0'),
      ]);
    }
    assert.deepEqual(
      client.send('{"execute":"qmp_capabilities"}'),
      ['{"return": {}}'],
      'it is not too late afterwards',
    );
  });

  it('is refused oob if the upstream does not offer it', () => {
    const client = World.running({ oob: false }).client();
    assert.deepEqual(client.send('{"execute":"qmp_capabilities","arguments":{"enable":["oob"]}}'), [
      genericError('Capability oob not available'),
    ]);
  });

  it('is left to QEMU to refuse a second time', () => {
    const world = World.running();
    const client = world.client().negotiate();
    client.send('{"execute":"qmp_capabilities","id":9}');
    assert.deepEqual(world.qemu.waitingNames, ['qmp_capabilities']);
    world.qemu.fails('Capabilities negotiation is already complete, command ignored', 'CommandNotFound');
    world.settle();
    assert.deepEqual(client.take(), [notFound('Capabilities negotiation is already complete, command ignored', '9')]);
  });

  it('of one client says nothing about another', () => {
    const world = World.running();
    world.client().negotiate('oob');
    const other = world.client();
    assert.deepEqual(other.send('{"execute":"query-version"}'), [notFound(EXPECTING)]);
    other.negotiate();
    assert.equal(other.send('{"exec-oob":"yank"}').length, 1);
    assert.equal(world.qemu.arrivedCount, 0);
  });
});

describe('an id', () => {
  const ids: readonly (readonly [string, string])[] = [
    ['1', '1'],
    ['0', '0'],
    ['-0', '0'],
    ['-5', '-5'],
    ['1.0', '1'],
    ['0.1', '0.10000000000000001'],
    ['1e400', 'inf'],
    ['9223372036854775807', '9223372036854775807'],
    ['-9223372036854775808', '-9223372036854775808'],
    ['18446744073709551615', '18446744073709551615'],
    ['18446744073709551616', '1.8446744073709552e+19'],
    ['-9223372036854775809', '-9.2233720368547758e+18'],
    ['true', 'true'],
    ['null', 'null'],
    ['""', '""'],
    ["'it\\'s'", '"it\'s"'],
    ['"\\u00e9é\\ud83d\\ude00"', '"\\u00E9\\u00E9\\uD83D\\uDE00"'],
    ['"\\/\\u007f\\u0000"', '"/\\u007F\\u0000"'],
    ['"}\\r\\n{\\"return\\": {}}"', '"}\\r\\n{\\"return\\": {}}"'],
    ['[]', '[]'],
    ['{}', '{}'],
    ['[1,"a",null,[{ }]]', '[1, "a", null, [{}]]'],
    ['{"b":1,"a":{"id":3}}', '{"a": {"id": 3}, "b": 1}'],
  ];

  it('of any JSON type comes back as QEMU writes it, on returns and on errors', () => {
    const world = World.running();
    const client = world.client().negotiate();
    for (const [given, back] of ids) {
      const command = Buffer.from(`{"execute":"x-ask","id":${given}}`).toString('latin1');
      client.send(command);
      world.qemu.returns('{"name": "vm"}');
      world.settle();
      assert.deepEqual(client.take(), [`{"return": {"name": "vm"}, "id": ${back}}`]);
      client.send(command);
      world.qemu.fails('no');
      world.settle();
      assert.deepEqual(client.take(), [genericError('no', back)]);
      const faulty = Buffer.from(`{"execute":1,"id":${given}}`).toString('latin1');
      assert.deepEqual(client.send(faulty), [genericError("QMP input member 'execute' must be a string", back)]);
    }
  });

  it('is missing from the answer when the command had none', () => {
    const world = World.running();
    const client = world.client().negotiate();
    client.send('{"execute":"x-ask"}{"execute":"nope"}');
    world.qemu.returns('{"id": 7}');
    world.qemu.fails('no');
    world.settle();
    assert.deepEqual(client.take(), ['{"return": {"id": 7}}', genericError('no')]);
  });

  it('may be the same for thirty clients at once', () => {
    const world = World.running();
    const clients = Array.from({ length: 30 }, () => world.client().negotiate());
    for (const client of clients) client.write('{"execute":"x-ask","id":1}');
    world.settle();
    for (let answered = 0; answered < 30; answered++) {
      world.qemu.returns(`{"order": ${answered}}`);
      world.settle();
    }
    for (const [at, client] of clients.entries()) {
      assert.deepEqual(client.take(), [`{"return": {"order": ${at}}, "id": 1}`]);
    }
  });

  it('never goes upstream: a command has a short number instead', () => {
    const world = World.running();
    const client = world.client().negotiate();
    client.send('{"\\u0069d":"secret","execute":"a"}{"execute":"b"}{"id":{"x":"secret"},"execute":"c","arguments":{}}');
    assert.deepEqual(
      world.qemu.waiting.map((command) => command.text),
      ['{"execute":"a","id":0}', '{"execute":"b","id":1}', '{"execute":"c","id":2}'],
    );
  });
});

describe('the answers to a client', () => {
  it('keep the order of its commands, those given here between those of QEMU', () => {
    const world = World.running();
    const client = world.client().negotiate();
    client.send('{"execute":"a","id":1}{"x":0}{"execute":"b","id":2}%\n[]{"execute":"c","id":3}{"execute":5,"id":4}');
    assert.deepEqual(client.take(), [], 'nothing overtakes the first');
    assert.deepEqual(world.qemu.waitingNames, ['a', 'b', 'c']);
    world.qemu.returns('1');
    world.settle();
    assert.deepEqual(client.take(), ['{"return": 1, "id": 1}', genericError("QMP input member 'x' is unexpected")]);
    world.qemu.returns('2');
    world.qemu.returns('3');
    world.settle();
    assert.deepEqual(client.take(), [
      '{"return": 2, "id": 2}',
      genericError("JSON parse error, stray '%'"),
      genericError('QMP input must be a JSON object'),
      '{"return": 3, "id": 3}',
      genericError("QMP input member 'execute' must be a string", '4'),
    ]);
  });

  it('given here come at once when nothing is due before them', () => {
    const world = World.running();
    const client = world.client().negotiate();
    assert.deepEqual(client.send('[]'), [genericError('QMP input must be a JSON object')]);
    client.send('{"execute":"a"}');
    world.qemu.returns();
    world.settle();
    assert.deepEqual(client.take(), ['{"return": {}}']);
    assert.deepEqual(client.send('[]'), [genericError('QMP input must be a JSON object')]);
  });

  it('of others are no concern of a client whose own are late', () => {
    const world = World.running();
    const slow = world.client().negotiate();
    const quick = world.client().negotiate();
    slow.send('{"execute":"slow"}[]');
    assert.deepEqual(quick.send('[]'), [genericError('QMP input must be a JSON object')]);
    assert.deepEqual(slow.take(), []);
  });

  it('are the same when its commands come in one-byte pieces', () => {
    const input = '{"execute":"a","id":[1,{"k":"\\u00e9"}]} {"execute": "b", "id" : 1.50}\n[]{"execute":"c",,}x';
    const outputs = [1, 2, 3, 7, 1000].map((size) => {
      const world = World.running();
      const client = world.client().negotiate();
      client.write(input, size);
      world.settle();
      while (world.qemu.waiting.length > 0) world.qemu.returns();
      world.settle();
      return client.take();
    });
    assert.equal(outputs[0]?.length, 4);
    for (const output of outputs) assert.deepEqual(output, outputs[0]);
  });

  it('are not changed after they have been written, however much follows', () => {
    const world = World.running();
    const clients = [world.client().negotiate('oob'), world.client().negotiate()];
    for (let round = 0; round < 2_000; round++) {
      for (const client of clients)
        client.write(`{"execute":"a","arguments":{"x":"${'y'.repeat(round % 200)}"},"id":${round}}[]`);
      world.settle();
      while (world.qemu.waiting.length > 0) world.qemu.returns(`"${'z'.repeat(round % 300)}"`);
      world.qemu.event('TICK');
      world.settle();
    }
    world.upstream.checkUnchanged();
    for (const client of clients) {
      client.link.checkUnchanged();
      assert.equal(client.take().length, 2_000 * 3);
    }
  });
});

describe('the bytes that go upstream', () => {
  it('are the command without blanks, id and empty arguments, its strings and numbers untouched', () => {
    const world = World.running();
    const client = world.client().negotiate();
    client.send(
      `\r\n { "id" : 1 , 'execute' : "x\\u0079" ,\t"arguments" : { "a b" : [ 1.50 , -0 , 1E5 , "  \\/ " ] , 'n' : 18446744073709551616 } }`,
    );
    assert.equal(
      world.qemu.waiting[0]?.text,
      `{'execute':"x\\u0079","arguments":{"a b":[1.50,-0,1E5,"  \\/ "],'n':18446744073709551616},"id":0}`,
    );
  });

  it('arrive whole when there are many', () => {
    const world = World.running();
    const client = world.client().negotiate();
    const text = 'x'.repeat(300_000);
    client.write(`{"execute":"a","arguments":{"t":"${text}"}}`, 65_536);
    client.write('{"execute":"b"}');
    world.settle();
    assert.deepEqual(
      world.qemu.waiting.map(({ name, args }) => [name, args.length]),
      [
        ['a', text.length + '{"t": ""}'.length],
        ['b', 2],
      ],
    );
  });

  it('are none until the client’s message is whole', () => {
    const world = World.running();
    const client = world.client().negotiate();
    client.send('{"execute":"a"');
    assert.equal(world.qemu.arrivedCount, 0);
    client.send('}');
    assert.equal(world.qemu.arrivedCount, 1);
  });
});

describe('a client that shuts down its sending side', () => {
  it('gets all its answers, then EOF', () => {
    const world = World.running();
    const client = world.client().negotiate('oob');
    client.write('{"execute":"a","id":1}{"exec-oob":"yank","id":2}[]{"execute":"b","id":3}{"unfinished":');
    client.port.receiveEnd();
    world.settle();
    assert.equal(client.link.isEnded, false);
    world.qemu.returnsOob();
    world.qemu.returns();
    world.settle();
    assert.equal(client.link.isEnded, false);
    const event = world.qemu.event('STOP');
    world.qemu.returns();
    world.settle();
    assert.deepEqual(client.take(), [
      '{"return": {}, "id": 2}',
      '{"return": {}, "id": 1}',
      genericError('QMP input must be a JSON object'),
      event,
      '{"return": {}, "id": 3}',
    ]);
    assert.equal(client.link.isEnded, true);
    assert.equal(world.mux.clientCount, 0);
    assert.deepEqual(world.logged('disconnected'), ['disconnected 1 client closed']);
    world.qemu.event('RESUME');
    client.port.closed('late');
    world.settle();
    assert.deepEqual(client.take(), []);
    assert.equal(world.logged('disconnected').length, 1);
  });

  it('is answered and ended even when that was all it ever did', () => {
    const world = World.running();
    const client = world.client();
    client.write('{"execute":"qmp_capabilities"}');
    client.port.receiveEnd();
    client.port.receiveEnd();
    world.settle();
    assert.deepEqual(client.take(), ['{"return": {}}']);
    assert.equal(client.link.isEnded, true);
  });

  it('is not read any more', () => {
    const world = World.running();
    const client = world.client().negotiate();
    client.write('{"execute":"a"}');
    client.port.receiveEnd();
    client.write('{"execute":"b"}');
    world.settle();
    assert.deepEqual(world.qemu.waitingNames, ['a']);
  });
});

describe('a client whose connection is gone', () => {
  it('has its commands executed, their answers reported to the observer and to nobody else', () => {
    const world = World.running();
    const bystander = world.client().negotiate();
    const client = world.client().negotiate('oob');
    client.write(`{"execute":"c0","id":"mine"}${'{"execute":"c"}'.repeat(20)}[]{"exec-oob":"yank"}`);
    client.port.closed('ECONNRESET');
    world.settle();
    assert.equal(world.mux.clientCount, 1);
    const before = client.link.text;
    while (world.qemu.waiting.length > 0) {
      if (world.qemu.waiting.some((command) => command.oob)) world.qemu.returnsOob();
      world.qemu.returns('"secret"');
      world.settle();
    }
    const event = world.qemu.event('STOP');
    world.settle();
    assert.equal(world.qemu.arrivedCount, 22);
    assert.equal(client.link.text, before);
    assert.equal(client.link.isEnded, false, 'nothing is done to a connection that is gone');
    assert.deepEqual(bystander.take(), [event]);
    assert.equal(world.logged('return').length, 22);
    assert.equal(world.logged('return')[1], 'return 2 c0 upstream {"return": "secret", "id": "mine"}');
    assert.deepEqual(world.logged('disconnected'), ['disconnected 2 ECONNRESET']);
    assert.deepEqual(world.logged('event'), [`event STOP to 1 ${event}`]);
  });

  it('may have gone before it negotiated, or in the middle of a message', () => {
    const world = World.running();
    for (const input of ['', '{"execute":"qmp_capabilities"}', '{"execute":', '[[[', '"abc']) {
      const client = world.client();
      client.write(input);
      client.port.closed('gone');
      client.port.closed('gone');
      client.port.receiveEnd();
      client.write('{"execute":"late"}');
      world.settle();
    }
    assert.equal(world.qemu.arrivedCount, 0);
    assert.equal(world.mux.clientCount, 0);
    assert.equal(world.logged('disconnected').length, 5);
  });

  it('leaves the bytes it handed over to others as they were', () => {
    const world = World.running();
    const client = world.client().negotiate();
    const chunk = bytesOf('{"execute":"a"}{"execute":"b"');
    const copy = chunk.slice();
    client.port.receive(chunk);
    world.settle();
    assert.deepEqual(chunk, copy, 'a chunk that was handed over is not written to');
  });
});

describe('a client that floods', () => {
  it('is not read while 1024 of its commands are unanswered, and read on when half of them are', () => {
    const world = World.running();
    const client = world.client().negotiate();
    client.write('{"execute":"a"}'.repeat(1023));
    world.settle();
    assert.equal(client.link.isPaused, false);
    client.write('{"execute":"a"}'.repeat(577));
    assert.equal(client.link.isPaused, true);
    world.settle();
    let answered = 0;
    while (client.link.isPaused) {
      world.qemu.returns();
      world.settle();
      answered++;
    }
    // Twice down to half: bytes already received are taken up first, then the connection is read.
    assert.ok(Math.abs(answered - 1024) <= 2, `read on after ${answered} answers`);
    while (world.qemu.waiting.length > 0) {
      world.qemu.returns();
      world.settle();
    }
    assert.equal(world.qemu.arrivedCount, 1600);
    assert.equal(client.take().length, 1600);
  });

  it('with faulty commands after one that takes long is held back likewise', () => {
    const world = World.running();
    const client = world.client().negotiate();
    client.write(`{"execute":"a","id":0}${'[]'.repeat(5000)}{"execute":"b","id":1}`);
    world.settle();
    assert.equal(client.link.isPaused, true);
    assert.deepEqual(world.qemu.waitingNames, ['a']);
    world.qemu.returns();
    world.settle();
    assert.equal(client.link.isPaused, false);
    assert.equal(client.take().length, 5001);
    assert.deepEqual(world.qemu.waitingNames, ['b']);
  });

  it('with out-of-band commands is held back likewise', () => {
    const world = World.running();
    const client = world.client().negotiate('oob');
    client.write('{"exec-oob":"yank"}'.repeat(3000));
    world.settle();
    assert.equal(client.link.isPaused, true);
    while (world.qemu.waiting.length > 0) {
      world.qemu.returns();
      world.settle();
    }
    assert.equal(client.link.isPaused, false);
    assert.equal(world.qemu.arrivedCount, 3000);
    assert.equal(client.take().length, 3000);
  });

  it('and then shuts down or goes away has all of it executed all the same', () => {
    for (const isGone of [true, false]) {
      const world = World.running();
      const client = world.client().negotiate();
      client.write('{"execute":"a"}'.repeat(3000));
      if (isGone) client.port.closed('gone');
      else client.port.receiveEnd();
      world.settle();
      while (world.qemu.waiting.length > 0) {
        world.qemu.returns();
        world.settle();
      }
      assert.equal(world.qemu.arrivedCount, 3000);
      assert.equal(client.take().length, isGone ? 0 : 3000);
      assert.equal(client.link.isEnded, !isGone);
      assert.equal(world.mux.clientCount, 0);
    }
  });
});
