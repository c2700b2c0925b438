/**
 * Commands that a user leaves out of the log, and how they are counted in it all the same. A pattern leaves out only commands that change
 * nothing: those on the list of `policy=read-only`. Any other must be named in full, followed by `!`.
 */

import { readOnlyCommands } from '../../mux/policy/read-only.js';
import type { ClientView } from '../../mux/ports/observer.js';
import { Glob } from '../../shared/glob.js';
import { nearest } from '../../shared/spelling.js';
import { AuditSettingError } from './errors.js';

/** Of a sum, in milliseconds: a client has one record in that time, and one when it leaves. */
export const SUM_INTERVAL = 60_000;

/** Commands by name, on listeners by address; both are globs, null for all listeners. */
export interface CommandRule {
  /** As it was written. */
  readonly text: string;
  readonly name: string;
  readonly listener: string | null;
  /** Whether it may name a command that does more than read. */
  readonly isExplicit: boolean;
}

/** Sent again and again by qmpmux's own `top`, `status`, `clients` and `events`. */
export const OWN_QUERIES = '__org.qmpmux_query-*';

/**
 * Reads `query-*`, `query-status@unix:/run/vm.exporter` or `qom-get!@unix:*.exporter`.
 * @throws AuditSettingError for a pattern that leaves nothing out, and for one command that does not only read and has no `!`
 */
export function parseCommandRule(text: string): CommandRule {
  const at = text.indexOf('@');
  const written = at < 0 ? text : text.slice(0, at);
  const listener = at < 0 ? null : text.slice(at + 1);
  const isExplicit = written.endsWith('!');
  const name = isExplicit ? written.slice(0, -1) : written;
  const isPattern = /[*?]/.test(name);
  const quoted = JSON.stringify(text);
  if (name === '' || listener === '')
    throw new AuditSettingError(`${quoted} is not a command: write NAME or NAME@LISTENER`);
  if (new Glob(name).isTooLong || (listener !== null && new Glob(listener).isTooLong))
    throw new AuditSettingError(`${quoted} has a part with '?' that is too long`);
  if (isExplicit && isPattern)
    throw new AuditSettingError(
      `${quoted} may leave out commands that change something: write each of their names in full`,
    );
  const rule = { text, name, listener, isExplicit };
  if (!isExplicit && !readOnlyCommands().some((each) => new Glob(name).matches(each))) {
    const near = isPattern ? null : nearest(name, readOnlyCommands());
    const advice = near === null ? '' : ` (is it ${near}?)`;
    const all = JSON.stringify(`${name}!${at < 0 ? '' : text.slice(at)}`);
    throw new AuditSettingError(
      isPattern
        ? `${quoted} matches no read-only command; leave out other commands one by one, with ! after the name`
        : `${JSON.stringify(name)} is not a kind of record, an event, or a command known to only read${advice}; ` +
            `to leave out a command that may do more, write ${all}`,
    );
  }
  return rule;
}

/** Which commands are left out. */
export class LeftOutCommands {
  readonly #rules: readonly CommandRule[];
  /** For each listener that has been asked about, the names. */
  readonly #names = new Map<string, ReadonlySet<string>>();
  #lastListener = '';
  #lastNames: ReadonlySet<string> = new Set();

  constructor(rules: readonly CommandRule[]) {
    this.#rules = rules;
  }

  /** @returns whether `name` is left out where it comes by `listener` */
  has(name: string, listener: string): boolean {
    if (this.#rules.length === 0) return false;
    if (listener !== this.#lastListener) {
      this.#lastListener = listener;
      this.#lastNames = this.#namesOf(listener);
    }
    return this.#lastNames.has(name);
  }

  #namesOf(listener: string): ReadonlySet<string> {
    let names = this.#names.get(listener);
    if (names === undefined) {
      names = new Set(
        this.#rules
          .filter((rule) => rule.listener === null || new Glob(rule.listener).matches(listener))
          .flatMap(({ name, isExplicit }) =>
            isExplicit ? [name] : readOnlyCommands().filter((each) => new Glob(name).matches(each)),
          ),
      );
      this.#names.set(listener, names);
    }
    return names;
  }
}

/** The commands of one client left out since `since` (microseconds). */
export interface LeftOutSum {
  readonly since: number;
  /** By name; no more than there are rules and commands that only read. */
  readonly commands: Map<string, number>;
  errors: number;
  unanswered: number;
}

/** Counts commands left out, and records the counts: for each client once a minute, and when it leaves. */
export class LeftOutCounts {
  readonly #record: (client: ClientView, sum: LeftOutSum) => void;
  readonly #pending: Set<() => void>;
  readonly #sums = new Map<ClientView, LeftOutSum>();
  #timer: NodeJS.Timeout | null = null;

  /**
   * @param record makes the record of a sum
   * @param pending functions that the log calls before it ends
   */
  constructor(record: (client: ClientView, sum: LeftOutSum) => void, pending: Set<() => void>) {
    this.#record = record;
    this.#pending = pending;
  }

  /** @param by -1 for one that was counted and is recorded now. @param now microseconds */
  count(client: ClientView, name: string, now: number, by = 1): void {
    const { commands } = this.#of(client, now);
    const count = (commands.get(name) ?? 0) + by;
    if (count === 0) commands.delete(name);
    else commands.set(name, count);
  }

  /** One of them was answered by an error, or is not answered at all. */
  countFault(client: ClientView, fault: 'errors' | 'unanswered', now: number): void {
    this.#of(client, now)[fault]++;
  }

  flush(client: ClientView): void {
    const sum = this.#sums.get(client);
    if (sum === undefined) return;
    this.#sums.delete(client);
    if (sum.commands.size + sum.errors + sum.unanswered > 0) this.#record(client, sum);
  }

  #of(client: ClientView, now: number): LeftOutSum {
    let sum = this.#sums.get(client);
    if (sum === undefined) {
      sum = { since: now, commands: new Map(), errors: 0, unanswered: 0 };
      this.#sums.set(client, sum);
      this.#pending.add(this.#flushAll);
      this.#timer ??= setTimeout(this.#flushAll, SUM_INTERVAL).unref();
    }
    return sum;
  }

  readonly #flushAll = () => {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#pending.delete(this.#flushAll);
    for (const client of this.#sums.keys()) this.flush(client);
  };
}
