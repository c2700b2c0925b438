/**
 * Reads the config again on request, or when it changes, and has the daemon go over to it. One at a time: requests that come
 * meanwhile are carried out once, afterwards.
 */

import { QmpmuxError } from '../../shared/errors.js';
import type { Log } from '../../shared/log.js';
import { configChanged, configRefused } from '../observe/channels.js';
import { type DaemonConfig } from './config.js';
import { ConfigError } from './config-error.js';
import { ConfigWatch } from './config-watch.js';

export interface ReloaderOptions {
  /** Reads the config. @throws ConfigError */
  readonly read: () => Promise<DaemonConfig>;
  /** Goes over to it. @returns a description of the changes */
  readonly apply: (config: DaemonConfig) => Promise<readonly string[]>;
  /** Called before and after; with why the config cannot be used, or null. */
  readonly begin: () => void;
  readonly end: (trouble: string | null) => void;
  readonly log: Log;
}

export class Reloader {
  readonly #options: ReloaderOptions;
  #running: Promise<readonly string[]> | null = null;
  #next: Promise<readonly string[]> | null = null;
  #watch: ConfigWatch | null = null;
  #isStopped = false;

  constructor(options: ReloaderOptions) {
    this.#options = options;
  }

  /**
   * Reads the config and goes over to it.
   * @returns a description of the changes
   * @throws QmpmuxError if that is impossible; then nothing has changed. The error is in the log, too.
   */
  reload(): Promise<readonly string[]> {
    if (this.#running === null) {
      this.#running = this.#once().finally(() => {
        this.#running = null;
      });
      return this.#running;
    }
    const again = () => {
      this.#next = null;
      return this.reload();
    };
    this.#next ??= this.#running.then(again, again);
    return this.#next;
  }

  /** The same, for callers that do not wait for it. */
  request(): void {
    this.reload().catch((error: unknown) => {
      // Faults in the config are in the log already.
      if (!(error instanceof QmpmuxError)) throw error;
    });
  }

  /**
   * Reloads whenever a config changes.
   * @param path a config file, or a folder of them
   */
  watch(path: string, isFolder: boolean): void {
    this.#watch = new ConfigWatch(
      path,
      isFolder,
      () => {
        this.request();
      },
      this.#options.log,
    );
  }

  /** Begins no further reload; resolves when the one under way has ended, well or badly. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#watch?.stop();
    await this.#running?.catch(() => undefined);
  }

  async #once(): Promise<readonly string[]> {
    const { read, apply, begin, end, log } = this.#options;
    if (this.#isStopped) throw new ConfigError('qmpmux is stopping and does not reload the config');
    let trouble: string | null = null;
    begin();
    try {
      const words = await apply(await read());
      log.info({ changes: words }, words.length === 0 ? 'the config has not changed' : 'config reloaded');
      if (configChanged.hasSubscribers) configChanged.publish({ changes: words });
      return words;
    } catch (error) {
      trouble = error instanceof Error ? error.message : String(error);
      log.error({ reason: trouble }, 'cannot use the new config; the old one stays in effect');
      if (configRefused.hasSubscribers) configRefused.publish({ reason: trouble });
      throw error;
    } finally {
      end(trouble);
    }
  }
}
