/**
 * Every event of a monitor: QEMU's, and our own, which report the loss and return of QEMU to clients that stay. Each is kept for
 * clients that ask later, handed to those that get events, and reported to the observer.
 */

import { quote } from '../../qmp/json/unicode.js';
import { eventMessage } from '../../qmp/message.js';
import type { Bookkeeping } from '../ports/bookkeeping.js';
import { EXTENSION_PREFIX } from '../ports/extension-prefix.js';
import type { Host } from '../ports/link.js';
import { EventFanout, type EventReceiver } from './fan-out.js';
import { EventRing } from './ring.js';

export class EventFeed {
  /** The latest events, for those that ask for them. */
  readonly ring: EventRing = new EventRing();
  readonly #books: Bookkeeping;
  readonly #host: Pick<Host, 'epoch' | 'schedule'>;
  readonly #fanout = new EventFanout();
  /** QEMU's version; null while it is gone. */
  #version: string | null = null;
  /** The version of the QEMU that was lost, once that was announced, until another one is there. */
  #lostVersion: string | null = null;

  constructor(books: Bookkeeping, host: Pick<Host, 'epoch' | 'schedule'>) {
    this.#books = books;
    this.#host = host;
  }

  /** The receiver gets events from here on. */
  subscribe(receiver: EventReceiver): void {
    this.#fanout.subscribe(receiver);
  }

  unsubscribe(receiver: EventReceiver): void {
    this.#fanout.unsubscribe(receiver);
  }

  /** Takes an event, as it goes to clients. They have it before they are sent anything else, and at the end of the turn. */
  publish(name: string, message: readonly Uint8Array[]): void {
    this.ring.add(name, message);
    const receivers = this.#fanout.publish(name, message);
    this.#books.observer?.event(name, message, receivers);
    if (receivers > 0) this.#host.schedule();
  }

  /** Hands out the events that were taken. */
  handOut(): void {
    this.#fanout.handOut();
  }

  /** QEMU is gone. @param isAnnounced whether there are clients that stay */
  lost(reason: string, isAnnounced: boolean): void {
    const version = this.#version;
    this.#version = null;
    if (version === null || !isAnnounced) return;
    this.#lostVersion = version;
    this.#announce('UPSTREAM_LOST', `{"reason": ${quote(reason)}}`);
  }

  /** QEMU is there. Announced only after a loss. */
  running(version: string): void {
    const lost = this.#lostVersion;
    this.#version = version;
    this.#lostVersion = null;
    if (lost === null) return;
    this.#announce('UPSTREAM_RESTORED', `{"version": ${quote(version)}, "previous-version": ${quote(lost)}}`);
  }

  #announce(name: string, data: string): void {
    const now = this.#host.epoch();
    const full = EXTENSION_PREFIX + name;
    this.publish(full, [eventMessage(full, Math.floor(now / 1_000_000), Math.floor(now % 1_000_000), data)]);
  }
}
