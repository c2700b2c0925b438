/** What one multiplexer has refused and ended since its start: plain numbers that only grow, for the metrics to read. */
export class Counters {
  /** Commands that a policy refused. */
  denied = 0;
}
