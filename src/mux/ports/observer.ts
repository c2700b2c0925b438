/**
 * Reports of a multiplexer about itself. The audit log, the metrics and the daemon's own log are observers.
 * Calls are made in the order in which things happen. An observer must not call back into the multiplexer.
 */
import type { Counters } from './counters.js';
import type { ClientId, Descriptor, Peer, UpstreamId, UpstreamState } from './link.js';

/** A client, as an observer sees it. */
export interface ClientView {
  readonly id: ClientId;
  /** The listener's address as configured, e.g. `unix:/run/vm.mux`. */
  readonly listener: string;
  readonly peer: Peer;
  /** Whether it is still there: false if an answer comes after it has left. */
  readonly isConnected: boolean;
}

/** A command, as an observer sees it. Its bytes are released after its last call: copy anything you keep. */
export interface CommandView {
  readonly client: ClientView;
  /** The command's name, escapes decoded, as QEMU will look it up. */
  readonly name: string;
  readonly oob: boolean;
  /** The client's own bytes of this command, exactly; empty unless an observer `wantsRaw`. */
  readonly raw: Uint8Array;
  /** The client's id as QEMU would send it back, or null for none. */
  readonly id: Uint8Array | null;
  /** Upstream id while in flight; -1 before. */
  readonly upstreamId: UpstreamId | -1;
  /** `Host.now` when the command had been read whole, and when it was handed to the upstream. */
  readonly receivedAt: number;
  readonly sentAt: number;
  /** The file that goes to QEMU with it; null for none. */
  readonly descriptor?: Pick<Descriptor, 'type' | 'path'> | null;
  /**
   * The observer's own: whatever `command` stores here is still there in `answered`, `unanswered` and `denied`.
   * 0 until then: a reply that never went upstream (cached and shared answers, most denials) is reported without `command`.
   */
  auditSeq: number;
}

/** A command that qmpmux sends to find out whether QEMU answers. The object is valid until it has: copy anything you keep longer. */
export interface ProbeView {
  readonly name: string;
  readonly oob: boolean;
  /** The whole command, its id included. */
  readonly raw: Uint8Array;
  readonly upstreamId: UpstreamId;
  /** `Host.now` when it is handed to the upstream. */
  readonly sentAt: number;
  /** As `CommandView.auditSeq`. */
  auditSeq: number;
}

/**
 * The finding about a connected QEMU: it answers; or its monitor answers, but not in-band commands; or it gives no sign at all. Since when,
 * by `Host.now`.
 */
export type UpstreamHealth =
  | { readonly name: 'answering' }
  | { readonly name: 'busy' | 'silent'; readonly since: number };

/**
 * How a reply came about. `cached` and `shared` replies cost QEMU nothing; a `late` one came when its client had already
 * been given an error in its place (`abandoned`), and went to no one.
 */
export type ReplySource = 'upstream' | 'cached' | 'shared' | 'local' | 'late';

export interface Observer {
  /** Whether `CommandView.raw`, the raw bytes of malformed input and those of returns are wanted. */
  readonly wantsRaw: boolean;
  connected(client: ClientView): void;
  /** The client completed capabilities negotiation, with the command `raw` (empty unless an observer `wantsRaw`). */
  negotiated(client: ClientView, capabilities: readonly string[], raw: Uint8Array): void;
  disconnected(client: ClientView, reason: string): void;
  /**
   * Open files came from a client with one message; they are open during the call only. The first of them waits for a command, the
   * others are closed, as QEMU does it.
   * @param fault why the first is closed too, or was lost; null when it waits
   */
  descriptors?(client: ClientView, descriptors: readonly Descriptor[], fault: string | null): void;
  /** A command is about to be handed to the upstream, or carried out here; nothing has been done yet. */
  command(command: CommandView): void;
  /**
   * A command has its answer. `reply` is the message as the client gets it (or would have got it, for one that has left),
   * in one or more chunks, CRLF included; an error always, a return perhaps in none unless an observer `wantsRaw`.
   */
  answered(command: CommandView, reply: readonly Uint8Array[], isError: boolean, source: ReplySource): void;
  /** A command went upstream and its answer can no longer come. */
  unanswered(command: CommandView, reason: string): void;
  /** A command has been upstream this long without an answer, in microseconds; reported once for each. Everybody waits for it. */
  stuck?(command: CommandView, age: number): void;
  /** A command upstream took longer than its client allows; it got `reply` instead. QEMU may still execute it. */
  abandoned?(command: CommandView, reply: Uint8Array): void;
  /** A waiting command will never go upstream: the upstream is gone, or everything is closed. */
  dropped?(command: CommandView, reason: string): void;
  /** Input that QEMU would have refused, answered here with `reply`. `raw` is the client's input, as far as it was kept. */
  malformed(client: ClientView, raw: Uint8Array, reply: Uint8Array): void;
  /** A command refused here, by policy or because it cannot be recorded; `rule` says by which. */
  denied(command: CommandView, rule: string, reply: Uint8Array): void;
  /**
   * A client ran into a limit and was disconnected for it (reported after `disconnected`); or is not read for a while (`paused`:
   * reported for the first time only); or sent too large a command (`oversized`, after `malformed`); or one was not let in:
   * `client` is null then.
   */
  limited?(client: ClientView | null, listener: string, limit: keyof Counters, what: string): void;
  /** An event of the VM, once, with the number of clients it went to. */
  event(name: string, message: readonly Uint8Array[], receivers: number): void;
  upstream(state: UpstreamState): void;
  /** A probe is about to be handed to the upstream; `flush` follows. */
  probe?(probe: ProbeView): void;
  /** QEMU's answer to it, CRLF included. */
  probeAnswered?(probe: ProbeView, reply: readonly Uint8Array[], isError: boolean): void;
  /** It was never sent (`reason` begins so), or its answer can no longer come. */
  probeUnanswered?(probe: ProbeView, reason: string): void;
  /** The finding about QEMU has changed. @param age how long it has been so, in microseconds; when it answers again, how long it had not */
  health?(health: UpstreamHealth, before: UpstreamHealth, age: number): void;
  /** A message from the upstream that belongs to nobody: a stale answer, an unknown id, no QMP message. Delivered to no one. */
  stray(message: readonly Uint8Array[], why: string): void;
  /**
   * Called once before commands of this turn are written upstream, and before each that is carried out here.
   * @returns null when everything recorded so far is in the kernel's hands; otherwise a short reason, and the commands are refused.
   */
  flush(): string | null;
}
