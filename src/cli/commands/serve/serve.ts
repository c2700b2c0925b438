/** `qmpmux serve`: the daemon in the foreground, until a signal ends it. */
import type { Logger } from 'pino';
import { ALWAYS, KINDS } from '../../../audit/log/kinds.js';
import { AUDIT, DAEMON, LOG, METRICS } from '../../../daemon/config/options/daemon.js';
import { LISTENER } from '../../../daemon/config/options/listener.js';
import { MONITOR, MONITOR_PLACES } from '../../../daemon/config/options/monitor.js';
import { Reloader } from '../../../daemon/config/reloader.js';
import { Daemon, untilSignal } from '../../../daemon/daemon.js';
import { HeldSignals } from '../../../daemon/held-signals.js';
import { LineSink } from '../../../daemon/observe/line-sink.js';
import { openLog } from '../../../daemon/observe/log.js';
import { ServiceManager } from '../../../daemon/service-manager.js';
import { EXIT } from '../../framework/exit-code.js';
import { subcommand } from '../../framework/subcommand.js';
import { textFor } from '../../screen/screen-text.js';
import { configOf, pathToRestore } from './serve-config.js';
import { flagsOf, wordsOf } from './serve-flags.js';

/** Where QEMU is, and where clients connect: the flags that come first. */
const PLACES = {
  upstream: { type: 'string', requiresArg: true, describe: MONITOR_PLACES.upstream.what },
  listen: {
    type: 'string',
    array: true,
    requiresArg: true,
    describe: `${MONITOR_PLACES.listen.flagText ?? ''}; may be repeated`,
  },
} as const;

const STDOUT = 1;
const STDERR = 2;
const A_DAY = 86_400_000;
/** How long the start has the process to itself, in milliseconds. */
const REHEARSAL_DELAY_MS = 500;

export const serve = subcommand({
  name: 'serve',
  usage:
    'serve --upstream ADDRESS --listen ADDRESS [--listen ADDRESS]…\n   or: $0 serve --config FILE\n   or: $0 serve --config-dir FOLDER [--watch]',
  options: {
    ...PLACES,
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
    watch: { type: 'boolean', describe: 'with --config or --config-dir: reload the config as soon as it changes' },
    check: { type: 'boolean', describe: 'check the command line and the config, say what would be served, and exit' },
    restore: { type: 'boolean', describe: "after a crash of --takeover, move QEMU's socket back and exit" },
    ...flagsOf(MONITOR),
    ...flagsOf(LISTENER),
    ...flagsOf(DAEMON),
    ...flagsOf({ limits: MONITOR_PLACES.limits }),
    ...flagsOf(AUDIT),
    ...flagsOf(METRICS),
    ...flagsOf(LOG),
  },
  values: {
    ...wordsOf(AUDIT, LOG),
    'audit-without': KINDS.filter((kind) => !ALWAYS.has(kind)),
  },
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
      'and record who did what',
    ],
    ['$0 serve --upstream /run/vm.qmp --takeover', 'every tool that uses /run/vm.qmp shares it, unchanged'],
    ['$0 serve --config /etc/qmpmux.toml', 'several VMs'],
    ['$0 serve --config-dir /etc/qmpmux/conf.d --watch', 'one file for each VM; writing a file adds a VM'],
  ],
  notes: [
    'QEMU may be started before or after qmpmux. The sockets for clients exist while QEMU does.',
    'Once clients are accepted, it prints a line to standard output: qmpmux: ready: vm: unix:/run/vm.mux',
    'With --audit stdout that line goes to standard error.',
    'SIGUSR2 reopens the audit file, for logrotate. SIGHUP also reloads the config: only clients of changed parts notice. A config with errors changes nothing, and the log says what is wrong.',
    'The log goes to standard error. SIGTERM and SIGINT stop qmpmux and remove the sockets.',
    'Soon after the start it runs a few thousand commands against itself, unseen, so that the first real one is fast; QMPMUX_REHEARSAL=off skips that.',
    'Exit codes: 0 stopped by a signal, 64 wrong command line, 69 cannot create a socket, 74 cannot write output, 78 wrong config file.',
  ].join('\n'),

  async run(flags) {
    if (flags.restore === true) return restore(pathToRestore(flags));
    const signals = new HeldSignals();
    const config = await configOf(flags);
    if (flags.check === true) {
      const { outlineOf, tellFaults } = await import('./config-outline.js');
      const { checkListenAddress } = await import('../../../net/listen/listener.js');
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
      // Shown by `systemctl status` until a config can be used again.
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
      const rehearsal = beginRehearsal(log.logger);
      const signal = await ended;
      log.logger.info({ signal }, 'ending');
      // Waits for a running reload, so that everything it starts is ended too.
      await reloader.stop();
      manager.stopping(`ended by ${signal}`, daemon.longestEnd);
      await Promise.all([rehearsal.end(), daemon.stop(`qmpmux is ended by ${signal}`)]);
      return EXIT.ok;
    } finally {
      clearInterval(awake);
      await log.end();
      await readyLines.end();
    }
  },
});

/** Rehearses soon, when the start is over. @returns a handle to end it */
function beginRehearsal(log: Logger): { end(): Promise<void> } {
  if (process.env['QMPMUX_REHEARSAL'] === 'off') return { end: () => Promise.resolve() };
  const ended = new AbortController();
  let running: Promise<unknown> = Promise.resolve();
  const timer = setTimeout(() => {
    // A failure is a fault, and ends qmpmux as any other.
    running = import('../../../daemon/rehearsal.js').then(({ rehearse }) => rehearse(log, ended.signal));
  }, REHEARSAL_DELAY_MS);
  return {
    async end() {
      clearTimeout(timer);
      ended.abort();
      await running;
    },
  };
}

/** `--restore`: puts QEMU's socket back, and ends. */
async function restore(path: string): Promise<number> {
  const { Takeover } = await import('../../../net/listen/takeover.js');
  const takeover = new Takeover(path);
  const isDone = await takeover.restore();
  const told = isDone ? `qmpmux: restored: ${path}` : `qmpmux: nothing to restore: there is no ${takeover.aside}`;
  process.stdout.write(`${textFor(process.stdout, told)}\n`);
  return EXIT.ok;
}
