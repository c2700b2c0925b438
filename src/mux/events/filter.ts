/** Which of the VM's events the clients of a listener get. */
import { matchesGlob } from '../../shared/glob.js';

/** Event names remembered at most; QEMU has some sixty. */
const MOST_NAMES = 256;

export class EventFilter {
  readonly #globs: readonly string[];
  readonly #seen = new Map<string, boolean>();

  /** @param globs patterns of names; an event passes that matches one of them, so without any none does */
  constructor(globs: readonly string[]) {
    this.#globs = globs;
  }

  passes(name: string): boolean {
    let passes = this.#seen.get(name);
    if (passes === undefined) {
      passes = this.#globs.some((glob) => matchesGlob(glob, name));
      if (this.#seen.size < MOST_NAMES) this.#seen.set(name, passes);
    }
    return passes;
  }
}
