/** Who gets the VM's events: every client that has completed its negotiation. */
import type { Session } from './session.js';

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
   * Hands an event to all receivers. The chunks are shared by all of them.
   * @returns how many there are
   */
  publish(chunks: readonly Uint8Array[]): number {
    const receivers = this.#receivers;
    for (const session of receivers) session.deliverEvent(chunks);
    return receivers.length;
  }
}
