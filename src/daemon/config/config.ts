/**
 * What a daemon is to do: one or more monitors, and how to log. Flags build it here, as the short form of one monitor; a file is read in
 * config-file.ts.
 */
import type { AuditSettings } from '../../audit/write/settings.js';
import type { Limits } from '../../mux/ports/limits.js';
import type { ListenAddress, UpstreamAddress } from '../../net/address/address.js';
import { takeoverProblem } from '../../net/listen/takeover.js';
import { QmpmuxError } from '../../shared/errors.js';
import { suggestion } from '../../shared/spelling.js';
import type { LogSettings } from '../observe/log.js';
import { ConfigPlaces, type MonitorFault } from './config-places.js';
import { DEFAULT_LISTENER, type ListenerSettings } from './listener-settings.js';
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

/** A file of a folder that cannot be used. */
export interface FileFault {
  readonly file: string;
  /** Begins with the file and, where it is known, the line. */
  readonly problem: string;
}

/** A config that cannot be used; the message begins with the file and, where it is known, the line. */
export class ConfigError extends QmpmuxError {
  readonly code = 'QMPMUX_CONFIG';
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

/**
 * The config of one monitor, from flags.
 * @param name of the monitor; taken from the upstream's address when null.
 * @param service what differs from `DEFAULT_SERVICE`.
 * @throws ConfigError
 */
export function singleMonitor(
  name: string | null,
  upstream: UpstreamAddress,
  listen: readonly (ListenAddress | ListenerConfig)[],
  log: LogSettings,
  service: Partial<typeof DEFAULT_SERVICE> = {},
  audit: AuditSettings | null = null,
  drainTime: number = DEFAULT_DRAIN_TIME,
): DaemonConfig {
  const monitor: MonitorConfig = {
    name: name ?? nameOf(upstream),
    upstream,
    listen: listen.map((one) => ('address' in one ? one : { address: one, settings: DEFAULT_LISTENER })),
    ...DEFAULT_SERVICE,
    ...service,
  };
  const why = monitor.takeover ? takeoverFault(upstream) : null;
  if (why !== null) throw new ConfigError(why);
  if (!MONITOR_NAME.test(monitor.name)) {
    throw new ConfigError(`the name ${JSON.stringify(monitor.name)} cannot be used: ${MONITOR_NAME_RULE}`);
  }
  const fault = (_monitor: string, _key: unknown, problem: string) => new ConfigError(problem);
  new ConfigPlaces(audit, null).take([monitor], fault);
  refuseUnknownPolicies([monitor], new Map(), fault);
  return { log, audit, metrics: null, monitors: [monitor], policies: new Map(), drainTime, folder: null };
}

/** Why only some upstreams can be taken over. */
export const TAKEOVER_RULE = 'only an upstream that is a unix socket, made by QEMU, can be taken over';

/** @returns why an upstream cannot be taken over, or null. */
export function takeoverFault(upstream: UpstreamAddress): string | null {
  return upstream.kind === 'unix' ? takeoverProblem(upstream.path) : TAKEOVER_RULE;
}

/** A short name for a monitor, from where its QEMU is: `vm` for unix:/run/vm.qmp. */
function nameOf(upstream: UpstreamAddress): string {
  switch (upstream.kind) {
    case 'server':
      return nameOf(upstream.listen);
    case 'exec':
    case 'tcp':
      return 'vm';
    case 'libvirt':
      return MONITOR_NAME.test(upstream.domain) ? upstream.domain : 'vm';
    case 'unix': {
      const base = upstream.path.slice(upstream.path.lastIndexOf('/') + 1).replace(/\.(qmp|sock|socket|monitor)$/, '');
      return MONITOR_NAME.test(base) ? base : 'vm';
    }
  }
}

/** A listener's policy must be one that there is. */
export function refuseUnknownPolicies(
  monitors: readonly MonitorConfig[],
  policies: ReadonlyMap<string, PolicyRules>,
  fault: MonitorFault,
): void {
  for (const { name, listen } of monitors) {
    for (const [index, { settings }] of listen.entries()) {
      if (settings.policy.kind !== 'named' || policies.has(settings.policy.name)) continue;
      const known = ['full', 'read-only', 'learn', ...policies.keys()];
      const near =
        suggestion(settings.policy.name, known) || ` (known: ${known.join(', ')}; a file of rules has a / in it)`;
      const what = `there is no policy ${JSON.stringify(settings.policy.name)}${near}`;
      throw fault(name, ['listen', index], what);
    }
  }
}
