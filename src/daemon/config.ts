/**
 * What a daemon is to do: one or more monitors, and how to log. Flags build it here, as the short form of one monitor; a file is read in
 * config-file.ts.
 */
import type { AuditSettings } from '../audit/settings.js';
import { QmpmuxError } from '../errors.js';
import { formatAddress, formatPlace, type ListenAddress, type UpstreamAddress } from '../net/address.js';
import type { LogSettings } from './log.js';

export interface ListenerConfig {
  readonly address: ListenAddress;
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
}

export interface DaemonConfig {
  readonly log: LogSettings;
  /** Null for no audit log. */
  readonly audit: AuditSettings | null;
  /** Where Prometheus may ask; null for nowhere. */
  readonly metrics: ListenAddress | null;
  readonly monitors: readonly MonitorConfig[];
}

/** A config that cannot be used; the message begins with the file and, where it is known, the line. */
export class ConfigError extends QmpmuxError {
  readonly code = 'QMPMUX_CONFIG';
}

export const DEFAULT_LOG: LogSettings = { level: 'info', format: 'auto' };

/** What a monitor may be called, and the same in words. */
export const MONITOR_NAME = /^[A-Za-z0-9][\w.@-]{0,63}$/;
export const MONITOR_NAME_RULE = 'a name has letters, digits, "_", ".", "-" and "@", 64 at most';

/**
 * The config of one monitor, from flags.
 * @param name of the monitor; taken from the upstream's address when null.
 * @param sharing what is shared between clients: everything that can be, when not given.
 * @throws ConfigError
 */
export function singleMonitor(
  name: string | null,
  upstream: UpstreamAddress,
  listen: readonly ListenAddress[],
  log: LogSettings,
  sharing: Pick<MonitorConfig, 'cache' | 'merge'> = { cache: true, merge: true },
  audit: AuditSettings | null = null,
): DaemonConfig {
  const monitor: MonitorConfig = {
    name: name ?? nameOf(upstream),
    upstream,
    listen: listen.map((address) => ({ address })),
    ...sharing,
  };
  if (!MONITOR_NAME.test(monitor.name)) {
    throw new ConfigError(`the name ${JSON.stringify(monitor.name)} cannot be used: ${MONITOR_NAME_RULE}`);
  }
  refuseClashes([monitor], (_monitor, _key, problem) => new ConfigError(problem));
  return { log, audit, metrics: null, monitors: [monitor] };
}

/** A short name for a monitor, from where its QEMU is: `vm` for unix:/run/vm.qmp. */
function nameOf(upstream: UpstreamAddress): string {
  switch (upstream.kind) {
    case 'server':
      return nameOf(upstream.listen);
    case 'exec':
    case 'tcp':
      return 'vm';
    case 'unix': {
      const base = upstream.path.slice(upstream.path.lastIndexOf('/') + 1).replace(/\.(qmp|sock|socket|monitor)$/, '');
      return MONITOR_NAME.test(base) ? base : 'vm';
    }
  }
}

/** Two sockets at one place, and two connections to one QEMU, cannot work. */
export function refuseClashes(
  monitors: readonly MonitorConfig[],
  fault: (monitor: string, key: readonly (string | number)[], problem: string) => ConfigError,
): void {
  const taken = new Map<string, string>();
  const take = (place: string, what: string): string | null => {
    const before = taken.get(place);
    taken.set(place, what);
    return before === undefined ? null : `${place} is ${before} already`;
  };
  for (const { name, upstream } of monitors) {
    const place = upstream.kind === 'server' ? formatPlace(upstream.listen) : formatAddress(upstream);
    const clash = take(place, `the upstream of ${name}`);
    if (clash !== null) throw fault(name, ['upstream'], `${clash}; QEMU serves one connection at a time`);
  }
  for (const { name, listen } of monitors) {
    listen.forEach(({ address }, index) => {
      if (address.kind === 'tcp' && address.port === 0) return;
      const clash = take(formatPlace(address), `a listener of ${name}`);
      if (clash !== null) throw fault(name, ['listen', index], clash);
    });
  }
}
