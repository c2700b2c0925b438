/**
 * The output of one client: the bytes for the end of the turn, its unread bytes, and the replies that wait here for earlier ones.
 * Once the connection is gone, everything is swallowed.
 *
 * Invariant: everything sent to a client comes after the events that came before it. Events wait until something else is sent, or the
 * turn ends (events/feed.ts), so `send` and `flush`, through which everything goes, have them handed out first.
 */
import type { Bookkeeping } from '../ports/bookkeeping.js';
import type { Link } from '../ports/link.js';
import { Outbox } from '../wire/outbox.js';
import type { ClientQuota } from './client-quota.js';

/** Why a client is to be disconnected. */
export interface OutputFault {
  readonly limit: 'slow' | 'overfull';
  readonly what: string;
}

/** Events that no client has been sent yet. */
export interface WaitingEvents {
  handOut(): void;
}

export class ClientOutput {
  readonly #outbox = new Outbox();
  readonly #usage: ClientQuota;
  readonly #books: Pick<Bookkeeping, 'limits' | 'seenTime'>;
  readonly #events: WaitingEvents;
  /** null once the connection is gone. */
  #link: Link | null;
  /** Bytes of replies that were given here and wait for earlier answers. */
  #dueBytes = 0;
  /** Bytes handed to the connection. */
  #given = 0;

  constructor(link: Link, usage: ClientQuota, books: Pick<Bookkeeping, 'limits' | 'seenTime'>, events: WaitingEvents) {
    this.#link = link;
    this.#usage = usage;
    this.#books = books;
    this.#events = events;
  }

  /** Bytes that go out at the end of the turn. */
  get length(): number {
    return this.#outbox.length;
  }

  /** Bytes that the client has to read, those included that wait here. */
  get unread(): number {
    return this.#usage.unread + this.#outbox.length + this.#dueBytes;
  }

  /** Whether no more is to be read from the client for now. */
  get isHigh(): boolean {
    return this.#usage.isHigh(this.#outbox.length + this.#dueBytes);
  }

  /** The same without the replies that wait here. */
  get isHighWithoutHeld(): boolean {
    return this.#usage.isHigh(this.#outbox.length);
  }

  /** Whether there is something to be sent, or to be looked after until the client has read it. */
  get isBusy(): boolean {
    return this.#outbox.length > 0 || this.isUnread;
  }

  /** Whether there is something that the client has not read. */
  get isUnread(): boolean {
    return this.#usage.unread > 0 || (this.#link !== null && this.#link.backlog > 0);
  }

  /** A reply waits for earlier ones. */
  hold(reply: readonly Uint8Array[]): void {
    for (const chunk of reply) this.#dueBytes += chunk.length;
  }

  /** Sends a reply that was held. */
  sendHeld(reply: readonly Uint8Array[]): void {
    for (const chunk of reply) this.#dueBytes -= chunk.length;
    this.send(reply);
  }

  send(chunks: readonly Uint8Array[]): void {
    this.#events.handOut();
    if (this.#link !== null) for (const chunk of chunks) this.#outbox.append(chunk);
  }

  /** Hands everything to the connection. @returns how many bytes */
  flush(): number {
    this.#events.handOut();
    if (this.#link === null) return 0;
    const { length } = this.#outbox;
    this.#given += length;
    this.#outbox.flush(this.#link);
    return length;
  }

  /** Looks at what is unread. @param now in microseconds @returns why the client is to be disconnected, or null */
  judge(now: number): OutputFault | null {
    const unread = this.#link?.backlog ?? 0;
    const progress = this.#link?.progress ?? this.#given - unread;
    const limit = this.#usage.judge({ unread, progress }, now, this.#books.seenTime);
    if (limit === null) return null;
    const amount = `${(unread / 1048576).toFixed(1)} MiB unread`;
    const { outputHighWater, outputGrace } = this.#books.limits;
    const above = `${amount}, above ${outputHighWater} bytes, none read for ${outputGrace / 1000} s`;
    return { limit, what: limit === 'slow' ? above : amount };
  }

  /** The connection is gone. */
  close(): void {
    this.#link = null;
    this.#outbox.clear();
    this.#usage.unread = 0;
  }
}
