import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readOnlyPolicy } from '../../../dist/mux/policy/policy.js';
import { World } from '../../support/world/world.js';

const AUTO = { maySkipNegotiation: true };
const PEER = { kind: 'unix' } as const;

describe('on a listener with negotiate=auto, a client that skips qmp_capabilities', () => {
  it('is sent the greeting, and is served', () => {
    const world = World.running();
    const client = world.client('unix:/run/vm.mux', PEER, AUTO);
    client.send('{"execute":"query-name","id":1}');
    world.qemu.returns('{"name": "vm"}');
    world.settle();
    assert.deepEqual(client.take(), ['{"return": {"name": "vm"}, "id": 1}']);
  });

  it('gets no events, until it negotiates after all', () => {
    const world = World.running();
    const client = world.client('unix:/run/vm.mux', PEER, AUTO);
    client.send('{"execute":"stop"}');
    world.qemu.event('STOP');
    world.qemu.returns();
    world.settle();
    assert.deepEqual(client.take(), ['{"return": {}}']);
    client.negotiate();
    const event = world.qemu.event('RESUME');
    world.settle();
    assert.deepEqual(client.take(), [event]);
  });

  it('gets the ordinary answers to a negotiation, a second one and a faulty one', () => {
    const world = World.running();
    const client = world.client('unix:/run/vm.mux', PEER, AUTO);
    assert.match(client.send('{"execute":"qmp_capabilities","arguments":{"enable":["x"]}}')[0] ?? '', /"error"/);
    assert.match(client.send('{"exec-oob":"query-yank","id":1}')[0] ?? '', /'exec-oob' is unexpected/);
    client.negotiate('oob');
    assert.deepEqual(client.send('{"exec-oob":"query-yank","id":2}'), []);
    world.qemu.returnsOob('[]');
    world.settle();
    assert.deepEqual(client.take(), ['{"return": [], "id": 2}']);
    client.send('{"execute":"qmp_capabilities"}');
    assert.deepEqual(world.qemu.waitingNames, ['qmp_capabilities']);
  });

  it('is under its policy', () => {
    const world = World.running();
    const client = world.client('unix:/run/vm.mux', PEER, { ...AUTO, policy: readOnlyPolicy() });
    assert.match(client.send('{"execute":"stop"}')[0] ?? '', /Command 'stop' is not allowed here/);
  });

  it('is disconnected for saying nothing at all, and not once it was served', () => {
    const world = World.running({ mux: { limits: { negotiationTime: 1000 } } });
    const silent = world.client('unix:/run/vm.mux', PEER, AUTO);
    const served = world.client('unix:/run/vm.mux', PEER, AUTO);
    served.send('{"execute":"stop"}');
    world.wait(2000);
    assert.equal(silent.link.isEnded, true);
    assert.equal(served.link.isEnded, false);
  });
});
