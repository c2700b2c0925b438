/**
 * Upstream id → the command that waits for it. Rules:
 * - In-band commands are answered strictly in the order sent (monitor/qmp.c). An answer with another id than the oldest's
 *   is nobody's: it is not delivered.
 * - The first few in-band commands in flight have single digits, taken in turn: QEMU reads byte by byte, so a digit is
 *   worth several microseconds. Those beyond have two digits, and those beyond these three. There are more of each kind than are
 *   ever in flight, so no id comes back while an answer to it could still come, and an answer that comes twice does not fit
 *   the command that is oldest then.
 * - Out-of-band commands have three digits of their own, answered in any order.
 * - Our own probes have four digits (upstream-probe.ts), and are not kept here.
 */
import type { UpstreamId } from '../ports/link.js';
import { LARGE_WINDOW, SMALL_WINDOW } from '../upstream/pacing.js';
import type { PendingCommand } from './command.js';

/** Ids of in-band commands: those of a row are taken in turn, and for a command that finds fewer than `below` in flight. */
interface Row {
  readonly first: number;
  readonly count: number;
  readonly below: number;
}
const ROWS: readonly Row[] = [
  { first: 0, count: 10, below: SMALL_WINDOW },
  { first: 10, count: 90, below: 64 },
  { first: 100, count: 800, below: LARGE_WINDOW },
];
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
  /** In flight in-band: `#count` of them, the oldest in slot `#first`, the others in the slots behind it, round the end; others are null. */
  readonly #inBand: (PendingCommand | null)[] = [];
  #first = 0;
  #count = 0;
  readonly #oob = new Map<number, PendingCommand>();
  /** Of each row of ids, which is next, counted from its first. */
  readonly #next: number[] = ROWS.map(() => 0);
  #nextOob = 0;

  /** In-band commands in flight. */
  get inBandCount(): number {
    return this.#count;
  }

  /** @param window the most in-band commands that may be in flight now */
  hasInBandRoom(window: number): boolean {
    return this.#count + (this.isProbed ? 1 : 0) < Math.min(window, LARGE_WINDOW);
  }

  get hasOobRoom(): boolean {
    return this.#oob.size < OOB_WINDOW;
  }

  /** When the oldest in-band command in flight was sent; null for none. */
  get headSentAt(): number | null {
    return this.#inBand[this.#first]?.sentAt ?? null;
  }

  /** The same of all that is in flight. */
  get oldestSentAt(): number | null {
    const head = this.headSentAt;
    const [oob] = this.#oob.values();
    return oob === undefined ? head : Math.min(oob.sentAt, head ?? oob.sentAt);
  }

  /** All commands in flight, in-band ones first, oldest first. */
  all(): PendingCommand[] {
    const all: PendingCommand[] = [];
    for (let i = 0; i < this.#count; i++) {
      const command = this.#inBand[(this.#first + i) % LARGE_WINDOW] ?? null;
      if (command !== null) all.push(command);
    }
    return [...all, ...this.#oob.values()];
  }

  /** Those sent before `time` that keep others waiting, and of which that was not told (`isWarned`). */
  stuck(time: number): PendingCommand[] {
    const oldest = this.#inBand[this.#first] ?? null;
    // In-band commands run one after the other: whoever is behind another is not stuck itself.
    const running = oldest === null ? [...this.#oob.values()] : [oldest, ...this.#oob.values()];
    return running.filter(({ isWarned, sentAt }) => !isWarned && sentAt <= time);
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
      return;
    }
    let index = 0;
    while (index < ROWS.length - 1 && this.#count >= (ROWS[index]?.below ?? 0)) index++;
    const { first, count } = rowAt(index);
    const next = this.#next[index] ?? 0;
    command.upstreamId = toUpstreamId(first + next);
    this.#next[index] = (next + 1) % count;
    this.#inBand[(this.#first + this.#count) % LARGE_WINDOW] = command;
    this.#count++;
  }

  /** @returns the command that an answer with `id` belongs to, no longer in flight; null when it is nobody's. */
  take(id: number): PendingCommand | null {
    if (id >= FIRST_OOB_ID) {
      const command = this.#oob.get(id) ?? null;
      this.#oob.delete(id);
      return command;
    }
    return this.#inBand[this.#first]?.upstreamId === id ? this.takeOldestInBand() : null;
  }

  /** @returns the oldest in-band command, no longer in flight: an error without an id is QEMU's answer to it. */
  takeOldestInBand(): PendingCommand | null {
    const command = this.#inBand[this.#first] ?? null;
    if (command === null) return null;
    this.#inBand[this.#first] = null;
    this.#first = (this.#first + 1) % LARGE_WINDOW;
    this.#count--;
    return command;
  }

  /** Takes back a command that was added, but not sent after all. Only the latest added of its kind, newest first. */
  withdraw(command: PendingCommand): void {
    if (command.oob) this.#oob.delete(command.upstreamId);
    else {
      const last = (this.#first + this.#count - 1) % LARGE_WINDOW;
      if (this.#count === 0 || this.#inBand[last] !== command)
        throw new Error('only the latest command can be withdrawn');
      this.#inBand[last] = null;
      this.#count--;
      const index = ROWS.findLastIndex(({ first }) => command.upstreamId >= first);
      this.#next[index] = command.upstreamId - rowAt(index).first;
    }
    command.upstreamId = -1;
    command.stage = 'waiting';
  }

  /** @returns all commands, none of them in flight any more: the upstream is gone. */
  clear(): PendingCommand[] {
    const all = this.all();
    this.#inBand.fill(null);
    this.#first = 0;
    this.#count = 0;
    this.#oob.clear();
    this.isProbed = false;
    return all;
  }
}

function rowAt(index: number): Row {
  const row = ROWS[index];
  if (row === undefined) throw new RangeError(`no row ${index}`);
  return row;
}
