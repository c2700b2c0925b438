/** What the flags of `qmpmux serve` ask for, as a config. */
import type { AuditSettings } from '../../../audit/write/settings.js';
import {
  type DaemonConfig,
  DEFAULT_DRAIN_TIME,
  DEFAULT_LOG,
  DEFAULT_SERVICE,
  type ListenerConfig,
} from '../../../daemon/config/config.js';
import { TAKEOVER_RULE } from '../../../daemon/config/config-places.js';
import { parseLimits } from '../../../daemon/config/limit-settings.js';
import { DEFAULT_LISTENER, parseListenerSettings } from '../../../daemon/config/listener-settings.js';
import { singleMonitor } from '../../../daemon/config/single-monitor.js';
import { LOG_FORMATS, LOG_LEVELS, type LogSettings } from '../../../daemon/observe/log.js';
import type { ListenAddress } from '../../../net/address/address.js';
import { parseListener, parseUpstream } from '../../../net/address/address-parser.js';
import { QmpmuxError } from '../../../shared/errors.js';
import { suggestion } from '../../../shared/spelling.js';
import { DURATION_RULE, parseDuration } from '../../../shared/units.js';
import { UsageError } from '../../framework/subcommand.js';

export interface ServeFlags {
  readonly upstream: string | undefined;
  readonly listen: readonly string[] | undefined;
  readonly name: string | undefined;
  readonly config: string | undefined;
  readonly 'config-dir': string | undefined;
  readonly watch: boolean | undefined;
  readonly check: boolean | undefined;
  readonly 'no-cache': boolean | undefined;
  readonly 'no-merge': boolean | undefined;
  readonly 'no-oob': boolean | undefined;
  readonly 'keep-clients': boolean | undefined;
  readonly takeover: boolean | undefined;
  readonly restore: boolean | undefined;
  readonly 'warn-after': string | undefined;
  readonly 'probe-after': string | undefined;
  readonly 'probe-timeout': string | undefined;
  readonly 'command-timeout': string | undefined;
  readonly 'drain-timeout': string | undefined;
  readonly limit: readonly string[] | undefined;
  readonly audit: readonly string[] | undefined;
  readonly 'audit-sync': boolean | undefined;
  readonly 'audit-chain': boolean | undefined;
  readonly 'audit-on-error': string | undefined;
  readonly 'audit-max-message': string | undefined;
  readonly 'audit-without': readonly string[] | undefined;
  readonly 'audit-own-queries': string | undefined;
  readonly 'audit-redact': readonly string[] | undefined;
  readonly metrics: string | undefined;
  readonly 'log-level': string | undefined;
  readonly 'log-format': string | undefined;
}

/** What a config file says for each of its monitors. */
const OF_ONE_MONITOR = [
  'upstream',
  'listen',
  'name',
  'no-cache',
  'no-merge',
  'no-oob',
  'keep-clients',
  'takeover',
  'restore',
  'warn-after',
  'probe-after',
  'probe-timeout',
  'command-timeout',
  'limit',
  'drain-timeout',
] as const;

/** @throws UsageError, ConfigError */
export async function configOf(flags: ServeFlags): Promise<DaemonConfig> {
  const { upstream, listen, name } = flags;
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
    // What reads the file is loaded only for a file.
    const [{ readConfig }, { readConfigFolder }] = await Promise.all([
      import('../../../daemon/config/config-file.js'),
      import('../../../daemon/config/config-folder.js'),
    ]);
    const config = folder === undefined ? readConfig(flags.config ?? '') : readConfigFolder(folder);
    const audit = await auditOf(flags);
    const metrics = metricsOf(flags) ?? config.metrics;
    return { ...config, audit: audit ?? config.audit, metrics, log: logSettings(flags, config.log) };
  }
  if (upstream === undefined) throw new UsageError("QEMU's monitor is missing: --upstream ADDRESS (or --config FILE)");
  if ((listen === undefined || listen.length === 0) && flags.takeover !== true) {
    throw new UsageError('a socket for clients is missing: --listen ADDRESS');
  }
  const log = logSettings(flags, DEFAULT_LOG);
  const audit = await auditOf(flags);
  const config = asUsage('', () =>
    singleMonitor(
      name ?? null,
      asUsage('--upstream: ', () => parseUpstream(upstream)),
      listenersOf(flags),
      log,
      {
        cache: flags['no-cache'] !== true,
        merge: flags['no-merge'] !== true,
        oob: flags['no-oob'] !== true,
        keepClients: flags['keep-clients'] === true,
        takeover: flags.takeover === true,
        warnAfter: durationFlag('warn-after', flags['warn-after']) ?? DEFAULT_SERVICE.warnAfter,
        probeAfter: durationFlag('probe-after', flags['probe-after']) ?? DEFAULT_SERVICE.probeAfter,
        probeTimeout: durationFlag('probe-timeout', flags['probe-timeout']) ?? DEFAULT_SERVICE.probeTimeout,
        limits: asUsage('--limit: ', () => parseLimits((flags.limit ?? []).map(limitPair))),
      },
      audit,
      durationFlag('drain-timeout', flags['drain-timeout']) ?? DEFAULT_DRAIN_TIME,
    ),
  );
  return { ...config, metrics: metricsOf(flags) };
}

/** @returns the path at which QEMU's socket was, for `--restore`. @throws UsageError */
export function pathToRestore({ upstream }: ServeFlags): string {
  if (upstream === undefined) throw new UsageError("--restore needs QEMU's path: --upstream /run/vm.qmp");
  const address = asUsage('--upstream: ', () => parseUpstream(upstream));
  if (address.kind !== 'unix') throw new UsageError(`--restore: ${TAKEOVER_RULE}`);
  return address.path;
}

function listenersOf(flags: ServeFlags): readonly ListenerConfig[] {
  const commandTime = durationFlag('command-timeout', flags['command-timeout']) ?? DEFAULT_LISTENER.commandTime;
  const settings = { ...DEFAULT_LISTENER, commandTime };
  const listeners = (flags.listen ?? []).map((address) =>
    asUsage('--listen: ', () => parseListenerSettings(address, settings)),
  );
  if (flags.takeover !== true || flags.upstream === undefined) return listeners;
  const upstream = parseUpstream(flags.upstream);
  const isNamed = ({ address }: ListenerConfig) =>
    address.kind === 'unix' && upstream.kind === 'unix' && address.path === upstream.path;
  return upstream.kind !== 'unix' || listeners.some(isNamed)
    ? listeners
    : [...listeners, { address: upstream, settings }];
}

function metricsOf({ metrics }: ServeFlags): ListenAddress | null {
  return metrics === undefined ? null : asUsage('--metrics: ', () => parseListener(metrics));
}

function durationFlag(name: string, value: string | undefined): number | null {
  if (value === undefined) return null;
  const time = parseDuration(value);
  if (time === null) throw new UsageError(`--${name}: ${JSON.stringify(value)} is not ${DURATION_RULE}`);
  return time;
}

function limitPair(text: string): readonly [string, string] {
  const equals = text.indexOf('=');
  return equals < 0 ? [text, ''] : [text.slice(0, equals), text.slice(equals + 1)];
}

/** @returns what the flags say of an audit log, or null when they want none. They replace what a file says. */
async function auditOf(flags: ServeFlags): Promise<AuditSettings | null> {
  const to = flags.audit;
  if (to === undefined || to.length === 0) {
    const other = Object.keys(flags).find(
      (name) => name.startsWith('audit-') && Reflect.get(flags, name) !== undefined,
    );
    if (other !== undefined) throw new UsageError(`--${other} needs --audit FILE`);
    return null;
  }
  const { auditSettings } = await import('../../../daemon/config/audit-config.js');
  return asUsage('--audit: ', () =>
    auditSettings({
      to: [...to],
      sync: flags['audit-sync'],
      chain: flags['audit-chain'],
      'on-error': oneOf('audit-on-error', flags['audit-on-error'], ['refuse', 'continue'] as const) ?? undefined,
      'max-message': flags['audit-max-message'],
      without: flags['audit-without']?.slice(),
      'own-queries': oneOf('audit-own-queries', flags['audit-own-queries'], ['count', 'record'] as const) ?? undefined,
      redact: flags['audit-redact']?.slice(),
    }),
  );
}

/** What is wrong with a flag's value is wrong with the command line. */
function asUsage<T>(prefix: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof QmpmuxError) || error instanceof UsageError) throw error;
    throw new UsageError(prefix + error.message, { cause: error });
  }
}

function logSettings(flags: ServeFlags, otherwise: LogSettings): LogSettings {
  return {
    level: oneOf('log-level', flags['log-level'], LOG_LEVELS) ?? otherwise.level,
    format: oneOf('log-format', flags['log-format'], LOG_FORMATS) ?? otherwise.format,
  };
}

function oneOf<T extends string>(flag: string, value: string | undefined, known: readonly T[]): T | null {
  if (value === undefined) return null;
  const found = known.find((word) => word === value);
  if (found !== undefined) return found;
  const near = suggestion(value, known) || ` (known: ${known.join(', ')})`;
  throw new UsageError(`--${flag}: unknown value ${JSON.stringify(value)}${near}`);
}
