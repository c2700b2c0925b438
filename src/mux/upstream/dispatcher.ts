/** Waiting commands → QEMU: whose turn it is, how many go, and their bytes. A command never reaches QEMU before the observer has it. */

import { errorReply, genericError } from '../../qmp/message.js';
import { bytesOf, copyWords } from '../../shared/bytes.js';
import type { Session } from '../client/session.js';
import type { PendingCommand } from '../commands/command.js';
import { type InFlight, WINDOW } from '../commands/in-flight.js';
import type { Host, Link } from '../ports/link.js';
import type { SessionOwner } from '../ports/session-owner.js';
import { COPY_BELOW } from '../wire/outbox.js';
import { reserve, slabView } from '../wire/slab.js';
import { UpstreamOutbox } from '../wire/upstream-outbox.js';
import { Scheduler } from './scheduler.js';

/** With more than this unsent towards QEMU, in-band commands wait here, where out-of-band ones can still overtake them. */
const UPSTREAM_BACKLOG = 64 * 1024;
/** Bytes behind a command's wire form: up to three digits, and the brace. */
const ID_ROOM = 4;

export class Dispatcher {
  readonly #owner: SessionOwner;
  readonly #host: Host;
  readonly #pending: InFlight;
  readonly #mayMerge: boolean;
  readonly #scheduler = new Scheduler();
  readonly #upstreamOut = new UpstreamOutbox();
  /** Dispatched in this turn, not yet written. */
  readonly #batch: PendingCommand[] = [];
  #sentAt = 0;

  /**
   * @param pending where commands in flight are
   * @param mayMerge whether identical queries that wait at the same time go upstream once
   */
  constructor(owner: SessionOwner, host: Host, pending: InFlight, mayMerge: boolean) {
    this.#owner = owner;
    this.#host = host;
    this.#pending = pending;
    this.#mayMerge = mayMerge;
  }

  get hasWaiting(): boolean {
    return this.#scheduler.hasWaiting;
  }

  /** When the commands of the latest turn went out; a clock costs too much to ask for each. */
  get sentAt(): number {
    return this.#sentAt;
  }

  /** The session has a command waiting for its turn. */
  offer(session: Session): void {
    // Whoever waits in the ring was offered in this turn, or is waited for by all that can make room.
    if (session.isInRing) return;
    this.#scheduler.offer(session);
    this.#host.schedule();
  }

  /** The session has an out-of-band command waiting for its turn. */
  offerOob(session: Session): void {
    this.#scheduler.offerOob(session);
    this.#host.schedule();
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
    this.#sentAt = this.#host.now();
    while (this.#pending.hasOobRoom && !this.#owner.broker.isDelicateOob(this.#sentAt)) {
      const command = this.#scheduler.nextOob();
      if (command === null) break;
      this.#stage(command);
    }
    this.#dispatchInBand(link);
    if (this.#batch.length === 0) return;
    const trouble = this.#owner.observer?.flush() ?? null;
    if (trouble === null) {
      this.#owner.traffic.toUpstream += this.#upstreamOut.length;
      this.#upstreamOut.flush(link);
    } else this.#refuseBatch(trouble);
    this.#batch.length = 0;
  }

  #dispatchInBand(link: Link): void {
    const { window = WINDOW } = link;
    while (this.#pending.hasInBandRoom(window) && link.backlog < UPSTREAM_BACKLOG && !this.#owner.broker.isDelicate) {
      const command = this.#scheduler.nextInBand();
      if (command === null) break;
      // The answer may have come while the command waited.
      if (command.isPlainQuery && this.#owner.answerFromCache(command)) continue;
      if (command.isPlainQuery && this.#mayMerge) {
        command.followers = this.#scheduler.takeSame(command);
        for (const follower of command.followers) follower.stage = 'inFlight';
      }
      this.#stage(command);
    }
  }

  /** Puts a command in flight and its bytes behind those to be written. */
  #stage(command: PendingCommand): void {
    this.#pending.add(command);
    command.sentAt = this.#sentAt;
    for (const follower of command.followers) follower.sentAt = this.#sentAt;
    this.#owner.observer?.command(command);
    this.#batch.push(command);
    if (command.use !== null) this.#owner.broker.sent(command.use, this.#sentAt);
    const descriptor = command.use?.handOver() ?? null;
    if (descriptor !== null) this.#upstreamOut.seal(null);
    const { wire, wireStart, wireEnd } = command;
    const isLarge = wireEnd - wireStart >= COPY_BELOW;
    if (isLarge) this.#upstreamOut.appendShared(bytesOf(wire).subarray(wireStart, wireEnd));
    const start = reserve((isLarge ? 0 : wireEnd - wireStart) + ID_ROOM);
    const slab = slabView();
    let end = isLarge ? start : copyWords(wire, wireStart, wireEnd, slab, start);
    command.session.commands.forgetWire(command);
    const id = command.upstreamId;
    if (id >= 100) slab.setUint8(end++, 0x30 + Math.floor(id / 100));
    if (id >= 10) slab.setUint8(end++, 0x30 + (Math.floor(id / 10) % 10));
    slab.setUint8(end++, 0x30 + (id % 10));
    slab.setUint8(end++, 0x7d);
    this.#upstreamOut.claim(start, end);
    if (descriptor !== null) this.#upstreamOut.seal(descriptor);
  }

  /** The observer could not record this turn's commands, so QEMU must not see them. */
  #refuseBatch(trouble: string): void {
    this.#upstreamOut.clear();
    let mayTake = false;
    for (const command of this.#batch.toReversed()) {
      this.#pending.withdraw(command);
      if (command.use !== null && this.#owner.broker.withdrawn(command.use)) mayTake = true;
    }
    const fault = genericError(`qmpmux cannot record this command, so it was not run: ${trouble}`);
    for (const command of this.#batch.flatMap((leader) => [leader, ...leader.followers])) {
      const reply = errorReply(command.id, fault);
      this.#owner.observer?.denied(command, 'audit', reply);
      command.session.commands.answerLocally(command, [reply]);
    }
    // Those who waited to take a descriptor have lost their turn meanwhile.
    if (mayTake) this.#owner.offerAll();
    if (this.#scheduler.hasWaiting) this.#host.schedule();
  }
}
