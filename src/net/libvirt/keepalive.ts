/**
 * Notices that a peer is gone which does not say so: a host without power, a network that is down, a process that hangs. As libvirt's own
 * clients do, it is asked when it was silent for a while, and given up when it does not answer several times in a row.
 */
import { Countdown } from '../../system/countdown.js';

export interface KeepAliveOptions {
  /** How long a silence may last until the peer is asked, and again until it is asked the next time. In milliseconds. */
  readonly interval: number;
  /** How often in a row it may leave that unanswered. */
  readonly count: number;
}

/** Those of virsh, and of libvirtd for its clients. */
export const KEEP_ALIVE: KeepAliveOptions = { interval: 5000, count: 5 };

export class KeepAlive {
  readonly #options: KeepAliveOptions;
  readonly #ask: () => void;
  readonly #dead: (silence: number) => void;
  #timer: Countdown;
  #wasHeard = false;
  #unanswered = 0;
  /** While we do not read, a silence is our own. */
  isPaused = false;

  /** Begins at once. @param dead is called once, with the milliseconds that the silence has lasted; then it is over. */
  constructor(options: KeepAliveOptions, ask: () => void, dead: (silence: number) => void) {
    this.#options = options;
    this.#ask = ask;
    this.#dead = dead;
    this.#timer = this.#wait();
  }

  /** Something came. Called for each piece of it, so it does next to nothing. */
  heard(): void {
    this.#wasHeard = true;
  }

  stop(): void {
    this.#timer.stop();
  }

  #wait(): Countdown {
    return new Countdown(this.#options.interval, () => {
      this.#look();
    });
  }

  #look(): void {
    const { interval, count } = this.#options;
    const isQuiet = !this.#wasHeard && !this.isPaused;
    this.#wasHeard = false;
    if (!isQuiet) this.#unanswered = 0;
    else if (this.#unanswered === count) {
      this.#dead(interval * (count + 1));
      return;
    } else {
      this.#unanswered++;
      this.#ask();
    }
    this.#timer = this.#wait();
  }
}
