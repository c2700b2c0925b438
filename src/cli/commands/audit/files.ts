/**
 * Shared by the subcommands of `qmpmux audit`: which files, which records, and how far the reading has come.
 * This room owns the reading subcommands; src/audit/read has the records' meaning. A log is input from others: clients have chosen names and
 * arguments in it, and somebody may have changed it.
 */
import { spawnSync } from 'node:child_process';
import { fstatSync } from 'node:fs';
import type { Options } from 'yargs';
import { AuditReadError } from '../../../audit/log/errors.js';
import type { FeedItem, FeedOptions } from '../../../audit/read/feed.js';
import { type Filter, parseKinds, spellingsOf } from '../../../audit/read/filter.js';
import { findLogs, type Log } from '../../../audit/read/log-files.js';
import { momentText, parseMoment, timeOf, type Zone } from '../../../audit/read/moment.js';
import { MARGIN } from '../../../audit/read/seek.js';
import { userId } from '../../../net/address/passwd-lookup.js';
import { printable } from '../../../shared/printable.js';
import { UsageError } from '../../framework/subcommand.js';
import { showBytes } from '../../screen/quantities.js';

export const FILTERS = {
  monitor: {
    type: 'string',
    describe: "only this VM, by its monitor's name; * and ? are wildcards",
  },
  client: {
    type: 'string',
    describe: "only this client: a number (5), a number with its VM (web1#5), or a program's name",
  },
  uid: { type: 'string', describe: 'only clients of this user, by name or number' },
  command: {
    type: 'string',
    describe: 'only this QMP command, verb of the human monitor, or action of a transaction; * and ? are wildcards',
  },
  match: {
    type: 'string',
    describe: 'only records with this text in the command, answer or other members',
  },
  since: {
    type: 'string',
    describe:
      'only from this time on (local time): 2026-01-31T23:59, 14:00 for the latest one, "yesterday 14:00", "Tuesday 14:00", or 5m, 2h, 1d, 1w ago',
  },
  until: { type: 'string', describe: 'only up to this time; 14:00 is the first one after --since' },
  utc: { type: 'boolean', describe: 'read and show times as UTC' },
  'read-all': {
    type: 'boolean',
    describe: `read the files from their beginning even if a time is given; needed if the host's clock was set back by more than ${MARGIN / 1000} s`,
  },
} satisfies Record<string, Options>;

export interface FilterFlags {
  readonly monitor: string | undefined;
  readonly client: string | undefined;
  readonly uid: string | undefined;
  readonly command: string | undefined;
  readonly match: string | undefined;
  readonly since: string | undefined;
  readonly until: string | undefined;
  readonly utc: boolean | undefined;
  readonly kind?: readonly string[] | undefined;
  readonly slow?: number | undefined;
  readonly errors?: boolean | undefined;
}

/** The records requested. */
export interface Question {
  readonly filter: Filter;
  readonly zone: Zone;
  /** In words, for when nothing was found. */
  readonly words: readonly string[];
}

/** Reads the request, and reports on standard error how an ambiguous time was understood. @throws AuditSettingError, UsageError */
export function questionOf(flags: FilterFlags): Question {
  const now = Date.now();
  const { monitor, client, uid, command, match, since, until, utc, kind = [], slow, errors } = flags;
  const zone: Zone = utc === true ? 'utc' : 'local';
  if (slow !== undefined && !(slow >= 0)) throw new UsageError('--slow must be a number of milliseconds');
  const from = since === undefined ? null : parseMoment(since, now, zone);
  const to = until === undefined ? null : parseMoment(until, now, zone, from?.time ?? null);
  for (const [name, given, moment] of [
    ['since', since, from],
    ['until', until, to],
  ] as const) {
    if (moment?.isGuess === true) tell(`--${name} ${given} means ${momentText(moment.time, zone)}`);
  }
  if (from !== null && from.time > now) {
    throw new UsageError(`--since ${since} lies in the future: it is ${momentText(from.time, zone)}`);
  }
  if (from !== null && to !== null && to.time < from.time) {
    throw new UsageError(
      `--until ${until} is before --since ${since}: from ${momentText(from.time, zone)} to ${momentText(to.time, zone)}`,
    );
  }
  const words = [
    ...Object.entries({ monitor, client, uid, command, match, kind: kind.join(',') || undefined, slow })
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => `--${name} ${value}`),
    ...(errors === true ? ['--errors'] : []),
    ...(from === null ? [] : [`since ${momentText(from.time, zone)}`]),
    ...(to === null ? [] : [`until ${momentText(to.time, zone)}`]),
  ];
  const filter: Filter = {
    monitor: monitor ?? null,
    client: client ?? null,
    uid: uid === undefined ? null : uidOf(uid),
    command: command ?? null,
    match: match === undefined || match === '' ? null : spellingsOf(match),
    kinds: kind.length === 0 ? null : parseKinds(kind),
    since: from?.time ?? null,
    until: to?.time ?? null,
    slow: slow === undefined ? null : slow * 1000,
    errors: errors ?? false,
  };
  return { filter, zone, words };
}

/** @throws UsageError if this host has no such user */
function uidOf(user: string): number {
  const known = userId(user);
  if (known !== null) return known;
  // Users may be known elsewhere than in /etc/passwd; a name that looks like an option is none.
  const found = user.startsWith('-') ? '' : (spawnSync('getent', ['passwd', user], { encoding: 'utf8' }).stdout ?? '');
  const id = /^[^:]*:[^:]*:(\d+):/.exec(found)?.[1];
  if (id === undefined) {
    throw new UsageError(`--uid: there is no user ${printable(user)} on this host; give the number that the log has`);
  }
  return Number(id);
}

/**
 * Finds the logs that files belong to; reports on standard error the files that cannot be read.
 * @returns `hasFaults` when some cannot
 * @throws UsageError when none is named, AuditReadError when none can be read
 */
export async function logsOf(
  files: readonly string[],
  command: string,
  mayBeMissing = false,
): Promise<{ readonly logs: readonly Log[]; readonly hasFaults: boolean }> {
  if (files.length === 0) throw new UsageError(`name a log file: qmpmux audit ${command} FILE…`);
  const { logs, faults } = await findLogs(files, mayBeMissing);
  const [first, ...others] = faults;
  if (first !== undefined && logs.length === 0 && others.length === 0) {
    throw new AuditReadError(printable(first.message), { cause: first });
  }
  for (const fault of faults) tell(fault.message);
  if (logs.length === 0 && faults.length > 0) throw new AuditReadError('none of the files can be read');
  return { logs, hasFaults: faults.length > 0 };
}

/** Writes a line on standard error. */
export function tell(text: string): void {
  process.stderr.write(`qmpmux: ${printable(text)}\n`);
}

/** The part of the feed a question needs. */
export function rangeOf({ filter }: Question, readsAll: boolean | undefined): FeedOptions {
  return { since: filter.since, until: filter.until, readsAll: readsAll ?? false };
}

/** The records read, to be reported when none of them match. */
export class ReadingSummary {
  #records = 0;
  #first = Number.POSITIVE_INFINITY;
  #last = Number.NEGATIVE_INFINITY;
  /** Lines that are no records: how many, and where the first is. */
  #strange = 0;
  #firstStrange = '';
  readonly #monitors = new Set<string>();

  add({ record, line }: FeedItem): void {
    if (record === null) {
      this.#strange++;
      this.#firstStrange ||= `${line.file}:${line.number}`;
      return;
    }
    this.#records++;
    const time = timeOf(record.time);
    if (time === null) return;
    if (time < this.#first) this.#first = time;
    if (time > this.#last) this.#last = time;
    const { monitor } = record.members;
    if (typeof monitor === 'string' && this.#monitors.size < MOST_NAMED) this.#monitors.add(monitor);
  }

  /** Says that lines were passed over. */
  tellStrange(): void {
    if (this.#strange === 0) return;
    const lines =
      this.#strange === 1 ? '1 line is not an audit record' : `${this.#strange} lines are not audit records`;
    tell(`${lines} (the first: ${this.#firstStrange}); run qmpmux audit verify for details`);
  }

  /** Reports that nothing was found, and where. */
  tellNothing({ words, zone }: Question, logs: readonly Log[]): void {
    const where = logs.length === 1 ? 'the log' : `${logs.length} logs`;
    const what = words.length === 0 ? '' : ` for ${words.join(', ')}`;
    if (this.#records === 0) {
      tell(`nothing found${what}: no record of ${where} was read${words.length === 0 ? ', there is none' : ''}`);
      return;
    }
    const range = `from ${momentText(this.#first, zone)} to ${momentText(this.#last, zone)}`;
    const names = [...this.#monitors].map((name) => printable(name.slice(0, LONGEST_NAMED)));
    const monitors = names.length === 0 ? '' : `, of ${names.join(', ')}`;
    tell(
      `nothing found${what}, in ${this.#records} record${this.#records === 1 ? '' : 's'} of ${where} ${range}${monitors}`,
    );
  }
}

const MOST_NAMED = 10;
const LONGEST_NAMED = 50;

/** Nothing is shown before this, in milliseconds, nor more often. */
const PATIENCE = 500;
const SHOW_EVERY = 100;

/** A line on the terminal that says how far the reading of a long file has come. */
export class Meter {
  readonly #begin = performance.now();
  #nextShow = PATIENCE;
  #isShown = false;

  /** @returns null where standard error is no terminal, or another program has it while it reads our output, such as a pager. */
  static onTerminal(): Meter | null {
    return process.stderr.isTTY && (process.stdout.isTTY || !isPipe()) ? new Meter() : null;
  }

  readonly show = (file: string, read: number, size: number): void => {
    const passed = performance.now() - this.#begin;
    if (passed < this.#nextShow) return;
    this.#nextShow = passed + SHOW_EVERY;
    this.#isShown = true;
    const share = size === 0 ? 100 : Math.min(100, Math.floor((read / size) * 100));
    process.stderr.write(`\r\u001b[K${printable(file)}: ${share} % of ${showBytes(size)}`);
  };

  readonly clear = (): void => {
    if (this.#isShown) process.stderr.write('\r\u001b[K');
    this.#isShown = false;
  };
}

function isPipe(): boolean {
  try {
    return fstatSync(1).isFIFO();
  } catch {
    return false;
  }
}
