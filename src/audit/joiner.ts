/**
 * Joins commands with their answers, and gives occurrences in the order of the log. Memory is bounded: a command whose answer is far away
 * is given without it, and the answer when it comes.
 */
import type { Occurrence } from './filter.js';
import { type AuditRecord, numberOf } from './record.js';

/** A record with its line, for those who show either. */
export interface Entry extends Occurrence {
  /** As it stands in the log. */
  readonly line: string;
  /** That of the answer. */
  readonly answerLine: string | null;
}

interface Waiting {
  readonly record: AuditRecord;
  readonly line: string;
  answer: AuditRecord | null;
  answerLine: string | null;
  /** Whether an answer may still come. */
  isOpen: boolean;
}

/** So many occurrences wait behind a command without an answer. */
const MOST_WAITING = 2048;

export class Joiner {
  readonly #give: (entry: Entry) => void;
  #queue: Waiting[] = [];
  #head = 0;
  readonly #open = new Map<number, Waiting>();

  /** @param give called for each occurrence */
  constructor(give: (entry: Entry) => void) {
    this.#give = give;
  }

  /** Whether anything is held back. */
  get isWaiting(): boolean {
    return this.#head < this.#queue.length;
  }

  push(record: AuditRecord, line: string): void {
    const of = numberOf(record, 'of');
    const command = of === null ? undefined : this.#open.get(of);
    if (of !== null && command !== undefined) {
      this.#open.delete(of);
      command.answer = record;
      command.answerLine = line;
      command.isOpen = false;
    } else {
      const isOpen = record.kind === 'command';
      const waiting = { record, line, answer: null, answerLine: null, isOpen };
      this.#queue.push(waiting);
      if (isOpen) this.#open.set(record.seq, waiting);
    }
    this.#drain(MOST_WAITING);
  }

  /** Gives everything that is held back. */
  flush(): void {
    this.#drain(0);
  }

  #drain(most: number): void {
    for (let first = this.#queue[this.#head]; first !== undefined; first = this.#queue[this.#head]) {
      if (first.isOpen && this.#queue.length - this.#head <= most) break;
      this.#head++;
      this.#open.delete(first.record.seq);
      this.#give(first);
    }
    if (this.#head < 1024 && this.#head < this.#queue.length) return;
    this.#queue = this.#queue.slice(this.#head);
    this.#head = 0;
  }
}
