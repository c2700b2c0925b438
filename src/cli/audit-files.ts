/** What the subcommands of `qmpmux audit` share: which files, which records, and how far the reading has come. */
import type { Options } from 'yargs';
import { type Filter, parseGlob, parseKinds, parseMoment } from '../audit/filter.js';
import { eachLine, inOrder, type LogLine } from '../audit/log-lines.js';
import { UsageError } from './subcommand.js';

export const FILTERS = {
  client: { type: 'string', requiresArg: true, describe: "only this client, by its number or its program's name" },
  uid: { type: 'number', requiresArg: true, describe: 'only clients of this user, by number' },
  command: { type: 'string', requiresArg: true, describe: 'only commands of this name; * and ? are wildcards' },
  since: {
    type: 'string',
    requiresArg: true,
    describe: 'nothing earlier: 2026-01-31T23:59, 23:59, or 5m, 2h, 1d for so long ago',
  },
  until: { type: 'string', requiresArg: true, describe: 'nothing later' },
} satisfies Record<string, Options>;

export interface FilterFlags {
  readonly client: string | undefined;
  readonly uid: number | undefined;
  readonly command: string | undefined;
  readonly since: string | undefined;
  readonly until: string | undefined;
  readonly kind?: readonly string[] | undefined;
  readonly slow?: number | undefined;
  readonly errors?: boolean | undefined;
}

/** @throws AuditSettingError, UsageError */
export function filterOf(flags: FilterFlags): Filter {
  const now = Date.now();
  const { client, uid, command, since, until, kind, slow, errors } = flags;
  for (const [name, value] of [
    ['uid', uid],
    ['slow', slow],
  ] as const) {
    if (value !== undefined && !(value >= 0)) throw new UsageError(`--${name} takes a number`);
  }
  return {
    client: client ?? null,
    uid: uid ?? null,
    command: command === undefined ? null : parseGlob(command),
    kinds: kind === undefined || kind.length === 0 ? null : parseKinds(kind),
    since: since === undefined ? null : parseMoment(since, now),
    until: until === undefined ? null : parseMoment(until, now),
    slow: slow === undefined ? null : slow * 1000,
    errors: errors ?? false,
  };
}

/** @returns the log's files in the order in which they were written. @throws UsageError when none is named */
export async function filesOf(files: readonly string[], command: string): Promise<string[]> {
  if (files.length === 0) throw new UsageError(`name a log file: qmpmux audit ${command} FILE…`);
  return await inOrder(files);
}

/** Reads all lines of all files. Progress is shown if there is a terminal to show it on, `isQuiet` says otherwise. */
export async function readAll(
  files: readonly string[],
  isQuiet: boolean,
  visit: (line: LogLine) => void,
): Promise<void> {
  const meter = isQuiet ? null : Meter.onTerminal();
  try {
    for (const file of files) await eachLine(file, visit, meter?.show);
  } finally {
    meter?.clear();
  }
}

/** Nothing is shown before this, in milliseconds, nor more often. */
const PATIENCE = 500;
const SHOW_EVERY = 100;

/** A line on the terminal that says how far the reading of a long file has come. */
export class Meter {
  readonly #begin = performance.now();
  #nextShow = PATIENCE;
  #isShown = false;

  /** @returns null where standard error is no terminal. */
  static onTerminal(): Meter | null {
    return process.stderr.isTTY ? new Meter() : null;
  }

  readonly show = (file: string, read: number, size: number): void => {
    const passed = performance.now() - this.#begin;
    if (passed < this.#nextShow) return;
    this.#nextShow = passed + SHOW_EVERY;
    this.#isShown = true;
    const share = size === 0 ? 100 : Math.floor((read / size) * 100);
    process.stderr.write(`\r\u001b[K${file}: ${share} % of ${megabytes(size)} MB`);
  };

  clear(): void {
    if (this.#isShown) process.stderr.write('\r\u001b[K');
  }
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0);
}
