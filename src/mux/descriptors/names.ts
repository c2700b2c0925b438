/**
 * The names that clients have given to descriptors with `getfd`. QEMU has one name space for all clients of a monitor: a second
 * `getfd` with a name closes the first one's file, without a word. So a name is its client's until it is used or closed, or the
 * client leaves; attempts of others to change it meanwhile are refused. Why names have no prefix by client: docs/adr/0009.
 *
 * QEMU takes a name out of its table when a command uses it. We know of no list of all arguments that are such names, so a
 * command that succeeds with a name for one of its values has used it up.
 */
import type { Leaf } from '../policy/arguments.js';
import type { ClientView } from '../ports/observer.js';

/** A possible owner of names. */
export interface NameOwner extends ClientView {
  readonly isConnected: boolean;
}

interface Entry {
  readonly owner: NameOwner;
  /** Whether QEMU has it, as far as known; and how many of the owner's `getfd` have no answer yet. */
  isHeld: boolean;
  asked: number;
}

/** The prefix of a name in `migrate` and the like. */
const PREFIX = 'fd:';

export class DescriptorNames {
  readonly #entries = new Map<string, Entry>();

  get isEmpty(): boolean {
    return this.#entries.size === 0;
  }

  /** @returns the client that a name belongs to, if that is another one and is there. */
  ownerBeside(name: string, client: NameOwner): NameOwner | null {
    const owner = this.#entries.get(bare(name))?.owner ?? null;
    return owner !== null && owner !== client && owner.isConnected ? owner : null;
  }

  /** A client has asked for a name, which belongs to no one else. */
  claim(name: string, client: NameOwner): void {
    const key = bare(name);
    const entry = this.#entries.get(key);
    if (entry?.owner === client) entry.asked++;
    else this.#entries.set(key, { owner: client, isHeld: false, asked: 1 });
  }

  /** A client's request for a name has its answer, or never will. */
  settle(name: string, client: NameOwner, isHeld: boolean): void {
    const key = bare(name);
    const entry = this.#entries.get(key);
    if (entry?.owner !== client) return;
    entry.asked--;
    entry.isHeld ||= isHeld;
    if (!entry.isHeld && entry.asked <= 0) this.#entries.delete(key);
  }

  /** @returns the names among these that occur in a command's arguments. */
  mentioned(leaves: () => readonly Leaf[] | null): readonly string[] {
    if (this.#entries.size === 0) return NONE;
    const found: string[] = [];
    for (const { text } of leaves() ?? []) {
      // `fds` and `vhostfds` are lists with colons between.
      for (const word of [text, ...text.split(':'), ...(text.startsWith(PREFIX) ? [text.slice(PREFIX.length)] : [])]) {
        if (this.#entries.has(bare(word))) found.push(bare(word));
      }
    }
    return found;
  }

  /** These are in use, or closed: QEMU has them no more. */
  release(names: readonly string[]): void {
    for (const name of names) this.#entries.delete(name);
  }

  /** A client is gone. QEMU keeps its names, for any later client. */
  forget(client: NameOwner): void {
    for (const [name, { owner }] of this.#entries) if (owner === client) this.#entries.delete(name);
  }

  /** QEMU is gone, and all names with it. */
  clear(): void {
    this.#entries.clear();
  }
}

const NONE: readonly string[] = [];

/** A name as QEMU knows it: a C string. */
function bare(name: string): string {
  const end = name.indexOf('\0');
  return end < 0 ? name : name.slice(0, end);
}
