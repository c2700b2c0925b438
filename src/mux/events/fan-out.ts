/** Distributes the VM's events to every client that has completed its negotiation, as far as its listener's filter lets them through. */
import type { EventFilter } from './filter.js';

/** A receiver of events, in chunks that others get too. */
export interface EventReceiver {
  /** null for none: all events. */
  readonly eventFilter: EventFilter | null;
  deliverEvent(chunks: readonly Uint8Array[]): void;
}

export class EventFanout {
  /** Kept as an array, in order of subscription: it is walked for every event, and changed rarely. */
  #receivers: EventReceiver[] = [];
  /** Those of them that do not get all events. */
  #filtered = 0;
  /** Events that lie one after the other in memory, all for the same receivers, and are still to be handed out; null for none. */
  #run: Uint8Array | null = null;
  /** The name of the first of them, and how many get them. */
  #runName = '';
  #runCount = 0;

  subscribe(receiver: EventReceiver): void {
    this.handOut();
    this.#receivers.push(receiver);
    if (receiver.eventFilter !== null) this.#filtered++;
  }

  unsubscribe(receiver: EventReceiver): void {
    if (!this.#receivers.includes(receiver)) return;
    this.handOut();
    this.#receivers = this.#receivers.filter((each) => each !== receiver);
    if (receiver.eventFilter !== null) this.#filtered--;
  }

  /**
   * Takes an event for all receivers whose filter it passes. They have it when `handOut` returns: events that come together are one
   * piece for each of a thousand clients then. The chunks are shared by all of them.
   * @returns how many there are
   */
  publish(name: string, chunks: readonly Uint8Array[]): number {
    const [only] = chunks;
    if (only === undefined || chunks.length > 1) {
      this.handOut();
      return this.#deliver(name, chunks);
    }
    const isForSame = this.#filtered === 0 || name === this.#runName;
    const both = isForSame && this.#run !== null ? adjacent(this.#run, only) : null;
    if (both !== null) {
      this.#run = both;
      return this.#runCount;
    }
    this.handOut();
    this.#run = only;
    this.#runName = name;
    this.#runCount =
      this.#filtered === 0
        ? this.#receivers.length
        : this.#receivers.filter((receiver) => isFor(receiver, name)).length;
    return this.#runCount;
  }

  /** Hands out the events taken. */
  handOut(): void {
    const run = this.#run;
    if (run === null) return;
    this.#run = null;
    this.#deliver(this.#runName, [run]);
  }

  #deliver(name: string, chunks: readonly Uint8Array[]): number {
    let count = 0;
    for (const receiver of this.#receivers) {
      if (!isFor(receiver, name)) continue;
      receiver.deliverEvent(chunks);
      count++;
    }
    return count;
  }
}

function isFor({ eventFilter }: EventReceiver, name: string): boolean {
  return eventFilter === null || eventFilter.passes(name);
}

/** @returns one view of both, where `right` begins in memory where `left` ends; otherwise null */
function adjacent(left: Uint8Array, right: Uint8Array): Uint8Array | null {
  if (left.buffer !== right.buffer || left.byteOffset + left.length !== right.byteOffset) return null;
  return new Uint8Array(left.buffer, left.byteOffset, left.length + right.length);
}
