/**
 * The task of a daemon: one or more monitors, and how to log. Flags make it in single-monitor.ts, as the short form of one monitor; a
 * file is read in config-file.ts.
 */
import type { AuditSettings } from '../../audit/write/settings.js';
import type { Limits } from '../../mux/ports/limits.js';
import type { ListenAddress, UpstreamAddress } from '../../net/address/address.js';
import type { FileFault } from './config-error.js';
import type { LogSettings } from './options/daemon.js';
import type { ListenerSettings } from './options/listener.js';
import type { MonitorSettings } from './options/monitor.js';
import type { PolicyRules } from './policies.js';

export interface ListenerConfig {
  readonly address: ListenAddress;
  readonly settings: ListenerSettings;
}

export interface MonitorConfig extends MonitorSettings {
  /** For logs and messages; unique in a daemon. */
  readonly name: string;
  readonly upstream: UpstreamAddress;
  readonly listen: readonly ListenerConfig[];
  readonly limits: Limits;
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
  /** For a folder of files: those that cannot be used, and are left out. Null for a config that is used as a whole or not at all. */
  readonly folder: { readonly faults: readonly FileFault[] } | null;
}

/** The form of a monitor's name, and the same in words. */
export const MONITOR_NAME = /^[A-Za-z0-9][\w.@-]{0,63}$/;
export const MONITOR_NAME_RULE = 'a name has letters, digits, "_", ".", "-" and "@", 64 at most';
