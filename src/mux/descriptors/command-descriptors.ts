/** One command's use of descriptors: the file that goes with it, and the names in its arguments. */

import type { Descriptor } from '../ports/link.js';
import type { ClientDescriptors } from './client-descriptors.js';
import type { DescriptorNames, NameOwner } from './names.js';

export interface DescriptorUseOptions {
  /** Whether QEMU takes a waiting descriptor for it: at most one such command is upstream. */
  readonly isTaker: boolean;
  /** The one that goes with it. */
  readonly descriptor: Descriptor | null;
  /** The name it gives, for which there is a claim. */
  readonly name: string | null;
  /** Other names in its arguments. */
  readonly mentions: readonly string[];
  /** Called with QEMU's answer, the text of the whole message; not called for an error. */
  readonly heard?: (reply: string) => void;
}

export class CommandDescriptors {
  readonly isTaker: boolean;
  /** The file, for an observer; it may have been handed over since. */
  readonly descriptor: Descriptor | null;
  /** Whether a descriptor went to QEMU with it. */
  isSent = false;
  /** When the command went to QEMU, in microseconds; for a taker only. */
  sentAt = 0;
  readonly client: NameOwner;
  readonly #held: ClientDescriptors;
  readonly #names: DescriptorNames;
  readonly #mentions: readonly string[];
  readonly #heard: ((reply: string) => void) | null;
  #name: string | null;
  #isOurs: boolean;

  constructor(client: NameOwner, held: ClientDescriptors, names: DescriptorNames, options: DescriptorUseOptions) {
    this.client = client;
    this.#held = held;
    this.#names = names;
    this.isTaker = options.isTaker;
    this.descriptor = options.descriptor;
    this.#name = options.name;
    this.#mentions = options.mentions;
    this.#heard = options.heard ?? null;
    this.#isOurs = options.descriptor !== null;
    if (this.#isOurs) held.inCommands++;
    if (this.#name !== null) names.claim(this.#name, client);
  }

  /** @returns the file, for its sender; null if there is none. */
  handOver(): Descriptor | null {
    if (!this.#isOurs) return null;
    this.#isOurs = false;
    this.#held.inCommands--;
    this.isSent = true;
    return this.descriptor;
  }

  /** QEMU has answered. @param reply the text of the whole message, for those who listen */
  answered(isError: boolean, reply: () => string): void {
    if (!isError && this.#heard !== null) this.#heard(reply());
    this.#settle(!isError);
    if (!isError) this.#names.release(this.#mentions);
  }

  /** The command is over. Does nothing to files that have been handed over, or claims that have been answered. */
  release(): void {
    this.handOver()?.close();
    this.#settle(false);
  }

  #settle(isHeld: boolean): void {
    if (this.#name !== null) this.#names.settle(this.#name, this.client, isHeld);
    this.#name = null;
  }
}
