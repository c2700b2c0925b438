/** `qmpmux serve`: the daemon in the foreground, until a signal ends it. */
import type { AuditSettings } from '../audit/settings.js';
import {
  DEFAULT_DRAIN_TIME,
  DEFAULT_LOG,
  DEFAULT_SERVICE,
  type DaemonConfig,
  type ListenerConfig,
  singleMonitor,
  TAKEOVER_RULE,
} from '../daemon/config.js';
import { Daemon, untilSignal } from '../daemon/daemon.js';
import { HeldSignals } from '../daemon/held-signals.js';
import { ServiceManager } from '../daemon/service-manager.js';
import { LIMIT_NAMES, parseLimits } from '../daemon/limit-settings.js';
import { DEFAULT_LISTENER, parseListenerSettings } from '../daemon/listener-settings.js';
import { Reloader } from '../daemon/reloader.js';
import { LOG_FORMATS, LOG_LEVELS, type LogSettings, openLog } from '../daemon/log.js';
import { DURATION_RULE, parseDuration } from '../units.js';
import { QmpmuxError } from '../errors.js';
import type { ListenAddress } from '../net/address.js';
import { parseListener, parseUpstream } from '../net/address-parser.js';
import { suggestion } from '../spelling.js';
import { EXIT } from './exit-code.js';
import { subcommand, UsageError } from './subcommand.js';

interface Flags {
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
  readonly 'command-timeout': string | undefined;
  readonly 'drain-timeout': string | undefined;
  readonly limit: readonly string[] | undefined;
  readonly audit: readonly string[] | undefined;
  readonly 'audit-sync': boolean | undefined;
  readonly 'audit-chain': boolean | undefined;
  readonly 'audit-on-error': string | undefined;
  readonly 'audit-max-message': string | undefined;
  readonly 'audit-without': readonly string[] | undefined;
  readonly 'audit-redact': readonly string[] | undefined;
  readonly metrics: string | undefined;
  readonly 'log-level': string | undefined;
  readonly 'log-format': string | undefined;
}

export const serve = subcommand({
  name: 'serve',
  usage:
    'serve --upstream ADDRESS --listen ADDRESS [--listen ADDRESS]…\n   or: $0 serve --config FILE\n   or: $0 serve --config-dir FOLDER [--watch]',
  options: {
    upstream: {
      type: 'string',
      requiresArg: true,
      describe:
        "QEMU's monitor: /path, unix:/path, tcp:HOST:PORT, exec:COMMAND or libvirt:DOMAIN; with ,server QEMU dials us",
    },
    listen: {
      type: 'string',
      array: true,
      requiresArg: true,
      describe:
        'a socket for clients, as often as wanted: /path, unix:/path[,mode=0660][,user=U][,group=G][,policy=read-only][,extensions=on]…, ' +
        'tcp:localhost:PORT',
    },
    name: {
      type: 'string',
      requiresArg: true,
      describe: "the monitor's name in messages; taken from the upstream's file name when not given",
    },
    config: {
      type: 'string',
      requiresArg: true,
      describe: 'a TOML file with one or more monitors, instead of --upstream and --listen',
    },
    'config-dir': {
      type: 'string',
      requiresArg: true,
      describe: 'a folder of such files, *.toml, which may be empty at first',
    },
    watch: { type: 'boolean', describe: 'with --config or --config-dir: go over to a config as soon as it is changed' },
    check: { type: 'boolean', describe: 'say what would be served, or what is wrong with that, and end' },
    'no-cache': {
      type: 'boolean',
      describe: 'ask QEMU each time also for what cannot change while it runs, such as query-qmp-schema',
    },
    'no-merge': {
      type: 'boolean',
      describe: "send each client's query by itself, though several clients wait with the same one",
    },
    'no-oob': {
      type: 'boolean',
      describe: 'do not enable out-of-band commands, nor offer them to clients',
    },
    'keep-clients': {
      type: 'boolean',
      describe: 'clients stay connected while QEMU is gone, and get errors for their commands until it is back',
    },
    takeover: {
      type: 'boolean',
      describe:
        "move QEMU's socket aside (to PATH.qemu) and serve clients at its path, until the end; --listen may be left out",
    },
    restore: {
      type: 'boolean',
      describe: 'put a socket back that a crash of qmpmux --takeover has left aside, and end',
    },
    'warn-after': {
      type: 'string',
      requiresArg: true,
      describe: 'log a command that has no answer for this long (default 10s; 0 for never)',
    },
    'command-timeout': {
      type: 'string',
      requiresArg: true,
      describe:
        'how long a command may take before its client gets an error for it, on sockets that have no command-timeout= of their own (default: for ever)',
    },
    'drain-timeout': {
      type: 'string',
      requiresArg: true,
      describe: 'how long what clients have sent may take to be answered when a signal ends qmpmux (default 5s)',
    },
    limit: {
      type: 'string',
      array: true,
      requiresArg: true,
      describe: `NAME=VALUE, what clients may use: ${Object.keys(LIMIT_NAMES).join(', ')}`,
    },
    audit: {
      type: 'string',
      array: true,
      requiresArg: true,
      describe:
        'write every message to this file (NDJSON) before QEMU gets it; stdout and transport:NAME[,KEY=VALUE] are taken too',
    },
    'audit-sync': { type: 'boolean', describe: 'and to the disk (fdatasync), not only to the kernel' },
    'audit-chain': {
      type: 'boolean',
      describe: 'with hashes by which `qmpmux audit verify` finds what was tampered with',
    },
    'audit-on-error': {
      type: 'string',
      requiresArg: true,
      describe: 'when the audit log cannot be written: refuse commands, or continue (default refuse)',
    },
    'audit-max-message': {
      type: 'string',
      requiresArg: true,
      describe: 'cut longer answers and events in the audit log, such as 64k (default: nothing is cut)',
    },
    'audit-without': {
      type: 'string',
      array: true,
      requiresArg: true,
      describe: 'a kind of record (reply, connect …) or an event (RTC_CHANGE) to leave out of the audit log',
    },
    'audit-redact': {
      type: 'string',
      array: true,
      requiresArg: true,
      describe:
        'COMMAND:PATH of a secret to keep out of the audit log, besides those that are known: send-key:arguments.keys',
    },
    metrics: {
      type: 'string',
      requiresArg: true,
      describe: 'answer Prometheus here, by HTTP: unix:/path or tcp:localhost:PORT, path /metrics',
    },
    'log-level': {
      type: 'string',
      requiresArg: true,
      describe: `how much is logged: ${LOG_LEVELS.join(', ')} (default info)`,
    },
    'log-format': {
      type: 'string',
      requiresArg: true,
      describe: `${LOG_FORMATS.join(' or ')} (default pretty on a terminal, otherwise json)`,
    },
  },
  values: { 'log-level': LOG_LEVELS, 'log-format': LOG_FORMATS, 'audit-on-error': ['refuse', 'continue'] },
  examples: [
    [
      '$0 serve --upstream /run/vm.qmp --listen /run/vm.mux',
      'share the monitor of -qmp unix:/run/vm.qmp,server=on,wait=off',
    ],
    [
      '$0 serve --upstream unix:/run/vm.qmp,server --listen /run/vm.mux,mode=0660,group=operators',
      'QEMU dials us: -qmp unix:/run/vm.qmp,reconnect=1',
    ],
    [
      "$0 serve --upstream 'exec:ssh host socat - UNIX:/run/vm.qmp' --listen tcp:localhost:4444",
      'the VM of another host, for telnet localhost 4444',
    ],
    [
      '$0 serve --upstream /run/vm.qmp --listen /run/vm.mux --audit /var/log/qmpmux.audit --audit-chain',
      'and a record of who did what',
    ],
    [
      '$0 serve --upstream /run/vm.qmp --takeover',
      'every tool that knows /run/vm.qmp shares it, and none needs to be told',
    ],
    ['$0 serve --config /etc/qmpmux.toml', 'several VMs'],
    ['$0 serve --config-dir /etc/qmpmux/conf.d --watch', 'a file a VM: writing one adds a VM'],
  ],
  notes: [
    'QEMU may be started before or after; the sockets for clients are there while it is.',
    'When clients are accepted, a line on standard output says so: qmpmux: ready: vm: unix:/run/vm.mux',
    'With --audit stdout that line goes to standard error. SIGUSR2 goes on in a new audit file, for logrotate; SIGHUP does, too, and reads the',
    'config again: what has changed is carried out, clients of the rest are not touched; a wrong config changes nothing, and the log says what is wrong.',
    'The log goes to standard error. SIGTERM and SIGINT end it and remove the sockets.',
    'Exit codes: 0 ended by a signal, 64 wrong command line, 69 a socket cannot be made, 78 wrong config file.',
  ].join('\n'),

  async run(flags) {
    if (flags.restore === true) return restore(flags);
    const signals = new HeldSignals();
    const config = await configOf(flags);
    if (flags.check === true) {
      const { outlineOf } = await import('./config-outline.js');
      process.stdout.write(outlineOf(config));
      return EXIT.ok;
    }
    const log = await openLog(config.log);
    // Without a monitor there may be nothing else to wait for.
    const awake = setInterval(() => undefined, A_DAY);
    try {
      const manager = await ServiceManager.find(process.env, log.logger);
      const hasFile = flags.config !== undefined || flags['config-dir'] !== undefined;
      const daemon = new Daemon({
        config,
        log: log.logger,
        ready: (monitor, places) => {
          const isTaken = config.audit?.destinations.some((destination) => destination.kind === 'stdout') ?? false;
          (isTaken ? process.stderr : process.stdout).write(`qmpmux: ready: ${monitor}: ${places.join(' ')}\n`);
        },
        ...(hasFile ? { reload: () => reloader.reload() } : {}),
      });
      const ended = untilSignal();
      // What `systemctl status` shows until a config can be used again.
      let refused = '';
      const status = () => `${refused}${daemon.status}`;
      const reloader = new Reloader({
        read: () => configOf(flags),
        apply: (changed) => daemon.reload(changed),
        begin: () => {
          manager.reloading();
        },
        end: (trouble) => {
          refused = trouble === null ? '' : `the changed config is not used: ${trouble}; `;
          manager.ready(status);
        },
        log: log.logger,
      });
      await daemon.start();
      signals.release({
        SIGHUP: () => {
          daemon.reopenLogs();
          if (hasFile) reloader.request();
        },
        // The config may be half edited when logs are rotated.
        SIGUSR2: () => {
          daemon.reopenLogs();
        },
      });
      const watched = flags['config-dir'] ?? flags.config;
      if (flags.watch === true && watched !== undefined) reloader.watch(watched, flags['config-dir'] !== undefined);
      manager.ready(status);
      const signal = await ended;
      log.logger.info({ signal }, 'ending');
      // What a reload begins is ended as well, when it has come to its end.
      await reloader.stop();
      manager.stopping(`ended by ${signal}`, daemon.longestEnd);
      await daemon.stop(`qmpmux is ended by ${signal}`);
      return EXIT.ok;
    } finally {
      clearInterval(awake);
      log.flush();
    }
  },
});

/** `--restore`: puts QEMU's socket back, and ends. */
async function restore({ upstream }: Flags): Promise<number> {
  if (upstream === undefined) throw new UsageError("--restore needs QEMU's path: --upstream /run/vm.qmp");
  const address = asUsage('--upstream: ', () => parseUpstream(upstream));
  if (address.kind !== 'unix') throw new UsageError(`--restore: ${TAKEOVER_RULE}`);
  const { Takeover } = await import('../net/takeover.js');
  const takeover = new Takeover(address.path);
  const isDone = await takeover.restore();
  process.stdout.write(
    isDone ? `qmpmux: restored: ${address.path}\n` : `qmpmux: nothing to restore: there is no ${takeover.aside}\n`,
  );
  return EXIT.ok;
}

const A_DAY = 86_400_000;

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
  'command-timeout',
  'limit',
  'drain-timeout',
] as const;

async function configOf(flags: Flags): Promise<DaemonConfig> {
  const { upstream, listen, name } = flags;
  const folder = flags['config-dir'];
  if (folder !== undefined && flags.config !== undefined) {
    throw new UsageError('--config and --config-dir exclude each other');
  }
  if (flags.watch === true && folder === undefined && flags.config === undefined) {
    throw new UsageError('--watch needs --config or --config-dir');
  }
  if (flags.config !== undefined || folder !== undefined) {
    const other = OF_ONE_MONITOR.find((flag) => flags[flag] !== undefined);
    if (other !== undefined)
      throw new UsageError(
        `${folder === undefined ? '--config' : '--config-dir'} and --${other} exclude each other: put it into the file`,
      );
    // What reads the file is loaded only for a file.
    const { readConfig, readConfigFolder } = await import('../daemon/config-file.js');
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
        limits: asUsage('--limit: ', () => parseLimits((flags.limit ?? []).map(limitPair))),
      },
      audit,
      durationFlag('drain-timeout', flags['drain-timeout']) ?? DEFAULT_DRAIN_TIME,
    ),
  );
  return { ...config, metrics: metricsOf(flags) };
}

function listenersOf(flags: Flags): readonly ListenerConfig[] {
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

function metricsOf({ metrics }: Flags): ListenAddress | null {
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
async function auditOf(flags: Flags): Promise<AuditSettings | null> {
  const to = flags.audit;
  if (to === undefined || to.length === 0) {
    const other = Object.keys(flags).find(
      (name) => name.startsWith('audit-') && Reflect.get(flags, name) !== undefined,
    );
    if (other !== undefined) throw new UsageError(`--${other} needs --audit FILE`);
    return null;
  }
  const { auditSettings } = await import('../daemon/audit-config.js');
  return asUsage('--audit: ', () =>
    auditSettings({
      to: [...to],
      sync: flags['audit-sync'],
      chain: flags['audit-chain'],
      'on-error': oneOf('audit-on-error', flags['audit-on-error'], ['refuse', 'continue'] as const) ?? undefined,
      'max-message': flags['audit-max-message'],
      without: flags['audit-without']?.slice(),
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

function logSettings(flags: Flags, otherwise: LogSettings): LogSettings {
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
