/**
 * Behind a `quit` that it has agreed to, QEMU runs no in-band command of anybody's, and answers no fault. So nothing that qmpmux answers
 * itself may come after one either: it waits for EOF, or for QEMU to show that it lives on.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readOnlyPolicy } from '../../../dist/mux/policy/policy.js';
import { type TestClient, World, type WorldOptions } from '../../support/world/world.js';

const FAULT = '{"id": 3, "error": {"class": "GenericError", "desc": "QMP input member \'execute\' must be a string"}}';

/** A world in which the name is known. */
function running(options: WorldOptions = {}): World {
  const world = World.running(options);
  const client = world.client().negotiate();
  client.send('{"execute":"query-name"}');
  world.qemu.returns();
  client.port.closed('done');
  world.settle();
  return world;
}

function say(world: World, how: 'returns' | 'fails'): void {
  if (how === 'returns') world.qemu.returns();
  else world.qemu.fails('no');
  world.settle();
}

/** Has the client ask for an end, with two answers of qmpmux's own after it. */
function quit(client: TestClient, args = ''): void {
  const before = client.send(`{"execute":"quit"${args},"id":1}{"execute":"query-name","id":2}{"execute":3,"id":3}`);
  assert.deepEqual(before, [], 'answers are in turn');
}

describe('after a quit', () => {
  it('a client gets no answer from memory and none to a fault, whether it sent them before QEMU agreed or later', () => {
    const world = running();
    const client = world.client().negotiate();
    quit(client);
    say(world, 'returns');
    assert.deepEqual(client.take(), ['{"return": {}, "id": 1}']);
    assert.deepEqual(client.send('{"execute":"query-name","id":4}{"foo":5}]'), []);
    world.mux.upstreamClosed('QEMU has ended');
    world.settle();
    assert.deepEqual(client.take(), []);
    assert.equal(client.link.isEnded, true);
    assert.deepEqual([world.mux.sessionCount, world.mux.heldBytes], [0, 0]);
  });

  it('a fault in an empty queue is not answered', () => {
    const world = running();
    const client = world.client().negotiate();
    client.send('{"execute":"quit"}');
    say(world, 'returns');
    client.take();
    assert.deepEqual(client.send('{"execute":3,"id":3}'), []);
  });

  it('a client that has half-closed, or left, is not kept when QEMU has ended', () => {
    for (const leave of ['receiveEnd', 'closed'] as const) {
      const world = running();
      const client = world.client().negotiate();
      quit(client);
      client.port[leave]('gone');
      world.settle();
      say(world, 'returns');
      assert.deepEqual(client.take(), leave === 'closed' ? [] : ['{"return": {}, "id": 1}']);
      world.mux.upstreamClosed('QEMU has ended');
      world.settle();
      assert.deepEqual([world.mux.sessionCount, world.mux.heldBytes], [0, 0]);
    }
  });

  it('other clients get the answers given here until QEMU has ended', () => {
    const world = running();
    const [client, other] = [world.client().negotiate(), world.client().negotiate()];
    quit(client);
    say(world, 'returns');
    assert.deepEqual(other.send('{"execute":3,"id":3}'), [FAULT]);
  });

  it('out-of-band faults are answered, as QEMU reads on until it has ended', () => {
    const world = running();
    const client = world.client().negotiate('oob');
    client.send('{"execute":"quit"}');
    say(world, 'returns');
    client.take();
    const fault = FAULT.replace("'execute'", "'exec-oob'");
    assert.deepEqual(client.send('{"execute":3,"id":4}{"exec-oob":3,"id":3}'), [fault]);
    client.send('{"exec-oob":"migrate-pause","id":5}');
    world.qemu.returnsOob();
    world.settle();
    assert.deepEqual(client.take(), ['{"return": {}, "id": 5}'], 'that does not show that it lives on');
  });
});

describe('answers go on', () => {
  it('after a quit that QEMU refuses', () => {
    const world = running();
    const client = world.client().negotiate();
    quit(client, ',"arguments":{"a":1}');
    say(world, 'fails');
    const [error, name, fault] = client.take();
    assert.match(error ?? '', /"id": 1, "error"/);
    assert.equal(name, '{"return": {}, "id": 2}');
    assert.equal(fault, FAULT);
  });

  it('after a quit that a policy denies', () => {
    const world = running();
    const policy = readOnlyPolicy();
    const client = world.client('unix:/run/vm.mux', { kind: 'unix' }, { policy }).negotiate();
    const lines = client.send('{"execute":"quit","id":1}{"execute":"query-name","id":2}{"execute":3,"id":3}');
    assert.match(lines[0] ?? '', /"id": 1, "error": .* is not allowed here/);
    assert.deepEqual(lines.slice(1), ['{"return": {}, "id": 2}', FAULT]);
  });

  it('after a quit that cannot be recorded', () => {
    const world = running();
    const client = world.client().negotiate();
    world.observer.troubles.push('disk full');
    const lines = client.send('{"execute":"quit","id":1}{"execute":"query-name","id":2}{"execute":3,"id":3}');
    assert.match(lines[0] ?? '', /"id": 1, "error": .*disk full/);
    assert.deepEqual(lines.slice(1), ['{"return": {}, "id": 2}', FAULT]);
  });

  it('in their order when QEMU answers a later command, for it has not ended', () => {
    const world = running();
    const client = world.client().negotiate();
    quit(client);
    client.send('{"execute":"stop","id":4}{"execute":"query-name","id":5}');
    say(world, 'returns');
    client.take();
    say(world, 'returns');
    const ids = client.take().map((line) => /"id": (\d)/.exec(line)?.[1]);
    assert.deepEqual(ids, ['2', '3', '4', '5']);
    quit(client);
    say(world, 'fails');
    assert.equal(client.take().length, 3, 'and a later quit is judged by itself');
  });

  it('when a command after it has been waited for long enough', () => {
    const world = running();
    const client = world.client('unix:/run/vm.mux', { kind: 'unix' }, { commandTime: 1000 }).negotiate();
    quit(client);
    client.send('{"execute":"stop","id":4}');
    say(world, 'returns');
    client.take();
    world.wait(2000);
    const lines = client.take();
    assert.deepEqual(lines.slice(0, 2), ['{"return": {}, "id": 2}', FAULT]);
    assert.match(lines[2] ?? '', /"id": 4, "error": .*no answer from QEMU within 1 s/);
  });

  it('with a defined error for commands QEMU did not get to, when clients are kept and it has ended', () => {
    const world = running({ mux: { keepClients: true } });
    const client = world.client().negotiate();
    quit(client);
    client.send('{"execute":"stop","id":4}');
    say(world, 'returns');
    client.take();
    world.mux.upstreamClosed('QEMU has ended');
    world.settle();
    const lines = client.take().filter((line) => !line.startsWith('{"timestamp"'));
    assert.deepEqual(lines.slice(0, 2), ['{"return": {}, "id": 2}', FAULT]);
    assert.match(lines[2] ?? '', /"id": 4, "error": .*this command may have been executed/);
    assert.equal(lines.length, 3);
    world.connectUpstream();
    world.qemu.greet();
    world.qemu.answerHandshake();
    world.settle();
    client.take();
    assert.deepEqual(client.send('{"execute":3,"id":3}'), [FAULT]);
  });
});
