/**
 * Joins commands with their answers, and gives occurrences in the order in which they are pushed. An answer belongs to a command of its
 * own log, of the same monitor, listener and client, and of the same run of the daemon: numbers of records and of clients say
 * nothing elsewhere. Memory is bounded: a command whose answer is far away is given without it, and the answer when it comes.
 */

import { type AuditRecord, numberOf, textOf } from '../log/record.js';
import type { Occurrence } from './filter.js';

/** A record with its line, for readers that show either. */
export interface Entry extends Occurrence {
  /** Its text in the log. */
  readonly line: string;
  /** That of the answer. */
  readonly answerLine: string | null;
  /** Which of the logs that are read it is from; by name, as it is shown. */
  readonly log: string;
}

interface Waiting extends Entry {
  answer: AuditRecord | null;
  answerLine: string | null;
  /** Whether an answer may still come. */
  isOpen: boolean;
}

/** The state of one of the logs. */
interface LogState {
  /** Commands without an answer so far, by their numbers. */
  readonly open: Map<number, Waiting>;
  run: number;
  /** The daemon's process, once a record says so. */
  pid: number | null;
  /** The number of the record before; 0 before the first. */
  seq: number;
}

/** How many occurrences wait after a command without an answer, and how many characters of them. */
const MOST_WAITING = 2048;
const MOST_HELD = 32 * 1024 * 1024;

export class Joiner {
  readonly #give: (entry: Entry) => void;
  readonly #logs = new Map<string, LogState>();
  #queue: Waiting[] = [];
  #head = 0;
  #held = 0;

  /** @param give called for each occurrence */
  constructor(give: (entry: Entry) => void) {
    this.#give = give;
  }

  /** Whether anything is held back. */
  get isWaiting(): boolean {
    return this.#head < this.#queue.length;
  }

  /** @returns whether a command of a log has no answer yet. @param until only commands up to then count, in milliseconds since 1970 */
  isAwaiting(log: string, until: number): boolean {
    for (const { record } of this.#logs.get(log)?.open.values() ?? [])
      if (Date.parse(record.time) <= until) return true;
    return false;
  }

  /** @param log the name of the log that the record is from */
  push(record: AuditRecord, line: string, log = ''): void {
    const state = this.#stateOf(log);
    if (record.seq <= state.seq) this.#close(state);
    if (isStart(record)) this.#begin(state, record);
    state.seq = record.seq;
    const of = numberOf(record, 'of');
    const command = of === null ? undefined : state.open.get(of);
    this.#held += line.length;
    if (of !== null && command !== undefined && isOfSameClient(command.record, record)) {
      state.open.delete(of);
      command.answer = record;
      command.answerLine = line;
      command.isOpen = false;
    } else {
      const isOpen = record.kind === 'command';
      const waiting = { record, line, answer: null, answerLine: null, isOpen, log, run: state.run };
      this.#queue.push(waiting);
      if (isOpen) state.open.set(record.seq, waiting);
    }
    this.#drain(MOST_WAITING, MOST_HELD);
  }

  /** Gives everything that is held back. */
  flush(): void {
    this.#drain(0, 0);
  }

  #stateOf(log: string): LogState {
    let state = this.#logs.get(log);
    if (state === undefined) {
      state = { open: new Map(), run: 1, pid: null, seq: 0 };
      this.#logs.set(log, state);
    }
    return state;
  }

  /** Another run of the daemon, unless it has only started to record again. */
  #begin(state: LogState, record: AuditRecord): void {
    const pid = numberOf(record, 'pid');
    if (state.seq > 0 && (pid === null || pid !== state.pid)) state.run++;
    state.pid = pid;
    this.#close(state);
  }

  /** No answer can come any more. */
  #close(state: LogState): void {
    for (const waiting of state.open.values()) waiting.isOpen = false;
    state.open.clear();
  }

  #drain(most: number, mostHeld: number): void {
    for (let first = this.#queue[this.#head]; first !== undefined; first = this.#queue[this.#head]) {
      if (first.isOpen && this.#queue.length - this.#head <= most && this.#held <= mostHeld) break;
      this.#head++;
      if (first.isOpen) this.#logs.get(first.log)?.open.delete(first.record.seq);
      this.#held -= first.line.length + (first.answerLine?.length ?? 0);
      this.#give(first);
    }
    if (this.#head < 1024 && this.#head < this.#queue.length) return;
    this.#queue = this.#queue.slice(this.#head);
    this.#head = 0;
  }
}

/** @returns whether a record is the first of a run of the daemon, or of its recording. */
export function isStart(record: AuditRecord): boolean {
  return record.kind === 'daemon' && textOf(record, 'action') === 'start';
}

/** @returns whether an answer and a command of the number that it names are about the same client. */
export function isOfSameClient(command: AuditRecord, answer: AuditRecord): boolean {
  return ['monitor', 'listener', 'client'].every((name) => command.members[name] === answer.members[name]);
}
