/** `qmpmux events`: the events of a VM as they come, with the behaviour of `virsh qemu-monitor-event`. */
import { ConnectionError } from '../../client/errors.js';
import type { QmpEvent } from '../../client/messages.js';
import type { CommandOptions } from '../../client/options.js';
import type { QmpClient } from '../../client/qmp-client.js';
import { findMembers } from '../../client/reply-members.js';
import { Schema } from '../../qmp/schema.js';
import { matchesGlob } from '../../shared/glob.js';
import { suggestion } from '../../shared/spelling.js';
import { ADDRESS_NOTE, takeTarget } from '../framework/address-operand.js';
import { Deadline, parseTime } from '../framework/deadline.js';
import { EXIT } from '../framework/exit-code.js';
import { whenReaderLeaves } from '../framework/output.js';
import { subcommand, UsageError } from '../framework/subcommand.js';
import { layOut } from '../screen/json-layout.js';
import { textFor } from '../screen/screen-text.js';
import { OwnCommands } from './inspect/extension-client.js';
import type { MissedItem, Position } from './missed-events.js';

/** Events that may wait while a slow reader of our output holds us up. */
const MOST_WAITING = 1_000_000;

/** Not in QEMU's schema. */
const OWN_EVENT = /^(?:__|QMPMUX|\*)/;
const TIMED_OUT = 'timed out';
/** The events of `serve --keep-clients` for a QEMU that is gone, and for the next one. */
const LOST = '__org.qmpmux_UPSTREAM_LOST';
const RESTORED = '__org.qmpmux_UPSTREAM_RESTORED';

interface Flags {
  readonly timeout: string | undefined;
  readonly loop: boolean | undefined;
  readonly count: string | undefined;
  readonly timestamp: boolean | undefined;
  readonly pretty: boolean | undefined;
  readonly json: boolean | undefined;
  readonly since: string | undefined;
}

export const events = subcommand({
  name: 'events',
  usage: 'events [OPTIONS] [ADDRESS]',
  operands: 'words',
  options: {
    event: {
      type: 'string',
      array: true,
      describe: 'only events of this name; may be repeated; * and ? are wildcards: BLOCK_JOB_*',
    },
    loop: {
      type: 'boolean',
      describe: 'keep printing until Ctrl-C or --timeout, instead of exiting after the first event',
    },
    count: { type: 'string', describe: 'exit after N events' },
    timeout: { type: 'string', describe: 'exit after this time, such as 60s' },
    since: {
      type: 'string',
      describe:
        'print the events after this number (0: all that are kept), mark gaps, and exit unless --loop or --count is given; ' +
        'needs a qmpmux socket with extensions=on',
    },
    timestamp: { type: 'boolean', describe: 'begin each line with the date and time (UTC)' },
    pretty: { type: 'boolean', describe: "pretty-print the event's data" },
    json: {
      type: 'boolean',
      describe: 'print only the events, as QEMU wrote them; with --since, in objects with their numbers',
    },
  },
  examples: [
    ['$0 events /run/vm.mux', 'wait for the next event'],
    ['$0 events /run/vm.mux --event SHUTDOWN --timeout 60', 'wait up to a minute for the guest to shut down'],
    ['$0 events /run/vm.mux --loop --timestamp', 'watch'],
    ["$0 events /run/vm.mux --loop --json --event 'BLOCK_JOB_*' | jq .data.device", 'for scripts'],
    ['$0 events /run/vm.ctl --since 41', 'print the events after number 41'],
  ],
  notes: [
    'With --since, each event follows its number, and the last line gives the value for the next --since: NUMBER@INSTANCE. The instance shows ' +
      'whether qmpmux was restarted, which starts the numbers at 1 again.',
    'With qmpmux serve --keep-clients the connection outlives QEMU. When QEMU goes away, this command still exits with 69, unless --loop is ' +
      'given: then it reports the loss and waits for the next QEMU.',
    'Exit codes: 0 events received (Ctrl-C included), 1 no event received, 64 wrong command line, 69 no server, or it went away.',
    ADDRESS_NOTE,
  ].join('\n'),

  async run(flags, operands) {
    const { target, rest } = takeTarget(operands);
    const [unexpected] = rest;
    if (unexpected !== undefined) throw new UsageError(`${JSON.stringify(unexpected)} is unexpected here`);
    const wanted = wantedCount(flags);
    const printer = new Printer(flags);
    const since = flags.since === undefined ? null : parsePosition(flags.since);
    const time = flags.timeout === undefined ? null : parseTime('timeout', flags.timeout);
    const end = new AbortController();
    process.once('SIGINT', () => end.abort('interrupted'));
    whenReaderLeaves(() => end.abort('interrupted'));
    const deadline = new Deadline(flags.timeout);
    const client = await deadline.connect(target);
    const timer = time === null ? undefined : setTimeout(() => end.abort(TIMED_OUT), time);
    const globs = flags.event ?? ['*'];
    const isWanted = (name: string) => globs.some((glob) => matchesGlob(glob, name));
    // A command that waits for the next QEMU goes on waiting.
    const watch = new LossWatch(target.text, flags.loop === true || isWanted(RESTORED));
    try {
      // A VM that does not answer has events all the same.
      checkNames(client, flags.event ?? [], deadline.waiting).catch((error: unknown) => end.abort(error));
      if (since !== null) {
        const { missedEvents } = await import('./missed-events.js');
        const goesOn = flags.loop === true || flags.count !== undefined;
        for await (const item of missedEvents(new OwnCommands(client, target, deadline), since, goesOn, end.signal)) {
          if (item.kind === 'event' && !isWanted(item.event.name)) {
            watch.see(item.event.name);
            continue;
          }
          // A loss that is over is history.
          if (item.kind === 'seen' && goesOn) watch.judge(printer);
          printer.printNumbered(item);
          if (printer.count === wanted && goesOn) break;
        }
        return printer.finish(null);
      }
      for await (const event of client.events({ limit: MOST_WAITING, signal: end.signal })) {
        if (!isWanted(event.name)) {
          watch.see(event.name);
          watch.judge(printer);
          continue;
        }
        printer.print(event);
        if (printer.count === wanted) return printer.finish(null);
      }
    } catch (error) {
      const { aborted, reason } = end.signal;
      if (!aborted || error !== reason || typeof reason !== 'string') throw error;
      return printer.finish(reason);
    } finally {
      clearTimeout(timer);
      client.destroy();
    }
    return lost(client, printer);
  },
});

/** @throws UsageError for a name, or a pattern, that matches no event of the server; not checked if the server does not list its events */
async function checkNames(client: QmpClient, globs: readonly string[], waiting: CommandOptions): Promise<void> {
  if (globs.every((glob) => OWN_EVENT.test(glob))) return;
  const schema = await client.execute('query-qmp-schema', undefined, waiting).then(
    (answer) => Schema.read(answer),
    () => null,
  );
  if (schema === null) return;
  const names = [...schema.events.keys()];
  for (const glob of globs) {
    if (OWN_EVENT.test(glob) || names.some((name) => matchesGlob(glob, name))) continue;
    throw new UsageError(`--event: there is no event ${glob}${suggestion(glob, names)}`);
  }
}

/** @throws UsageError */
function parsePosition(text: string): Position {
  const match = /^(\d{1,15})(?:@(\w+))?$/.exec(text);
  if (match === null) {
    throw new UsageError(`--since must be an event number or NUMBER@INSTANCE, not ${JSON.stringify(text)}`);
  }
  return { number: Number(match[1]), instance: match[2] ?? null };
}

/** @throws UsageError */
function wantedCount({ loop, count }: Flags): number {
  if (loop === true && count !== undefined) throw new UsageError('--loop and --count cannot be combined');
  if (count === undefined) return loop === true ? Number.POSITIVE_INFINITY : 1;
  if (!/^[1-9]\d{0,14}$/.test(count)) throw new UsageError(`--count must be a number, not ${JSON.stringify(count)}`);
  return Number(count);
}

/** Notices that the QEMU is gone whose events are waited for, though the connection stays. */
class LossWatch {
  readonly #where: string;
  readonly #goesOn: boolean;
  #isLost = false;

  /** @param goesOn whether events of the next QEMU are wanted too */
  constructor(where: string, goesOn: boolean) {
    this.#where = where;
    this.#goesOn = goesOn;
  }

  see(name: string): void {
    if (name === LOST) this.#isLost = true;
    else if (name === RESTORED) this.#isLost = false;
  }

  /** @throws ConnectionError where waiting ends with QEMU */
  judge(printer: Printer): void {
    if (!this.#isLost) return;
    if (!this.#goesOn) {
      printer.finish(null);
      throw new ConnectionError('QMPMUX_CLOSED', `${this.#where}: QEMU is gone; qmpmux waits for the next one`);
    }
    process.stderr.write(`qmpmux: ${textFor(process.stderr, this.#where)}: QEMU is gone; waiting for the next one\n`);
    this.#isLost = false;
  }
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
  /** From where to go on; null where events have no numbers. */
  #position: Position | null = null;

  constructor(flags: Flags) {
    if (flags.json === true && flags.timestamp === true) {
      throw new UsageError('--json and --timestamp cannot be combined: the time is in the event');
    }
    this.#flags = flags;
  }

  print(event: QmpEvent): void {
    this.count++;
    if (this.#flags.json === true) this.#write(event.bytes.toString());
    else this.#printText(event, '');
  }

  /** An event with its number, or that there is none. */
  printNumbered(item: MissedItem): void {
    if (item.kind === 'event') this.count++;
    this.#position = item.position;
    if (this.#flags.json === true) this.#write(item.text);
    else if (item.kind === 'event') this.#printText(item.event, `#${item.position.number} `);
    else if (item.kind !== 'seen') process.stdout.write(`${textFor(process.stdout, item.what)}\n`);
  }

  #printText(event: QmpEvent, number: string): void {
    const text = this.#laidOut(dataOf(event.bytes).toString());
    process.stdout.write(
      `${number}${textFor(process.stdout, this.#heading(event))}${text === '' ? '' : `: ${text}`}\n`,
    );
  }

  #write(text: string): void {
    if (text !== '') process.stdout.write(`${this.#laidOut(text)}\n`);
  }

  #laidOut(text: string): string {
    const shown = textFor(process.stdout, text);
    return this.#flags.pretty === true ? layOut(shown) : shown;
  }

  /** Tells how it ended. @returns the exit code */
  finish(why: string | null): number {
    if (this.#flags.json !== true) {
      if (why !== null) process.stdout.write(`${why === TIMED_OUT ? this.#timeOutText() : why}\n`);
      const from = this.#position;
      const next = from === null ? '' : `; continue with --since ${from.number}@${from.instance ?? ''}`;
      process.stdout.write(`events received: ${this.count}${next}\n`);
    }
    return this.count > 0 ? EXIT.ok : EXIT.failed;
  }

  #timeOutText(): string {
    const { timeout = '' } = this.#flags;
    const time = /\d$/.test(timeout) ? `${timeout} s` : timeout;
    return this.count === 0 ? `no event within ${time}` : `ended after ${time}`;
  }

  #heading({ name, timestamp: { seconds, microseconds } }: QmpEvent): string {
    if (seconds < 0) return `event ${name}`;
    if (this.#flags.timestamp !== true) return `event ${name} at ${seconds}.${String(microseconds).padStart(6, '0')}`;
    const date = new Date(seconds * 1000 + Math.floor(microseconds / 1000));
    return `${date.toISOString().replace('T', ' ').replace('Z', '+0000')}: event ${name}`;
  }
}

/** @returns the value of `data`, as it was written; nothing where there is none. */
function dataOf(message: Buffer): Buffer {
  const member = findMembers(message)?.find(({ name }) => name === 'data');
  return member === undefined ? Buffer.alloc(0) : message.subarray(member.valueStart, member.end);
}
