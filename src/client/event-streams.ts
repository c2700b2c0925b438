/** All readers of one client's events. */
import { EventStream } from './event-stream.js';
import type { QmpEvent } from './messages.js';
import type { EventsOptions } from './options.js';

const DEFAULT_LIMIT = 4096;

export class EventStreams {
  readonly #streams = new Set<EventStream<QmpEvent>>();
  #isFinished = false;

  /** @returns events from now on */
  open({ limit = DEFAULT_LIMIT, signal }: EventsOptions): EventStream<QmpEvent> {
    const abort = () => stream.fail(signal?.reason);
    const stream = new EventStream<QmpEvent>(limit, () => {
      this.#streams.delete(stream);
      signal?.removeEventListener('abort', abort);
    });
    if (this.#isFinished) stream.finish();
    else if (signal?.aborted === true) abort();
    else {
      this.#streams.add(stream);
      signal?.addEventListener('abort', abort, { once: true });
    }
    return stream;
  }

  push(event: QmpEvent): void {
    for (const stream of this.#streams) stream.push(event);
  }

  /** No more events will come, not even for later readers. */
  finish(): void {
    this.#isFinished = true;
    for (const stream of this.#streams) stream.finish();
  }
}
