/* Interface under construction: signatures are final, bodies are not. */
import type { Journal } from './journal.js';
import type { ClientId, Host, Link, Peer, UpstreamState } from './link.js';

export interface ClientOptions {
  /** The listener's address as configured. */
  readonly listener: string;
  readonly peer: Peer;
}

/** A client session from the connection's side: bytes in, and how the connection ended. */
export interface ClientPort {
  readonly id: ClientId;
  /** Bytes the client sent. The chunk is handed over: the caller never changes it afterwards. */
  receive(chunk: Uint8Array): void;
  /** The client shut down its sending side: what it sent is still executed and answered, then EOF follows. */
  receiveEnd(): void;
  /** The connection is gone, both ways; nothing can be sent any more. */
  closed(reason: string): void;
}

export interface MultiplexerOptions {
  /** The monitor's name, for messages. */
  readonly name: string;
  readonly host: Host;
  readonly journal?: Journal;
}

export declare class Multiplexer {
  constructor(options: MultiplexerOptions);
  readonly state: UpstreamState;
  /** A connection to QEMU is there; the greeting is awaited. */
  upstreamOpened(link: Link): void;
  /** Bytes from QEMU. The chunk is handed over: the caller never changes it afterwards. */
  upstreamReceive(chunk: Uint8Array): void;
  /** The upstream connection ended or could not be kept; every client gets EOF. */
  upstreamClosed(reason: string): void;
  /** A client connected. Sends it the greeting. Only while `state.name` is `running`. */
  connect(link: Link, options: ClientOptions): ClientPort;
  /** The end of a turn: dispatches commands, records, writes. Called by the host after `Host.schedule`. */
  commit(): void;
  /** Drops every client and the upstream link. */
  close(reason: string): void;
  readonly clientCount: number;
}
