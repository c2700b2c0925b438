/** `qmpmux serve`: the daemon in the foreground, until a signal ends it. */
import { Daemon, untilSignal } from '../daemon/daemon.js';
import { HeldSignals } from '../daemon/held-signals.js';
import { LIMIT_NAMES } from '../daemon/limit-settings.js';
import { LineSink } from '../daemon/line-sink.js';
import { LOG_FORMATS, LOG_LEVELS, openLog } from '../daemon/log.js';
import { Reloader } from '../daemon/reloader.js';
import { ServiceManager } from '../daemon/service-manager.js';
import { EXIT } from './exit-code.js';
import { configOf, pathToRestore } from './serve-config.js';
import { textFor } from './screen-text.js';
import { subcommand } from './subcommand.js';

const STDOUT = 1;
const STDERR = 2;
const A_DAY = 86_400_000;

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
        'a socket for clients; may be repeated: /path, unix:/path[,mode=0660][,user=U][,group=G][,policy=read-only][,extensions=on]…, ' +
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
      'QEMU dials us: -qmp unix:/run/vm.qmp,reconnect-ms=1000 (before QEMU 9.2: reconnect=1)',
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
    'With --audit stdout that line goes to standard error.',
    'SIGUSR2 begins a new audit file, for logrotate. SIGHUP does so too, and reads the config again: what has changed is carried out, clients of the rest are not touched; a wrong config changes nothing, and the log says what is wrong.',
    'The log goes to standard error. SIGTERM and SIGINT end it and remove the sockets.',
    'Exit codes: 0 ended by a signal, 64 wrong command line, 69 a socket cannot be made, 78 wrong config file.',
  ].join('\n'),

  async run(flags) {
    if (flags.restore === true) return restore(pathToRestore(flags));
    const signals = new HeldSignals();
    const config = await configOf(flags);
    if (flags.check === true) {
      const { outlineOf, tellFaults } = await import('./config-outline.js');
      const { checkListenAddress } = await import('../net/listener.js');
      // Those of a file have been looked at with the file.
      for (const { listen } of config.monitors) for (const { address } of listen) checkListenAddress(address);
      if (config.metrics !== null) checkListenAddress(config.metrics);
      process.stdout.write(textFor(process.stdout, outlineOf(config)));
      return tellFaults(config);
    }
    const log = await openLog(config.log);
    const isTaken = config.audit?.destinations.some(({ kind }) => kind === 'stdout') ?? false;
    // Nobody may read them.
    const readyLines = new LineSink(isTaken ? STDERR : STDOUT);
    // Without a monitor there may be nothing else to wait for.
    const awake = setInterval(() => undefined, A_DAY);
    try {
      const manager = await ServiceManager.find(process.env, log.logger);
      const hasFile = flags.config !== undefined || flags['config-dir'] !== undefined;
      const daemon = new Daemon({
        config,
        log: log.logger,
        lostLogLines: log.lost,
        ready: (monitor, places) => {
          readyLines.write(`qmpmux: ready: ${monitor}: ${places.join(' ')}\n`);
        },
        ...(hasFile ? { reload: () => reloader.reload() } : {}),
      });
      const ended = untilSignal();
      // What `systemctl status` shows until a config can be used again.
      const status = () =>
        (daemon.refused === null ? '' : `the changed config is not used: ${daemon.refused}; `) + daemon.status;
      const reloader = new Reloader({
        read: () => configOf(flags),
        apply: (changed) => daemon.reload(changed),
        begin: () => {
          manager.reloading();
        },
        end: (trouble) => {
          daemon.refused = trouble;
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
      await log.end();
      await readyLines.end();
    }
  },
});

/** `--restore`: puts QEMU's socket back, and ends. */
async function restore(path: string): Promise<number> {
  const { Takeover } = await import('../net/takeover.js');
  const takeover = new Takeover(path);
  const isDone = await takeover.restore();
  const told = isDone ? `qmpmux: restored: ${path}` : `qmpmux: nothing to restore: there is no ${takeover.aside}`;
  process.stdout.write(`${textFor(process.stdout, told)}\n`);
  return EXIT.ok;
}
