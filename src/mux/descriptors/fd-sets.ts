/**
 * The files that clients have put into QEMU's fd sets with `add-fd` and nobody has used, so that they can go with their client.
 *
 * Before 9.1 QEMU closes files that nobody has opened by `/dev/fdset/N` when its last monitor closes, if the VM is running
 * (monitor_fdsets_cleanup; 9.1 keeps it). Our connection never closes, so QEMU's open files would grow with each client that adds one and
 * leaves. A set is taken for used, for good, once any command names it: QEMU does not report whether it has opened it.
 */
import type { Leaf } from '../policy/arguments.js';
import type { NameOwner } from './names.js';

/** A file in a set, as QEMU numbers both. */
export interface SetFile {
  readonly set: number;
  readonly fd: number;
}

interface Entry extends SetFile {
  readonly owner: NameOwner;
}

/** At most this many used sets are remembered; with more, no file is closed any more. */
const MOST_USED = 4096;
const SET_PATH = /fdset\/(\d{1,15})/g;

export class FdSets {
  /** By set. */
  readonly #unused = new Map<number, Entry[]>();
  readonly #used = new Set<number>();

  /** Whether there are files that nobody has used. */
  get isTracking(): boolean {
    return this.#unused.size > 0;
  }

  /** QEMU has taken a client's file. */
  added(file: SetFile, owner: NameOwner): void {
    if (this.#used.has(file.set) || this.#used.size >= MOST_USED) return;
    const entries = this.#unused.get(file.set) ?? [];
    entries.push({ ...file, owner });
    this.#unused.set(file.set, entries);
  }

  /** A command with these arguments goes to QEMU. @param leaves null for too many to be looked at */
  mentioned(leaves: readonly Leaf[] | null): void {
    if (leaves === null) {
      this.#useAll();
      return;
    }
    for (const { text } of leaves) {
      if (text.includes('fdset')) this.#mention(text);
      // A file name in JSON, in which a slash or a letter may be escaped.
      else if (text.includes('json:') && text.includes('\\')) this.#useAll();
    }
  }

  /** A client takes files out of a set itself. */
  removed(set: number): void {
    this.#unused.delete(set);
  }

  /** @returns the files that nobody has used, of clients that have left; they are tracked no more */
  takeLeftovers(): readonly SetFile[] {
    const left: SetFile[] = [];
    for (const [set, entries] of this.#unused) {
      const kept: Entry[] = [];
      for (const entry of entries) {
        if (entry.owner.isConnected) kept.push(entry);
        else left.push(entry);
      }
      if (kept.length > 0) this.#unused.set(set, kept);
      else this.#unused.delete(set);
    }
    return left;
  }

  /** Whether `takeLeftovers` would have any. */
  get hasLeftovers(): boolean {
    for (const entries of this.#unused.values()) if (entries.some(({ owner }) => !owner.isConnected)) return true;
    return false;
  }

  /** QEMU is gone. */
  clear(): void {
    this.#unused.clear();
    this.#used.clear();
  }

  #mention(text: string): void {
    let isNamed = false;
    for (const [, digits] of text.matchAll(SET_PATH)) {
      isNamed = true;
      this.#use(Number(digits));
    }
    if (!isNamed) this.#useAll();
  }

  #useAll(): void {
    for (const set of this.#unused.keys()) this.#use(set);
  }

  #use(set: number): void {
    this.#unused.delete(set);
    if (this.#used.size < MOST_USED) this.#used.add(set);
  }
}
