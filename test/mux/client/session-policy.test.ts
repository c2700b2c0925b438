import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readOnlyPolicy } from '../../../dist/mux/policy/policy.js';
import { type TestClient, World } from '../../support/world/world.js';

function denied(id: string, name: string): string {
  return `{${id}"error": {"class": "GenericError", "desc": "Command '${name}' is not allowed here (policy read-only)"}}`;
}

function readOnlyClient(world: World): TestClient {
  return world.client('unix:/run/vm.ro', { kind: 'unix' }, { policy: readOnlyPolicy() });
}

describe('a client under a policy', () => {
  it('gets a QMP error with its id for a denied command, in order with the rest', () => {
    const world = World.running();
    const client = readOnlyClient(world).negotiate();
    const commands = '{"execute":"query-status","id":1}{"execute":"stop","id":{"a":1.0}}{"execute":"cont"}';
    assert.deepEqual(client.send(commands), []);
    assert.deepEqual(world.qemu.waitingNames, ['query-status']);
    world.qemu.returns('true');
    world.settle();
    assert.deepEqual(client.take(), [
      '{"return": true, "id": 1}',
      denied('"id": {"a": 1}, ', 'stop'),
      denied('', 'cont'),
    ]);
    assert.equal(world.mux.counters.denied, 2);
  });

  it('gets the denial of an out-of-band command at once', () => {
    const world = World.running();
    const client = readOnlyClient(world).negotiate('oob');
    const commands = '{"execute":"query-status","id":1}{"exec-oob":"migrate-pause","id":2}';
    assert.deepEqual(client.send(commands), [denied('"id": 2, ', 'migrate-pause')]);
    world.qemu.returns();
    world.settle();
    assert.deepEqual(client.take(), ['{"return": {}, "id": 1}']);
  });

  it('gets the denial of an out-of-band command after the answer to an earlier one', () => {
    const world = World.running();
    const client = readOnlyClient(world).negotiate('oob');
    const commands = '{"exec-oob":"query-yank","id":1}{"exec-oob":"yank","id":2}{"execute":"stop","id":3}';
    assert.deepEqual(client.send(commands), []);
    world.qemu.returnsOob('[]');
    world.settle();
    const expected = ['{"return": [], "id": 1}', denied('"id": 2, ', 'yank'), denied('"id": 3, ', 'stop')];
    assert.deepEqual(client.take(), expected);
  });

  it('has a command that it repeats let through each time, and nothing else', () => {
    const world = World.running();
    const client = readOnlyClient(world).negotiate();
    const query = (id: number) => `{"execute":"query-stats","arguments":{"target":"vm"},"id":${id}}`;
    const set = (id: number) => query(id).replace('query-stats', 'set_link');
    for (let id = 0; id < 40; id++) {
      client.send(query(id));
      world.qemu.returns('[]');
      world.settle();
      assert.deepEqual(client.take(), [`{"return": [], "id": ${id}}`]);
      assert.deepEqual(client.send(set(id)), [denied(`"id": ${id}, `, 'set_link')]);
    }
    assert.equal(world.mux.counters.denied, 40);
    assert.deepEqual(world.qemu.waitingNames, []);
  });

  it('does not change the rights of another client', () => {
    const world = World.running();
    const limited = readOnlyClient(world).negotiate();
    const full = world.client().negotiate();
    limited.send('{"execute":"stop"}');
    full.send('{"execute":"stop"}');
    assert.deepEqual(world.qemu.waitingNames, ['stop']);
    world.qemu.returns();
    world.settle();
    assert.deepEqual(full.take(), ['{"return": {}}']);
  });

  it("is refused in QEMU's words before it has negotiated, denied or not", () => {
    const world = World.running();
    const client = readOnlyClient(world);
    assert.match(client.send('{"execute":"stop"}')[0] ?? '', /CommandNotFound.*Expecting capabilities negotiation/);
    assert.equal(world.mux.counters.denied, 0);
  });

  it('gets a refused name quoted only as far as it is short', () => {
    const world = World.running();
    const client = readOnlyClient(world).negotiate();
    assert.ok((client.send(`{"execute":"${'x'.repeat(100_000)}"}`)[0] ?? '').length < 300);
  });

  it('is in the observer with each denial once, the rule and the bytes it wrote', () => {
    const world = World.running();
    const client = readOnlyClient(world).negotiate();
    client.send('{ "execute": "stop" }{"execute":"query-name"}');
    assert.deepEqual(world.logged('denied', 'command'), [
      `denied 1 stop policy read-only: default deny ${denied('', 'stop')}`,
      'command 1 query-name raw {"execute":"query-name"}',
    ]);
  });
});
