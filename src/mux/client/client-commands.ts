/**
 * The commands of one client, from when each was read until its answer is sent.
 *
 * - In-band commands are answered in the order sent, whoever answers them. So an answer given here (an error of shape, a
 *   refusal) waits behind the client's commands that are still upstream.
 * - QEMU executes an out-of-band command as it reads it, so its answer comes before those to later commands of the client.
 * - When a command has its answer, it gives back its place upstream, then the answers after it are sent, then it is released.
 * - No answer of ours is sent after a `quit` that QEMU has agreed to (quit-watch.ts).
 */

import { errorReply, genericError } from '../../qmp/message.js';
import type { Envelope } from '../../qmp/stream/envelope.js';
import { ClientQueue } from '../commands/client-queue.js';
import { type ExtensionCall, PendingCommand } from '../commands/command.js';
import type { CommandSink, CommandSource } from '../commands/command-sink.js';
import { ReplyStats } from '../commands/reply-stats.js';
import type { DescriptorBroker } from '../descriptors/broker.js';
import type { Bookkeeping } from '../ports/bookkeeping.js';
import type { ClientView, ReplySource } from '../ports/observer.js';
import { room } from '../wire/slab.js';
import type { ClientOutput } from './client-output.js';
import type { ClientQuota } from './client-quota.js';
import { QUIT, QuitWatch } from './quit-watch.js';
import { REPORT_BYTES_PER_UNIT, type TurnBudget, Weight } from './turn-budget.js';

/** The session that these commands belong to. */
export interface CommandsSession extends ClientView {
  /** There is something to send, or to finish, at the end of the turn. */
  touch(): void;
  /** The client has had its part of the turn: `ClientCommands.resume` is to be called in another one. */
  rest(): void;
}

/** The parts shared by the commands of all clients. */
export interface CommandsPorts {
  readonly books: Bookkeeping;
  readonly sink: CommandSink;
  readonly broker: DescriptorBroker;
  readonly budget: TurnBudget;
}

/** About how much a command that is carried out here holds besides its bytes. */
const EXTENSION_BYTES = 256;
const NO_CHUNKS: readonly Uint8Array[] = [];

export class ClientCommands implements CommandSource {
  readonly client: CommandsSession;
  readonly tally = new ReplyStats();
  readonly #books: Bookkeeping;
  readonly #sink: CommandSink;
  readonly #broker: DescriptorBroker;
  readonly #budget: TurnBudget;
  readonly #output: ClientOutput;
  readonly #usage: ClientQuota;
  /** In microseconds; 0 for no limit. */
  readonly #time: number;
  /** Those without an answer sent. */
  readonly #queue = new ClientQueue();
  readonly #quit = new QuitWatch();

  /** @param time how long one may take, in microseconds; 0 for ever */
  constructor(
    client: CommandsSession,
    { books, sink, broker, budget }: CommandsPorts,
    output: ClientOutput,
    usage: ClientQuota,
    time: number,
  ) {
    this.client = client;
    this.#books = books;
    this.#sink = sink;
    this.#broker = broker;
    this.#budget = budget;
    this.#output = output;
    this.#usage = usage;
    this.#time = time;
  }

  /** Whether all have been answered. */
  get isEmpty(): boolean {
    return this.#queue.isEmpty;
  }

  /** How many have no answer sent. */
  get length(): number {
    return this.#queue.length;
  }

  get hasWaiting(): boolean {
    return this.nextWaiting !== null;
  }

  /** The next command to go upstream; null when there is none, or the client has its share there, or too much to read. */
  get nextWaiting(): PendingCommand | null {
    const command = this.#queue.next;
    if (command === null || this.#queue.inFlight >= this.#sink.share || this.isHeldUp) return null;
    return command.use?.isTaker === true && this.#broker.isTaking ? null : command;
  }

  /**
   * Whether the client has too much to read for further commands to be carried out. Replies that wait here count only if an
   * answer of QEMU's will release some of them: otherwise they wait for the next command.
   */
  get isHeldUp(): boolean {
    return this.#queue.inFlight > 0 ? this.#output.isHigh : this.#output.isHighWithoutHeld;
  }

  /** The next out-of-band command to go upstream; null when there is none, or the client has its share there. */
  get nextWaitingOob(): PendingCommand | null {
    return this.#queue.oobInFlight >= this.#sink.share ? null : this.#queue.nextOob;
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

  /** @returns the next command to go upstream, which counts as sent from now on; null when there is none. */
  takeWaiting(): PendingCommand | null {
    const command = this.nextWaiting;
    if (command === null) return null;
    this.#queue.markSent(command);
    return command;
  }

  /** The same for out-of-band commands. */
  takeWaitingOob(): PendingCommand | null {
    const command = this.nextWaitingOob;
    if (command === null) return null;
    this.#queue.markSent(command);
    return command;
  }

  /** QEMU's reply to one of these commands. */
  deliverReply(command: PendingCommand, envelope: Envelope, isError: boolean, source: ReplySource): void {
    const observer = this.#books.observer;
    if (!command.oob) {
      if (this.#quit.goOn()) this.#drainAnswered();
      if (command.name === QUIT && !isError) this.#quit.agree();
    }
    const chunks = envelope.withId(command.id, room);
    observer?.answered(command, chunks, isError, source);
    this.#output.send(chunks);
    this.#settle(command);
  }

  /** The client sends a `quit` to QEMU. */
  expectQuit(): void {
    this.#quit.expect();
  }

  /** Answers a command here, with a reply in chunks, in its turn. The observer already has the answer. */
  answerLocally(command: PendingCommand, reply: readonly Uint8Array[]): void {
    this.#markAnswered(command, reply);
    this.#drain(command.oob);
    this.client.touch();
  }

  /** A command's bytes have been handed over. */
  forgetWire(command: PendingCommand): void {
    const { length } = command.wire;
    this.#usage.queuedBytes -= length;
    command.size -= length;
    command.forgetWire();
  }

  /** The upstream is gone and the client stays: unanswered commands get an error. The observer knows which were upstream. */
  fail(reason: string): void {
    this.#quit.goOn();
    for (const command of [...this.#queue.inBand, ...this.#queue.oob]) {
      // Commands carried out here do not need QEMU.
      if (command.stage === 'answered' || command.call !== null) continue;
      const wasSent = command.isInFlight;
      if (!wasSent) this.#books.observer?.dropped?.(command, reason);
      const fate = wasSent ? 'this command may have been executed' : 'this command was not executed';
      const reply = errorReply(command.id, genericError(`qmpmux has lost QEMU; ${fate}`));
      this.#markAnswered(command, [reply]);
    }
    this.#drainOob();
    this.client.touch();
  }

  /** Refuses a command that was read, in its turn. @param rule the reason for the observer */
  refuse(command: PendingCommand, rule: string, desc: string): void {
    const reply = errorReply(command.id, genericError(desc));
    this.#books.observer?.denied(command, rule, reply);
    this.#markAnswered(command, [reply]);
    this.#hold(command, reply.length + command.raw.length);
    this.#queue.add(command);
    if (command.oob) this.#drainOob();
    else this.#drainAnswered();
    this.client.touch();
  }

  /** Queues a command for QEMU. */
  passOn(command: PendingCommand): void {
    this.#hold(command, command.wire.length + command.raw.length);
    this.#queue.add(command);
    if (command.oob) {
      this.#sink.offerOob(this);
      return;
    }
    // A cached reply needs no turn, only its place among the client's answers.
    if (!(command.isPlainQuery && this.#sink.answerFromCache(command))) this.#sink.offer(this);
  }

  /**
   * Queues a command that is carried out here when its turn comes; an out-of-band one's has come.
   * @param bytes its length as written
   */
  carryOutHere(command: PendingCommand, call: ExtensionCall, bytes: number): void {
    command.call = call;
    this.#hold(command, command.raw.length + EXTENSION_BYTES + bytes);
    this.#queue.add(command);
    if (command.oob) this.#carryOut(command);
    this.#drain(command.oob);
    this.client.touch();
  }

  #carryOut(command: PendingCommand): void {
    if (command.call === null || command.stage !== 'waiting') return;
    command.markRunning();
    const reply = command.call.run(command);
    let bytes = 0;
    for (const piece of reply ?? NO_CHUNKS) bytes += piece.length;
    this.#budget.spend(Weight.report + Math.floor(bytes / REPORT_BYTES_PER_UNIT));
    if (reply !== null) this.#markAnswered(command, reply);
  }

  /** Gives a command its reply, to be sent in its turn. */
  #markAnswered(command: PendingCommand, reply: readonly Uint8Array[]): void {
    const wasInFlight = this.#queue.markAnswered(command, reply);
    this.#output.hold(reply);
    if (wasInFlight) this.#hasRoom(command);
  }

  /** Sends a reply of our own after the answers to all earlier in-band commands. */
  answerInTurn(reply: Uint8Array): void {
    this.client.touch();
    if (this.#queue.isEmpty && !this.#quit.isQuitting) {
      this.#output.send([reply]);
      return;
    }
    this.#queue.add(this.#answered(reply));
  }

  /** Sends a reply of our own to an out-of-band command, after those to earlier out-of-band commands. */
  answerOob(reply: Uint8Array): void {
    const command = this.#answered(reply);
    command.oob = true;
    this.#queue.add(command);
    this.#drainOob();
    this.client.touch();
  }

  #answered(reply: Uint8Array): PendingCommand {
    const command = new PendingCommand(this);
    this.#markAnswered(command, [reply]);
    this.#hold(command, reply.length);
    return command;
  }

  /** Gives errors in place of answers that take longer than the client allows. */
  abandonOverdue(now: number): void {
    if (this.#time === 0) return;
    const { seenTime } = this.#books;
    const overdue = [...this.#queue.oob, ...this.#queue.inBand].filter(
      ({ stage, receivedAt }) =>
        (stage === 'waiting' || stage === 'sent') && seenTime.between(receivedAt, now) >= this.#time,
    );
    if (overdue.length > 0) this.#quit.goOn();
    for (const command of overdue) {
      this.#books.counters.timedOut++;
      const seconds = this.#time / 1_000_000;
      if (command.stage === 'waiting') {
        const what = `qmpmux could not run this command within ${seconds} s, and will not`;
        const reply = errorReply(command.id, genericError(what));
        this.#books.observer?.denied(command, 'command-timeout', reply);
        this.answerLocally(command, [reply]);
        continue;
      }
      const what = `qmpmux has no answer from QEMU within ${seconds} s; this command may still be executed`;
      const reply = errorReply(command.id, genericError(what));
      this.#books.observer?.abandoned?.(command, reply);
      this.#abandon(command, this.#answered(reply));
    }
    if (overdue.length === 0) return;
    this.#drainOob();
    this.client.touch();
  }

  /** Replaces a command that is not waited for any more by one that has its reply. */
  #abandon(command: PendingCommand, substitute: PendingCommand): void {
    this.#queue.abandon(command, substitute);
    this.#usage.queuedBytes -= command.size;
    command.size = 0;
    this.#hasRoom(command);
  }

  /** Drops commands that have not gone upstream. @param reason for the observer */
  dropWaiting(reason: string): void {
    for (const command of this.#queue.removeWaiting()) {
      if (command.stage === 'waiting') this.#books.observer?.dropped?.(command, reason);
      this.#release(command);
    }
    this.#drainOob();
    this.client.touch();
  }

  /** Drops all, without an answer. @param reason for the observer */
  drop(reason: string): void {
    for (const command of [...this.#queue.oob, ...this.#queue.inBand]) {
      if (command.stage === 'waiting') this.#books.observer?.dropped?.(command, reason);
      this.#release(command);
    }
    this.#queue.clear();
  }

  /** The client has room for answers again. */
  resume(): void {
    this.#drainAnswered();
    if (this.#output.length > 0) this.client.touch();
    this.offerAgain();
  }

  /** The obstacle that kept a command from its turn may be gone. */
  offerAgain(): void {
    if (this.hasWaiting) this.#sink.offer(this);
  }

  /** A command is no longer upstream, or nobody waits for it there: it makes room for another. */
  #hasRoom({ oob }: PendingCommand): void {
    if (oob && this.nextWaitingOob !== null) this.#sink.offerOob(this);
  }

  /** A command is finished: releases it, and the answers that waited behind it. */
  #settle(command: PendingCommand): void {
    if (this.#queue.leave(command)) this.#hasRoom(command);
    this.#drain(command.oob);
    this.#release(command);
    this.client.touch();
  }

  #hold(command: PendingCommand, bytes: number): void {
    command.size = bytes;
    this.#usage.queuedBytes += bytes;
  }

  #release(command: PendingCommand): void {
    this.#usage.queuedBytes -= command.size;
    command.call?.forget(command);
    command.release();
  }

  /** Sends the answers whose turn has come, out-of-band ones too if such a command has been answered. */
  #drain(isOob: boolean): void {
    if (isOob) this.#drainOob();
    else {
      this.#drainAnswered();
      this.offerAgain();
    }
  }

  /** Sends the out-of-band answers whose turn has come, and those that waited for them. */
  #drainOob(): void {
    for (let command = this.#queue.dueOob; command?.stage === 'answered'; command = this.#queue.dueOob) {
      this.#output.sendHeld(command.reply);
      this.#queue.leave(command);
      this.#release(command);
    }
    this.#drainAnswered();
    this.offerAgain();
  }

  #drainAnswered(): void {
    for (let command = this.#queue.due; command !== null && !this.#quit.isQuitting; command = this.#queue.due) {
      if (command.call !== null && command.stage === 'waiting' && !this.isHeldUp) {
        if (!this.#budget.hasLeft) {
          this.client.rest();
          break;
        }
        this.#carryOut(command);
      }
      if (command.stage !== 'answered') break;
      this.#output.sendHeld(command.reply);
      this.#queue.leave(command);
      this.#release(command);
    }
    this.#queue.trim();
  }
}
