/**
 * The open files that one client has sent and no command has taken yet, as QEMU's own socket keeps them (tcp_chr_recv in its
 * chardev/char-socket.c): of a message's descriptors the first counts; it waits until a command takes it, which may come later, or be the
 * one whose bytes it came with; the next message with descriptors takes its place.
 *
 * QEMU reads byte by byte and executes commands as it reads them, so the place of a command's last byte in the client's stream decides
 * which descriptor it finds. A descriptor that does not wait any more is closed.
 */
import type { Descriptor } from '../ports/link.js';

/** The descriptor that waits at one place of the stream. */
export interface Arrival {
  /** Bytes of the stream before it. */
  readonly at: number;
  /** null for one that could not be kept; then `fault` says why. */
  readonly descriptor: Descriptor | null;
  readonly fault: string;
}

/** A client whose unsent commands hold this many is not read until half as many are left. */
const MOST_IN_COMMANDS = 16;

export class ClientDescriptors {
  /** Those of the client's commands that have not gone upstream. */
  inCommands = 0;
  /** In the order of the stream; of those that have been read, only the last counts. */
  #waiting: Arrival[] = [];

  /** How many are open here. */
  get count(): number {
    return this.inCommands + this.#waiting.filter(({ descriptor }) => descriptor !== null).length;
  }

  get isFull(): boolean {
    return this.inCommands >= MOST_IN_COMMANDS;
  }

  get hasRoom(): boolean {
    return this.inCommands <= MOST_IN_COMMANDS / 2;
  }

  /** Whether there is something that `readUpTo` may close. */
  get hasSeveral(): boolean {
    return this.#waiting.length > 1;
  }

  /**
   * Takes over the descriptors of one message, after `at` bytes of the stream.
   * @param fault why the first is not kept; null when it is
   */
  arrive(at: number, descriptors: readonly Descriptor[], fault: string | null): void {
    const [first = null, ...others] = descriptors;
    for (const other of others) other.close();
    if (fault !== null) first?.close();
    this.#waiting.push({ at, descriptor: fault === null ? first : null, fault: fault ?? '' });
  }

  /** The stream has been read up to `end`: descriptors overtaken by then are closed. */
  readUpTo(end: number): void {
    for (let next = this.#waiting[1]; next !== undefined && next.at < end; next = this.#waiting[1]) {
      this.#waiting.shift()?.descriptor?.close();
    }
  }

  /** @returns the descriptor for a command whose last byte is the one before `end`; null if none waits for it. */
  take(end: number): Arrival | null {
    if (this.#waiting.length === 0) return null;
    this.readUpTo(end);
    const [first] = this.#waiting;
    return first !== undefined && first.at < end ? (this.#waiting.shift() ?? null) : null;
  }

  /** Closes the waiting descriptors: nobody is going to take them. */
  close(): void {
    for (const { descriptor } of this.#waiting) descriptor?.close();
    this.#waiting = [];
  }
}
