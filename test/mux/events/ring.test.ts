import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { EventRing, MOST_EVENT_BYTES, MOST_EVENTS, type RingItem } from '../../../dist/mux/events/ring.js';
import { bytesOf, textOf } from '../../support/world/world.js';

function filled(count: number, size = 4): EventRing {
  const ring = new EventRing();
  for (let i = 1; i <= count; i++) ring.add(`E${i}`, [bytesOf('x'.repeat(size)), bytesOf('\r\n')]);
  return ring;
}

/** `gap 1-4` and `5 E5 text`, shortened to the event's name. */
function shown(items: readonly RingItem[]): string[] {
  return items.map((item) => (item.kind === 'gap' ? `gap ${item.first}-${item.last}` : `${item.number} ${item.name}`));
}

describe('the event ring', () => {
  it('numbers events from 1 and gives those after a number', () => {
    const ring = filled(3);
    assert.deepEqual(shown(ring.after(0)), ['1 E1', '2 E2', '3 E3']);
    assert.deepEqual(shown(ring.after(2)), ['3 E3']);
    assert.deepEqual(shown(ring.after(3)), []);
    assert.deepEqual([ring.first, ring.last], [1, 3]);
    assert.deepEqual(shown(new EventRing().after(0)), []);
  });

  it('keeps the bytes without the end of the line, apart from the chunk they came in', () => {
    const ring = new EventRing();
    const chunk = bytesOf('{"event": "A"}\r\n');
    ring.add('A', [chunk.subarray(0, 5), chunk.subarray(5)]);
    chunk.fill(0);
    const [item] = ring.after(0);
    assert.ok(item?.kind === 'event');
    assert.equal(textOf(item.bytes), '{"event": "A"}');
    assert.notEqual(item.bytes.buffer, chunk.buffer);
  });

  it(`holds ${MOST_EVENTS} events and shows the rest as a gap`, () => {
    const ring = filled(MOST_EVENTS + 10);
    const items = ring.after(0);
    assert.equal(items.length, MOST_EVENTS + 1);
    assert.deepEqual(shown(items.slice(0, 2)), ['gap 1-10', '11 E11']);
    assert.deepEqual(shown(ring.after(7)).slice(0, 2), ['gap 8-10', '11 E11']);
    assert.deepEqual(shown(ring.after(10)).slice(0, 1), ['11 E11']);
    assert.equal(ring.first, 11);
  });

  it(`holds ${MOST_EVENT_BYTES} bytes of events and shows the rest as a gap`, () => {
    const quarter = MOST_EVENT_BYTES / 4;
    const ring = filled(6, quarter);
    assert.deepEqual(shown(ring.after(0)), ['gap 1-2', '3 E3', '4 E4', '5 E5', '6 E6']);
    assert.equal(ring.size, MOST_EVENT_BYTES);
  });

  it('does not keep an event that is larger than all may be, and loses no other for it', () => {
    const ring = filled(2);
    ring.add('HUGE', [new Uint8Array(MOST_EVENT_BYTES + 3)]);
    ring.add('E4', [bytesOf('x\r\n')]);
    assert.deepEqual(shown(ring.after(0)), ['1 E1', '2 E2', 'gap 3-3', '4 E4']);
    ring.add('HUGE', [new Uint8Array(2 * MOST_EVENT_BYTES)]);
    assert.deepEqual(shown(ring.after(4)), ['gap 5-5']);
    assert.equal(ring.size, 9);
  });

  it('keeps events of all sizes apart from each other', () => {
    const ring = new EventRing();
    const sizes = [10, 70_000, 3, 65_536, 0, 65_534, 65_535, 1, 200];
    for (const [at, size] of sizes.entries()) ring.add(`E${at}`, [bytesOf(String(at).repeat(size)), bytesOf('\r\n')]);
    const texts = ring.after(0).map((item) => (item.kind === 'event' ? textOf(item.bytes) : 'gap'));
    assert.deepEqual(
      texts,
      sizes.map((size, at) => String(at).repeat(size)),
    );
  });

  it('comes to no harm by going round many times', () => {
    const ring = filled(3 * MOST_EVENTS + 5);
    assert.equal(ring.size, 4 * MOST_EVENTS);
    assert.deepEqual(shown(ring.after(3 * MOST_EVENTS + 3)), [
      `${3 * MOST_EVENTS + 4} E${3 * MOST_EVENTS + 4}`,
      `${3 * MOST_EVENTS + 5} E${3 * MOST_EVENTS + 5}`,
    ]);
  });
});
