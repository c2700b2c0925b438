/**
 * What a daemon is to do: one or more monitors, and how to log. Flags make it in single-monitor.ts, as the short form of one monitor; a
 * file is read in config-file.ts.
 */
import type { AuditSettings } from '../../audit/write/settings.js';
import type { Limits } from '../../mux/ports/limits.js';
import type { ListenAddress, UpstreamAddress } from '../../net/address/address.js';
import type { LogSettings } from '../observe/log.js';
import type { FileFault } from './config-error.js';
import type { ListenerSettings } from './listener-settings.js';
import type { PolicyRules } from './policies.js';

export interface ListenerConfig {
  readonly address: ListenAddress;
  readonly settings: ListenerSettings;
}

export interface MonitorConfig {
  /** For logs and messages; unique in a daemon. */
  readonly name: string;
  readonly upstream: UpstreamAddress;
  readonly listen: readonly ListenerConfig[];
  /** Whether replies that cannot change while QEMU lives are served from memory. */
  readonly cache: boolean;
  /** Whether identical queries that wait at the same time go upstream once. */
  readonly merge: boolean;
  /** Whether out-of-band commands are enabled where QEMU offers them. */
  readonly oob: boolean;
  /** Whether clients stay connected while QEMU is gone. */
  readonly keepClients: boolean;
  /** Whether the upstream's socket is moved aside, and clients are served at its path. */
  readonly takeover: boolean;
  /** When a command without an answer is reported, in milliseconds; 0 for never. */
  readonly warnAfter: number;
  /** After how much silence QEMU is probed, in milliseconds; 0 for never. */
  readonly probeAfter: number;
  /** After how long without a sign of QEMU, while a client waits, the connection is given up, in milliseconds; 0 for never. */
  readonly probeTimeout: number;
  /** What differs from the default limits. */
  readonly limits: Partial<Limits>;
}

export interface DaemonConfig {
  readonly log: LogSettings;
  /** Null for no audit log. */
  readonly audit: AuditSettings | null;
  /** Where Prometheus may ask; null for nowhere. */
  readonly metrics: ListenAddress | null;
  readonly monitors: readonly MonitorConfig[];
  /** The policies that listeners may name. */
  readonly policies: ReadonlyMap<string, PolicyRules>;
  /** How long commands in flight may take to be answered when the daemon ends, in milliseconds. */
  readonly drainTime: number;
  /** For a folder of files: those that cannot be used, and are left out. Null for what stands or falls as a whole. */
  readonly folder: { readonly faults: readonly FileFault[] } | null;
}

export const DEFAULT_DRAIN_TIME = 5000;

/** What a monitor does when nothing is said of it. */
export const DEFAULT_SERVICE: Omit<MonitorConfig, 'name' | 'upstream' | 'listen'> = {
  cache: true,
  merge: true,
  oob: true,
  keepClients: false,
  takeover: false,
  warnAfter: 10_000,
  probeAfter: 30_000,
  probeTimeout: 300_000,
  limits: {},
};

export const DEFAULT_LOG: LogSettings = { level: 'info', format: 'auto' };

/** What a monitor may be called, and the same in words. */
export const MONITOR_NAME = /^[A-Za-z0-9][\w.@-]{0,63}$/;
export const MONITOR_NAME_RULE = 'a name has letters, digits, "_", ".", "-" and "@", 64 at most';
