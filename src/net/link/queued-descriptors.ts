/**
 * Whether descriptors wait in a unix socket's queue, at the same price however many messages lie there: Linux tells it of each
 * socket in /proc/self/fdinfo, since 5.7 (`scm_fds`: net/unix/af_unix.c, unix_show_fdinfo). Where it does not, or /proc is
 * not there, nothing is known, and whoever asks has to look at the messages.
 */
import { closeSync, openSync } from 'node:fs';
import type { MessageCalls } from './message-calls.js';

/** Each costs an open file, of which the process has a limited number; this many, for those that send the most, are enough. */
const MOST_WATCHED = 256;
let watched = 0;

export class QueuedDescriptors {
  readonly #calls: MessageCalls;
  #info: number;

  private constructor(calls: MessageCalls, info: number) {
    this.#calls = calls;
    this.#info = info;
    watched++;
  }

  /**
   * @param fd a socket; `close` is to be called before another file can have its number
   * @returns null where nothing is known of it
   */
  static of(fd: number, calls: MessageCalls): QueuedDescriptors | null {
    if (watched >= MOST_WATCHED) return null;
    try {
      return new QueuedDescriptors(calls, openSync(`/proc/self/fdinfo/${fd}`, 'r'));
    } catch {
      return null;
    }
  }

  /** Whether the queue has none now; false also where it is not known. */
  get isEmpty(): boolean {
    return this.#info >= 0 && this.#calls.tellsNoDescriptors(this.#info);
  }

  close(): void {
    if (this.#info < 0) return;
    closeSync(this.#info);
    this.#info = -1;
    watched--;
  }
}
