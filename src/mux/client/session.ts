/**
 * One client: its connection, its negotiation, and when it is read. What it writes is read by command-intake.ts and judged by
 * command-gate.ts; its commands and their order are in client-commands.ts, what it is sent in client-output.ts.
 *
 * What must hold:
 * - Before negotiation is complete nothing goes upstream and no event is delivered.
 * - What was received before the client left is executed; its answers are recorded and dropped.
 *
 * `#life` goes open → ended (the client shut down its sending side) → done, or from open or ended to left (the connection
 * is gone) → done.
 *
 * `#reading` goes on → full (enough of the client's commands wait, or of its answers) → on, or on → resting (the client has had its part of
 * the turn) → on. What comes meanwhile is kept.
 */

import type { Dialect } from '../../qmp/json/prompt-stream.js';
import { OVERSIZED } from '../../qmp/json/stream-limits.js';
import { emptyReturn, errorReply, genericError, type QmpFault } from '../../qmp/message.js';
import { ClientCommands, QUIT } from '../commands/client-commands.js';
import { ownCommand } from '../commands/own-command.js';
import { ReplyStats } from '../commands/reply-stats.js';
import { ClientDescriptors } from '../descriptors/client-descriptors.js';
import { CommandDescriptors } from '../descriptors/command-descriptors.js';
import type { EventFilter } from '../events/filter.js';
import type { ClientPort } from '../ports/client-port.js';
import type { Counters } from '../ports/counters.js';
import type { ClientId, Descriptor, Link, Peer } from '../ports/link.js';
import type { ClientView } from '../ports/observer.js';
import type { SessionOwner } from '../ports/session-owner.js';
import type { ClientOptions } from './client-options.js';
import { ClientOutput } from './client-output.js';
import { ClientQuota } from './client-quota.js';
import { CommandGate } from './command-gate.js';
import { CommandIntake, Found } from './command-intake.js';
import { judgeCapabilities } from './negotiation.js';
import { BYTES_PER_UNIT, Weight } from './turn-budget.js';

/** None of our own commands has arguments that need as much, in bytes. */
const LONGEST_EXTENSION = 64 * 1024;

const CLIENT_CLOSED = 'client closed';

type Phase = { readonly name: 'negotiating' } | { readonly name: 'running'; readonly oob: boolean };
type Life = 'open' | 'ended' | 'left' | 'done';
type Reading = 'on' | 'full' | 'resting';

export class Session implements ClientPort, ClientView {
  readonly id: ClientId;
  readonly listener: string;
  readonly peer: Peer;
  /** null for none: everything is allowed. */
  readonly policyName: string | null;
  /** null for none: all events. */
  readonly eventFilter: EventFilter | null;
  /** The scheduler's mark. */
  isInRing = false;
  isInOobRing = false;
  /** The multiplexer's mark: the session is on the list of those to be flushed. */
  isTouched = false;

  /** What was answered. */
  readonly tally = new ReplyStats();
  readonly connectedAt: number;
  readonly commands: ClientCommands;

  readonly #owner: SessionOwner;
  readonly #link: Link;
  readonly #output: ClientOutput;
  readonly #intake: CommandIntake;
  readonly #gate: CommandGate;
  readonly #usage: ClientQuota;
  readonly #descriptors = new ClientDescriptors();
  readonly #maySkip: boolean;
  /** Whether a command was served without negotiation. */
  #hasSkipped = false;
  #phase: Phase = { name: 'negotiating' };
  #life: Life = 'open';
  #endReason = CLIENT_CLOSED;
  /** Whether it was asked if the VM runs, so that unused files may go; `running` once that has been answered, until they go. */
  #sweep: 'none' | 'asked' | 'running' = 'none';
  #reading: Reading = 'on';
  /** Whether it was told that the client is not read at times. */
  #isPauseTold = false;
  /** Whether what the client had waiting was dropped. */
  #isEmptied = false;

  constructor(owner: SessionOwner, link: Link, id: ClientId, options: ClientOptions) {
    this.#owner = owner;
    this.#link = link;
    this.eventFilter = options.events ?? null;
    this.id = id;
    this.listener = options.listener;
    this.peer = options.peer;
    this.policyName = options.policy?.name ?? null;
    this.#intake = new CommandIntake(owner, this);
    this.#gate = new CommandGate(owner, this, this.#intake, this.#descriptors, options);
    this.#usage = new ClientQuota(owner.limits);
    this.#output = new ClientOutput(link, this.#usage, owner.limits, owner.seenTime);
    this.commands = new ClientCommands(owner, this, this.#output, this.#usage, (options.commandTime ?? 0) * 1000);
    this.connectedAt = owner.now();
    this.#maySkip = options.maySkipNegotiation === true;
  }

  /** Whether the client may send out-of-band commands. */
  get isOobEnabled(): boolean {
    return this.#phase.name === 'running' && this.#phase.oob;
  }

  get isNegotiated(): boolean {
    return this.#phase.name === 'running';
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

  /** QEMU has changed to this way to judge what it reads, for a client that outlives the one it was greeted by. */
  set dialect(dialect: Dialect) {
    this.#intake.dialect = dialect;
  }

  /** Sends QEMU's greeting. */
  greet(greeting: Uint8Array): void {
    this.#output.sendShared(greeting);
    this.#owner.touch(this);
  }

  receive(chunk: Uint8Array): void {
    if (this.#life !== 'open') return;
    this.#owner.traffic.fromClients += chunk.length;
    this.#intake.push(chunk);
    if (this.#reading === 'on') this.#pump();
    if (this.#descriptors.hasSeveral) this.#descriptors.readUpTo(this.#intake.readBytes);
    this.#account();
  }

  receiveDescriptors(at: number, descriptors: readonly Descriptor[], fault: string | null): void {
    const held = this.#descriptors;
    this.#owner.observer?.descriptors?.(this, descriptors, fault);
    held.arrive(at, descriptors, fault);
    if (this.#life === 'open') held.readUpTo(this.#intake.readBytes);
    else held.close();
  }

  receiveEnd(): void {
    if (this.#life !== 'open') return;
    this.#life = 'ended';
    this.#owner.touch(this);
  }

  refuse(answer: Uint8Array, what: string): void {
    if (!this.isConnected) return;
    if (answer.length > 0) this.#output.send([answer]);
    this.terminate(what);
    this.#owner.counters.foreign++;
    this.#owner.observer?.limited?.(this, this.listener, 'foreign', what);
  }

  closed(reason: string): void {
    if (!this.isConnected) return;
    this.#life = 'left';
    const wasHeldUp = this.commands.isHeldUp;
    this.#output.close();
    this.#owner.unsubscribe(this);
    this.#owner.disconnected(this, reason);
    if (wasHeldUp) this.commands.resume();
    this.#owner.touch(this);
  }

  drained(): void {
    if (this.isConnected) this.#owner.touch(this);
  }

  /** Disconnects the client at once. What it sent before is executed all the same. */
  cut(limit: keyof Counters, what: string): void {
    if (!this.isConnected) return;
    this.closed(what);
    this.#link.destroy();
    this.#owner.counters[limit]++;
    this.#owner.observer?.limited?.(this, this.listener, limit, what);
  }

  /** Lets go of what has not gone upstream, of a client that is gone. */
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
    const { limits } = this.#owner;
    const age = this.#owner.seenTime.between(this.connectedAt, now);
    if (!this.isConnected) return;
    const isLate = this.#phase.name === 'negotiating' && !this.#hasSkipped;
    if (isLate && limits.negotiationTime > 0 && age >= limits.negotiationTime * 1000) {
      const what = `no capabilities negotiation within ${limits.negotiationTime / 1000} s`;
      this.terminate(what);
      this.#owner.counters.unnegotiated++;
      this.#owner.observer?.limited?.(this, this.listener, 'unnegotiated', what);
      return;
    }
    if (this.#output.isUnread) this.#owner.touch(this);
    this.commands.abandonOverdue(now);
  }

  /** Reads no more from the client; when all is answered, it gets EOF. @param reason what the observer is told then */
  finishUp(reason: string): void {
    if (this.#life !== 'open') return;
    this.#life = 'ended';
    this.#endReason = reason;
    this.#link.pause();
    this.#owner.touch(this);
  }

  /** One event, in chunks that other sessions get too. */
  deliverEvent(chunks: readonly Uint8Array[]): void {
    for (const chunk of chunks) this.#output.sendShared(chunk);
    this.#owner.touch(this);
  }

  /** The end of a turn: sends, reads on where reading had paused, ends what is over. */
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
      if (this.#output.length > 0) this.#owner.touch(this);
    }
    this.#account();
    const isIdle = this.#reading === 'on' && this.commands.isEmpty;
    if (isIdle && (this.#life === 'ended' || this.#life === 'left') && this.#output.length === 0) {
      if (this.#life === 'ended') {
        this.#life = 'left';
        this.#link.end();
        this.#output.close();
        this.#owner.unsubscribe(this);
        this.#owner.disconnected(this, this.#endReason);
      }
      if (!this.#closeUnusedFiles()) this.#finish();
    }
  }

  /** The client that rests is read on, and what it has asked of us is answered. */
  readOn(): void {
    if (this.#life === 'done') return;
    this.commands.resume();
    if (this.#reading !== 'resting') return;
    this.#goOn();
    if (this.#descriptors.hasSeveral) this.#descriptors.readUpTo(this.#intake.readBytes);
    this.#account();
    this.#owner.touch(this);
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

  /** Ends the session from our side: sends what there is, then EOF. Its commands are dropped. */
  terminate(reason: string): void {
    if (this.#life === 'done') return;
    this.commands.drop(reason);
    if (this.isConnected) {
      this.#flushOutput();
      this.#link.end();
      this.#owner.disconnected(this, reason);
    }
    this.#finish();
  }

  /**
   * Closes files in QEMU's fd sets that clients who have left have added and nobody has used, where QEMU would do so: when the VM runs.
   * @returns whether there is something to wait for
   */
  #closeUnusedFiles(): boolean {
    const { broker, outage, closesUnusedSets } = this.#owner;
    if (this.#sweep === 'none') {
      const isDue =
        broker.sets.hasLeftovers && closesUnusedSets && outage === null && this.#endReason === CLIENT_CLOSED;
      if (isDue) this.#askForState();
      return isDue;
    }
    if (this.#sweep !== 'running') return false;
    this.#sweep = 'asked';
    const files = broker.sets.takeLeftovers();
    for (const { set, fd } of files) {
      this.commands.passOn(ownCommand(this.#owner, this, 'remove-fd', `{"fdset-id":${set},"fd":${fd}}`));
    }
    return files.length > 0;
  }

  #askForState(): void {
    this.#sweep = 'asked';
    const heard = (reply: string) => {
      if (reply.includes('"running": true')) this.#sweep = 'running';
    };
    const use = this.#owner.broker.listener(this, this.#descriptors, heard);
    this.commands.passOn(ownCommand(this.#owner, this, 'query-status', '', use));
  }

  #flushOutput(): void {
    this.#owner.traffic.toClients += this.#output.length;
    this.#output.flush();
  }

  #sendOut(): void {
    const output = this.#output;
    if (!output.isBusy) return;
    const wasHeldUp = this.commands.isHeldUp;
    this.#flushOutput();
    const fault = output.judge(this.#owner.now());
    if (fault !== null) this.cut(fault.limit, fault.what);
    if (wasHeldUp && !this.commands.isHeldUp) this.commands.resume();
  }

  /** Sums up what is held, and tells the difference. */
  #account(): void {
    const usage = this.#usage;
    const held = this.#intake.heldBytes + usage.queuedBytes + usage.unread + this.#output.length;
    if (held === usage.held) return;
    const change = held - usage.held;
    usage.held = held;
    this.#owner.account(change);
  }

  #finish(): void {
    this.#life = 'done';
    this.#output.close();
    this.#descriptors.close();
    this.#owner.account(-this.#usage.held);
    this.#usage.held = 0;
    this.#owner.unsubscribe(this);
    this.#owner.remove(this);
  }

  /** Reads commands until the bytes are used up, the queue is full, or the client has had its part of the turn. */
  #pump(): void {
    const { budget } = this.#owner;
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
      switch (intake.next(this.isOobEnabled, this.#gate.passesKnown)) {
        case Found.Nothing:
          budget.spend(granted - left);
          return;
        case Found.Known:
          do {
            this.commands.passOn(intake.takeKnown());
            left -= Weight.known;
          } while (left > 0 && !this.#isFull() && intake.isSameNext());
          continue;
        case Found.Command:
          left -= this.#receiveCommand();
          break;
        case Found.Malformed:
          this.#answerMalformed(null, genericError(intake.fault));
          if (intake.fault === OVERSIZED) this.#countOversized();
          break;
        case Found.Misshapen:
          this.#answerMisshapen();
          break;
        case Found.Later:
          left = 0;
          continue;
      }
      left -= Weight.judged + Math.floor(intake.length / BYTES_PER_UNIT);
    }
    budget.spend(granted - left);
    this.#pause('resting');
    this.#owner.rest(this);
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
    this.#owner.counters.paused++;
    if (this.#isPauseTold || !this.isConnected) return;
    this.#isPauseTold = true;
    const what = this.#output.isHigh
      ? `has ${this.#output.unread} bytes of answers to read first`
      : `has ${this.commands.length} commands of ${this.#usage.queuedBytes} bytes without an answer`;
    this.#owner.observer?.limited?.(this, this.listener, 'paused', what);
  }

  #countOversized(): void {
    this.#owner.counters.oversized++;
    const what = `a command of more than ${this.#owner.limits.commandBytes} bytes`;
    this.#owner.observer?.limited?.(this, this.listener, 'oversized', what);
  }

  #answerMisshapen(): void {
    const { reader } = this.#owner;
    const reply = errorReply(this.#intake.id, genericError(reader.shapeError ?? ''));
    this.#tellMalformed(reply);
    // QEMU judges what is out-of-band at once. Without the capability it reads one command at a time anyway.
    if (reader.isOutOfBand && this.isOobEnabled) this.commands.answerOob(reply);
    else this.commands.answerInTurn(reply);
  }

  /** @returns what that weighs besides the judgement */
  #receiveCommand(): number {
    if (this.#phase.name === 'negotiating') {
      if (!this.#maySkip || this.#owner.reader.name === 'qmp_capabilities') {
        this.#negotiate();
        return 0;
      }
      this.#hasSkipped = true;
    }
    const fate = this.#gate.judge();
    switch (fate.kind) {
      case 'passed on':
        this.#passOn(fate.use);
        break;
      case 'carried out here':
        return this.#carryOutHere();
      case 'refused':
        this.commands.refuse(this.#intake.take(), fate.rule, fate.desc);
        break;
    }
    return 0;
  }

  #negotiate(): void {
    const { parser, reader, words, offersOob } = this.#owner;
    if (reader.name !== 'qmp_capabilities') {
      this.#answerMalformed(this.#intake.id, { class: 'CommandNotFound', desc: words.expecting });
      return;
    }
    const judged = judgeCapabilities(parser, this.#intake.tokens, reader.argumentsToken, offersOob, words);
    if ('desc' in judged) return this.#answerMalformed(this.#intake.id, judged);
    this.#phase = { name: 'running', oob: judged.oob };
    this.commands.answerInTurn(emptyReturn(this.#intake.id));
    this.#owner.observer?.negotiated(this, judged.oob ? ['oob'] : [], this.#intake.raw);
    this.#owner.subscribe(this);
  }

  #passOn(use: CommandDescriptors | null): void {
    const command = this.#intake.takeForQemu();
    command.use = use;
    if (use === null) this.#intake.learn();
    if (command.name === QUIT) this.commands.expectQuit();
    this.commands.passOn(command);
  }

  /** @returns what that weighs */
  #carryOutHere(): number {
    const { reader, extensions } = this.#owner;
    const command = this.#intake.take();
    if (this.#intake.length > LONGEST_EXTENSION) {
      this.commands.refuse(command, 'too long', `Command '${command.name}' is longer than ${LONGEST_EXTENSION} bytes`);
      return 0;
    }
    const call = extensions.read(reader.name, this.#intake.writtenArguments);
    const { left } = this.#owner.budget;
    this.commands.carryOutHere(command, call, this.#intake.length);
    return left - this.#owner.budget.left;
  }

  #answerMalformed(id: Uint8Array | null, fault: QmpFault): void {
    const reply = errorReply(id, fault);
    this.#tellMalformed(reply);
    this.commands.answerInTurn(reply);
  }

  #tellMalformed(reply: Uint8Array): void {
    this.#owner.observer?.malformed(this, this.#intake.raw, reply);
  }
}
