import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { textOf, World } from '../support/world/world.js';

const REFUSAL = 'qmpmux cannot record this command, so it was not run: disk full';

function refused(id: string): string {
  return `{${id}"error": {"class": "GenericError", "desc": "${REFUSAL}"}}`;
}

describe('the observer', () => {
  it('has a command, and says so, before a byte of it goes upstream', () => {
    const world = World.running();
    const client = world.client().negotiate();
    world.log.length = 0;
    client.send(' {"execute": "a", "id": [1]} {"execute":"\\u0062"}');
    assert.deepEqual(world.log, [
      'command 1 a raw {"execute": "a", "id": [1]}',
      'command 1 b raw {"execute":"\\u0062"}',
      'flush',
      'write {"execute":"a","id":0}{"execute":"\\u0062","id":1}',
    ]);
  });

  it('gets the answer as the client gets it', () => {
    const world = World.running();
    const client = world.client().negotiate('oob');
    client.send('{"execute":"a","id":"x"}{"execute":"b"}{"exec-oob":"yank","id":7}');
    world.log.length = 0;
    world.qemu.returnsOob();
    world.qemu.returns('[1]');
    world.qemu.fails('no');
    assert.deepEqual(world.log, [
      'return 1 yank upstream {"return": {}, "id": 7}',
      'return 1 a upstream {"return": [1], "id": "x"}',
      'error 1 b upstream {"error": {"class": "GenericError", "desc": "no"}}',
    ]);
  });

  it('gets reports of clients, faulty input, events and the upstream in the order of things', () => {
    const world = new World();
    world.connectUpstream();
    world.qemu.greet();
    world.qemu.answerHandshake();
    world.settle();
    const client = world.client('tcp:[::1]:4444', { kind: 'tcp', address: '::1', port: 5 });
    client.send('{"execute":"early"} %');
    client.negotiate('oob');
    client.send('{"exec-oob":3}');
    world.client();
    world.qemu.event('STOP');
    client.port.closed('client reset');
    world.mux.upstreamClosed('QEMU has exited');
    const handshake = world.log.splice(2, 1);
    assert.match(handshake[0] ?? '', /^write .*"enable":\["oob"\]/);
    assert.deepEqual(world.log, [
      'upstream greeting',
      'upstream negotiating',
      'upstream running',
      'connected 1 tcp:[::1]:4444 tcp',
      `malformed 1 {"execute":"early"} {"error": {"class": "CommandNotFound", "desc": "Expecting capabilities negotiation with 'qmp_capabilities'"}}`,
      'malformed 1 % {"error": {"class": "GenericError", "desc": "JSON parse error, stray \'%\'"}}',
      'negotiated 1 [oob] raw {"execute": "qmp_capabilities", "arguments": {"enable": ["oob"]}}',
      'malformed 1 {"exec-oob":3} {"error": {"class": "GenericError", "desc": "QMP input member \'exec-oob\' must be a string"}}',
      'connected 2 unix:/run/vm.mux unix',
      'event STOP to 1 {"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP", "data": {}}',
      'disconnected 1 client reset',
      'disconnected 2 the upstream is gone',
      'upstream lost QEMU has exited',
    ]);
  });

  it('that cannot record refuses the commands of the turn, in their order and with their ids', () => {
    const world = World.running();
    const client = world.client().negotiate();
    const other = world.client().negotiate('oob');
    world.observer.troubles.push('disk full');
    client.write('{"execute":"a","id":1}[]{"execute":"b"}');
    other.write('{"execute":"c","id":"c"}{"exec-oob":"yank","id":"oob"}');
    world.settle();
    assert.deepEqual(client.take(), [
      refused('"id": 1, '),
      '{"error": {"class": "GenericError", "desc": "QMP input must be a JSON object"}}',
      refused(''),
    ]);
    assert.deepEqual(other.take(), [refused('"id": "oob", '), refused('"id": "c", ')]);
    assert.equal(world.qemu.arrivedCount, 0);
    assert.deepEqual(
      world.logged('denied').map((line) => line.split(' ', 4).join(' ')),
      ['denied 2 yank audit', 'denied 1 a audit', 'denied 2 c audit', 'denied 1 b audit'],
    );
    assert.deepEqual(world.logged('unanswered', 'write', 'return', 'error'), []);
  });

  it('that can record again lets the next turn through, with ids that fit', () => {
    const world = World.running();
    const client = world.client().negotiate();
    const urgent = world.client().negotiate('oob');
    client.send('{"execute":"before","id":"before"}');
    urgent.send('{"exec-oob":"o1","id":"o1"}');
    world.observer.troubles.push('disk full', 'disk full');
    client.send('{"execute":"a","id":"a"}');
    urgent.send('{"exec-oob":"o2","id":"o2"}');
    assert.deepEqual(world.qemu.waitingNames, ['before', 'o1']);
    client.send('{"execute":"b","id":"b"}');
    urgent.send('{"exec-oob":"o3","id":"o3"}');
    assert.deepEqual(world.qemu.waitingNames, ['before', 'o1', 'b', 'o3']);
    while (world.qemu.waiting.length > 0) world.qemu.returns();
    world.settle();
    assert.deepEqual(client.take(), [
      '{"return": {}, "id": "before"}',
      refused('"id": "a", '),
      '{"return": {}, "id": "b"}',
    ]);
    assert.deepEqual(urgent.take(), [
      '{"return": {}, "id": "o1"}',
      refused('"id": "o2", '),
      '{"return": {}, "id": "o3"}',
    ]);
  });

  it('that fails for long refuses a long queue turn by turn', () => {
    const world = World.running();
    const client = world.client().negotiate();
    world.observer.troubles.push(...Array.from({ length: 1000 }, () => 'disk full'));
    client.write('{"execute":"a"}'.repeat(3000));
    client.port.receiveEnd();
    world.settle();
    assert.equal(client.take().length, 3000);
    assert.equal(client.link.isEnded, true);
    assert.equal(world.qemu.arrivedCount, 0);
  });

  it('refuses on behalf of clients that have left, too', () => {
    const world = World.running();
    const client = world.client().negotiate('oob');
    world.observer.troubles.push('disk full');
    client.write('{"execute":"a"}{"exec-oob":"yank"}');
    client.port.closed('gone');
    world.settle();
    assert.equal(world.logged('denied').length, 2);
    assert.equal(world.mux.clientCount, 0);
    assert.equal(world.qemu.arrivedCount, 0);
  });

  it('that wants no raw bytes gets none', () => {
    const world = World.running();
    world.observer.wantsRaw = false;
    const client = world.client().negotiate();
    client.send('[]{"execute":"a"}');
    assert.deepEqual(world.logged('command'), ['command 1 a raw ']);
    assert.match(world.logged('malformed')[0] ?? '', /^malformed 1 {2}\{"error"/);
  });

  it('may be missing', () => {
    const world = World.running({ observer: false });
    const client = world.client().negotiate('oob');
    client.write('[]{"execute":"a"}{"exec-oob":3}');
    world.settle();
    world.qemu.send('{"return": {}, "id": 77}\r\n');
    world.qemu.event('STOP');
    world.qemu.returns();
    world.settle();
    assert.equal(client.take().length, 4);
    client.port.closed('gone');
    world.mux.upstreamClosed('gone');
    assert.deepEqual(world.states, ['greeting', 'negotiating', 'running', 'lost']);
  });

  it('keeps its copies of a command although the command is used again', () => {
    const world = World.running();
    const client = world.client().negotiate();
    client.send('{"execute":"a"}');
    const [command] = world.mux.inFlight;
    const raw = command?.raw ?? new Uint8Array(0);
    world.qemu.returns();
    for (let i = 0; i < 5000; i++) client.write('{"execute":"another"}');
    world.settle();
    assert.equal(textOf(raw), '{"execute":"a"}');
  });
});
