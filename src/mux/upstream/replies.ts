/** Delivers replies to the commands that wait for them: QEMU's replies, and those served from memory. */
import type { Envelope } from '../../qmp/stream/envelope.js';
import type { PendingCommand } from '../commands/command.js';
import { LatencyHistogram } from '../commands/reply-stats.js';
import type { Bookkeeping } from '../ports/bookkeeping.js';
import type { ReplySource } from '../ports/observer.js';
import { isConstant, ReplyCache } from './reply-cache.js';

export class Replies {
  /** Statistics of the answers to all clients. */
  readonly tally = new LatencyHistogram();
  readonly #books: Bookkeeping;
  readonly #cache: ReplyCache | null;

  /** @param mayKeep whether replies that cannot change while QEMU lives are served from memory */
  constructor(books: Bookkeeping, mayKeep: boolean) {
    this.#books = books;
    this.#cache = mayKeep ? new ReplyCache() : null;
  }

  /** Delivers QEMU's reply to a command, and to those that share it. @param now when it came */
  deliver(command: PendingCommand, envelope: Envelope, isError: boolean, now: number): void {
    if (!isError && command.isPlainQuery && isConstant(command.name)) this.#cache?.keep(command.name, envelope);
    // The command may be reused once it has its reply.
    const { followers } = command;
    this.#deliverOne(command, envelope, isError, 'upstream', now);
    for (const follower of followers) this.#deliverOne(follower, envelope, isError, 'shared', now);
  }

  /** Answers a plain query from memory. @returns whether there was an answer. */
  answerFromCache(command: PendingCommand, now: number): boolean {
    const reply = this.#cache?.get(command.name, command.id) ?? null;
    if (reply === null) return false;
    this.#books.observer?.answered(command, reply, false, 'cached');
    this.#count(command, now, false);
    command.owner.answerLocally(command, reply);
    return true;
  }

  /** Forgets all replies kept: the upstream is gone. */
  clear(): void {
    this.#cache?.clear();
  }

  #deliverOne(command: PendingCommand, envelope: Envelope, isError: boolean, source: ReplySource, now: number): void {
    if (command.stage !== 'abandoned') {
      this.#count(command, now, isError);
      command.owner.deliverReply(command, envelope, isError, source);
    } else {
      this.#books.observer?.answered(command, envelope.withId(command.id), isError, 'late');
      command.release();
    }
  }

  #count(command: PendingCommand, now: number, isError: boolean): void {
    const time = now - command.receivedAt;
    command.owner.tally.add(time, isError);
    this.tally.add(time, isError);
  }
}
