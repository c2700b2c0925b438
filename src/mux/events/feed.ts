/**
 * Every event of a monitor: QEMU's, and our own, by which clients that stay while QEMU is gone hear of that. Each is kept for who
 * asks later, handed to who gets events, and told to the observer.
 */

import { quote } from '../../qmp/json/unicode.js';
import { eventMessage } from '../../qmp/message.js';
import { EXTENSION_PREFIX } from '../admin/extension.js';
import type { Session } from '../client/session.js';
import type { Host } from '../ports/link.js';
import type { SessionOwner } from '../ports/session-owner.js';
import { EventFanout } from './fan-out.js';

export class EventFeed {
  readonly #owner: SessionOwner;
  readonly #host: Host;
  readonly #fanout = new EventFanout();
  /** QEMU's version when it was lost and that was told; null while it is there. */
  #lostVersion: string | null = null;

  constructor(owner: SessionOwner, host: Host) {
    this.#owner = owner;
    this.#host = host;
  }

  /** The session gets events from here on. */
  subscribe(session: Session): void {
    this.#fanout.subscribe(session);
  }

  unsubscribe(session: Session): void {
    this.#fanout.unsubscribe(session);
  }

  /** Takes an event, as it goes to clients; they have it when `handOut` returns. */
  publish(name: string, message: readonly Uint8Array[]): void {
    this.#owner.extensions.ring.add(name, message);
    const receivers = this.#fanout.publish(name, message);
    this.#owner.observer?.event(name, message, receivers);
  }

  /** As `EventFanout.handOut`. */
  handOut(): void {
    this.#fanout.handOut();
  }

  /** QEMU is gone. @param version the one that it had */
  lost(reason: string, version: string): void {
    this.#lostVersion = version;
    this.#announce('UPSTREAM_LOST', `{"reason": ${quote(reason)}}`);
  }

  /** QEMU is there. Told only behind `lost`. */
  running(version: string): void {
    if (this.#lostVersion === null) return;
    const data = `{"version": ${quote(version)}, "previous-version": ${quote(this.#lostVersion)}}`;
    this.#announce('UPSTREAM_RESTORED', data);
    this.#lostVersion = null;
  }

  #announce(name: string, data: string): void {
    const now = this.#host.epoch();
    const full = EXTENSION_PREFIX + name;
    this.publish(full, [eventMessage(full, Math.floor(now / 1_000_000), Math.floor(now % 1_000_000), data)]);
    this.handOut();
  }
}
