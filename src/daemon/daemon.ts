/** All monitors of one process, and its life between start and signal. */
import type { Logger } from 'pino';
import type { Audit } from '../audit/audit.js';
import { formatAddress } from '../net/address.js';
import type { DaemonConfig } from './config.js';
import { Descriptors } from './descriptors.js';
import { packageVersion } from '../version.js';
import type { Metrics } from './metrics.js';
import type { MetricsServer } from './metrics-server.js';
import { MonitorService } from './monitor-service.js';

export interface DaemonOptions {
  readonly config: DaemonConfig;
  readonly log: Logger;
  /** Clients of a monitor are accepted, for the first time or again. */
  readonly ready: (monitor: string, places: readonly string[]) => void;
}

export class Daemon {
  readonly #options: DaemonOptions;
  #services: readonly MonitorService[] = [];
  #audit: Audit | null = null;
  #metrics: Metrics | null = null;
  #metricsServer: MetricsServer | null = null;

  constructor(options: DaemonOptions) {
    this.#options = options;
  }

  /**
   * Starts all monitors, or none.
   * @throws ListenError when a socket cannot be made
   * @throws ConfigError when a policy cannot be read
   * @throws AuditOpenError when the audit log cannot be written
   */
  async start(): Promise<void> {
    const { config, log, ready } = this.#options;
    this.#audit = await this.#openAudit();
    await this.#openMetrics();
    try {
      const descriptors = new Descriptors(config.monitors.length);
      this.#services = config.monitors.map(
        (monitor) =>
          new MonitorService({
            config: monitor,
            log: log.child({ monitor: monitor.name }),
            audit: this.#audit?.recorder(monitor.name, formatAddress(monitor.upstream)) ?? null,
            metrics: this.#metrics,
            descriptors,
            policies: config.policies,
            drainTime: config.drainTime,
            ready: (places) => {
              ready(monitor.name, places);
            },
          }),
      );
      await Promise.all(this.#services.map((service) => service.check()));
      // First, so that a socket that cannot be made keeps nothing from ending that was started.
      await this.#metricsServer?.start();
      await Promise.all(this.#services.map((service) => service.start()));
    } catch (error) {
      await this.stop('the start failed');
      throw error;
    }
  }

  /** Goes on in a new audit file if the present one was renamed. */
  reopenLogs(): void {
    this.#audit?.reopen();
  }

  /** How the monitors stand, in a sentence. */
  get status(): string {
    return this.#services.map((service) => `${service.name}: ${service.status}`).join('; ');
  }

  /** Stops all monitors; resolves when their sockets are removed, their clients are told, and their children have ended. */
  async stop(reason: string): Promise<void> {
    await Promise.all(this.#services.map((service) => service.stop(reason)));
    this.#metricsServer?.stop();
    await this.#audit?.close(reason);
  }

  async #openMetrics(): Promise<void> {
    const { config, log } = this.#options;
    if (config.metrics === null) return;
    // Loaded only by those who want them.
    const [{ Metrics }, { MetricsServer }] = await Promise.all([import('./metrics.js'), import('./metrics-server.js')]);
    this.#metrics = new Metrics(packageVersion(), () => this.#audit?.figures ?? null);
    this.#metricsServer = new MetricsServer(config.metrics, this.#metrics, log);
  }

  async #openAudit(): Promise<Audit | null> {
    const { config, log } = this.#options;
    if (config.audit === null) return null;
    // Loaded only by those who want it.
    const { Audit } = await import('../audit/audit.js');
    return await Audit.open(config.audit, {
      version: packageVersion(),
      report: (level, message) => {
        log[level](message);
      },
    });
  }
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
