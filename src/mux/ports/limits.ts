/**
 * What one client, and all of them together, may use. A limit of 0 is no limit, unless said otherwise.
 *
 * Memory of one client is bounded by `commandBytes` for what it is writing, `queuedBytes` (and one command) for what waits, and
 * `outputCap` for what it does not read.
 */
import { MAX_TOKEN_BYTES } from '../../qmp/json/stream-limits.js';

export interface Limits {
  /** Bytes of one command, blanks between its parts not counted; beyond, QEMU's own error for its own limit. Never none. */
  readonly commandBytes: number;
  /** Commands of one client without an answer; with so many it is not read until half of them are answered. Never none. */
  readonly queuedCommands: number;
  /** Bytes of one client's commands that wait; with so many it is not read either. Never none. */
  readonly queuedBytes: number;
  /**
   * Bytes that a client has not read yet. Beyond it is given nothing but events and the answers to what is upstream already,
   * and when it reads none of it for `outputGrace` it is disconnected.
   */
  readonly outputHighWater: number;
  /** How long a client above its high-water mark may read nothing at all, in milliseconds. */
  readonly outputGrace: number;
  /** Bytes unread at which a client is disconnected at once. */
  readonly outputCap: number;
  /** How long a client may take until it has completed its negotiation, in milliseconds. */
  readonly negotiationTime: number;
  /** Clients of one listener, and of the monitor. */
  readonly listenerClients: number;
  readonly clients: number;
  /** Bytes of one message of QEMU's; beyond, the connection to it is given up. */
  readonly replyBytes: number;
  /** Bytes of all that is held for all clients of the monitor; beyond, the client that holds the most is disconnected. */
  readonly memory: number;
}

const MEBIBYTE = 1024 * 1024;

export const DEFAULT_LIMITS: Limits = {
  commandBytes: MAX_TOKEN_BYTES,
  queuedCommands: 1024,
  queuedBytes: 8 * MEBIBYTE,
  outputHighWater: 4 * MEBIBYTE,
  outputGrace: 30_000,
  outputCap: 128 * MEBIBYTE,
  negotiationTime: 300_000,
  listenerClients: 2048,
  clients: 4096,
  replyBytes: 1024 * MEBIBYTE,
  memory: 512 * MEBIBYTE,
};
