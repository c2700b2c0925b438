/** Counts of what one multiplexer has refused and ended since its start: plain numbers that only grow, for the metrics. */
export class Counters {
  /** Commands that a policy refused. */
  denied = 0;
  /** Clients disconnected because they stayed above their high-water mark too long. */
  slow = 0;
  /** Clients disconnected because more than the cap was unread. */
  overfull = 0;
  /** Clients disconnected because they held the most when all together held too much. */
  memory = 0;
  /** Clients disconnected because they did not negotiate in time. */
  unnegotiated = 0;
  /** Clients of a TCP listener disconnected because they spoke HTTP, or TLS to one without it. */
  foreign = 0;
  /** Clients disconnected because another one asked for it, by an extension command. */
  killed = 0;
  /** Connections refused because the listener, or the monitor, had as many clients as it may. */
  refusedByListener = 0;
  refusedByMonitor = 0;
  /** Connections refused because they came too fast, or because of who they were. */
  refusedByRate = 0;
  refusedByOwner = 0;
  /** Connections refused because the process has as many files open as it may. */
  refusedByDescriptors = 0;
  /** Times a client was not read for a while, because too much of it waited. */
  paused = 0;
  /** Commands whose client got an error because they took longer than it allows. */
  timedOut = 0;
  /** Commands larger than one may be. */
  oversized = 0;
}

/** Bytes that have passed through one multiplexer since its start. */
export class Traffic {
  fromClients = 0;
  toClients = 0;
  fromUpstream = 0;
  toUpstream = 0;
}
