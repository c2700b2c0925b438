/** Who gets the VM's events: every client that has completed its negotiation, as far as its listener's filter lets them through. */
import { matchesGlob } from './glob.js';
import type { Session } from './session.js';

/** Event names remembered at most; QEMU has some sixty. */
const MOST_NAMES = 256;

/** Which events the clients of a listener get. */
export class EventFilter {
  readonly #globs: readonly string[];
  readonly #seen = new Map<string, boolean>();

  /** @param globs patterns of names; an event passes that matches one of them, so without any none does */
  constructor(globs: readonly string[]) {
    this.#globs = globs;
  }

  passes(name: string): boolean {
    let passes = this.#seen.get(name);
    if (passes === undefined) {
      passes = this.#globs.some((glob) => matchesGlob(glob, name));
      if (this.#seen.size < MOST_NAMES) this.#seen.set(name, passes);
    }
    return passes;
  }
}

export class EventFanout {
  /** Kept as an array, in order of subscription: it is walked for every event, and changed rarely. */
  #receivers: Session[] = [];

  subscribe(session: Session): void {
    this.#receivers.push(session);
  }

  unsubscribe(session: Session): void {
    const at = this.#receivers.indexOf(session);
    if (at < 0) return;
    // A new array, since this may happen while an event is being handed out.
    this.#receivers = this.#receivers.filter((each) => each !== session);
  }

  /**
   * Hands an event to all receivers whose filter it passes. The chunks are shared by all of them.
   * @returns how many there are
   */
  publish(name: string, chunks: readonly Uint8Array[]): number {
    let count = 0;
    for (const session of this.#receivers) {
      if (session.eventFilter !== null && !session.eventFilter.passes(name)) continue;
      session.deliverEvent(chunks);
      count++;
    }
    return count;
  }
}
