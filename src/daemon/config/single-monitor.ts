/** The config of one monitor, as flags give it: the short form of a config file with one table. */
import type { AuditSettings } from '../../audit/write/settings.js';
import { DEFAULT_LIMITS } from '../../mux/ports/limits.js';
import type { ListenAddress, UpstreamAddress } from '../../net/address/address.js';
import {
  type DaemonConfig,
  type ListenerConfig,
  MONITOR_NAME,
  MONITOR_NAME_RULE,
  type MonitorConfig,
} from './config.js';
import { ConfigError } from './config-error.js';
import { ConfigPlaces, takeoverFault } from './config-places.js';
import { DEFAULT_DAEMON, type LogSettings } from './options/daemon.js';
import { DEFAULT_LISTENER } from './options/listener.js';
import { DEFAULT_MONITOR } from './options/monitor.js';
import { refuseUnknownPolicies } from './policy-names.js';

/**
 * The config of one monitor, from flags.
 * @param name of the monitor; taken from the upstream's address when null.
 * @param service overrides of the defaults.
 * @throws ConfigError
 */
export function singleMonitor(
  name: string | null,
  upstream: UpstreamAddress,
  listen: readonly (ListenAddress | ListenerConfig)[],
  log: LogSettings,
  service: Partial<Omit<MonitorConfig, 'name' | 'upstream' | 'listen'>> = {},
  audit: AuditSettings | null = null,
  drainTime: number = DEFAULT_DAEMON.drainTime,
): DaemonConfig {
  const monitor: MonitorConfig = {
    name: name ?? nameOf(upstream),
    upstream,
    listen: listen.map((one) => ('address' in one ? one : { address: one, settings: DEFAULT_LISTENER })),
    limits: DEFAULT_LIMITS,
    ...DEFAULT_MONITOR,
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
