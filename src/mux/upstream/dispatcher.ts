/** Waiting commands → QEMU: whose turn it is, how many go, and their bytes. A command never reaches QEMU before the observer has it. */

import { errorReply, genericError } from '../../qmp/message.js';
import { ascii } from '../../shared/bytes.js';
import type { PendingCommand } from '../commands/command.js';
import type { CommandSink, CommandSource } from '../commands/command-sink.js';
import { type InFlight, SHARE, WINDOW } from '../commands/in-flight.js';
import type { DescriptorBroker } from '../descriptors/broker.js';
import type { Bookkeeping } from '../ports/bookkeeping.js';
import type { Host, Link } from '../ports/link.js';
import { UpstreamOutbox } from '../wire/upstream-outbox.js';
import type { Replies } from './replies.js';
import { Scheduler } from './scheduler.js';

/** With more than this unsent to QEMU, in-band commands wait here, where out-of-band ones can still overtake them. */
const UPSTREAM_BACKLOG = 64 * 1024;

/** The clients, as the way to QEMU needs them. */
export interface Crowd {
  /** How many are connected. */
  readonly clientCount: number;
  /** Each client that has a command waiting is to offer it. */
  offerAll(): void;
}

export interface DispatcherParts {
  readonly books: Bookkeeping;
  readonly host: Pick<Host, 'schedule'>;
  readonly crowd: Crowd;
  readonly broker: DescriptorBroker;
  readonly inFlight: InFlight;
  readonly replies: Replies;
  /** Whether identical queries that wait at the same time go upstream once. */
  readonly mayMerge: boolean;
}

export class Dispatcher implements CommandSink {
  readonly #parts: DispatcherParts;
  readonly #scheduler = new Scheduler();
  readonly #upstreamOut = new UpstreamOutbox();
  /** Dispatched in this turn, not yet written. */
  readonly #batch: PendingCommand[] = [];
  /** When the commands of the latest turn went out; a clock costs too much to ask for each. */
  #sentAt = 0;

  constructor(parts: DispatcherParts) {
    this.#parts = parts;
  }

  get hasWaiting(): boolean {
    return this.#scheduler.hasWaiting;
  }

  get share(): number {
    return this.#parts.crowd.clientCount > 1 ? SHARE : Number.POSITIVE_INFINITY;
  }

  offer(source: CommandSource): void {
    // A client that is in the ring was offered in this turn, or is waited for by all that can make room.
    if (this.#scheduler.offer(source)) this.#parts.host.schedule();
  }

  offerOob(source: CommandSource): void {
    this.#scheduler.offerOob(source);
    this.#parts.host.schedule();
  }

  answerFromCache(command: PendingCommand): boolean {
    return this.#parts.replies.answerFromCache(command, Math.max(command.receivedAt, this.#sentAt));
  }

  /** Forgets everything: the upstream is gone. */
  clear(): void {
    this.#upstreamOut.clear();
    this.#scheduler.clear();
  }

  /**
   * Puts waiting commands in flight as far as the window allows, has them recorded, and writes them in one piece, or asks for another
   * turn to do so. Where they cannot be recorded, they are refused.
   */
  dispatch(link: Link): void {
    if (!this.#scheduler.hasWaiting) return;
    this.#sentAt = this.#parts.books.now();
    while (this.#parts.inFlight.hasOobRoom && !this.#parts.broker.isDelicateOob(this.#sentAt)) {
      const command = this.#scheduler.nextOob();
      if (command === null) break;
      this.#stage(command);
    }
    this.#dispatchInBand(link);
    if (this.#batch.length === 0) return;
    const trouble = this.#parts.books.observer?.flush() ?? null;
    if (trouble === null) {
      this.#parts.books.traffic.toUpstream += this.#upstreamOut.length;
      this.#upstreamOut.flush(link);
    } else this.#refuseBatch(trouble);
    this.#batch.length = 0;
  }

  #dispatchInBand(link: Link): void {
    const { window = WINDOW } = link;
    while (
      this.#parts.inFlight.hasInBandRoom(window) &&
      link.backlog < UPSTREAM_BACKLOG &&
      !this.#parts.broker.isDelicate
    ) {
      const command = this.#scheduler.nextInBand();
      if (command === null) break;
      // The answer may have come while the command waited.
      if (command.isPlainQuery && this.answerFromCache(command)) continue;
      if (command.isPlainQuery && this.#parts.mayMerge) command.followers = this.#scheduler.takeSame(command);
      this.#stage(command);
    }
  }

  /** Puts a command in flight and its bytes after those to be written. */
  #stage(command: PendingCommand): void {
    this.#parts.inFlight.add(command);
    command.sentAt = this.#sentAt;
    for (const follower of command.followers) follower.sentAt = this.#sentAt;
    this.#parts.books.observer?.command(command);
    this.#batch.push(command);
    if (command.use !== null) this.#parts.broker.sent(command.use, this.#sentAt);
    const descriptor = command.use?.handOver() ?? null;
    if (descriptor !== null) this.#upstreamOut.seal(null);
    this.#upstreamOut.append(command.wire);
    command.owner.forgetWire(command);
    this.#upstreamOut.append(ascii(`${command.upstreamId}}`));
    if (descriptor !== null) this.#upstreamOut.seal(descriptor);
  }

  /** The observer could not record this turn's commands, so QEMU must not see them. */
  #refuseBatch(trouble: string): void {
    this.#upstreamOut.clear();
    let mayTake = false;
    for (const command of this.#batch.toReversed()) {
      this.#parts.inFlight.withdraw(command);
      if (command.use !== null && this.#parts.broker.withdrawn(command.use)) mayTake = true;
    }
    const fault = genericError(`qmpmux cannot record this command, so it was not run: ${trouble}`);
    for (const command of this.#batch.flatMap((leader) => [leader, ...leader.followers])) {
      const reply = errorReply(command.id, fault);
      this.#parts.books.observer?.denied(command, 'audit', reply);
      command.owner.answerLocally(command, [reply]);
    }
    // Commands that waited for a descriptor to be taken have lost their turn meanwhile.
    if (mayTake) this.#parts.crowd.offerAll();
    if (this.#scheduler.hasWaiting) this.#parts.host.schedule();
  }
}
