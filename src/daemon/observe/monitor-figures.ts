/** The state of one monitor at this moment, in numbers. */
import type { Counters, Traffic } from '../../mux/ports/counters.js';
import type { UpstreamState } from '../../mux/ports/link.js';
import type { UpstreamHealth } from '../../mux/ports/observer.js';

export interface MonitorFigures {
  readonly state: UpstreamState;
  /** The last finding about QEMU; null while it is not connected, and if it is not probed. */
  readonly health: UpstreamHealth['name'] | null;
  /** For how long it has been silent, in seconds; 0 while it is not. */
  readonly silent: number;
  /** Commands that have not gone upstream yet. */
  readonly waiting: number;
  /** Commands upstream without an answer. */
  readonly inFlight: number;
  /** How long the oldest of these has been there, in seconds; 0 when there is none. */
  readonly oldest: number;
  /** Bytes held for all clients. */
  readonly held: number;
  readonly counters: Counters;
  readonly traffic: Traffic;
}
