/** Totals of a log: for each monitor, client and command, how many, how many errors, how long, how many bytes. */

import { messageLength, numberOf, textOf } from '../log/record.js';
import { clientText } from './client-text.js';
import { deedOf } from './deed.js';
import { type Filter, matches } from './filter.js';
import type { Entry } from './join-replies.js';

export interface StatsRow {
  readonly name: string;
  readonly count: number;
  readonly errors: number;
  /** Latencies in microseconds, exact to about 3 %; null when there was no answer. */
  readonly p50: number | null;
  readonly p99: number | null;
  readonly max: number | null;
  /** Of the commands and of their answers. */
  readonly bytes: number;
}

/** Rows beyond this are added up in one: names come from clients. */
const MOST_ROWS = 10_000;
export const OTHERS = '(others)';

export class Stats {
  readonly #filter: Filter;
  readonly #monitors = new Map<string, Tally>();
  readonly #clients = new Map<string, Tally>();
  readonly #commands = new Map<string, Tally>();
  readonly #pairs = new Map<string, Tally>();

  constructor(filter: Filter) {
    this.#filter = filter;
  }

  add(entry: Entry): void {
    const { record } = entry;
    if (record.kind !== 'command' && record.kind !== 'denied') return;
    if (!matches(this.#filter, entry)) return;
    const { log } = entry;
    const command = inShort(deedOf(record).name);
    const monitor = inShort(labelled(log, textOf(record, 'monitor') ?? ''));
    const who = inShort(labelled(log, clientText(entry)));
    tallyOf(this.#monitors, monitor).add(entry);
    tallyOf(this.#clients, who).add(entry);
    tallyOf(this.#commands, command).add(entry);
    tallyOf(this.#pairs, `${who}\0${command}`).add(entry);
  }

  /** Rows with most commands first. By VM; of several logs, by log and VM. */
  get monitors(): StatsRow[] {
    return rows(this.#monitors);
  }

  /** By VM, client, and run of the daemon. */
  get clients(): StatsRow[] {
    return rows(this.#clients);
  }

  get commands(): StatsRow[] {
    return rows(this.#commands);
  }

  /** By client and command. */
  get pairs(): (StatsRow & { readonly client: string; readonly command: string })[] {
    return rows(this.#pairs).map((row) => {
      const [client = '', command = ''] = row.name.split('\0');
      return { client, command, ...row };
    });
  }
}

/** Names come from clients, and many are kept. In characters. */
const LONGEST_NAME = 200;

function inShort(name: string): string {
  return name.length > LONGEST_NAME ? `${name.slice(0, LONGEST_NAME - 1)}…` : name;
}

function labelled(log: string, name: string): string {
  return log === '' ? name : `${log}: ${name}`;
}

function tallyOf(tallies: Map<string, Tally>, name: string): Tally {
  const known = tallies.get(name);
  if (known !== undefined) return known;
  const key = tallies.size < MOST_ROWS ? name : OTHERS;
  const tally = tallies.get(key) ?? new Tally();
  tallies.set(key, tally);
  return tally;
}

function rows(tallies: ReadonlyMap<string, Tally>): StatsRow[] {
  return [...tallies]
    .map(([name, tally]) => tally.row(name))
    .sort((a, b) => b.count - a.count || (a.name < b.name ? -1 : 1));
}

/** Steps of a doubling: a latency is known to one part in 32. */
const STEPS = 32;
const BUCKETS = 44 * STEPS;

class Tally {
  #count = 0;
  #errors = 0;
  #bytes = 0;
  #answers = 0;
  #max = 0;
  /** How many latencies lie in each step; a short array until many do. */
  readonly #buckets = new Map<number, number>();

  add({ record, answer, line, answerLine }: Entry): void {
    this.#count++;
    this.#bytes += messageLength(line, record);
    if (record.kind === 'denied') this.#errors++;
    if (answer === null || answerLine === null) return;
    if (answer.kind !== 'reply') this.#errors++;
    if (answer.kind === 'reply' || answer.kind === 'error') this.#bytes += messageLength(answerLine, answer);
    const latency = numberOf(answer, 'latency');
    if (latency === null) return;
    this.#answers++;
    this.#max = Math.max(this.#max, latency);
    const bucket = bucketOf(latency);
    this.#buckets.set(bucket, (this.#buckets.get(bucket) ?? 0) + 1);
  }

  row(name: string): StatsRow {
    return {
      name,
      count: this.#count,
      errors: this.#errors,
      p50: this.#percentile(0.5),
      p99: this.#percentile(0.99),
      max: this.#answers === 0 ? null : this.#max,
      bytes: this.#bytes,
    };
  }

  #percentile(share: number): number | null {
    if (this.#answers === 0) return null;
    let rest = Math.ceil(this.#answers * share);
    for (const [bucket, amount] of [...this.#buckets].sort((a, b) => a[0] - b[0])) {
      rest -= amount;
      if (rest <= 0) return Math.min(this.#max, middleOf(bucket));
    }
    return this.#max;
  }
}

function bucketOf(latency: number): number {
  if (latency < STEPS) return Math.max(0, Math.floor(latency));
  const exponent = Math.floor(Math.log2(latency));
  const step = Math.floor((latency / 2 ** exponent - 1) * STEPS);
  return Math.min(BUCKETS - 1, (exponent - 4) * STEPS + step);
}

function middleOf(bucket: number): number {
  if (bucket < STEPS) return bucket;
  const exponent = Math.floor(bucket / STEPS) + 4;
  const step = bucket % STEPS;
  return Math.round(2 ** exponent * (1 + (step + 0.5) / STEPS));
}
