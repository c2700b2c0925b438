import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PendingCommand } from '../../../dist/mux/commands/command.js';
import { InFlight, OOB_WINDOW } from '../../../dist/mux/commands/in-flight.js';
import { anyClient, idleOwner } from '../../support/world/session-parts.js';

const owner = idleOwner();

function command(oob = false): PendingCommand {
  const taken = new PendingCommand(owner);
  taken.oob = oob;
  taken.markWaiting();
  taken.markSent();
  return taken;
}

describe('commands in flight', () => {
  it('have ids of which none comes back while an answer to it could still come', () => {
    const pending = new InFlight();
    const lastUse = new Map<number, number>();
    for (let round = 0; round < 2000; round++) {
      const inFlight = pending.all().map((each) => Number(each.upstreamId));
      const each = command(round % 5 === 0);
      pending.add(each);
      const id = Number(each.upstreamId);
      assert.ok(!inFlight.includes(id));
      assert.ok(round - (lastUse.get(id) ?? -1000) > 7, `id ${id} came back at once`);
      lastUse.set(id, round);
      if (round % 7 < 3) continue;
      for (const done of pending.all().slice(0, 2)) {
        if (done.upstreamId !== -1) assert.equal(pending.take(done.upstreamId), done);
        done.release();
      }
    }
  });

  it('have out-of-band ids that skip those still in use, however long they are', () => {
    const pending = new InFlight();
    const stuck = command(true);
    pending.add(stuck);
    const seen = new Set([stuck.upstreamId]);
    for (let i = 0; i < 3000; i++) {
      const each = command(true);
      pending.add(each);
      assert.notEqual(each.upstreamId, stuck.upstreamId);
      seen.add(each.upstreamId);
      assert.equal(pending.take(Number(each.upstreamId)), each);
      assert.equal(pending.take(Number(each.upstreamId)), null, 'an answer is taken once');
      each.release();
    }
    assert.ok(seen.size > OOB_WINDOW);
    assert.equal(pending.take(Number(stuck.upstreamId)), stuck);
  });

  it('are answered in order, in-band: no other id fits', () => {
    const pending = new InFlight();
    assert.equal(pending.take(0), null);
    assert.equal(pending.takeOldestInBand(), null);
    const [first, second] = [command(), command()];
    pending.add(first);
    pending.add(second);
    assert.equal(pending.take(Number(second.upstreamId)), null);
    assert.equal(pending.take(-1), null);
    assert.equal(pending.take(Number(first.upstreamId)), first);
    assert.equal(pending.takeOldestInBand(), second);
  });

  it('can be taken back, the newest first, and then have their ids for the next', () => {
    const pending = new InFlight();
    for (const count of [3, 7]) {
      const all = Array.from({ length: count }, () => command());
      for (const each of all) pending.add(each);
      const ids = all.map((each) => each.upstreamId);
      assert.throws(() => pending.withdraw(all[0] ?? command()), /only the latest/);
      const rest = pending.clear();
      assert.ok(rest.length >= count - 1);
      for (const each of all) pending.add(each);
      const again = all.map((each) => each.upstreamId);
      for (const each of all.toReversed()) pending.withdraw(each);
      assert.ok(all.every((each) => each.upstreamId === -1));
      assert.deepEqual(pending.all(), []);
      for (const each of all) pending.add(each);
      assert.deepEqual(
        all.map((each) => each.upstreamId),
        again,
      );
      assert.equal(new Set(ids).size, count);
      pending.clear();
    }
  });

  it('keep others waiting if they are the oldest in-band one, or out-of-band, for longer than is usual', () => {
    const pending = new InFlight();
    const [first, second, overtaker, late] = [command(), command(), command(true), command(true)];
    for (const [each, sentAt] of [
      [first, 10],
      [second, 11],
      [overtaker, 12],
      [late, 20],
    ] as const) {
      pending.add(each);
      each.sentAt = sentAt;
    }
    assert.deepEqual(pending.stuck(9), []);
    assert.deepEqual(pending.stuck(12), [first, overtaker]);
    first.isWarned = true;
    assert.deepEqual(pending.stuck(12), [overtaker]);
    pending.takeOldestInBand();
    assert.deepEqual(pending.stuck(20), [second, overtaker, late]);
  });
});

describe('a command that is through', () => {
  it('keeps nothing alive that may be large', () => {
    const used = command(true);
    used.raw = new Uint8Array(3);
    used.reply = [new Uint8Array(3)];
    used.id = new Uint8Array(3);
    used.wire = new Uint8Array(3);
    used.release();
    assert.deepEqual(
      [used.raw.length, used.reply.length, used.id, used.wire.length, used.followers.length],
      [0, 0, null, 0, 0],
    );
  });

  it('is not released twice, nor used afterwards', () => {
    const used = command();
    assert.equal(used.client, anyClient);
    used.release();
    assert.throws(() => used.release(), /a command that is done cannot be done/);
    assert.throws(() => used.owner, /used after its release/);
    assert.throws(() => used.client, /used after its release/);
  });
});
