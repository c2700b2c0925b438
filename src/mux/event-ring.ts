/**
 * The VM's latest events, numbered: for a client that was away and asks what it has missed.
 *
 * Numbers are 1, 2, 3, … in the order in which the multiplexer saw the events, and go on when QEMU is another one. What is not
 * kept any more, or never was because of its size, shows as a gap: nothing is missing in silence.
 */
import { concat } from '../qmp/ascii.js';

/** Events kept at most. */
export const MOST_EVENTS = 4096;
/** Bytes kept of all of them. An event that is larger than that by itself is not kept. */
export const MOST_EVENT_BYTES = 1024 * 1024;

/** An event that is there, or a range of those that are not; both ends included. */
export type RingItem =
  | { readonly kind: 'event'; readonly number: number; readonly name: string; readonly bytes: Uint8Array }
  | { readonly kind: 'gap'; readonly first: number; readonly last: number };

interface Kept {
  readonly name: string;
  /** QEMU's bytes without the end of the line; a copy, so that it does not keep the larger chunk it was read in. */
  readonly bytes: Uint8Array;
}

const LINE_END = 2;

export class EventRing {
  /** By the event's number, modulo `MOST_EVENTS`; null for one that was too large. */
  readonly #kept: (Kept | null)[] = [];
  /** The number of the oldest event that is kept; one more than `#last` when none is. */
  #first = 1;
  #last = 0;
  #bytes = 0;

  /** The number of the newest event; 0 before the first. */
  get last(): number {
    return this.#last;
  }

  /** The number of the oldest event that is still there; one more than `last` when none is. */
  get first(): number {
    return this.#first;
  }

  /** Bytes kept. */
  get size(): number {
    return this.#bytes;
  }

  /** Keeps an event: its message in chunks, CRLF included. */
  add(name: string, message: readonly Uint8Array[]): void {
    let length = -LINE_END;
    for (const chunk of message) length += chunk.length;
    this.#last++;
    const isKept = length <= MOST_EVENT_BYTES;
    if (this.#last - this.#first === MOST_EVENTS) this.#dropOldest();
    this.#kept[this.#last % MOST_EVENTS] = isKept ? { name, bytes: concat(message).subarray(0, length) } : null;
    if (isKept) this.#bytes += length;
    while (this.#bytes > MOST_EVENT_BYTES) this.#dropOldest();
  }

  /** @returns what there was after event `since`, oldest first. */
  after(since: number): RingItem[] {
    const items: RingItem[] = [];
    let gap = since + 1;
    for (let number = Math.max(this.#first, since + 1); number <= this.#last; number++) {
      const kept = this.#kept[number % MOST_EVENTS] ?? null;
      if (kept === null) continue;
      if (gap < number) items.push({ kind: 'gap', first: gap, last: number - 1 });
      items.push({ kind: 'event', number, ...kept });
      gap = number + 1;
    }
    if (gap <= this.#last) items.push({ kind: 'gap', first: gap, last: this.#last });
    return items;
  }

  #dropOldest(): void {
    const at = this.#first % MOST_EVENTS;
    this.#bytes -= this.#kept[at]?.bytes.length ?? 0;
    this.#kept[at] = null;
    this.#first++;
  }
}
