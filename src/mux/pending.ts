/**
 * Upstream id → the command that waits for it. Rules:
 * - In-band commands are answered strictly in the order sent (monitor/qmp.c). An answer with another id than the oldest's
 *   is nobody's: it is not delivered.
 * - The first few in-band commands in flight have single digits, taken in turn: QEMU reads byte by byte, so a digit is
 *   worth several microseconds. Those beyond have two digits, taken in turn as well. There are more of either than are
 *   ever in flight, so no id comes back while an answer to it could still come, and an answer that comes twice does not fit
 *   the command that is oldest then.
 * - Out-of-band commands have three digits, answered in any order.
 */
import type { UpstreamId } from './link.js';
import { LARGE_WINDOW, SMALL_WINDOW } from './pacing.js';
import type { PendingCommand } from './pending-command.js';

const ONE_DIGIT_IDS = 10;
const FIRST_TWO_DIGIT_ID = 10;
const TWO_DIGIT_IDS = 90;
const FIRST_OOB_ID = 100;
const OOB_IDS = 900;
/** The most out-of-band commands in flight; QEMU runs them as it reads them. */
export const OOB_WINDOW = 32;

// The one place where numbers become ids: they are small integers by construction.
function toUpstreamId(value: number): UpstreamId {
  return value as UpstreamId;
}

export class Pending {
  /** In flight in-band, oldest first. */
  readonly #inBand: PendingCommand[] = [];
  readonly #oob = new Map<number, PendingCommand>();
  #nextOneDigit = 0;
  #nextTwoDigit = 0;
  #nextOob = 0;

  /** @param window the most in-band commands that may be in flight now */
  hasInBandRoom(window: number): boolean {
    return this.#inBand.length < Math.min(window, LARGE_WINDOW);
  }

  get hasOobRoom(): boolean {
    return this.#oob.size < OOB_WINDOW;
  }

  /** All commands in flight, in-band ones first, oldest first. */
  all(): PendingCommand[] {
    return [...this.#inBand, ...this.#oob.values()];
  }

  /** Puts a command in flight; there must be room. Sets its `upstreamId`. */
  add(command: PendingCommand): void {
    command.stage = 'inFlight';
    if (command.oob) {
      let id = FIRST_OOB_ID + this.#nextOob;
      while (this.#oob.has(id)) {
        this.#nextOob = (this.#nextOob + 1) % OOB_IDS;
        id = FIRST_OOB_ID + this.#nextOob;
      }
      this.#nextOob = (this.#nextOob + 1) % OOB_IDS;
      command.upstreamId = toUpstreamId(id);
      this.#oob.set(id, command);
    } else {
      if (this.#inBand.length < SMALL_WINDOW) {
        command.upstreamId = toUpstreamId(this.#nextOneDigit);
        this.#nextOneDigit = (this.#nextOneDigit + 1) % ONE_DIGIT_IDS;
      } else {
        command.upstreamId = toUpstreamId(FIRST_TWO_DIGIT_ID + this.#nextTwoDigit);
        this.#nextTwoDigit = (this.#nextTwoDigit + 1) % TWO_DIGIT_IDS;
      }
      this.#inBand.push(command);
    }
  }

  /** @returns the command that an answer with `id` belongs to, no longer in flight; null when it is nobody's. */
  take(id: number): PendingCommand | null {
    if (id >= FIRST_OOB_ID) {
      const command = this.#oob.get(id) ?? null;
      this.#oob.delete(id);
      return command;
    }
    return this.#inBand[0]?.upstreamId === id ? (this.#inBand.shift() ?? null) : null;
  }

  /** @returns the oldest in-band command, no longer in flight: an error without an id is QEMU's answer to it. */
  takeOldestInBand(): PendingCommand | null {
    return this.#inBand.shift() ?? null;
  }

  /** Takes back a command that was added, but not sent after all. Only the latest added of its kind, newest first. */
  withdraw(command: PendingCommand): void {
    if (command.oob) this.#oob.delete(command.upstreamId);
    else {
      if (this.#inBand.pop() !== command) throw new Error('only the latest command can be withdrawn');
      if (command.upstreamId < FIRST_TWO_DIGIT_ID) this.#nextOneDigit = command.upstreamId;
      else this.#nextTwoDigit = command.upstreamId - FIRST_TWO_DIGIT_ID;
    }
    command.upstreamId = -1;
    command.stage = 'waiting';
  }

  /** @returns all commands, none of them in flight any more: the upstream is gone. */
  clear(): PendingCommand[] {
    const all = this.all();
    this.#inBand.length = 0;
    this.#oob.clear();
    return all;
  }
}
