/** All monitors of one process, and its life between start and signal. */
import type { Logger } from 'pino';
import type { DaemonConfig } from './config.js';
import { MonitorService } from './monitor-service.js';

export interface DaemonOptions {
  readonly config: DaemonConfig;
  readonly log: Logger;
  /** Clients of a monitor are accepted, for the first time or again. */
  readonly ready: (monitor: string, places: readonly string[]) => void;
}

export class Daemon {
  readonly #services: readonly MonitorService[];

  constructor({ config, log, ready }: DaemonOptions) {
    this.#services = config.monitors.map(
      (monitor) =>
        new MonitorService({
          config: monitor,
          log: log.child({ monitor: monitor.name }),
          ready: (places) => {
            ready(monitor.name, places);
          },
        }),
    );
  }

  /**
   * Starts all monitors, or none.
   * @throws ListenError when a socket cannot be made
   */
  async start(): Promise<void> {
    await Promise.all(this.#services.map((service) => service.check()));
    try {
      await Promise.all(this.#services.map((service) => service.start()));
    } catch (error) {
      await this.stop('the start failed');
      throw error;
    }
  }

  /** Stops all monitors; resolves when their sockets are removed, their clients are told, and their children have ended. */
  async stop(reason: string): Promise<void> {
    await Promise.all(this.#services.map((service) => service.stop(reason)));
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
