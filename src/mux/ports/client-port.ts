/** What a client's connection and its session know of each other: net/ has the one, session.ts is the other. */
import type { EventFilter } from '../events/fan-out.js';
import type { Policy } from '../policy/policy.js';
import type { ClientId, Descriptor, Peer } from './link.js';

/** What a client's connection may call. */
export interface ClientPort {
  readonly id: ClientId;
  /** Bytes the client sent. The chunk is handed over: the caller never changes it afterwards. */
  receive(chunk: Uint8Array): void;
  /**
   * Open files came with one message, behind `at` bytes of what the client sends; handed over. Called before those bytes are received.
   * @param fault why they cannot be kept, for the client; null when they can
   */
  receiveDescriptors(at: number, descriptors: readonly Descriptor[], fault: string | null): void;
  /** The client shut down its sending side: what it sent is still executed and answered, then EOF follows. */
  receiveEnd(): void;
  /** The client speaks another protocol: it is told so by `answer`, in that, and gets EOF. @param what for the observer */
  refuse(answer: Uint8Array, what: string): void;
  /** The connection is gone, both ways; nothing can be sent any more. */
  closed(reason: string): void;
  /** The kernel has taken what was written; for links whose `backlog` had been above zero. */
  drained(): void;
}

/** What is known of a client when it connects. */
export interface ClientOptions {
  /** The listener's address as configured. */
  readonly listener: string;
  readonly peer: Peer;
  /** What it may run; everything when absent. */
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
