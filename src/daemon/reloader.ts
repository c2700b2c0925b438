/**
 * Reads the config again when it is asked to, or when it changes, and has the daemon go over to it. One at a time: what is asked for
 * meanwhile is done once, afterwards.
 */
import { type FSWatcher, watch } from 'node:fs';
import { basename, dirname } from 'node:path';
import type { Log } from '../net/log.js';
import { QmpmuxError } from '../errors.js';
import { configChanged, configRefused } from './channels.js';
import { ConfigError, type DaemonConfig } from './config.js';

export interface ReloaderOptions {
  /** Reads the config. @throws ConfigError */
  readonly read: () => Promise<DaemonConfig>;
  /** Goes over to it. @returns what has changed */
  readonly apply: (config: DaemonConfig) => Promise<readonly string[]>;
  /** Told before and after; with why the config cannot be used, or null. */
  readonly begin: () => void;
  readonly end: (trouble: string | null) => void;
  readonly log: Log;
}

/** A file is written in several steps; the last one is waited for so long, in milliseconds. */
const SETTLE = 200;

export class Reloader {
  readonly #options: ReloaderOptions;
  #running: Promise<readonly string[]> | null = null;
  #next: Promise<readonly string[]> | null = null;
  #watcher: FSWatcher | null = null;
  #settling: NodeJS.Timeout | null = null;
  #isStopped = false;

  constructor(options: ReloaderOptions) {
    this.#options = options;
  }

  /**
   * Reads the config and goes over to it.
   * @returns what has changed, in words
   * @throws QmpmuxError when that cannot be; then nothing has changed. It is in the log, too.
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

  /** The same, for those who do not wait for it. */
  request(): void {
    this.reload().catch((error: unknown) => {
      // What a person has written wrong is in the log already.
      if (!(error instanceof QmpmuxError)) throw error;
    });
  }

  /**
   * Reloads whenever a config changes.
   * @param path a config file, or a folder of them
   */
  watch(path: string, isFolder: boolean): void {
    // Editors put a new file in the place of the old one, so it is the folder that is watched.
    const folder = isFolder ? path : dirname(path);
    this.#watcher = watch(folder, (_event, name) => {
      if (name !== null && (isFolder ? !/^[^.].*\.toml$/.test(name) : name !== basename(path))) return;
      if (this.#settling !== null) clearTimeout(this.#settling);
      this.#settling = setTimeout(() => {
        this.request();
      }, SETTLE);
    });
    this.#options.log.info({ path }, isFolder ? 'the configs of a folder are watched' : 'the config is watched');
    this.#watcher.on('error', (error) => {
      this.#options.log.error(
        { path, error: error.message },
        'the config cannot be watched any more; SIGHUP still works',
      );
    });
  }

  /** Begins no further reload; resolves when the one under way has come to its end, for better or worse. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#watcher?.close();
    if (this.#settling !== null) clearTimeout(this.#settling);
    await this.#running?.catch(() => undefined);
  }

  async #once(): Promise<readonly string[]> {
    const { read, apply, begin, end, log } = this.#options;
    if (this.#isStopped) throw new ConfigError('qmpmux is about to end, and goes over to no other config');
    let trouble: string | null = null;
    begin();
    try {
      const words = await apply(await read());
      log.info(
        { changes: words },
        words.length === 0 ? 'the config has not changed' : 'went over to the changed config',
      );
      if (configChanged.hasSubscribers) configChanged.publish({ changes: words });
      return words;
    } catch (error) {
      trouble = error instanceof Error ? error.message : String(error);
      log.error({ reason: trouble }, 'the config cannot be used; all goes on as before');
      if (configRefused.hasSubscribers) configRefused.publish({ reason: trouble });
      throw error;
    } finally {
      end(trouble);
    }
  }
}
