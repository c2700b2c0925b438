/** How one monitor stands at this moment, in numbers. */
import type { Counters, Traffic } from '../mux/counters.js';
import type { UpstreamState } from '../mux/link.js';

export interface MonitorFigures {
  readonly state: UpstreamState;
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
