import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { World } from '../../support/world/world.js';

describe('clients', () => {
  it('are let in up to the limit of their listener, and in all', () => {
    const world = World.running({ mux: { limits: { listenerClients: 2, clients: 3 } } });
    const refusal = (listener: string) => Buffer.from(world.mux.admission.refusal(listener) ?? []).toString();
    const first = world.client('unix:/a');
    world.client('unix:/a');
    assert.equal(
      refusal('unix:/a'),
      '{"error": {"class": "GenericError", "desc": "qmpmux has too many clients on this socket (limit 2); try again later"}}\r\n',
    );
    assert.equal(refusal('unix:/b'), '');
    world.client('unix:/b');
    assert.match(refusal('unix:/b'), /has too many clients of this VM \(limit 3\)/);
    first.port.closed('closed by the peer');
    world.settle();
    assert.equal(refusal('unix:/a'), '');
    assert.equal(world.mux.counters.refusedByListener, 1);
    assert.equal(world.mux.counters.refusedByMonitor, 1);
    assert.deepEqual(world.logged('limited'), [
      'limited nobody unix:/a refusedByListener 2 clients on this socket',
      'limited nobody unix:/b refusedByMonitor 3 clients',
    ]);
  });

  it('that come too fast, or are not allowed, get a message and are counted', () => {
    const world = World.running();
    const said = world.mux.admission.turnAway('unix:/a', 'refusedByRate', 'more than 5 connections a second');
    assert.equal(
      Buffer.from(said).toString(),
      '{"error": {"class": "GenericError", "desc": "qmpmux refused this connection: more than 5 connections a second"}}\r\n',
    );
    assert.equal(world.mux.counters.refusedByRate, 1);
    assert.deepEqual(world.logged('limited'), [
      'limited nobody unix:/a refusedByRate more than 5 connections a second',
    ]);
  });
});
