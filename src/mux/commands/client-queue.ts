/**
 * The commands of one client that have no answer sent, in order: the next to go upstream, and the next to be answered. Its
 * caller decides what happens to a command; nothing is called from here.
 *
 * - In-band commands leave in the order in which they came.
 * - QEMU executes an out-of-band command as it reads it, so its answer comes before those to later commands of the client. So
 *   an in-band command waits until the out-of-band ones before it have left.
 */
import type { PendingCommand } from './command.js';

/** Commands that have left are cut off the front when there are this many. */
const MOST_LEFT = 1024;

export class ClientQueue {
  /** In-band commands, from `#head` on; from `#waiting` on they have not been sent upstream. */
  #inBand: PendingCommand[] = [];
  #head = 0;
  #waiting = 0;
  readonly #oob: PendingCommand[] = [];
  /** How many out-of-band commands there were, and how many of them have left. */
  #oobSeen = 0;
  #oobLeft = 0;
  #inFlight = 0;
  #oobInFlight = 0;

  get isEmpty(): boolean {
    return this.#head === this.#inBand.length && this.#oob.length === 0;
  }

  get length(): number {
    return this.#inBand.length - this.#head + this.#oob.length;
  }

  /** All in-band commands, in a new list. */
  get inBand(): PendingCommand[] {
    return this.#inBand.slice(this.#head);
  }

  /** All out-of-band commands, in a new list. */
  get oob(): PendingCommand[] {
    return this.#oob.slice();
  }

  /** In-band commands upstream. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** Out-of-band commands upstream. */
  get oobInFlight(): number {
    return this.#oobInFlight;
  }

  /** Commands that have not gone upstream and have no answer. */
  get waitingCount(): number {
    return this.#inBand.slice(this.#waiting).filter(isWaiting).length + this.#oob.filter(isWaiting).length;
  }

  /** @returns up to `most` commands that have not gone upstream and have no answer, out-of-band ones first. */
  firstWaiting(most: number): PendingCommand[] {
    const found: PendingCommand[] = [];
    for (const command of this.#oob) if (isWaiting(command) && found.length < most) found.push(command);
    for (let at = this.#waiting; at < this.#inBand.length && found.length < most; at++) {
      const command = this.#inBand[at];
      if (command !== undefined && isWaiting(command)) found.push(command);
    }
    return found;
  }

  /** Adds a command that was read; one that has a reply already waits for its turn to be answered. */
  add(command: PendingCommand): void {
    if (command.stage === 'read') command.markWaiting();
    if (command.oob) {
      this.#oobSeen++;
      this.#oob.push(command);
    } else {
      command.afterOob = this.#oobSeen;
      this.#inBand.push(command);
    }
  }

  /** The next in-band command to go upstream; null when there is none, or its turn has not come. */
  get next(): PendingCommand | null {
    const command = this.#inBand[this.#skipAnswered()];
    if (command === undefined || command.call !== null) return null;
    return command.afterOob <= this.#oobLeft ? command : null;
  }

  /** The next out-of-band command to go upstream; null when there is none. */
  get nextOob(): PendingCommand | null {
    return this.#oob.find(isWaiting) ?? null;
  }

  /** A command that `next` or `nextOob` has given is upstream from now on. */
  markSent(command: PendingCommand): void {
    command.markSent();
    if (command.oob) this.#oobInFlight++;
    else {
      this.#waiting++;
      this.#inFlight++;
    }
  }

  /** A command has a reply of ours, in chunks. @returns whether it was upstream */
  markAnswered(command: PendingCommand, reply: readonly Uint8Array[]): boolean {
    const wasInFlight = this.#isFreed(command);
    command.markAnswered();
    command.reply = reply;
    return wasInFlight;
  }

  /** The in-band command to be answered next; null when there is none, or out-of-band ones are before it. */
  get due(): PendingCommand | null {
    const command = this.#inBand[this.#head];
    return command !== undefined && command.afterOob <= this.#oobLeft ? command : null;
  }

  /** The out-of-band command to be answered next, unless QEMU has answered a later one; null when there is none. */
  get dueOob(): PendingCommand | null {
    return this.#oob[0] ?? null;
  }

  /** A command has its answer: an out-of-band one, or the in-band one that is due. @returns whether it was upstream */
  leave(command: PendingCommand): boolean {
    if (command.oob) {
      const at = this.#oob.indexOf(command);
      if (at >= 0) this.#oob.splice(at, 1);
      this.#oobLeft++;
    } else {
      // Not reached: QEMU's answers are matched in order, and shared ones only at the heads of queues.
      if (this.#inBand[this.#head] !== command) throw new Error('an answer overtook an earlier one of its client');
      this.#head++;
    }
    return this.#isFreed(command);
  }

  /** Gives back the room of in-band commands that have left. To be called when some have. */
  trim(): void {
    if (this.#waiting < this.#head) this.#waiting = this.#head;
    if (this.#head === this.#inBand.length) {
      this.#inBand.length = 0;
      this.#head = 0;
      this.#waiting = 0;
    } else if (this.#head >= MOST_LEFT) {
      this.#inBand.splice(0, this.#head);
      this.#waiting -= this.#head;
      this.#head = 0;
    }
  }

  /** Nobody waits any longer for a command that is upstream: `substitute`, which has a reply, takes its place. */
  abandon(command: PendingCommand, substitute: PendingCommand): void {
    this.#isFreed(command);
    command.markAbandoned();
    substitute.oob = command.oob;
    substitute.afterOob = command.afterOob;
    const queue = command.oob ? this.#oob : this.#inBand;
    queue[queue.indexOf(command, command.oob ? 0 : this.#head)] = substitute;
  }

  /** Takes out commands that have not gone upstream: in-band ones from the first without an answer on, then waiting out-of-band ones. */
  removeWaiting(): PendingCommand[] {
    const removed = this.#inBand.splice(this.#skipAnswered());
    for (const command of this.#oob.filter(isWaiting)) {
      this.leave(command);
      removed.push(command);
    }
    return removed;
  }

  /** Forgets all commands. */
  clear(): void {
    this.#inBand = [];
    this.#head = 0;
    this.#waiting = 0;
    this.#oob.length = 0;
  }

  /** Counts a command that stops being upstream. @returns whether it was */
  #isFreed(command: PendingCommand): boolean {
    if (!command.isInFlight) return false;
    if (command.oob) this.#oobInFlight--;
    else this.#inFlight--;
    return true;
  }

  /** @returns where the first in-band command lies that has not gone upstream and has no answer yet. */
  #skipAnswered(): number {
    while (this.#inBand[this.#waiting]?.stage === 'answered') this.#waiting++;
    return this.#waiting;
  }
}

function isWaiting({ stage }: PendingCommand): boolean {
  return stage === 'waiting';
}
