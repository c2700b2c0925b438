/**
 * The reports of the extension commands, as JSON in QEMU's spelling. All times are in seconds, with at most six decimals; members that
 * do not apply are left out. docs/reference/extensions.md has every member.
 */
import { quote } from '../../qmp/json/unicode.js';
import type { Clients } from '../client/clients.js';
import type { Session } from '../client/session.js';
import type { PendingCommand } from '../commands/command.js';
import type { InFlight } from '../commands/in-flight.js';
import type { LatencyHistogram, ReplyStats } from '../commands/reply-stats.js';
import type { Bookkeeping } from '../ports/bookkeeping.js';
import type { Peer, UpstreamState } from '../ports/link.js';
import type { UpstreamHealth } from '../ports/observer.js';

/** The parts of a multiplexer that are reported on. */
export interface Reportable {
  readonly books: Bookkeeping;
  readonly clients: Clients;
  readonly upstream: { readonly state: UpstreamState };
  readonly probe: { readonly health: UpstreamHealth | null };
  readonly inFlight: InFlight;
  readonly replies: { readonly tally: LatencyHistogram };
}

/** A value to be written. A member that is undefined is left out. */
export type Reported =
  | boolean
  | number
  | string
  | null
  | readonly Reported[]
  | { readonly [name: string]: Reported | undefined };

/** How many waiting commands of one client are listed, and of all together. */
export const MOST_LISTED_OF_ONE = 32;
export const MOST_LISTED = 1024;

/** @returns JSON text. Unlike `formatJson` it takes any string: names come from the kernel and from config files. */
export function writeReport(value: Reported): string {
  if (typeof value === 'string') return quote(value);
  if (typeof value !== 'object' || value === null) return String(value);
  if (isList(value)) return `[${value.map(writeReport).join(', ')}]`;
  const members: string[] = [];
  for (const [name, member] of Object.entries(value)) {
    if (member !== undefined) members.push(`${quote(name)}: ${writeReport(member)}`);
  }
  return `{${members.join(', ')}}`;
}

function isList(value: Reported): value is readonly Reported[] {
  return Array.isArray(value);
}

/** @returns microseconds as seconds. */
export function seconds(microseconds: number): number {
  return Math.max(0, Math.round(microseconds)) / 1_000_000;
}

/** @returns the names of counters as QMP would spell them: `refused-by-listener`. */
function dashed(numbers: object): Reported {
  const members: Record<string, Reported> = {};
  for (const [name, value] of Object.entries(numbers)) {
    if (typeof value === 'number') members[name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)] = value;
  }
  return members;
}

function tallied({ commands, errors, time, longest }: ReplyStats) {
  return { commands, errors, time: seconds(time), longest: seconds(longest) };
}

/** The state of the multiplexer. @param stateSince when the upstream's state last changed */
export function statusReport(parts: Reportable, now: number, stateSince: number) {
  const { books, clients } = parts;
  const { tally } = parts.replies;
  const { health } = parts.probe;
  const inFlight = parts.inFlight.all();
  return {
    clients: clients.clientCount,
    waiting: clients.waitingCount,
    'in-flight': inFlight.length,
    ...(inFlight[0] === undefined ? {} : { oldest: seconds(now - inFlight[0].sentAt) }),
    held: clients.heldBytes,
    ...tallied(tally),
    // Up to `below` seconds, but longer than the one before. Classes at the end in which there is none are left out.
    latency: trimmed(tally.classes).map((count, at) => ({ below: seconds(2 ** at), count })),
    counters: dashed(books.counters),
    traffic: dashed(books.traffic),
    upstream: { ...upstreamReport(parts.upstream.state, now - stateSince), ...healthReport(health, now) },
  };
}

function trimmed(classes: Uint32Array): number[] {
  const used = classes.findLastIndex((count) => count > 0) + 1;
  return [...classes.subarray(0, used)];
}

function upstreamReport(state: UpstreamState, since: number) {
  const known = { state: state.name, for: seconds(since) };
  if (state.name === 'running') return { ...known, version: state.version, oob: state.oob };
  return state.name === 'lost' ? { ...known, reason: state.reason } : known;
}

function healthReport(health: UpstreamHealth | null, now: number) {
  if (health === null) return {};
  return { health: health.name, ...(health.name !== 'answering' && { 'health-for': seconds(now - health.since) }) };
}

/** One client, without the member that marks the one that asks. */
export function clientReport(session: Session, now: number) {
  return {
    client: session.id as number,
    listener: session.listener,
    peer: peerReport(session.peer),
    age: seconds(now - session.connectedAt),
    negotiated: session.isNegotiated,
    oob: session.isOobEnabled,
    policy: session.policyName ?? 'full',
    waiting: session.commands.waitingCount,
    'in-flight': session.commands.inFlightCount,
    held: session.heldBytes,
    descriptors: session.descriptorCount,
    ...tallied(session.commands.tally),
  };
}

function peerReport(peer: Peer): { [name: string]: Reported } {
  const { kind, ...rest } = peer;
  return { type: kind, ...rest };
}

/** The clients with unanswered commands: those that QEMU has, then those that wait, the oldest first. */
export function queueReport({ clients, inFlight: sent }: Reportable, now: number): Reported {
  const inFlight: Reported[] = [];
  // QEMU runs in-band commands one after the other, so all others wait for the first of them.
  let isBehind = false;
  for (const leader of sent.all()) {
    const blocks = !leader.oob && !isBehind;
    isBehind ||= !leader.oob;
    for (const command of [leader, ...leader.followers]) {
      inFlight.push({
        ...commandReport(command, now),
        upstream: seconds(now - command.sentAt),
        running: blocks && command === leader,
        ...(command === leader ? {} : { shared: true }),
        ...(command.stage === 'abandoned' ? { abandoned: true } : {}),
      });
    }
  }
  let count = 0;
  const waiting: PendingCommand[] = [];
  for (const session of clients.sessions) {
    count += session.commands.waitingCount;
    waiting.push(...session.commands.firstWaiting(MOST_LISTED_OF_ONE));
  }
  waiting.sort((a, b) => a.receivedAt - b.receivedAt);
  return {
    'in-flight': inFlight,
    waiting: waiting.slice(0, MOST_LISTED).map((command) => commandReport(command, now)),
    'waiting-count': count,
  };
}

function commandReport({ client, name, oob, receivedAt }: PendingCommand, now: number) {
  return {
    client: client.id as number,
    peer: peerReport(client.peer),
    ...(client.isConnected ? {} : { gone: true }),
    command: name,
    oob,
    age: seconds(now - receivedAt),
  };
}
