/** How a client is served: its listener's options, and the facts about its connection. */
import type { EventFilter } from '../events/filter.js';
import type { Policy } from '../policy/policy.js';
import type { Peer } from '../ports/link.js';

/** The facts about a client that are known when it connects. */
export interface ClientOptions {
  /** The listener's address as configured. */
  readonly listener: string;
  readonly peer: Peer;
  /** The commands it may run; everything when absent. */
  readonly policy?: Policy;
  /** Which events it gets; all when absent. */
  readonly events?: EventFilter;
  /** How long one of its commands may take, in milliseconds; for ever when absent or 0. */
  readonly commandTime?: number;
  /** Why a command that takes a file descriptor is refused; they are not when absent. */
  readonly noDescriptors?: string;
  /** Whether it has qmpmux's own commands (extension.ts); not when absent. */
  readonly extensions?: boolean;
  /** Whether it is served without capabilities negotiation too. It gets events only once it has negotiated. */
  readonly maySkipNegotiation?: boolean;
}
