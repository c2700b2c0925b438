/** Options for the client, and its states. */
import type { ConnectionError } from './errors.js';

export interface ConnectOptions {
  /** Whether to enable out-of-band execution where the server offers it; see `QmpClient.oob`. Default false. */
  readonly oob?: boolean;
  /** Gives up connecting; once connected it means nothing. */
  readonly signal?: AbortSignal;
  /**
   * Milliseconds until the greeting must have come, or, with `greeting: false`, the first answer; Infinity for no limit.
   * Default 10,000.
   */
  readonly timeout?: number;
  /** The longest message accepted from the server, in bytes. Default 256 MiB. */
  readonly maxMessageBytes?: number;
  /** False leaves capabilities negotiation to the caller: until it is done the server takes no other command. Default true. */
  readonly negotiate?: boolean;
  /**
   * False waits for no greeting, and does not negotiate: for the guest agent, which sends none. Instead, `guest-sync-delimited`
   * discards the remains of an earlier client: half a command, or answers. A server that refuses that command is used without it.
   * Default true.
   */
  readonly greeting?: boolean;
  /** Called with every message, as it is on the wire and in order, without the ends of lines. An error it throws is the caller's fault. */
  readonly onMessage?: (direction: 'sent' | 'received', bytes: Buffer) => void;
}

export interface CommandOptions {
  /** Stops waiting: the call rejects with the signal's reason, and the reply is dropped when it comes. QEMU goes on executing. */
  readonly signal?: AbortSignal;
}

export interface EventsOptions {
  /** The most events that wait for a slow reader; beyond it the iterator fails with an EventOverflowError. Default 4,096. */
  readonly limit?: number;
  /** Ends the iteration by rejecting with the signal's reason. */
  readonly signal?: AbortSignal;
}

/**
 * The state of a client. Transitions: `greeting` → `negotiating` → `running` → `closing` → `closed`; from each also straight to
 * `closed`. `greeting` goes to `running` where negotiation is left to the caller. With `greeting: false`, `negotiating` is the wait for the
 * answer to `guest-sync-delimited`.
 */
export type ClientState =
  | { readonly name: 'greeting' }
  | { readonly name: 'negotiating' }
  | { readonly name: 'running' }
  /** `close` was called: commands in flight are still answered, new ones refused. */
  | { readonly name: 'closing' }
  /** `error` is null after `close`. */
  | { readonly name: 'closed'; readonly error: ConnectionError | null };
