/**
 * Upstream id → the command that waits for it. Rules:
 * - In-band commands are answered strictly in the order sent (monitor/qmp.c). An answer with another id than the oldest's
 *   belongs to nobody: it is not delivered.
 * - In-band commands have single digits, taken in turn: QEMU reads byte by byte, so a digit is worth several microseconds. There are
 *   more than are ever in flight, so no id comes back while an answer to it could still come, and an answer that comes twice does not
 *   fit the command that is oldest then.
 * - Out-of-band commands have three-digit ids and are answered in any order.
 * - Our own probes have four-digit ids (upstream-probe.ts), and are not kept here.
 */
import type { UpstreamId } from '../ports/link.js';
import type { PendingCommand } from './command.js';

/**
 * The most in-band commands in flight (docs/adr/0004-window.md). Below QEMU's `QMP_REQ_QUEUE_LEN_MAX` of 8
 * (monitor/monitor-internal.h): with that many queued it reads no further, not even out-of-band commands.
 */
export const WINDOW = 7;
/** The most commands in flight of one client among several: one that QEMU runs, and one that it reads meanwhile. */
export const SHARE = 2;
const IN_BAND_IDS = 10;
const FIRST_OOB_ID = 900;
const OOB_IDS = 100;
/** Ids of probes, taken in turn: an answer that comes after all does not fit the next one. */
export const FIRST_PROBE_ID = 1000;
export const PROBE_IDS = 100;
/** The most out-of-band commands in flight; QEMU runs them as it reads them. */
export const OOB_WINDOW = 32;

// The one place where numbers become ids: they are small integers by construction.
function toUpstreamId(value: number): UpstreamId {
  return value as UpstreamId;
}

export class InFlight {
  /** Whether an in-band probe is in flight before all that is here; it takes a place in QEMU's queue. */
  isProbed = false;
  /** In flight in-band, the oldest first. */
  readonly #inBand: PendingCommand[] = [];
  readonly #oob = new Map<number, PendingCommand>();
  #nextInBand = 0;
  #nextOob = 0;

  /** In-band commands in flight. */
  get inBandCount(): number {
    return this.#inBand.length;
  }

  /** @param window the most in-band commands that may be in flight now */
  hasInBandRoom(window: number): boolean {
    return this.#inBand.length + (this.isProbed ? 1 : 0) < Math.min(window, WINDOW);
  }

  get hasOobRoom(): boolean {
    return this.#oob.size < OOB_WINDOW;
  }

  /** When the oldest in-band command in flight was sent; null for none. */
  get headSentAt(): number | null {
    return this.#inBand[0]?.sentAt ?? null;
  }

  /** The same of all that is in flight. */
  get oldestSentAt(): number | null {
    const head = this.headSentAt;
    const [oob] = this.#oob.values();
    return oob === undefined ? head : Math.min(oob.sentAt, head ?? oob.sentAt);
  }

  /** All commands in flight, in-band ones first, oldest first. */
  all(): PendingCommand[] {
    return [...this.#inBand, ...this.#oob.values()];
  }

  /** Commands sent before `time` that keep others waiting and have not been reported yet (`isWarned`). */
  stuck(time: number): PendingCommand[] {
    // In-band commands run one after the other: a command behind another one is not stuck itself.
    const running = [...this.#inBand.slice(0, 1), ...this.#oob.values()];
    return running.filter(({ isWarned, sentAt }) => !isWarned && sentAt <= time);
  }

  /** Puts a command in flight; there must be room. Sets its `upstreamId`. */
  add(command: PendingCommand): void {
    if (command.oob) {
      let id = FIRST_OOB_ID + this.#nextOob;
      while (this.#oob.has(id)) {
        this.#nextOob = (this.#nextOob + 1) % OOB_IDS;
        id = FIRST_OOB_ID + this.#nextOob;
      }
      this.#nextOob = (this.#nextOob + 1) % OOB_IDS;
      command.upstreamId = toUpstreamId(id);
      this.#oob.set(id, command);
      return;
    }
    command.upstreamId = toUpstreamId(this.#nextInBand);
    this.#nextInBand = (this.#nextInBand + 1) % IN_BAND_IDS;
    this.#inBand.push(command);
  }

  /** @returns the command that an answer with `id` belongs to, no longer in flight; null when it is nobody's. */
  take(id: number): PendingCommand | null {
    if (id >= FIRST_OOB_ID) {
      const command = this.#oob.get(id) ?? null;
      this.#oob.delete(id);
      return command;
    }
    return this.#inBand[0]?.upstreamId === id ? this.takeOldestInBand() : null;
  }

  /** @returns the oldest in-band command, no longer in flight: an error without an id is QEMU's answer to it. */
  takeOldestInBand(): PendingCommand | null {
    return this.#inBand.shift() ?? null;
  }

  /** Takes back a command that was added, but not sent. Only the latest added of its kind, newest first. */
  withdraw(command: PendingCommand): void {
    if (command.oob) this.#oob.delete(command.upstreamId);
    else {
      if (this.#inBand.at(-1) !== command) throw new Error('only the latest command can be withdrawn');
      this.#inBand.pop();
      this.#nextInBand = command.upstreamId;
    }
    command.upstreamId = -1;
  }

  /** @returns all commands, none of them in flight any more: the upstream is gone. */
  clear(): PendingCommand[] {
    const all = this.all();
    this.#inBand.length = 0;
    this.#oob.clear();
    this.isProbed = false;
    return all;
  }
}
