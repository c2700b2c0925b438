/** Watches a config for changes: a file, or a folder of them, even if it is removed and made again. */
import { type FSWatcher, statSync, watch } from 'node:fs';
import { basename, dirname } from 'node:path';
import type { Log } from '../../shared/log.js';
import { printable } from '../../shared/printable.js';

/** A file is written in several steps; the watch waits this long for the last one, in milliseconds. */
const SETTLE = 200;
/** When a folder that was removed is looked for again, in milliseconds. */
const AGAIN = 1000;

export class ConfigWatch {
  readonly #folder: string;
  /** Whether a file of that name is of the config. */
  readonly #isOurs: (name: string) => boolean;
  readonly #changed: () => void;
  readonly #log: Log;
  #watcher: FSWatcher | null = null;
  #settling: NodeJS.Timeout | null = null;
  #again: NodeJS.Timeout | null = null;

  /**
   * @param path of a file, or of a folder of which all *.toml are meant
   * @throws Error when the folder cannot be watched
   */
  constructor(path: string, isFolder: boolean, changed: () => void, log: Log) {
    // Editors put a new file in the place of the old one, so it is the folder that is watched.
    this.#folder = isFolder ? path : dirname(path);
    this.#isOurs = isFolder ? (name) => /^[^.].*\.toml$/.test(name) : (name) => name === basename(path);
    this.#changed = changed;
    this.#log = log;
    this.#begin();
    log.info({ path }, `watching ${printable(basename(path))} for changes`);
  }

  stop(): void {
    this.#watcher?.close();
    if (this.#settling !== null) clearTimeout(this.#settling);
    if (this.#again !== null) clearInterval(this.#again);
  }

  #begin(): void {
    const folder = this.#folder;
    const present = identityOf(folder);
    this.#watcher = watch(folder, (_event, name) => {
      // A folder that is removed, and made again, is another one.
      if (identityOf(folder) !== present) this.#lost('it was removed');
      else if (name === null || this.#isOurs(name)) this.#settle();
    });
    this.#watcher.on('error', (error) => {
      this.#lost(error.message);
    });
  }

  #settle(): void {
    if (this.#settling !== null) clearTimeout(this.#settling);
    this.#settling = setTimeout(this.#changed, SETTLE);
  }

  /** Waits for the folder to be there again. */
  #lost(reason: string): void {
    if (this.#watcher === null) return;
    this.#watcher.close();
    this.#watcher = null;
    const path = this.#folder;
    this.#log.warn({ path, reason }, 'cannot watch the config folder until it exists again');
    this.#again = setInterval(() => {
      try {
        this.#begin();
      } catch {
        return;
      }
      if (this.#again !== null) clearInterval(this.#again);
      this.#again = null;
      this.#log.info({ path }, 'the config folder exists again');
      this.#settle();
    }, AGAIN);
  }
}

function identityOf(folder: string): string | null {
  const found = statSync(folder, { throwIfNoEntry: false });
  return found === undefined ? null : `${found.dev}:${found.ino}`;
}
