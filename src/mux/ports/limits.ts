/**
 * Limits for one client, and for all of them together. A limit of 0 is no limit, unless said otherwise.
 *
 * Memory of one client is bounded by `commandBytes` for the command it is writing, `queuedBytes` (and one command) for its waiting
 * commands, and `outputCap` for unread output.
 */
import { MAX_TOKEN_BYTES } from '../../qmp/json/stream-limits.js';

export interface Limits {
  /** Bytes of one command, without the blanks between its parts; beyond it, QEMU's own error for its own limit. Never none. */
  readonly commandBytes: number;
  /** Unanswered commands of one client; at this number it is not read until half of them are answered. Never none. */
  readonly queuedCommands: number;
  /** Bytes of one client's waiting commands; at this number it is not read either. Never none. */
  readonly queuedBytes: number;
  /**
   * Bytes that a client has not read yet. Beyond this it gets nothing but events and the answers to commands already upstream,
   * and if it reads none of it for `outputGrace` it is disconnected.
   */
  readonly outputHighWater: number;
  /** How long a client above its high-water mark may read nothing at all, in milliseconds. */
  readonly outputGrace: number;
  /** Bytes unread at which a client is disconnected at once. */
  readonly outputCap: number;
  /** How long a client may take to complete its negotiation, in milliseconds. */
  readonly negotiationTime: number;
  /** Clients of one listener, and of the monitor. */
  readonly listenerClients: number;
  readonly clients: number;
  /** Bytes of one message of QEMU's; beyond, the connection to it is given up. */
  readonly replyBytes: number;
  /** Bytes held for all clients of the monitor; beyond, the client that holds the most is disconnected. */
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
