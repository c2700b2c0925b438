/** `qmpmux events`: the events of a VM as they come, with the behaviour of `virsh qemu-monitor-event`. */
import type { QmpEvent } from '../client/messages.js';
import type { QmpClient } from '../client/qmp-client.js';
import { findMembers } from '../client/reply-members.js';
import { matchesGlob } from '../mux/glob.js';
import { Deadline, parseSeconds } from './deadline.js';
import { EXIT } from './exit-code.js';
import { layOut } from './json-layout.js';
import { subcommand, UsageError } from './subcommand.js';
import { ADDRESS_NOTE, takeTarget } from './target.js';

/** Events that may wait while a slow reader of our output holds us up. */
const MOST_WAITING = 1_000_000;

interface Flags {
  readonly loop: boolean | undefined;
  readonly count: string | undefined;
  readonly timestamp: boolean | undefined;
  readonly pretty: boolean | undefined;
  readonly json: boolean | undefined;
}

export const events = subcommand({
  name: 'events',
  usage: 'events [OPTIONS] [ADDRESS]',
  operands: 'words',
  options: {
    event: {
      type: 'string',
      array: true,
      requiresArg: true,
      describe: 'only events of this name, as often as wanted; * and ? are wildcards: BLOCK_JOB_*',
    },
    loop: { type: 'boolean', describe: 'go on until Ctrl-C or --timeout, instead of ending with the first event' },
    count: { type: 'string', requiresArg: true, describe: 'end after so many events' },
    timeout: { type: 'string', requiresArg: true, describe: 'end after so many seconds' },
    timestamp: { type: 'boolean', describe: 'begin each line with the date and time (UTC), for reading' },
    pretty: { type: 'boolean', describe: "lay the event's data out over several lines" },
    json: { type: 'boolean', describe: 'print nothing but the events, as QEMU wrote them' },
  },
  examples: [
    ['$0 events /run/vm.mux', 'wait for an event, whichever comes next'],
    ['$0 events /run/vm.mux --event SHUTDOWN --timeout 60', 'has the guest shut down within a minute?'],
    ['$0 events /run/vm.mux --loop --timestamp', 'watch'],
    ["$0 events /run/vm.mux --loop --json --event 'BLOCK_JOB_*' | jq .data.device", 'for scripts'],
  ],
  notes: [
    'Exit codes: 0 events came (or Ctrl-C ended it after some), 1 none came, 64 wrong command line, 69 no server, or it went away.',
    ADDRESS_NOTE,
  ].join('\n'),

  async run(flags, operands) {
    const { target, rest } = takeTarget(operands);
    const [unexpected] = rest;
    if (unexpected !== undefined) throw new UsageError(`${JSON.stringify(unexpected)} is unexpected here`);
    const wanted = wantedCount(flags);
    const printer = new Printer(flags);
    const time = flags.timeout === undefined ? null : parseSeconds('timeout', flags.timeout);
    const end = new AbortController();
    process.once('SIGINT', () => end.abort('interrupted'));
    const client = await new Deadline(flags.timeout).connect(target);
    const timer = time === null ? undefined : setTimeout(() => end.abort('timed out'), time);
    const globs = flags.event ?? ['*'];
    try {
      for await (const event of client.events({ limit: MOST_WAITING, signal: end.signal })) {
        if (!globs.some((glob) => matchesGlob(glob, event.name))) continue;
        printer.print(event);
        if (printer.count === wanted) return printer.finish(null);
      }
    } catch (error) {
      if (!end.signal.aborted || error !== end.signal.reason) throw error;
      return printer.finish(end.signal.reason);
    } finally {
      clearTimeout(timer);
      client.destroy();
    }
    return lost(client, printer);
  },
});

/** @throws UsageError */
function wantedCount({ loop, count }: Flags): number {
  if (loop === true && count !== undefined) throw new UsageError('--loop and --count exclude each other');
  if (count === undefined) return loop === true ? Number.POSITIVE_INFINITY : 1;
  if (!/^[1-9]\d{0,14}$/.test(count))
    throw new UsageError(`--count: a number is expected, not ${JSON.stringify(count)}`);
  return Number(count);
}

async function lost(client: QmpClient, printer: Printer): Promise<number> {
  const error = await client.closed;
  printer.finish(null);
  if (error !== null) throw error;
  return EXIT.unavailable;
}

class Printer {
  count = 0;
  readonly #flags: Flags;

  constructor(flags: Flags) {
    if (flags.json === true && flags.timestamp === true) {
      throw new UsageError('--json and --timestamp exclude each other: the time is in the event');
    }
    this.#flags = flags;
  }

  print(event: QmpEvent): void {
    const { json, pretty } = this.#flags;
    this.count++;
    const shown = json === true ? event.bytes : dataOf(event.bytes);
    const text = pretty === true ? layOut(shown.toString()) : shown.toString();
    process.stdout.write(json === true ? `${text}\n` : `${this.#heading(event)}${text === '' ? '' : `: ${text}`}\n`);
  }

  /** Tells how it ended. @returns the exit code */
  finish(why: string | null): number {
    if (this.#flags.json !== true) {
      if (why !== null) process.stdout.write(`event loop ${why}\n`);
      process.stdout.write(`events received: ${this.count}\n`);
    }
    return this.count > 0 ? EXIT.ok : EXIT.failed;
  }

  #heading({ name, timestamp: { seconds, microseconds } }: QmpEvent): string {
    if (seconds < 0) return `event ${name}`;
    if (this.#flags.timestamp !== true) return `event ${name} at ${seconds}.${String(microseconds).padStart(6, '0')}`;
    const date = new Date(seconds * 1000 + Math.floor(microseconds / 1000));
    return `${date.toISOString().replace('T', ' ').replace('Z', '+0000')}: event ${name}`;
  }
}

/** @returns what `data` holds, as it was written; nothing where there is none. */
function dataOf(message: Buffer): Buffer {
  const member = findMembers(message)?.find(({ name }) => name === 'data');
  return member === undefined ? Buffer.alloc(0) : message.subarray(member.valueStart, member.end);
}
