/** All monitors of one process, and its life between start and signal. */

import { performance } from 'node:perf_hooks';
import { isDeepStrictEqual } from 'node:util';
import type { Logger } from 'pino';
import type { Audit } from '../audit/write/audit.js';
import { type AuditSettings, mainDestination } from '../audit/write/settings.js';
import { formatAddress, type ListenAddress } from '../net/address/address.js';
import { ListenError } from '../net/listen/listen-error.js';
import { unusedSockets } from '../net/listen/socket-activation.js';
import { packageVersion } from '../system/version.js';
import { type DaemonConfig, type MonitorConfig } from './config/config.js';
import { ConfigError } from './config/config-error.js';
import type { SocketChange } from './listeners/client-listeners.js';
import { OpenFileBudget } from './listeners/open-file-budget.js';
import { MonitorService, multiplexerTime, stackOf } from './monitor-service.js';
import type { Metrics } from './observe/metrics.js';
import type { MetricsServer } from './observe/metrics-server.js';
import { Ticker } from './ticker.js';

/** At most this many monitors are named in the status. */
const FEW = 4;
/** At most this many of the waiting ones are named. */
const MANY = 10;
/** When listening for QEMU is tried again after a failure, in milliseconds. */
const AGAIN = 2000;
/** Time for the steps after the drain: farewells to clients, the audit log's end. In milliseconds, with room for a busy machine. */
const LAST_STEPS = 25_000;

/** How long a monitor stays away after a first fault, and at most after many; and without one for how long, the next is the first again. In milliseconds. */
const FIRST_PAUSE = 250;
const LONGEST_PAUSE = 60_000;
const FORGIVEN_AFTER = 300_000;

export interface DaemonOptions {
  readonly config: DaemonConfig;
  readonly log: Logger;
  /** Lines of the log that could not be written, for the metrics. */
  readonly lostLogLines?: () => number;
  /** Clients of a monitor are accepted, for the first time or again. */
  readonly ready: (monitor: string, places: readonly string[]) => void;
  /** Reads the config again, for clients that ask for it; absent if there is none. @returns a description of the changes */
  readonly reload?: () => Promise<readonly string[]>;
}

export class Daemon {
  readonly #options: DaemonOptions;
  /** The config that is carried out now. */
  #config: DaemonConfig;
  readonly #descriptors: OpenFileBudget;
  /** By the monitor's name. */
  readonly #services = new Map<string, MonitorService>();
  readonly #ticker = new Ticker();
  #audit: Audit | null = null;
  #metrics: Metrics | null = null;
  #metricsServer: MetricsServer | null = null;
  #isStopping = false;
  /** By monitor: faults in a row, and when the last one was, in milliseconds. */
  readonly #faults = new Map<string, { readonly count: number; readonly last: number }>();
  /** End the pauses before monitors are begun again. */
  readonly #wakers = new Set<() => void>();
  #isEnding = false;

  constructor(options: DaemonOptions) {
    this.#options = options;
    this.#config = options.config;
    this.#descriptors = new OpenFileBudget(options.config.monitors.length);
  }

  /**
   * Starts all monitors, or none.
   * @throws ListenError when a socket cannot be made
   * @throws ConfigError when a policy cannot be read
   * @throws AuditOpenError when the audit log cannot be written
   */
  async start(): Promise<void> {
    const { config } = this.#options;
    if (config.audit !== null) this.#audit = await this.#openAudit(config.audit);
    if (config.metrics !== null) await this.#openMetrics(config.metrics);
    try {
      for (const monitor of config.monitors) this.#services.set(monitor.name, this.#newService(monitor, config));
      for (const { file, problem } of config.folder?.faults ?? []) {
        this.#options.log.error({ file, reason: problem }, 'skipped a config file that cannot be used');
      }
      const services = [...this.#services.values()];
      await Promise.all(services.map((service) => this.#check(service)));
      // First, so that a socket that cannot be made keeps nothing from ending that was started.
      await this.#metricsServer?.start();
      await Promise.all(services.map((service) => this.#begin(service)));
      this.#warnOfUnused(config);
    } catch (error) {
      await this.stop('the start failed');
      throw error;
    }
  }

  /**
   * Goes over to another config. Monitors and sockets that are the same in both are not touched; parts that cannot be changed in place (a
   * monitor's upstream, its limits) are ended and begun again. Calls must not overlap.
   * @returns a description of the changes
   * @throws ListenError, ConfigError or AuditOpenError when the config cannot be carried out; then nothing has changed
   */
  async reload(config: DaemonConfig): Promise<readonly string[]> {
    const before = this.#config;
    const unusable = new Set(before.folder?.faults.map(({ file }) => file));
    // A file that is wrong since just now takes nobody's monitor away; one that was not used before changes nothing.
    const fresh = config.folder?.faults.find(({ file }) => !unusable.has(file));
    if (fresh !== undefined) throw new ConfigError(fresh.problem);
    if ((config.metrics === null) !== (before.metrics === null)) {
      throw new ConfigError('restart qmpmux to turn metrics on or off');
    }
    const plan = planOf(before, config);
    // Our own present places, given up or kept, need not be free.
    const ours = new Set([...this.#services.values()].flatMap((service) => service.places));
    const changes: SocketChange[] = [];
    for (const { name, listen } of plan.kept) {
      const change = await this.#services.get(name)?.prepare(listen, config.policies, ours);
      if (change !== undefined) changes.push(change);
    }
    let metricsServer: MetricsServer | null = null;
    const began = [...plan.added, ...plan.replaced].map((monitor) => this.#newService(monitor, config));
    try {
      for (const service of began) await service.check(ours);
      if (!isDeepStrictEqual(config.metrics, before.metrics)) metricsServer = await this.#moveMetrics(config.metrics);
      if (!isDeepStrictEqual(config.audit, before.audit)) await this.#changeAudit(config, began);
    } catch (error) {
      metricsServer?.stop();
      const added = new Set(plan.added.map(({ name }) => name));
      // One that has moved a socket aside puts it back.
      await Promise.all(began.map((service) => service.undo()));
      for (const name of added) this.#metrics?.remove(name);
      throw error;
    }
    this.#config = config;
    if (metricsServer !== null) {
      this.#metricsServer?.stop();
      this.#metricsServer = metricsServer;
    }
    for (const change of changes) change.leave();
    const over = new Set([...plan.removed, ...plan.replaced].map(({ name }) => name));
    const ended = [...this.#services.values()].filter(({ name }) => over.has(name));
    // This removes their sockets at once, and goes on with their clients.
    const ending = ended.map((service) => service.stop('the config was changed'));
    for (const change of changes) change.take();
    await Promise.all(ending);
    for (const { name } of plan.removed) {
      this.#services.delete(name);
      this.#metrics?.remove(name);
    }
    for (const service of began) this.#services.set(service.name, service);
    for (const service of this.#services.values()) service.drainTime = config.drainTime;
    for (const service of began) this.#beginLater(service);
    this.#audit?.reloaded();
    return plan.words;
  }

  /** Goes on in a new audit file if the present one was renamed. */
  reopenLogs(): void {
    this.#audit?.reopen();
  }

  /** The state of the config and the monitors, in a sentence. */
  get status(): string {
    const faults = this.#config.folder?.faults ?? [];
    const [first] = faults;
    const more = faults.length > 1 ? ` and ${faults.length - 1} more` : '';
    const left = first === undefined ? '' : `skipped: ${first.problem}${more}; `;
    return left + this.#monitorStatus;
  }

  /** Why the config as it is now is not carried out; null if it is. */
  refused: string | null = null;

  /** How many files of the config cannot be used as they are now. */
  get configErrors(): number {
    return (this.#config.folder?.faults.length ?? 0) + (this.refused === null ? 0 : 1);
  }

  get #monitorStatus(): string {
    const services = [...this.#services.values()];
    if (services.length === 0) return 'the config has no monitor';
    if (services.length <= FEW) return services.map(({ name, status }) => `${name}: ${status}`).join('; ');
    const waiting = services.filter(({ figures }) => figures.state.name !== 'running').map(({ name }) => name);
    const clients = services.reduce((sum, { clientCount }) => sum + clientCount, 0);
    const more = waiting.length > MANY ? ` and ${waiting.length - MANY} more` : '';
    const missing = waiting.length === 0 ? '' : `; waiting for QEMU: ${waiting.slice(0, MANY).join(', ')}${more}`;
    return `${services.length} monitors, ${clients} ${clients === 1 ? 'client' : 'clients'}${missing}`;
  }

  /** How long `stop` may take at most, in milliseconds. */
  get longestEnd(): number {
    return this.#config.drainTime + LAST_STEPS;
  }

  /**
   * Stops all monitors; resolves when their sockets are removed, their clients have their farewells, and their children have ended.
   * @throws the error that kept one of them from that, after the others have stopped
   */
  async stop(reason: string): Promise<void> {
    this.#isEnding = true;
    this.#isStopping = true;
    for (const wake of this.#wakers) wake();
    const ends = await Promise.allSettled([...this.#services.values()].map((service) => service.stop(reason)));
    this.#metricsServer?.stop();
    await this.#audit?.close(reason);
    // Only now: a fault in one is no reason to leave the others.
    for (const end of ends) if (end.status === 'rejected') throw end.reason;
  }

  /** Without this, a client would wait for ever if it connects to a socket of systemd's that no listener has. */
  #warnOfUnused({ monitors, metrics }: DaemonConfig): void {
    const addresses = monitors.flatMap(({ listen }) => listen.map(({ address }) => address));
    if (metrics !== null) addresses.push(metrics);
    const unused = unusedSockets(new Set(addresses.flatMap((each) => (each.kind === 'fd' ? [each.name] : []))));
    if (unused.length === 0) return;
    const sockets = unused.map((name) => `fd:${name}`);
    this.#options.log.warn(
      { sockets },
      'systemd passed sockets that no listener uses; clients connecting there will hang',
    );
  }

  /** Finds out whether a monitor's sockets can be made. In a folder of configs, one monitor's fault does not stop the others. */
  async #check(service: MonitorService): Promise<void> {
    try {
      await service.check();
    } catch (error) {
      if (this.#config.folder === null || !(error instanceof ListenError)) throw error;
      this.#tellOfSocket(service, error);
    }
  }

  /** Starts a monitor; in a folder of configs one for which QEMU cannot be listened for is tried again. */
  async #begin(service: MonitorService): Promise<void> {
    try {
      await service.start();
    } catch (error) {
      if (this.#config.folder === null || !(error instanceof ListenError)) throw error;
      this.#tellOfSocket(service, error);
      setTimeout(() => {
        const isWanted = !this.#isEnding && this.#services.get(service.name) === service;
        if (isWanted) this.#beginLater(service);
      }, AGAIN).unref();
    }
  }

  #beginLater(service: MonitorService): void {
    this.#begin(service).catch((error: unknown) => {
      this.#options.log.error({ monitor: service.name, error: String(error) }, 'cannot start a monitor');
    });
  }

  #tellOfSocket({ name }: MonitorService, { message }: ListenError): void {
    this.#options.log.error({ monitor: name, reason: message }, 'cannot create a socket; trying again');
  }

  #newService(monitor: MonitorConfig, config: DaemonConfig): MonitorService {
    const { name } = monitor;
    const { log, ready } = this.#options;
    const service = new MonitorService({
      ticker: this.#ticker,
      config: monitor,
      log: log.child({ monitor: monitor.name }),
      audit: this.#audit?.recorder(name, formatAddress(monitor.upstream)) ?? null,
      metrics: this.#metrics?.add(name, () => this.#services.get(name)?.figures ?? null, multiplexerTime) ?? null,
      descriptors: this.#descriptors,
      policies: config.policies,
      drainTime: config.drainTime,
      reload: this.#options.reload ?? null,
      failed: (error) => {
        this.#failed(service, error);
      },
      ready: (places) => {
        ready(monitor.name, places);
      },
    });
    return service;
  }

  /** There was a fault in a monitor's code: it ends, and is begun again. The others go on. */
  #failed(service: MonitorService, error: unknown): void {
    const { name } = service;
    const faults = this.#faults.get(name) ?? { count: 0, last: 0 };
    const now = performance.now();
    const count = now - faults.last > FORGIVEN_AFTER ? 1 : faults.count + 1;
    this.#faults.set(name, { count, last: now });
    const pause = Math.min(FIRST_PAUSE * 2 ** (count - 1), LONGEST_PAUSE);
    const fields = { monitor: name, version: packageVersion(), error: stackOf(error), again: `in ${pause / 1000} s` };
    this.#options.log.error(
      fields,
      'internal error: qmpmux closed the connections of this monitor and restarts it; this is a bug, please report this line',
    );
    const ended = service.abandon('an internal error of qmpmux').catch((second: unknown) => {
      this.#options.log.error(
        { monitor: name, error: stackOf(second) },
        'cannot stop a monitor after an internal error',
      );
    });
    // It reports its failures itself.
    void this.#beginAgain(service, pause, ended);
  }

  async #beginAgain(broken: MonitorService, pause: number, ended: Promise<void>): Promise<void> {
    await ended;
    if (this.#isStopping) return;
    await this.#pause(pause);
    const { name } = broken;
    const monitor = this.#config.monitors.find((each) => each.name === name);
    // Another config may have ended or replaced it meanwhile.
    if (this.#isStopping || monitor === undefined || this.#services.get(name) !== broken) return;
    // All its parts have been made before.
    const service = this.#newService(monitor, this.#config);
    this.#services.set(name, service);
    try {
      await service.check();
      await service.start();
    } catch (error) {
      this.#failed(service, error);
    }
  }

  /** Resolves after a time in milliseconds, or when the daemon stops. */
  #pause(time: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        this.#wakers.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, time);
      this.#wakers.add(wake);
    });
  }

  async #openMetrics(address: ListenAddress): Promise<void> {
    // Loaded only if it is used.
    const [{ Metrics }, { MetricsServer }] = await Promise.all([
      import('./observe/metrics.js'),
      import('./observe/metrics-server.js'),
    ]);
    this.#metrics = new Metrics(
      packageVersion(),
      () => this.#audit?.figures ?? null,
      () => this.configErrors,
      this.#options.lostLogLines ?? (() => 0),
    );
    this.#metricsServer = new MetricsServer(address, this.#metrics, this.#options.log);
  }

  /** Answers Prometheus at another place besides the present one. @returns its replacement, or null @throws ListenError */
  async #moveMetrics(address: ListenAddress | null): Promise<MetricsServer | null> {
    if (address === null || this.#metrics === null) return null;
    const { MetricsServer } = await import('./observe/metrics-server.js');
    const server = new MetricsServer(address, this.#metrics, this.#options.log);
    if (server.place === this.#metricsServer?.place) {
      throw new ConfigError(`${server.place}: restart qmpmux to change who may read metrics there`);
    }
    await server.start();
    return server;
  }

  async #openAudit(settings: AuditSettings): Promise<Audit> {
    // Loaded only if it is used.
    const { Audit } = await import('../audit/write/audit.js');
    return await this.#openLoaded(Audit, settings);
  }

  #openLoaded(loaded: typeof Audit, settings: AuditSettings): Promise<Audit> {
    const { log } = this.#options;
    return loaded.open(settings, {
      version: packageVersion(),
      report: (level, message) => {
        log[level](message);
      },
    });
  }

  /**
   * Goes over to another audit log, or the same file with other settings. Nothing happens between the last record of the one and the first
   * of the other: opening waits for nothing but itself.
   * @throws ConfigError, AuditOpenError if that is impossible; then the present log goes on
   */
  async #changeAudit({ audit: settings }: DaemonConfig, began: readonly MonitorService[]): Promise<void> {
    const old = this.#audit;
    const before = this.#config.audit;
    const conclude = () => {
      const trouble = old?.conclude('the config was changed') ?? null;
      if (trouble !== null) throw new ConfigError(`cannot change the audit settings now: ${trouble}`);
    };
    const { Audit } = await import('../audit/write/audit.js');
    const open = () => (settings === null ? null : this.#openLoaded(Audit, settings));
    let fresh: Audit | null;
    if (before !== null && settings !== null && mainDestination(before) === mainDestination(settings)) {
      // The new log begins where the old one ends.
      conclude();
      try {
        fresh = await open();
      } catch (error) {
        old?.reloaded();
        throw error;
      }
    } else {
      fresh = await open();
      try {
        conclude();
      } catch (error) {
        await fresh?.close('the config change was undone');
        throw error;
      }
    }
    this.#audit = fresh;
    for (const service of [...this.#services.values(), ...began]) {
      service.audit(fresh?.recorder(service.name, service.upstream) ?? null);
    }
    await old?.release();
  }
}

/** The changes to the monitors of a daemon. */
interface Plan {
  readonly added: readonly MonitorConfig[];
  readonly removed: readonly MonitorConfig[];
  /** Monitors with another upstream or other limits. */
  readonly replaced: readonly MonitorConfig[];
  /** Monitors that differ at most in their sockets. */
  readonly kept: readonly MonitorConfig[];
  readonly words: readonly string[];
}

function planOf(before: DaemonConfig, after: DaemonConfig): Plan {
  const known = new Map(before.monitors.map((monitor) => [monitor.name, monitor]));
  const names = new Set(after.monitors.map(({ name }) => name));
  const added = after.monitors.filter(({ name }) => !known.has(name));
  const removed = before.monitors.filter(({ name }) => !names.has(name));
  const common = after.monitors.filter(({ name }) => known.has(name));
  const isSame = (monitor: MonitorConfig) =>
    isDeepStrictEqual({ ...monitor, listen: null }, { ...known.get(monitor.name), listen: null });
  const kept = common.filter(isSame);
  const replaced = common.filter((monitor) => !isSame(monitor));
  const listens = kept.filter(({ name, listen }) => !isDeepStrictEqual(listen, known.get(name)?.listen));
  const words: string[] = [];
  const tell = (what: string, monitors: readonly MonitorConfig[]) => {
    if (monitors.length > 0) words.push(`${what}: ${monitors.map(({ name }) => name).join(', ')}`);
  };
  tell('added', added);
  tell('removed', removed);
  tell('restarted', replaced);
  tell('changed sockets', listens);
  if (!isDeepStrictEqual(before.policies, after.policies)) words.push('changed policies');
  if (!isDeepStrictEqual(before.audit, after.audit)) words.push('changed audit settings');
  if (!isDeepStrictEqual(before.metrics, after.metrics)) words.push('moved metrics');
  if (!isDeepStrictEqual(before.log, after.log)) words.push('[log] takes effect at the next start');
  return { added, removed, replaced, kept, words };
}

/**
 * Waits for SIGTERM or SIGINT. A second one, at any time after, ends the process at once.
 * @returns the name of the signal.
 */
export function untilSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let isEnding = false;
    const onSignal = (signal: NodeJS.Signals, number: number) => {
      // As a shell reports a program that a signal has ended.
      if (isEnding) process.exit(128 + number);
      isEnding = true;
      resolve(signal);
    };
    process.on('SIGTERM', onSignal);
    process.on('SIGINT', onSignal);
  });
}
