/**
 * How many in-band commands may be in flight. Two things bound it:
 * - QEMU stops reading, out-of-band commands included, when it has queued 8. While a client has enabled `oob`, there are at
 *   most 7.
 * - Who comes next waits for all that is in flight. So more than 7 are sent only to a QEMU that answers them within a
 *   millisecond; that pays where round trips cost more than commands, and never happens while commands take long.
 */

/** Below QEMU's `QMP_REQ_QUEUE_LEN_MAX` of 8 (monitor/monitor-internal.h). */
export const SMALL_WINDOW = 7;
/** Beyond this, longer pipelines gain nothing. */
export const LARGE_WINDOW = 512;
/** What is in flight should be answered within this time, in microseconds. */
const HORIZON = 1000;
/** What one client among several has in flight should be answered within this time, or be two commands. In microseconds. */
const SHARE_HORIZON = 100;
/** One that QEMU runs and one that it reads meanwhile: with these it is never idle. */
const SMALLEST_SHARE = 2;
/** What one client sends in its turn, before the next one's, should be answered within this time, in microseconds. */
const TURN_HORIZON = 16;
/** A crowd with fewer commands for each client sleeps between them, and is answered in better batches by who does so as well. */
export const MANY_OF_EACH = 2;
/** Weight of the newest answer in the mean. */
const WEIGHT = 1 / 16;

export class Pacing {
  /** Clients that may send out-of-band commands. */
  oobClients = 0;
  /** Mean time QEMU takes for a command, in microseconds; slow until shown otherwise. */
  #mean: number = HORIZON;
  #lastAnswer = 0;

  /** The upstream is another one now. */
  reset(): void {
    this.#mean = HORIZON;
    this.#lastAnswer = 0;
  }

  /** An in-band command that went upstream at `sentAt` was answered at `now` (microseconds of one clock). */
  answered(sentAt: number, now: number): void {
    const since = Math.max(this.#lastAnswer, sentAt);
    this.#mean += (now - since - this.#mean) * WEIGHT;
    this.#lastAnswer = now;
  }

  /**
   * How many commands of one client may be in flight while there are others. They would wait for all of them, and a QEMU that
   * takes longer for a command than we take to send the next one is not idle with two.
   */
  get share(): number {
    return Math.max(SMALLEST_SHARE, Math.floor(SHARE_HORIZON / Math.max(1, this.#mean)));
  }

  /** How many commands a client may send in its turn. Those of one client together cost less than each by itself. */
  get turn(): number {
    return Math.max(1, Math.floor(TURN_HORIZON / Math.max(1, this.#mean)));
  }

  /** Whether answers come so fast that waiting for them by sleeping costs more than they do. */
  get isFast(): boolean {
    return this.turn > 1;
  }

  get window(): number {
    if (this.oobClients > 0) return SMALL_WINDOW;
    return Math.min(LARGE_WINDOW, Math.max(SMALL_WINDOW, Math.floor(HORIZON / Math.max(1, this.#mean))));
  }
}
