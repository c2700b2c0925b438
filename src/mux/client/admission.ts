/** How many clients there are, whether one more may connect, and the message to one that may not. */
import { errorReply, genericError } from '../../qmp/message.js';
import type { Bookkeeping } from '../ports/bookkeeping.js';
import type { Counters } from '../ports/counters.js';

export class Admission {
  readonly #books: Bookkeeping;
  #clientCount = 0;
  /** Connected clients by listener. */
  readonly #perListener = new Map<string, number>();

  constructor(books: Bookkeeping) {
    this.#books = books;
  }

  get clientCount(): number {
    return this.#clientCount;
  }

  /**
   * Whether one more client may connect through `listener`. A refusal is counted and reported to the observer.
   * @param listenerClients how many it may have; 0 for any number
   * @returns null, or what to write to it before it is closed
   */
  refusal(listener: string, listenerClients: number = this.#books.limits.listenerClients): Uint8Array | null {
    const { clients } = this.#books.limits;
    const here = this.#perListener.get(listener) ?? 0;
    const isListenerFull = listenerClients > 0 && here >= listenerClients;
    if (!isListenerFull && (clients === 0 || this.#clientCount < clients)) return null;
    const limit = isListenerFull ? 'refusedByListener' : 'refusedByMonitor';
    const what = isListenerFull ? `${here} clients on this socket` : `${this.#clientCount} clients`;
    this.#count(listener, limit, what);
    const where = isListenerFull ? `on this socket (limit ${listenerClients})` : `of this VM (limit ${clients})`;
    return errorReply(null, genericError(`qmpmux has too many clients ${where}; try again later`));
  }

  /** Counts a refusal and reports it to the observer. @returns what to write to the client before it is closed */
  turnAway(
    listener: string,
    limit: 'refusedByListener' | 'refusedByRate' | 'refusedByOwner' | 'refusedByDescriptors' | 'unnegotiated',
    what: string,
  ): Uint8Array {
    this.#count(listener, limit, what);
    return errorReply(null, genericError(`qmpmux refused this connection: ${what}`));
  }

  /** A client has come through `listener`. */
  enter(listener: string): void {
    this.#clientCount++;
    this.#perListener.set(listener, (this.#perListener.get(listener) ?? 0) + 1);
  }

  /** A client of `listener` has gone. */
  leave(listener: string): void {
    this.#clientCount--;
    const left = (this.#perListener.get(listener) ?? 1) - 1;
    if (left > 0) this.#perListener.set(listener, left);
    else this.#perListener.delete(listener);
  }

  #count(listener: string, limit: keyof Counters, what: string): void {
    this.#books.counters[limit]++;
    this.#books.observer?.limited?.(null, listener, limit, what);
  }
}
