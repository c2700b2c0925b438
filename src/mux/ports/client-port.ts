/** A client's session as its connection knows it: the connection is in net/, the session in client/session.ts. */
import type { ClientId, Descriptor } from './link.js';

/** The calls that a client's connection may make. */
export interface ClientPort {
  readonly id: ClientId;
  /** Bytes the client sent. The chunk is handed over: the caller never changes it afterwards. */
  receive(chunk: Uint8Array): void;
  /**
   * Open files came with one message, after `at` bytes of the client's input; handed over. Called before those bytes are received.
   * @param fault why they cannot be kept, for the client; null when they can
   */
  receiveDescriptors(at: number, descriptors: readonly Descriptor[], fault: string | null): void;
  /** The client shut down its sending side: its earlier commands are still executed and answered, then EOF follows. */
  receiveEnd(): void;
  /** The client speaks another protocol: it gets `answer`, in that protocol, and then EOF. @param what for the observer */
  refuse(answer: Uint8Array, what: string): void;
  /** The connection is gone, both ways; nothing can be sent any more. */
  closed(reason: string): void;
  /** The kernel has taken the bytes written; for links whose `backlog` had been above zero. */
  drained(): void;
}
