/**
 * What the multiplexer needs from outside: connections it can write to, a clock, and a call at the end of the turn.
 * net/ implements these over sockets; tests implement them in memory. Nothing in here knows what a socket is.
 */

/** An open file that a client has sent. Its holder closes it, once; closing it again does nothing. */
export interface Descriptor {
  /** `file`, `folder`, `block device`, `character device`, `pipe`, `socket`, `eventfd`, …, or `unknown`. */
  readonly type: string;
  /** Its path, as far as it is known; null if it has none. */
  readonly path: string | null;
  close(): void;
}

/** One connection, upstream or downstream, seen from the multiplexer. */
export interface Link {
  /**
   * Takes bytes to be sent, in order. Never blocks and never throws; a connection that is gone swallows them.
   * The chunk is handed over: neither side changes it afterwards.
   */
  write(chunk: Uint8Array): void;
  /** Takes several chunks, in order, to be sent with as few system calls as possible. */
  writeAll(chunks: readonly Uint8Array[]): void;
  /**
   * Takes bytes to be sent together with an open file, in order with all else; both are handed over. Absent if the way carries no files.
   */
  sendWith?(chunks: readonly Uint8Array[], descriptor: Descriptor): void;
  /**
   * How many in-band commands the peer takes at once, if few: commands still held here can be answered together with identical ones.
   * Absent if the multiplexer finds out by itself.
   */
  readonly window?: number | undefined;
  /** Bytes taken by `write` that the kernel has not accepted yet. */
  readonly backlog: number;
  /**
   * A number that changes whenever the kernel accepts some of the backlog, if only a piece of a chunk. Absent if only the backlog
   * shows that.
   */
  readonly progress?: number;
  /** Sends the bytes written, then EOF. Reading goes on. */
  end(): void;
  /** Closes at once; unsent bytes are lost. */
  destroy(): void;
  /** Stops reading from the peer until `resume`: back-pressure. */
  pause(): void;
  resume(): void;
}

/** The surroundings of one multiplexer. */
export interface Host {
  /** Monotonic time in microseconds; only differences count. */
  now(): number;
  /** The time of day, in microseconds since 1970, for events of our own. */
  epoch(): number;
  /** Asks for one call of `Multiplexer.commit` at the end of this turn of the event loop. Called often; idempotent. */
  schedule(): void;
  /** A fresh unguessable ASCII word ([A-Za-z0-9]{8,}), for the ids of the upstream handshake. */
  nonce(): string;
  /** Called on every change of the upstream's state, after the state has changed. */
  upstreamChanged(state: UpstreamState): void;
  /** There was a fault of ours, at a point where the host was not in a call that could report it. */
  failed?(error: unknown): void;
}

/**
 * The state of the upstream connection (see upstream-session.ts for the transitions):
 * `connecting` no connection; `greeting` connected, waiting for QEMU's greeting; `negotiating` handshake sent;
 * `running` commands flow; `lost` the connection ended or the peer is no QMP server.
 */
export type UpstreamState =
  | { readonly name: 'connecting' }
  | { readonly name: 'greeting' }
  | { readonly name: 'negotiating' }
  | {
      readonly name: 'running';
      readonly oob: boolean;
      readonly pretty: boolean;
      readonly version: string;
      /** Whether commands are ended by line feeds, since something in between passes on whole lines only; absent if they are not. */
      readonly lines?: true;
    }
  | { readonly name: 'lost'; readonly reason: string };

/** The peer of a client connection, as far as the socket shows. */
export type Peer =
  | {
      readonly kind: 'unix';
      readonly pid?: number;
      readonly uid?: number;
      readonly gid?: number;
      /** The user's name on this host. */
      readonly user?: string;
      /** The user who had logged in when the process began, whatever user it has become since (sudo, su); absent for services. */
      readonly loginuid?: number;
      readonly login?: string;
      /** The program's name as a person would call it; the program itself chooses this name. */
      readonly program?: string;
      /** The file that it executes, according to the kernel. */
      readonly exe?: string;
      /** The systemd unit or session that it runs in: `backup.service`, `session-3.scope`. */
      readonly unit?: string;
    }
  | {
      readonly kind: 'tcp';
      readonly address: string;
      readonly port: number;
      /** The subject's common name in its certificate; only with TLS. */
      readonly subject?: string;
    }
  | { readonly kind: 'stdio' };

declare const clientIdBrand: unique symbol;
/** Number of a client session: 1, 2, 3, … in order of connection, never reused by one multiplexer. */
export type ClientId = number & { readonly [clientIdBrand]: true };

declare const upstreamIdBrand: unique symbol;
/** The id a command carries towards QEMU. */
export type UpstreamId = number & { readonly [upstreamIdBrand]: true };
