/**
 * Events on their way to one reader of `QmpClient.events()`: a bounded queue that is an async iterator.
 *
 * QEMU cannot be slowed down, so a reader that falls behind loses events sooner or later. It must not lose them in silence:
 * at the limit the stream takes no more, hands out its queue, and then fails.
 */
import { EventOverflowError } from './errors.js';

interface Waiter<T> {
  readonly resolve: (result: IteratorResult<T, undefined>) => void;
  readonly reject: (reason: unknown) => void;
}

type Ending = { readonly kind: 'done' } | { readonly kind: 'failed'; readonly reason: unknown };

const DONE = { done: true, value: undefined } as const;

export class EventStream<T> implements AsyncIterableIterator<T, undefined> {
  readonly #limit: number;
  readonly #ended: (stream: EventStream<T>) => void;
  #queue: T[] = [];
  #waiters: Waiter<T>[] = [];
  #ending: Ending | null = null;

  /**
   * @param limit the most events that wait for the reader
   * @param ended called once, when the stream takes no more events
   */
  constructor(limit: number, ended: (stream: EventStream<T>) => void) {
    this.#limit = limit;
    this.#ended = ended;
  }

  push(event: T): void {
    if (this.#ending !== null) return;
    const waiter = this.#waiters.shift();
    if (waiter !== undefined) waiter.resolve({ done: false, value: event });
    else if (this.#queue.length < this.#limit) this.#queue.push(event);
    else
      this.fail(
        new EventOverflowError(`more than ${this.#limit} events are waiting for their reader; later ones are lost`),
      );
  }

  /** No more events will come; those that wait are still read. */
  finish(): void {
    this.#end({ kind: 'done' });
  }

  /** As `finish`, but the reader gets `reason` after the events that wait. */
  fail(reason: unknown): void {
    this.#end({ kind: 'failed', reason });
  }

  next(): Promise<IteratorResult<T, undefined>> {
    const event = this.#queue.shift();
    if (event !== undefined) return Promise.resolve({ done: false, value: event });
    if (this.#ending === null) return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }));
    const ending = this.#ending;
    this.#ending = { kind: 'done' };
    return ending.kind === 'failed' ? Promise.reject(ending.reason) : Promise.resolve(DONE);
  }

  /** Called by `for await` when the loop is left: events that wait are dropped. */
  return(): Promise<IteratorResult<T, undefined>> {
    this.#queue = [];
    this.finish();
    return Promise.resolve(DONE);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #end(ending: Ending): void {
    if (this.#ending !== null) return;
    const [first, ...others] = this.#waiters;
    this.#waiters = [];
    this.#ending = ending;
    if (first !== undefined) {
      if (ending.kind === 'failed') {
        this.#ending = { kind: 'done' };
        first.reject(ending.reason);
      } else first.resolve(DONE);
    }
    for (const waiter of others) waiter.resolve(DONE);
    this.#ended(this);
  }
}
