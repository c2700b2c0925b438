/**
 * One client: its negotiation, its queue, and the order of its answers.
 *
 * What must hold:
 * - In-band commands are answered in the order sent, whoever answers them. So an answer given here (an error of shape, a
 *   refusal) waits behind the client's commands that are still upstream.
 * - QEMU executes an out-of-band command as it reads it, so its answer comes before those to whatever the client sent
 *   behind it. So that waits until the client's earlier out-of-band commands are answered.
 * - Before negotiation is complete nothing goes upstream and no event is delivered.
 * - What was received before the client left is executed; its answers are recorded and dropped.
 *
 * `#life` goes open → ended (the client shut down its sending side) → done, or from open or ended to left (the connection
 * is gone) → done.
 */
import type { Envelope } from '../qmp/envelope.js';
import { emptyReturn, errorReply, genericError, type QmpFault } from '../qmp/message.js';
import { OVERSIZED } from '../qmp/scanner.js';
import { ClientDescriptors } from './client-descriptors.js';
import { ClientOutput } from './client-output.js';
import type { ClientOptions, ClientPort } from './client-port.js';
import { CommandGate } from './command-gate.js';
import { CommandIntake, Found } from './command-intake.js';
import { CommandQueue } from './command-queue.js';
import type { Counters } from './counters.js';
import type { DescriptorUse } from './descriptor-use.js';
import type { EventFilter } from './events.js';
import type { ClientView, ReplySource } from './journal.js';
import type { ClientId, Descriptor, Link, Peer } from './link.js';
import { judgeCapabilities } from './negotiation.js';
import { PendingCommand } from './pending-command.js';
import type { SessionOwner } from './session-owner.js';
import { commitTo, reserve, slabBytes } from './slab.js';
import { Tally } from './tally.js';
import { Usage } from './usage.js';

/** What a command that is carried out here holds besides its bytes, about. */
const EXTENSION_BYTES = 256;
const NO_CHUNKS: readonly Uint8Array[] = [];

type Phase = { readonly name: 'negotiating' } | { readonly name: 'running'; readonly oob: boolean };
type Life = 'open' | 'ended' | 'left' | 'done';

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
  readonly tally = new Tally();
  readonly connectedAt: number;

  readonly #owner: SessionOwner;
  readonly #link: Link;
  readonly #output: ClientOutput;
  readonly #intake: CommandIntake;
  readonly #gate: CommandGate;
  readonly #usage: Usage;
  readonly #descriptors = new ClientDescriptors();
  /** In microseconds; 0 for no limit. */
  readonly #commandTime: number;
  readonly #maySkip: boolean;
  /** Whether a command was served without negotiation. */
  #hasSkipped = false;
  #phase: Phase = { name: 'negotiating' };
  #life: Life = 'open';
  #endReason = 'client closed';
  /** Commands without an answer sent. */
  readonly #queue = new CommandQueue();
  #isPaused = false;
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
    // Whoever has a policy has every command judged by it.
    this.#intake = new CommandIntake(owner, this, this.policyName === null);
    this.#gate = new CommandGate(owner, this, this.#intake, this.#descriptors, options);
    this.#usage = new Usage(owner.limits);
    this.#output = new ClientOutput(link, this.#usage, owner.limits);
    this.connectedAt = owner.now();
    this.#commandTime = (options.commandTime ?? 0) * 1000;
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

  get hasWaiting(): boolean {
    return this.nextWaiting !== null;
  }

  /** The next command to go upstream; null when there is none, or the client has its share there, or too much to read. */
  get nextWaiting(): PendingCommand | null {
    const command = this.#queue.next;
    if (command === null || this.#queue.inFlight >= this.#owner.share || this.#output.isHigh) return null;
    return command.use?.isTaker === true && this.#owner.desk.isTaking ? null : command;
  }

  /** The next out-of-band command to go upstream; null when there is none, or the client has its share there. */
  get nextWaitingOob(): PendingCommand | null {
    return this.#queue.oobInFlight >= this.#owner.share ? null : this.#queue.nextOob;
  }

  /** Commands that have not gone upstream and have no answer. */
  get waitingCount(): number {
    return this.#queue.waitingCount;
  }

  /** Commands of the client that are upstream. */
  get inFlightCount(): number {
    return this.#queue.inFlight + this.#queue.oobInFlight;
  }

  /** @returns up to `most` commands that have not gone upstream and have no answer. */
  firstWaiting(most: number): PendingCommand[] {
    return this.#queue.firstWaiting(most);
  }

  /** Bytes held for the client. */
  get heldBytes(): number {
    return this.#usage.held;
  }

  /** Open files that the client has sent and QEMU does not have. */
  get descriptorCount(): number {
    return this.#descriptors.count;
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
    this.#pump();
    if (this.#descriptors.hasSeveral) this.#descriptors.readUpTo(this.#intake.readBytes);
    this.#account();
  }

  receiveDescriptors(at: number, descriptors: readonly Descriptor[], fault: string | null): void {
    const held = this.#descriptors;
    this.#owner.journal?.descriptors?.(this, descriptors, fault);
    held.arrive(at, descriptors, fault);
    if (this.#life === 'open') held.readUpTo(this.#intake.readBytes);
    else held.close();
  }

  receiveEnd(): void {
    if (this.#life !== 'open') return;
    this.#life = 'ended';
    this.#owner.touch(this);
  }

  closed(reason: string): void {
    if (!this.isConnected) return;
    this.#life = 'left';
    this.#output.close();
    this.#owner.unsubscribe(this);
    this.#owner.disconnected(this, reason);
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
    this.#owner.journal?.limited?.(this, this.listener, limit, what);
  }

  /** Lets go of what has not gone upstream, of a client that is gone. */
  dropWaiting(reason: string): void {
    if (this.#life !== 'left' || this.#isEmptied) return;
    this.#isEmptied = true;
    for (const command of this.#queue.removeWaiting()) {
      if (command.stage === 'waiting') this.#owner.journal?.dropped?.(command, reason);
      this.#release(command);
    }
    this.#drainOob();
    this.#intake.drop();
    this.#descriptors.close();
    this.#isPaused = false;
    this.#owner.touch(this);
  }

  /** Time has passed. */
  tick(now: number): void {
    const { limits } = this.#owner;
    const age = now - this.connectedAt;
    if (!this.isConnected) return;
    const isLate = this.#phase.name === 'negotiating' && !this.#hasSkipped;
    if (isLate && limits.negotiationTime > 0 && age >= limits.negotiationTime * 1000) {
      const what = `no capabilities negotiation within ${limits.negotiationTime / 1000} s`;
      this.terminate(what);
      this.#owner.counters.unnegotiated++;
      this.#owner.journal?.limited?.(this, this.listener, 'unnegotiated', what);
      return;
    }
    if (this.#output.isUnread) this.#owner.touch(this);
    if (this.#commandTime > 0) this.#abandonOverdue(now);
  }

  /** Gives errors in place of answers that take longer than the client allows. */
  #abandonOverdue(now: number): void {
    const overdue = [...this.#queue.oob, ...this.#queue.inBand].filter(
      ({ stage, receivedAt }) => (stage === 'waiting' || stage === 'inFlight') && now - receivedAt >= this.#commandTime,
    );
    for (const command of overdue) {
      this.#owner.counters.timedOut++;
      const seconds = this.#commandTime / 1_000_000;
      if (command.stage === 'waiting') {
        const what = `qmpmux could not run this command within ${seconds} s, and will not`;
        const reply = errorReply(command.id, genericError(what));
        this.#owner.journal?.denied(command, 'command-timeout', reply);
        this.answerLocally(command, [reply]);
        continue;
      }
      const what = `qmpmux has no answer from QEMU within ${seconds} s; this command may still be executed`;
      const reply = errorReply(command.id, genericError(what));
      this.#owner.journal?.abandoned?.(command, reply);
      this.#replace(command, this.#answered(reply));
      command.stage = 'abandoned';
    }
    if (overdue.length === 0) return;
    this.#drainOob();
    this.#owner.touch(this);
  }

  /** Puts a finished command in the place of one that is not waited for any more. */
  #replace(command: PendingCommand, substitute: PendingCommand): void {
    this.#giveBack(command);
    this.#usage.queuedBytes -= command.size;
    command.size = 0;
    this.#queue.replace(command, substitute);
  }

  /** Reads no more from the client; when all is answered, it gets EOF. @param reason what the journal is told then */
  finishUp(reason: string): void {
    if (this.#life !== 'open') return;
    this.#life = 'ended';
    this.#endReason = reason;
    this.#link.pause();
    this.#owner.touch(this);
  }

  /** @returns the next command to go upstream, which the session now counts as sent; null when there is none. */
  takeWaiting(): PendingCommand | null {
    const command = this.nextWaiting;
    if (command === null) return null;
    this.#queue.take(command);
    return command;
  }

  /** The same for out-of-band commands. */
  takeWaitingOob(): PendingCommand | null {
    const command = this.nextWaitingOob;
    if (command === null) return null;
    this.#queue.take(command);
    return command;
  }

  /** QEMU's reply to one of the session's commands. */
  deliverReply(command: PendingCommand, envelope: Envelope, isError: boolean, source: ReplySource): void {
    const journal = this.#owner.journal;
    if (envelope.isContiguous) {
      const start = reserve(envelope.sizeWith(command.idLength));
      const slab = slabBytes();
      const end = envelope.writeTo(slab, start, command.idBytes, command.idStart, command.idEnd);
      commitTo(end);
      if (journal !== null) {
        const isWanted = isError || journal.wantsRaw;
        journal.answered(command, isWanted ? [slab.subarray(start, end)] : NO_CHUNKS, isError, source);
      }
      this.#output.claim(start, end);
    } else {
      const chunks = envelope.withId(command.id);
      journal?.answered(command, chunks, isError, source);
      this.#output.send(chunks);
    }
    this.#settle(command);
  }

  /** Answers a command here, with a reply in chunks, in its turn. The journal has been told. */
  answerLocally(command: PendingCommand, reply: readonly Uint8Array[]): void {
    this.#setReply(command, reply);
    this.#giveBack(command);
    this.#drain(command.oob);
    this.#owner.touch(this);
  }

  /** A command's bytes have been handed over. */
  forgetWire(command: PendingCommand): void {
    const length = command.wireLength;
    this.#usage.queuedBytes -= length;
    command.size -= length;
    command.forgetWire();
  }

  /** The upstream is gone and the client stays: what has no answer gets an error. The journal knows what was upstream. */
  fail(reason: string): void {
    for (const command of [...this.#queue.inBand, ...this.#queue.oob]) {
      // What is answered here does not need QEMU.
      if (command.stage === 'answered' || command.call !== null) continue;
      const wasSent = command.stage === 'inFlight';
      if (!wasSent) this.#owner.journal?.dropped?.(command, reason);
      const fate = wasSent ? 'it is not known whether this command was executed' : 'this command was not executed';
      const reply = errorReply(command.id, genericError(`qmpmux has lost QEMU; ${fate}`));
      this.#setReply(command, [reply]);
      this.#giveBack(command);
    }
    this.#drainOob();
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
      this.#isPaused &&
      this.#usage.hasRoom(this.#queue.length) &&
      !this.#output.isHigh &&
      this.#descriptors.hasRoom
    ) {
      this.#isPaused = false;
      this.#pump();
      if (!this.#isPaused && this.#life === 'open') this.#link.resume();
      if (this.#output.length > 0) this.#owner.touch(this);
    }
    this.#account();
    const isIdle = !this.#isPaused && this.#queue.isEmpty;
    if (isIdle && (this.#life === 'ended' || this.#life === 'left') && this.#output.length === 0) {
      if (this.#life === 'ended') {
        this.#owner.disconnected(this, this.#endReason);
        this.#link.end();
      }
      this.#finish();
    }
  }

  /** Ends the session from our side: sends what there is, then EOF. Its commands are dropped. */
  terminate(reason: string): void {
    if (this.#life === 'done') return;
    for (const command of this.#queue.oob) {
      if (command.stage === 'waiting') this.#owner.journal?.dropped?.(command, reason);
      // those that are upstream are the multiplexer's to release
      if (command.stage === 'waiting' || command.stage === 'answered') this.#release(command);
    }
    for (const command of this.#queue.inBand) {
      if (command.stage === 'waiting') this.#owner.journal?.dropped?.(command, reason);
      if (command.stage !== 'free') this.#release(command);
    }
    if (this.isConnected) {
      this.#flushOutput();
      this.#link.end();
      this.#owner.disconnected(this, reason);
    }
    this.#finish();
  }

  #flushOutput(): void {
    this.#owner.traffic.toClients += this.#output.length;
    this.#output.flush();
  }

  #sendOut(): void {
    const output = this.#output;
    if (!output.isBusy) return;
    const wasHigh = output.isHigh;
    this.#flushOutput();
    const fault = output.judge(this.#owner.now());
    if (fault !== null) this.cut(fault.limit, fault.what);
    if (!wasHigh || this.#usage.isHigh(0)) return;
    this.#drainAnswered();
    if (output.length > 0) this.#owner.touch(this);
    if (this.hasWaiting) this.#owner.offer(this);
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
    this.#queue.clear();
    this.#owner.unsubscribe(this);
    this.#owner.remove(this);
  }

  /** Reads commands until the bytes are used up or the queue is full. */
  #pump(): void {
    for (;;) {
      if (this.#usage.isFull(this.#queue.length) || this.#output.isHigh || this.#descriptors.isFull) {
        this.#isPaused = true;
        this.#intake.rest();
        this.#countPause();
        if (this.#life === 'open') this.#link.pause();
        return;
      }
      const intake = this.#intake;
      switch (intake.next(this.isOobEnabled, this.#gate.passesKnown)) {
        case Found.Nothing:
          return;
        case Found.Known:
          this.#enqueue(intake.takeKnown());
          break;
        case Found.Command:
          this.#receiveCommand();
          break;
        case Found.Malformed:
          this.#answerMalformed(null, genericError(intake.fault));
          if (intake.fault === OVERSIZED) this.#countOversized();
          break;
        case Found.Misshapen:
          this.#answerMisshapen();
          break;
      }
    }
  }

  #countPause(): void {
    this.#owner.counters.paused++;
    if (this.#isPauseTold || !this.isConnected) return;
    this.#isPauseTold = true;
    const what = this.#output.isHigh
      ? `has ${this.#output.unread} bytes of answers to read first`
      : `has ${this.#queue.length} commands of ${this.#usage.queuedBytes} bytes without an answer`;
    this.#owner.journal?.limited?.(this, this.listener, 'paused', what);
  }

  #countOversized(): void {
    this.#owner.counters.oversized++;
    const what = `a command of more than ${this.#owner.limits.commandBytes} bytes`;
    this.#owner.journal?.limited?.(this, this.listener, 'oversized', what);
  }

  #answerMisshapen(): void {
    const { reader } = this.#owner;
    const reply = errorReply(this.#intake.id, genericError(reader.shapeError ?? ''));
    // QEMU judges what is out-of-band at once. Without the capability it reads one command at a time anyway.
    if (reader.isOutOfBand && this.isOobEnabled) {
      this.#tellMalformed(reply);
      const command = this.#answered(reply);
      command.oob = true;
      this.#queue.add(command);
      this.#drainOob();
      this.#owner.touch(this);
    } else this.#answerInTurn(reply, true);
  }

  #receiveCommand(): void {
    if (this.#phase.name === 'negotiating') {
      if (!this.#maySkip || this.#owner.reader.name === 'qmp_capabilities') return this.#negotiate();
      this.#hasSkipped = true;
    }
    const fate = this.#gate.judge();
    switch (fate.kind) {
      case 'passed on':
        this.#passOn(fate.use);
        break;
      case 'carried out here':
        this.#enqueueHere();
        break;
      case 'refused':
        this.#refuse(fate.rule, fate.desc);
        break;
    }
  }

  /** Refuses the command that was read, in its turn. @param rule what the journal is told */
  #refuse(rule: string, desc: string): void {
    const command = this.#intake.take();
    const reply = errorReply(command.id, genericError(desc));
    this.#owner.journal?.denied(command, rule, reply);
    this.#setReply(command, [reply]);
    this.#hold(command, reply.length + command.raw.length);
    this.#queue.add(command);
    if (command.oob) this.#drainOob();
    else this.#drainAnswered();
    this.#owner.touch(this);
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
    this.#answerInTurn(emptyReturn(this.#intake.id), false);
    this.#owner.journal?.negotiated(this, judged.oob ? ['oob'] : [], this.#intake.raw);
    this.#owner.subscribe(this);
  }

  #passOn(use: DescriptorUse | null): void {
    const command = this.#intake.takeForQemu();
    command.use = use;
    if (use === null) this.#intake.learn();
    this.#enqueue(command);
  }

  /** Queues a command for QEMU. */
  #enqueue(command: PendingCommand): void {
    this.#hold(command, command.wireLength + command.raw.length);
    this.#queue.add(command);
    if (command.oob) {
      this.#owner.offerOob(this);
      return;
    }
    // A cached reply needs no turn, only its place among the client's answers.
    if (!(command.isPlainQuery && this.#owner.answerFromCache(command))) this.#owner.offer(this);
  }

  /** Queues a command that is carried out here when its turn comes; an out-of-band one's has come. */
  #enqueueHere(): void {
    const { reader, extensions } = this.#owner;
    const command = this.#intake.take();
    command.call = extensions.read(reader.name, this.#intake.writtenArguments);
    this.#hold(command, command.raw.length + EXTENSION_BYTES + this.#intake.length);
    this.#queue.add(command);
    if (command.oob) this.#carryOut(command);
    this.#drain(command.oob);
    this.#owner.touch(this);
  }

  #carryOut(command: PendingCommand): void {
    if (command.call === null || command.stage !== 'waiting') return;
    command.stage = 'running';
    const reply = this.#owner.extensions.run(command, command.call);
    if (reply !== null) this.#setReply(command, reply);
  }

  /** Gives a command its reply, to be sent in its turn. */
  #setReply(command: PendingCommand, reply: readonly Uint8Array[]): void {
    command.stage = 'answered';
    command.reply = reply;
    this.#output.hold(reply);
  }

  #answerMalformed(id: Uint8Array | null, fault: QmpFault): void {
    this.#answerInTurn(errorReply(id, fault), true);
  }

  #tellMalformed(reply: Uint8Array): void {
    this.#owner.journal?.malformed(this, this.#intake.raw, reply);
  }

  /** Sends a reply of our own behind the answers to all earlier in-band commands. */
  #answerInTurn(reply: Uint8Array, isMalformed: boolean): void {
    if (isMalformed) this.#tellMalformed(reply);
    this.#owner.touch(this);
    if (this.#queue.isEmpty) {
      this.#output.send([reply]);
      return;
    }
    this.#queue.add(this.#answered(reply));
  }

  #answered(reply: Uint8Array): PendingCommand {
    const command = PendingCommand.take(this);
    this.#setReply(command, [reply]);
    this.#hold(command, reply.length);
    return command;
  }

  /** A command is upstream no more, or nobody waits for it there. */
  #giveBack(command: PendingCommand): void {
    const wasTaken = this.#queue.giveBack(command);
    if (wasTaken && command.oob && this.nextWaitingOob !== null) this.#owner.offerOob(this);
  }

  /** A command is through: lets go of it, and of the answers that waited behind it. */
  #settle(command: PendingCommand): void {
    this.#queue.leave(command);
    this.#giveBack(command);
    this.#drain(command.oob);
    this.#release(command);
    this.#owner.touch(this);
  }

  #hold(command: PendingCommand, bytes: number): void {
    command.size = bytes;
    this.#usage.queuedBytes += bytes;
  }

  #release(command: PendingCommand): void {
    this.#usage.queuedBytes -= command.size;
    if (command.call !== null) this.#owner.extensions.forget(command);
    command.release();
  }

  /** Sends the answers whose turn has come, out-of-band ones too if such a command has been answered. */
  #drain(isOob: boolean): void {
    if (isOob) this.#drainOob();
    else {
      this.#drainAnswered();
      if (this.hasWaiting) this.#owner.offer(this);
    }
  }

  /** Sends the out-of-band answers whose turn has come, and what waited behind them. */
  #drainOob(): void {
    for (let command = this.#queue.dueOob; command?.stage === 'answered'; command = this.#queue.dueOob) {
      this.#output.sendHeld(command.reply);
      this.#queue.leave(command);
      this.#release(command);
    }
    this.#drainAnswered();
    if (this.hasWaiting) this.#owner.offer(this);
  }

  #drainAnswered(): void {
    for (let command = this.#queue.due; command !== null; command = this.#queue.due) {
      if (command.call !== null && !this.#output.isHigh) this.#carryOut(command);
      if (command.stage !== 'answered') break;
      this.#output.sendHeld(command.reply);
      this.#queue.leave(command);
      this.#release(command);
    }
    this.#queue.trim();
  }
}
