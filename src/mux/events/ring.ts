/**
 * The VM's latest events, numbered: for a client that was away and asks for the events it missed.
 *
 * Numbers are 1, 2, 3, … in the order in which the multiplexer saw the events, and go on when another QEMU follows. An event that is not
 * kept any more, or never was because of its size, shows as a gap: nothing goes missing silently.
 */
/** Events kept at most. */
export const MOST_EVENTS = 4096;
/** Bytes kept of all of them. A larger event is not kept. */
export const MOST_EVENT_BYTES = 1024 * 1024;

/** An event that is there, or a range of those that are not; both ends included. */
export type RingItem =
  | { readonly kind: 'event'; readonly number: number; readonly name: string; readonly bytes: Uint8Array }
  | { readonly kind: 'gap'; readonly first: number; readonly last: number };

interface Kept {
  readonly name: string;
  /**
   * QEMU's bytes without the end of the line, somewhere in a block of ours: a copy, so that it does not keep the larger chunk it was
   * read in. A block goes when its last event does.
   */
  readonly block: Uint8Array;
  readonly start: number;
  readonly end: number;
}

/** Events are written one after the other into blocks of this size: one for each would cost more than the copy. */
const BLOCK_BYTES = 64 * 1024;

const LINE_END = 2;

export class EventRing {
  /** By the event's number, modulo `MOST_EVENTS`; null for one that was too large. */
  readonly #kept: (Kept | null)[] = [];
  /** The number of the oldest event that is kept; one more than `#last` when none is. */
  #first = 1;
  #last = 0;
  #bytes = 0;
  /** The block that is being filled, up to `#filled`. */
  #block = new Uint8Array(0);
  #filled = 0;

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
    this.#kept[this.#last % MOST_EVENTS] = isKept ? this.#copy(name, message, length) : null;
    if (isKept) this.#bytes += length;
    while (this.#bytes > MOST_EVENT_BYTES) this.#dropOldest();
  }

  /** @returns the events after event `since`, oldest first. */
  after(since: number): RingItem[] {
    const items: RingItem[] = [];
    let gap = since + 1;
    for (let number = Math.max(this.#first, since + 1); number <= this.#last; number++) {
      const kept = this.#kept[number % MOST_EVENTS] ?? null;
      if (kept === null) continue;
      if (gap < number) items.push({ kind: 'gap', first: gap, last: number - 1 });
      items.push({ kind: 'event', number, name: kept.name, bytes: kept.block.subarray(kept.start, kept.end) });
      gap = number + 1;
    }
    if (gap <= this.#last) items.push({ kind: 'gap', first: gap, last: this.#last });
    return items;
  }

  #copy(name: string, message: readonly Uint8Array[], length: number): Kept {
    const size = length + LINE_END;
    if (this.#filled + size > this.#block.length) {
      this.#block = new Uint8Array(Math.max(BLOCK_BYTES, size));
      this.#filled = 0;
    }
    const start = this.#filled;
    for (const chunk of message) {
      this.#block.set(chunk, this.#filled);
      this.#filled += chunk.length;
    }
    return { name, block: this.#block, start, end: start + length };
  }

  #dropOldest(): void {
    const at = this.#first % MOST_EVENTS;
    const kept = this.#kept[at] ?? null;
    if (kept !== null) this.#bytes -= kept.end - kept.start;
    this.#kept[at] = null;
    this.#first++;
  }
}
