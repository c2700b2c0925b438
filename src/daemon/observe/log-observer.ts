/** The observer that writes the daemon's own log: the news about clients and commands that an operator wants, not all of it. */
import { performance } from 'node:perf_hooks';
import type { Descriptor } from '../../mux/ports/link.js';
import type { ClientView, CommandView, Observer, ReplySource, UpstreamHealth } from '../../mux/ports/observer.js';
import type { Log } from '../../shared/log.js';

/** A message that is shown in the log is cut here. */
const SHOWN_BYTES = 200;
/** The same thing is logged up to this many times at once, and then once in this time, in milliseconds, with a count. */
const MOST_ALIKE_AT_ONCE = 10;
const COUNT_INTERVAL_MS = 10_000;

export class LogObserver implements Observer {
  readonly wantsRaw = false;
  readonly #log: Log;
  readonly #now: () => number;
  /** By subject: how often it was logged, and since when. */
  readonly #told = new Map<string, { count: number; since: number }>();
  /** Commands that were reported to take long. */
  readonly #stuck = new WeakSet<CommandView>();
  /** Whether any ever was; to look a command up costs more than all else that is done for it here. */
  #hasStuck = false;

  /** @param now milliseconds, to limit lines that may come too often */
  constructor(log: Log, now: () => number = () => performance.now()) {
    this.#log = log;
    this.#now = now;
  }

  connected(client: ClientView): void {
    this.#log.debug({ client: client.id, listener: client.listener, peer: client.peer }, 'a client connected');
  }

  negotiated(client: ClientView, capabilities: readonly string[]): void {
    this.#log.debug({ client: client.id, capabilities }, 'a client negotiated');
  }

  disconnected(client: ClientView, reason: string): void {
    this.#log.debug({ client: client.id, listener: client.listener, reason }, 'a client is gone');
  }

  descriptors(client: ClientView, descriptors: readonly Descriptor[], fault: string | null): void {
    const fields = { client: client.id, listener: client.listener, count: descriptors.length };
    if (fault === null) this.#log.debug(fields, 'a client sent file descriptors');
    else if (!this.#isTooOften('descriptors')) {
      this.#log.warn(
        { ...fields, reason: fault, ...this.#lastCount },
        'could not keep a file descriptor that a client sent',
      );
    }
  }

  command(): void {
    // One line a command is the audit log's business.
  }

  answered(command: CommandView, _reply: readonly Uint8Array[], isError: boolean, source: ReplySource): void {
    if (this.#hasStuck && this.#stuck.delete(command)) {
      this.#log.info({ client: command.client.id, command: command.name, isError }, 'the slow command is done');
    }
    if (source === 'late') {
      this.#log.info(
        { client: command.client.id, command: command.name, isError },
        'dropped an answer that came too late',
      );
      return;
    }
    if (command.client.isConnected || this.#isTooOften('dropped')) return;
    const fields = { client: command.client.id, command: command.name, isError, ...this.#lastCount };
    this.#log.info(fields, 'dropped the answer to a client that has left');
  }

  stuck(command: CommandView, age: number): void {
    this.#hasStuck = true;
    this.#stuck.add(command);
    const { client, name } = command;
    const seconds = Math.round(age / 1_000_000);
    const fields = { client: client.id, listener: client.listener, peer: client.peer, command: name, seconds };
    this.#log.warn(
      fields,
      'a command has no answer and blocks all others; check whether QEMU is stopped or waits for its storage',
    );
  }

  abandoned(command: CommandView): void {
    if (this.#isTooOften('abandoned')) return;
    const { client, name } = command;
    this.#log.warn(
      { client: client.id, command: name, ...this.#lastCount },
      'a command timed out; its client got an error',
    );
  }

  limited(client: ClientView | null, listener: string, limit: string, what: string): void {
    if (this.#isTooOften(`${limit} ${listener}`)) return;
    const fields = { client: client?.id, listener, limit, what, ...this.#lastCount };
    if (limit === 'paused') this.#log.info(fields, 'client paused: too many unanswered commands');
    else if (limit === 'killed') this.#log.info(fields, 'disconnected a client because another asked for it');
    else if (limit === 'foreign') this.#log.warn(fields, 'disconnected a client that speaks another protocol');
    else this.#log.warn(fields, limitText(client, limit));
  }

  unanswered(command: CommandView, reason: string): void {
    this.#stuck.delete(command);
    if (this.#isTooOften('unanswered')) return;
    const { client, name, oob } = command;
    this.#log.warn(
      { client: client.id, command: name, oob, reason, ...this.#lastCount },
      'a command was sent and will not be answered',
    );
  }

  malformed(client: ClientView, _raw: Uint8Array, reply: Uint8Array): void {
    // A client that sends garbage makes thousands of these a second: lines that are not written are not formatted.
    if (this.#log.isLevelEnabled?.('debug') === false) return;
    this.#log.debug({ client: client.id, reply: shown([reply]) }, 'a client sent input that QEMU would refuse');
  }

  denied(command: CommandView, rule: string): void {
    const { listener, id } = command.client;
    if (this.#isTooOften(`denied ${listener}`)) return;
    this.#log.info({ client: id, listener, command: command.name, rule, ...this.#lastCount }, 'refused a command');
  }

  event(): void {
    // Nor is one line for each event.
  }

  upstream(): void {
    // The monitor's service logs these changes, with its knowledge of the way to QEMU.
  }

  stray(message: readonly Uint8Array[], why: string): void {
    if (this.#isTooOften(why)) return;
    const fields = { why, message: shown(message), ...this.#lastCount };
    this.#log.warn(fields, 'QEMU sent a message that no client waits for; check what else uses its monitor');
  }

  health(health: UpstreamHealth, before: UpstreamHealth, age: number): void {
    if (this.#isTooOften(`health ${health.name}`)) return;
    const fields = { seconds: Math.round(age / 1e6), ...this.#lastCount };
    switch (health.name) {
      case 'answering':
        this.#log.info({ ...fields, before: before.name }, 'QEMU answers again');
        break;
      case 'busy':
        this.#log.warn(fields, 'QEMU is busy: its monitor reads, but its main loop has not answered');
        break;
      case 'silent':
        this.#log.warn(fields, 'QEMU does not respond; check whether it is stopped, hangs, or its monitor was deleted');
        break;
    }
  }

  flush(): null {
    return null;
  }

  /** How often the present subject has come up since it was last logged, if more than once. */
  #lastCount: { readonly times?: number } = {};

  /** Whether the same was logged often enough lately. */
  #isTooOften(what: string): boolean {
    const now = this.#now();
    let told = this.#told.get(what);
    if (told === undefined) {
      told = { count: 0, since: now };
      // The keys are ours and the listeners'; there is no end of them only in theory.
      if (this.#told.size > 1000) this.#told.clear();
      this.#told.set(what, told);
    }
    told.count++;
    this.#lastCount = {};
    if (told.count <= MOST_ALIKE_AT_ONCE) return false;
    if (now - told.since < COUNT_INTERVAL_MS) return true;
    this.#lastCount = { times: told.count - MOST_ALIKE_AT_ONCE };
    told.count = MOST_ALIKE_AT_ONCE;
    told.since = now;
    return false;
  }
}

function limitText(client: ClientView | null, limit: string): string {
  if (client === null) return 'refused a connection';
  return limit === 'oversized' ? 'refused a command that is too large' : 'disconnected a client that reached a limit';
}

function shown(message: readonly Uint8Array[]): string {
  let text = '';
  for (const chunk of message) {
    if (text.length > SHOWN_BYTES) break;
    text += Buffer.from(chunk.subarray(0, SHOWN_BYTES + 1)).toString('latin1');
  }
  return text.length > SHOWN_BYTES ? `${text.slice(0, SHOWN_BYTES)}…` : text.trimEnd();
}
