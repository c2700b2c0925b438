/**
 * Keeps garbage from filling the log: the first unreadable pieces of a client's input have a record each, and those that follow within a
 * second share one. After a second without any, the count starts again.
 */
import type { ClientView } from '../../mux/ports/observer.js';

/** Records in a row before sums are made. */
export const MOST_IN_A_ROW = 10;
/** Of a sum, and of the pause after which the count starts again, in milliseconds. */
const SUM_INTERVAL = 1000;

/** Fields of a sum. */
interface MalformedSum {
  count: number;
  /** Bytes in all. */
  length: number;
}

interface Row {
  /** When there was the last, in microseconds. */
  last: number;
  length: number;
}

export class MalformedFlood {
  readonly #record: (client: ClientView, sum: MalformedSum) => void;
  readonly #rows = new WeakMap<ClientView, Row>();
  readonly #sums = new Map<ClientView, MalformedSum>();
  #isDue = false;

  /** @param record makes the record of a sum */
  constructor(record: (client: ClientView, sum: MalformedSum) => void) {
    this.#record = record;
  }

  /**
   * Counts a piece of input.
   * @param length its bytes
   * @param now microseconds
   * @returns whether it gets its own record
   */
  admits(client: ClientView, length: number, now: number): boolean {
    const row = this.#rows.get(client) ?? { last: now, length: 0 };
    this.#rows.set(client, row);
    if (now - row.last >= SUM_INTERVAL * 1000) {
      this.flush(client);
      row.length = 0;
    }
    row.last = now;
    if (++row.length <= MOST_IN_A_ROW) return true;
    const sum = this.#sums.get(client);
    if (sum === undefined) this.#sums.set(client, { count: 1, length });
    else {
      sum.count++;
      sum.length += length;
    }
    if (!this.#isDue) setTimeout(this.#flushAll, SUM_INTERVAL).unref();
    this.#isDue = true;
    return false;
  }

  /** Records a client's count, before another record about the client. */
  flush(client: ClientView): void {
    const sum = this.#sums.get(client);
    if (sum === undefined) return;
    this.#sums.delete(client);
    this.#record(client, sum);
  }

  /** Whether anything has been counted. */
  get isCounting(): boolean {
    return this.#sums.size > 0;
  }

  readonly #flushAll = () => {
    this.#isDue = false;
    for (const client of this.#sums.keys()) this.flush(client);
  };
}
