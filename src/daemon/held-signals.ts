/**
 * Signals that ask something of a daemon: one that comes before the daemon is there would end the process (signal(7)), so
 * it is held, and carried out then.
 */
const HELD = ['SIGHUP', 'SIGUSR2'] as const;

type Held = (typeof HELD)[number];

export class HeldSignals {
  readonly #come = new Set<Held>();
  #actions: Readonly<Record<Held, () => void>> | null = null;

  constructor() {
    for (const signal of HELD) {
      process.on(signal, () => {
        if (this.#actions === null) this.#come.add(signal);
        else this.#actions[signal]();
      });
    }
  }

  /** Has signals carried out from now on, and those that have come. */
  release(actions: Readonly<Record<Held, () => void>>): void {
    this.#actions = actions;
    for (const signal of this.#come) actions[signal]();
    this.#come.clear();
  }
}
