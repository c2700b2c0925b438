/** The flags of `qmpmux serve`, as a config. */
import type { AuditSettings } from '../../../audit/write/settings.js';
import type { DaemonConfig, ListenerConfig } from '../../../daemon/config/config.js';
import { TAKEOVER_RULE } from '../../../daemon/config/config-places.js';
import { parseListenerSettings } from '../../../daemon/config/listener-settings.js';
import {
  AUDIT,
  type AuditTable,
  DAEMON,
  DEFAULT_AUDIT,
  DEFAULT_DAEMON,
  DEFAULT_LOG,
  LOG,
  METRICS,
} from '../../../daemon/config/options/daemon.js';
import { LIMITS } from '../../../daemon/config/options/limits.js';
import { DEFAULT_LISTENER, LISTENER } from '../../../daemon/config/options/listener.js';
import { DEFAULT_MONITOR, MONITOR, MONITOR_PLACES } from '../../../daemon/config/options/monitor.js';
import { defaultsOf, namesOf, rowNamed, type Settings } from '../../../daemon/config/options/row.js';
import { singleMonitor } from '../../../daemon/config/single-monitor.js';
import type { ListenAddress, UpstreamAddress } from '../../../net/address/address.js';
import { QmpmuxError } from '../../../shared/errors.js';
import { suggestion } from '../../../shared/spelling.js';
import { UsageError } from '../../framework/subcommand.js';
import { type Flags, flagNames, readFlag, readFlags } from './serve-flags.js';

/** Those that are read here by name, and those of options, which their rows read. */
export type ServeFlags = Flags & {
  readonly listen: readonly string[] | undefined;
  readonly name: string | undefined;
  readonly config: string | undefined;
  readonly 'config-dir': string | undefined;
  readonly watch: boolean | undefined;
  readonly restore: boolean | undefined;
};

/** Settings that a config file has for each of its monitors. */
const OF_ONE_MONITOR = ['name', 'restore', ...flagNames(MONITOR_PLACES, MONITOR, LISTENER, DAEMON)];

/** @throws UsageError, ConfigError */
export async function configOf(flags: ServeFlags): Promise<DaemonConfig> {
  const { listen, name } = flags;
  const folder = flags['config-dir'];
  if (folder !== undefined && flags.config !== undefined) {
    throw new UsageError('--config and --config-dir cannot be combined');
  }
  if (flags.watch === true && folder === undefined && flags.config === undefined) {
    throw new UsageError('--watch needs --config or --config-dir');
  }
  if (flags.config !== undefined || folder !== undefined) {
    const other = OF_ONE_MONITOR.find((flag) => flags[flag] !== undefined);
    if (other !== undefined)
      throw new UsageError(
        `${folder === undefined ? '--config' : '--config-dir'} and --${other} cannot be combined: put it into the file`,
      );
    // Load the readers only for a file.
    const [{ readConfig }, { readConfigFolder }] = await Promise.all([
      import('../../../daemon/config/config-file.js'),
      import('../../../daemon/config/config-folder.js'),
    ]);
    const config = folder === undefined ? readConfig(flags.config ?? '') : readConfigFolder(folder);
    const audit = await auditOf(flags);
    const metrics = metricsOf(flags, config.metrics);
    return { ...config, audit: audit ?? config.audit, metrics, log: readFlags(LOG, flags, config.log) };
  }
  const upstream = readFlag(MONITOR_PLACES.upstream, flags, null);
  if (upstream === null) throw new UsageError("QEMU's monitor is missing: --upstream ADDRESS (or --config FILE)");
  const settings = readFlags(MONITOR, flags, DEFAULT_MONITOR);
  if ((listen === undefined || listen.length === 0) && !settings.takeover) {
    throw new UsageError('a socket for clients is missing: --listen ADDRESS');
  }
  const log = readFlags(LOG, flags, DEFAULT_LOG);
  const audit = await auditOf(flags);
  const config = asUsage('', () =>
    singleMonitor(
      name ?? null,
      upstream,
      listenersOf(flags, settings.takeover ? upstream : null),
      log,
      { ...settings, limits: limitsOf(flags['limit']) },
      audit,
      readFlag(DAEMON.drainTime, flags, DEFAULT_DAEMON.drainTime),
    ),
  );
  return { ...config, metrics: metricsOf(flags, null) };
}

/** @returns the path at which QEMU's socket was, for `--restore`. @throws UsageError */
export function pathToRestore(flags: ServeFlags): string {
  const address = readFlag(MONITOR_PLACES.upstream, flags, null);
  if (address === null) throw new UsageError("--restore needs QEMU's path: --upstream /run/vm.qmp");
  if (address.kind !== 'unix') throw new UsageError(`--restore: ${TAKEOVER_RULE}`);
  return address.path;
}

/** @param taken the upstream whose place is taken; null for none */
function listenersOf(flags: ServeFlags, taken: UpstreamAddress | null): readonly ListenerConfig[] {
  const { commandTime } = DEFAULT_LISTENER;
  const settings = { ...DEFAULT_LISTENER, commandTime: readFlag(LISTENER.commandTime, flags, commandTime) };
  const listeners = (flags.listen ?? []).map((address) =>
    asUsage('--listen: ', () => parseListenerSettings(address, settings)),
  );
  if (taken?.kind !== 'unix') return listeners;
  const isNamed = ({ address }: ListenerConfig) => address.kind === 'unix' && address.path === taken.path;
  return listeners.some(isNamed) ? listeners : [...listeners, { address: taken, settings }];
}

function metricsOf(flags: ServeFlags, otherwise: ListenAddress | null): ListenAddress | null {
  return flags['metrics'] === undefined ? otherwise : readFlags(METRICS, flags, {}).listen;
}

/** @param given NAME=VALUE, any number of them */
function limitsOf(given: unknown): Settings<typeof LIMITS> {
  let limits = defaultsOf(LIMITS);
  for (const pair of Array.isArray(given) ? given.map(String) : []) {
    const equals = pair.indexOf('=');
    const name = equals < 0 ? pair : pair.slice(0, equals);
    const found = rowNamed(LIMITS, name);
    if (found === null) {
      const names = namesOf(LIMITS);
      const near = suggestion(name, names) || ` (known: ${names.join(', ')})`;
      throw new UsageError(`--limit: there is no limit ${JSON.stringify(name)}${near}`);
    }
    const [member, row] = found;
    const read = row.type.fromText(equals < 0 ? '' : pair.slice(equals + 1));
    if ('problem' in read) throw new UsageError(`--limit: ${name} ${read.problem}`);
    limits = { ...limits, [member]: read.value };
  }
  return limits;
}

/** @returns the audit log that the flags ask for, or null when they want none. They replace a file's settings. */
async function auditOf(flags: ServeFlags): Promise<AuditSettings | null> {
  const to = readFlag(AUDIT.to, flags, []);
  if (to.length === 0) {
    const other = flagNames(AUDIT).find((name) => name !== AUDIT.to.flag && flags[name] !== undefined);
    if (other !== undefined) throw new UsageError(`--${other} needs --audit FILE`);
    return null;
  }
  const table: AuditTable = readFlags(AUDIT, flags, { ...DEFAULT_AUDIT, to });
  const { auditSettings } = await import('../../../daemon/config/audit-config.js');
  return auditSettings(table, ({ flag = '' }, problem, cause) => new UsageError(`--${flag}: ${problem}`, { cause }));
}

/** A fault in a flag's value is a fault in the command line. */
function asUsage<T>(prefix: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof QmpmuxError) || error instanceof UsageError) throw error;
    throw new UsageError(prefix + error.message, { cause: error });
  }
}
