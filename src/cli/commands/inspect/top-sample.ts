/** The state that `qmpmux top` knows at one moment, and its difference from the moment before. */

import { Report } from '../../screen/json-view.js';
import { percentile } from '../../screen/latency.js';
import type { OwnCommands } from './extension-client.js';

export interface Sample {
  /** When it was taken: monotonic, in seconds. */
  readonly at: number;
  readonly status: Report;
  readonly clients: readonly Report[];
  readonly queue: Report;
}

export async function takeSample(commands: OwnCommands, now: () => number): Promise<Sample> {
  const asked = ['query-status', 'query-clients', 'query-queue'].map(
    async (name) => new Report((await commands.ask(name)).value),
  );
  const [status = new Report(null), clients = new Report(null), queue = new Report(null)] = await Promise.all(asked);
  return { at: now(), status, clients: clients.items, queue };
}

/** A client's line. */
export interface ClientLine {
  readonly client: Report;
  /** Commands a second; null while that is not known. */
  readonly rate: number | null;
  /** Mean time of these commands, in seconds; null where there were none. */
  readonly latency: number | null;
  /** Its oldest command without an answer; null when it has none. */
  readonly oldest: Report | null;
}

export interface Frame {
  readonly status: Report;
  /** Commands, errors and events a second, and the times of these commands; null while that is not known. */
  readonly rates: {
    readonly commands: number;
    readonly errors: number;
    readonly events: number;
    readonly mean: number;
    readonly median: number;
    readonly high: number;
  } | null;
  /** The command that QEMU executes, for which all others wait; null when it has none. */
  readonly running: Report | null;
  readonly clients: readonly ClientLine[];
}

export function compare(sample: Sample, before: Sample | null): Frame {
  const { status, queue } = sample;
  const isNew = before === null || !isSameLife(status, before.status);
  const earlier = isNew ? null : before;
  const time = earlier === null ? 0 : Math.max(1e-3, sample.at - earlier.at);
  const inFlight = queue.at('in-flight').items;
  const unanswered = [...inFlight, ...queue.at('waiting').items];
  const known = new Map(earlier?.clients.map((client) => [client.at('client').number, client]));
  const clients = sample.clients.map((client): ClientLine => {
    const id = client.at('client').number;
    const commands = gain(client, known.get(id), 'commands');
    return {
      client,
      rate: earlier === null ? null : commands / time,
      latency: earlier === null || commands === 0 ? null : gain(client, known.get(id), 'time') / commands,
      oldest: oldestOf(unanswered.filter((command) => command.at('client').number === id)),
    };
  });
  return {
    status,
    rates: earlier === null ? null : ratesOf(status, earlier.status, time),
    running: inFlight.find((command) => command.at('running').isTrue) ?? null,
    clients: clients.toSorted(byInterest),
  };
}

/** Whether the numbers of one go on in the other: qmpmux was not restarted between. */
function isSameLife(status: Report, before: Report): boolean {
  const instance = (report: Report) => report.at('events', 'instance').text;
  return instance(status) === instance(before);
}

function ratesOf(status: Report, before: Report, time: number): NonNullable<Frame['rates']> {
  const commands = gain(status, before, 'commands');
  const classes = status.at('latency').items;
  const earlier = before.at('latency').items;
  const mean = commands === 0 ? 0 : gain(status, before, 'time') / commands;
  return {
    commands: commands / time,
    errors: gain(status, before, 'errors') / time,
    events: gain(status.at('events'), before.at('events'), 'last') / time,
    mean,
    median: percentile(classes, 0.5, earlier, mean),
    high: Math.max(mean, percentile(classes, 0.99, earlier)),
  };
}

function gain(after: Report, before: Report | undefined, name: string): number {
  return Math.max(0, after.at(name).number - (before?.at(name).number ?? 0));
}

function oldestOf(commands: readonly Report[]): Report | null {
  const age = (command: Report | null) => command?.at('age').number ?? -1;
  return commands.reduce<Report | null>((oldest, command) => (age(command) > age(oldest) ? command : oldest), null);
}

/** Clients that have waited for a second or more first, the longest wait first; then those that send the most; then the oldest. */
function byInterest(one: ClientLine, other: ClientLine): number {
  const wait = ({ oldest }: ClientLine) => {
    const age = oldest?.at('age').number ?? 0;
    return age >= 1 ? age : 0;
  };
  return (
    wait(other) - wait(one) ||
    (other.rate ?? 0) - (one.rate ?? 0) ||
    one.client.at('client').number - other.client.at('client').number
  );
}
