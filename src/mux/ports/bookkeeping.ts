/** Where every part of a multiplexer sends its reports, its counts and its measurements. */
import { Counters, Traffic } from './counters.js';
import type { Limits } from './limits.js';
import type { Host } from './link.js';
import type { Observer } from './observer.js';
import { SeenTime } from './seen-time.js';

export class Bookkeeping {
  /** null for none. It can be replaced at any time, so it is looked up at each report, never kept. */
  observer: Observer | null;
  readonly counters: Counters = new Counters();
  readonly traffic: Traffic = new Traffic();
  readonly limits: Limits;
  readonly seenTime: SeenTime = new SeenTime();
  readonly #host: Pick<Host, 'now'>;

  constructor(host: Pick<Host, 'now'>, limits: Limits, observer: Observer | null) {
    this.#host = host;
    this.limits = limits;
    this.observer = observer;
  }

  /** `Host.now`. */
  now(): number {
    return this.#host.now();
  }
}
