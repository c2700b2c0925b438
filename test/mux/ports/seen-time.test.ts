import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { SeenTime } from '../../../dist/mux/ports/seen-time.js';
import { World } from '../../support/world/world.js';

const SECOND = 1_000_000;

describe('the time that was seen', () => {
  it('is the time that passed, less the outages since then', () => {
    const seen = new SeenTime();
    assert.equal(seen.between(10, 110), 100);
    seen.miss(50, 30);
    assert.equal(seen.between(10, 110), 70);
    assert.equal(seen.between(60, 110), 50);
    seen.miss(100, 0);
    assert.equal(seen.between(60, 110), 50);
  });

  it('is never less than nothing, and gives no less than it should after any number of outages', () => {
    const seen = new SeenTime();
    seen.miss(50, 1000);
    assert.equal(seen.between(40, 60), 0);
    for (let at = 100; at < 100_000; at += 100) seen.miss(at, 50);
    assert.equal(seen.between(99_850, 100_000), 100);
    assert.ok(seen.between(60, 100_000) <= 100_000 - 60 - 999 * 50);
  });
});

describe('a daemon that was stopped for an hour', () => {
  const HOUR = 3600 * SECOND;

  function stoppedWorld(): { readonly world: World; readonly sleep: () => void } {
    const world = World.running({
      mux: { limits: { negotiationTime: 5000, outputHighWater: 1000, outputGrace: 5000 } },
    });
    return {
      world,
      sleep: () => {
        world.pass(HOUR);
        world.mux.tick(HOUR);
        world.settle();
      },
    };
  }

  it('gives clients that had not negotiated the rest of the time', () => {
    const { world, sleep } = stoppedWorld();
    const client = world.client();
    world.wait(3000);
    sleep();
    assert.equal(client.link.isEnded, false);
    world.wait(1000);
    assert.equal(client.link.isEnded, false);
    world.wait(2000);
    assert.equal(client.link.isEnded, true);
    // a client that comes afterwards has no more than others
    const late = world.client();
    world.wait(6000);
    assert.equal(late.link.isEnded, true);
  });

  it('disconnects no client that had something to read', () => {
    const { world, sleep } = stoppedWorld();
    const client = world.client().negotiate();
    client.link.backlog = 2000;
    world.qemu.event('STOP');
    world.settle();
    sleep();
    assert.equal(client.link.isDestroyed, false);
    world.wait(4000);
    assert.equal(client.link.isDestroyed, false);
    world.wait(2000);
    assert.equal(client.link.isDestroyed, true);
  });

  it('gives no errors for commands that nobody could answer meanwhile, and does not call them stuck', () => {
    const { world, sleep } = stoppedWorld();
    const client = world.client('unix:/run/vm.mux', { kind: 'unix' }, { commandTime: 5000 }).negotiate();
    client.send('{"execute":"stop","id":1}');
    world.settle();
    world.wait(2000);
    sleep();
    assert.deepEqual(client.take(), []);
    assert.deepEqual(world.logged('stuck', 'abandoned'), []);
    world.wait(4000);
    assert.match(client.take().join(''), /no answer from QEMU within 5 s/);
    assert.equal(world.logged('abandoned').length, 1);
    world.wait(6000);
    assert.equal(world.logged('stuck').length, 1);
  });
});
