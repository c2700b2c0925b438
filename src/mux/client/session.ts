/**
 * One client: its connection, and when it is read. command-intake.ts reads its messages; command-receiver.ts decides about them,
 * negotiation included. client-commands.ts has its commands and their order, client-output.ts its output.
 *
 * Invariants:
 * - Before negotiation is complete nothing goes upstream and no event is delivered.
 * - Input received before the client left is executed; its answers are recorded and dropped.
 *
 * `#life` goes open → ended (the client shut down its sending side) → done, or from open or ended to left (the connection
 * is gone) → done.
 *
 * `#reading` goes on → full (enough of the client's commands wait, or of its answers) → on, or on → resting (the client has had its part of
 * the turn) → on. Input that comes meanwhile is kept.
 */

import type { Parser } from '../../qmp/json/parser.js';
import type { Dialect } from '../../qmp/json/prompt-stream.js';
import type { CommandSink } from '../commands/command-sink.js';
import type { DescriptorBroker } from '../descriptors/broker.js';
import { ClientDescriptors } from '../descriptors/client-descriptors.js';
import type { EventReceiver } from '../events/fan-out.js';
import type { EventFilter } from '../events/filter.js';
import type { Bookkeeping } from '../ports/bookkeeping.js';
import type { ClientPort } from '../ports/client-port.js';
import type { ConnectedQemu } from '../ports/connected-qemu.js';
import type { Counters } from '../ports/counters.js';
import type { ClientId, Descriptor, Link, Peer } from '../ports/link.js';
import { ClientCommands, type CommandsSession } from './client-commands.js';
import type { ClientOptions } from './client-options.js';
import { ClientOutput, type WaitingEvents } from './client-output.js';
import { ClientQuota } from './client-quota.js';
import type { ClientRegistry } from './client-registry.js';
import { CommandIntake } from './command-intake.js';
import { CommandReceiver } from './command-receiver.js';
import type { ExtensionCommands } from './extension-commands.js';
import { LeftoverFiles } from './leftover-files.js';
import { BYTES_PER_UNIT, type TurnBudget, Weight } from './turn-budget.js';

const CLIENT_CLOSED = 'client closed';

/** A session's needs from the rest of its multiplexer; each of its parts takes some of them. */
export interface SessionPorts {
  readonly books: Bookkeeping;
  readonly registry: ClientRegistry<Session>;
  readonly sink: CommandSink;
  readonly qemu: ConnectedQemu;
  readonly extensions: ExtensionCommands;
  readonly broker: DescriptorBroker;
  readonly budget: TurnBudget;
  readonly events: WaitingEvents;
  readonly parser: Parser;
}

type Life = 'open' | 'ended' | 'left' | 'done';
type Reading = 'on' | 'full' | 'resting';

export class Session implements ClientPort, CommandsSession, EventReceiver {
  readonly id: ClientId;
  readonly listener: string;
  readonly peer: Peer;
  /** null for none: everything is allowed. */
  readonly policyName: string | null;
  readonly eventFilter: EventFilter | null;
  readonly connectedAt: number;
  readonly commands: ClientCommands;

  readonly #books: Bookkeeping;
  readonly #registry: ClientRegistry<Session>;
  readonly #broker: DescriptorBroker;
  readonly #budget: TurnBudget;
  readonly #link: Link;
  readonly #output: ClientOutput;
  readonly #intake: CommandIntake;
  readonly #receiver: CommandReceiver;
  readonly #usage: ClientQuota;
  readonly #descriptors = new ClientDescriptors();
  readonly #leftovers: LeftoverFiles;
  #life: Life = 'open';
  #endReason = CLIENT_CLOSED;
  #reading: Reading = 'on';
  /** Whether it was reported that the client is not read at times. */
  #isPauseTold = false;
  /** Whether the client's waiting commands were dropped. */
  #isEmptied = false;

  constructor(ports: SessionPorts, link: Link, id: ClientId, options: ClientOptions) {
    const { books, registry, broker, budget, qemu } = ports;
    this.#books = books;
    this.#registry = registry;
    this.#broker = broker;
    this.#budget = budget;
    this.#link = link;
    this.eventFilter = options.events ?? null;
    this.id = id;
    this.listener = options.listener;
    this.peer = options.peer;
    this.policyName = options.policy?.name ?? null;
    this.#usage = new ClientQuota(books.limits);
    this.#output = new ClientOutput(link, this.#usage, books, ports.events);
    this.commands = new ClientCommands(this, ports, this.#output, this.#usage, (options.commandTime ?? 0) * 1000);
    this.#intake = new CommandIntake(ports, this.commands, qemu.dialect);
    this.#receiver = new CommandReceiver(ports, this.#intake, this.commands, this.#descriptors, options, () => {
      registry.negotiated(this);
    });
    this.#leftovers = new LeftoverFiles(ports, this.commands, this.#descriptors);
    this.connectedAt = books.now();
  }

  get isOobEnabled(): boolean {
    return this.#receiver.isOobEnabled;
  }

  get isNegotiated(): boolean {
    return this.#receiver.isNegotiated;
  }

  get isConnected(): boolean {
    return this.#life === 'open' || this.#life === 'ended';
  }

  /** Bytes held for the client. */
  get heldBytes(): number {
    return this.#usage.held;
  }

  /** Open files that the client has sent and QEMU does not have. */
  get descriptorCount(): number {
    return this.#descriptors.count;
  }

  /** QEMU now judges its input in this way; for a client that outlives the QEMU that greeted it. */
  set dialect(dialect: Dialect) {
    this.#intake.dialect = dialect;
  }

  touch(): void {
    this.#registry.touch(this);
  }

  rest(): void {
    this.#registry.rest(this);
  }

  /** Sends QEMU's greeting. */
  greet(greeting: Uint8Array): void {
    this.#output.send([greeting]);
    this.touch();
  }

  receive(chunk: Uint8Array): void {
    if (this.#life !== 'open') return;
    this.#books.traffic.fromClients += chunk.length;
    this.#intake.push(chunk);
    if (this.#reading === 'on') this.#pump();
    if (this.#descriptors.hasSeveral) this.#descriptors.readUpTo(this.#intake.readBytes);
    this.#account();
  }

  receiveDescriptors(at: number, descriptors: readonly Descriptor[], fault: string | null): void {
    const held = this.#descriptors;
    this.#books.observer?.descriptors?.(this, descriptors, fault);
    held.arrive(at, descriptors, fault);
    if (this.#life === 'open') held.readUpTo(this.#intake.readBytes);
    else held.close();
  }

  receiveEnd(): void {
    if (this.#life !== 'open') return;
    this.#life = 'ended';
    this.touch();
  }

  refuse(answer: Uint8Array, what: string): void {
    if (!this.isConnected) return;
    if (answer.length > 0) this.#output.send([answer]);
    this.terminate(what);
    this.#books.counters.foreign++;
    this.#books.observer?.limited?.(this, this.listener, 'foreign', what);
  }

  closed(reason: string): void {
    if (!this.isConnected) return;
    this.#life = 'left';
    const wasHeldUp = this.commands.isHeldUp;
    this.#output.close();
    this.#registry.disconnected(this, reason);
    if (wasHeldUp) this.commands.resume();
    this.touch();
  }

  drained(): void {
    if (this.isConnected) this.touch();
  }

  /** Disconnects the client at once. Its earlier commands are executed all the same. */
  cut(limit: keyof Counters, what: string): void {
    if (!this.isConnected) return;
    this.closed(what);
    this.#link.destroy();
    this.#books.counters[limit]++;
    this.#books.observer?.limited?.(this, this.listener, limit, what);
  }

  /** Releases the commands of a departed client that have not gone upstream. */
  dropWaiting(reason: string): void {
    if (this.#life !== 'left' || this.#isEmptied) return;
    this.#isEmptied = true;
    this.commands.dropWaiting(reason);
    this.#intake.drop();
    this.#descriptors.close();
    this.#reading = 'on';
  }

  /** Time has passed. */
  tick(now: number): void {
    const { limits, seenTime } = this.#books;
    const age = seenTime.between(this.connectedAt, now);
    if (!this.isConnected) return;
    if (this.#receiver.isExpected && limits.negotiationTime > 0 && age >= limits.negotiationTime * 1000) {
      const what = `no capabilities negotiation within ${limits.negotiationTime / 1000} s`;
      this.terminate(what);
      this.#books.counters.unnegotiated++;
      this.#books.observer?.limited?.(this, this.listener, 'unnegotiated', what);
      return;
    }
    if (this.#output.isUnread) this.touch();
    this.commands.abandonOverdue(now);
  }

  /** Reads no more from the client; when all is answered, it gets EOF. @param reason then reported to the observer */
  finishUp(reason: string): void {
    if (this.#life !== 'open') return;
    this.#life = 'ended';
    this.#endReason = reason;
    this.#link.pause();
    this.touch();
  }

  deliverEvent(chunks: readonly Uint8Array[]): void {
    this.#output.send(chunks);
    this.touch();
  }

  /** The end of a turn: sends, resumes reading that had paused, ends whatever is over. */
  flush(): void {
    if (this.#life === 'done') return;
    if (this.isConnected) this.#sendOut();
    if (
      this.#reading === 'full' &&
      this.#usage.hasRoom(this.commands.length) &&
      !this.#output.isHigh &&
      this.#descriptors.hasRoom
    ) {
      this.#goOn();
      if (this.#output.length > 0) this.touch();
    }
    this.#account();
    const isIdle = this.#reading === 'on' && this.commands.isEmpty;
    if (isIdle && (this.#life === 'ended' || this.#life === 'left') && this.#output.length === 0) {
      if (this.#life === 'ended') {
        this.#life = 'left';
        this.#link.end();
        this.#output.close();
        this.#registry.disconnected(this, this.#endReason);
      }
      if (this.#endReason !== CLIENT_CLOSED || !this.#leftovers.sweep()) this.#finish();
    }
  }

  /** Resumes reading a client that rests, and answers its requests to us. */
  readOn(): void {
    if (this.#life === 'done') return;
    this.commands.resume();
    if (this.#reading !== 'resting') return;
    this.#goOn();
    if (this.#descriptors.hasSeveral) this.#descriptors.readUpTo(this.#intake.readBytes);
    this.#account();
    this.touch();
  }

  #goOn(): void {
    this.#reading = 'on';
    this.#pump();
    if (this.#isReading() && this.#life === 'open') this.#link.resume();
  }

  /** In words that the compiler does not take for known. */
  #isReading(): boolean {
    return this.#reading === 'on';
  }

  /** Ends the session from our side: sends the present output, then EOF. Its commands are dropped. */
  terminate(reason: string): void {
    if (this.#life === 'done') return;
    this.commands.drop(reason);
    if (this.isConnected) {
      this.#flushOutput();
      this.#link.end();
      this.#registry.disconnected(this, reason);
    }
    this.#finish();
  }

  #flushOutput(): void {
    this.#books.traffic.toClients += this.#output.flush();
  }

  #sendOut(): void {
    const output = this.#output;
    if (!output.isBusy) return;
    const wasHeldUp = this.commands.isHeldUp;
    this.#flushOutput();
    const fault = output.judge(this.#books.now());
    if (fault !== null) this.cut(fault.limit, fault.what);
    if (wasHeldUp && !this.commands.isHeldUp) this.commands.resume();
  }

  /** Sums up the memory held, and reports the difference. */
  #account(): void {
    const usage = this.#usage;
    const held = this.#intake.heldBytes + usage.queuedBytes + usage.unread + this.#output.length;
    if (held === usage.held) return;
    const change = held - usage.held;
    usage.held = held;
    this.#registry.account(change);
  }

  #finish(): void {
    this.#life = 'done';
    this.#output.close();
    this.#descriptors.close();
    this.#registry.account(-this.#usage.held);
    this.#usage.held = 0;
    this.#broker.forget(this);
    this.#registry.remove(this);
  }

  /** Reads commands until the bytes are used up, the queue is full, or the client has had its part of the turn. */
  #pump(): void {
    const budget = this.#budget;
    const granted = budget.grant();
    let left = granted;
    const intake = this.#intake;
    while (left > 0) {
      if (this.#isFull()) {
        budget.spend(granted - left);
        this.#pause('full');
        this.#countPause();
        return;
      }
      const found = intake.next(this.isOobEnabled);
      switch (found.kind) {
        case 'nothing':
          budget.spend(granted - left);
          return;
        case 'later':
          left = 0;
          continue;
        case 'command':
        case 'malformed':
        case 'misshapen':
          left -= this.#receiver.receive(found);
          break;
      }
      left -= Weight.judged + Math.floor(intake.length / BYTES_PER_UNIT);
    }
    budget.spend(granted - left);
    this.#pause('resting');
    this.rest();
  }

  #pause(reading: Reading): void {
    this.#reading = reading;
    this.#intake.rest();
    if (this.#life === 'open') this.#link.pause();
  }

  /** Whether no more is to be read from the client for now. */
  #isFull(): boolean {
    return this.#usage.isFull(this.commands.length) || this.#output.isHigh || this.#descriptors.isFull;
  }

  #countPause(): void {
    this.#books.counters.paused++;
    if (this.#isPauseTold || !this.isConnected) return;
    this.#isPauseTold = true;
    const what = this.#output.isHigh
      ? `has ${this.#output.unread} bytes of answers left to read`
      : this.#descriptors.isFull
        ? 'has sent as many file descriptors as may wait for their commands'
        : `has ${this.commands.length} commands of ${this.#usage.queuedBytes} bytes without an answer`;
    this.#books.observer?.limited?.(this, this.listener, 'paused', what);
  }
}
