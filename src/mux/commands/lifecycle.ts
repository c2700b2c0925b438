/**
 * The life of a command: its stages, and the only functions that change them.
 *
 *     read ──► waiting ──► sent ──────► done        QEMU's reply goes to the client
 *      │          │         ├─► abandoned ──► done  the client was given an error; QEMU's reply goes to nobody
 *      │          │         ▼
 *      └──────────┴──► answered ──────► done        a reply of ours, in its turn among the client's answers
 *                 │         ▲
 *                 └► running┘                       one of our own commands
 *
 * From every stage but `read` a command may be done without an answer, when its client or QEMU is gone.
 *
 * The lists that a command can be in (client-queue.ts, in-flight.ts) learn its stage from here, and only here.
 */

/**
 * - `read`: from the client's bytes, in no list yet.
 * - `waiting`: in its client's queue, to be sent to QEMU or carried out here.
 * - `sent`: QEMU has it, or has the same query of another client, whose reply is for both.
 * - `running`: is being carried out here.
 * - `answered`: has a reply of ours, which may have to wait for the client's earlier answers.
 * - `abandoned`: QEMU has it, but its client has been given an error in place of the answer.
 * - `done`: nobody waits for it.
 */
export type Stage = 'read' | 'waiting' | 'sent' | 'running' | 'answered' | 'abandoned' | 'done';

/** From each stage, those that may follow. */
const NEXT: Readonly<Record<Stage, readonly Stage[]>> = {
  read: ['waiting', 'answered'],
  waiting: ['sent', 'running', 'answered', 'done'],
  // Answered here: QEMU was lost, the command could not be recorded, or the answer came from memory after all.
  sent: ['answered', 'abandoned', 'done'],
  running: ['answered', 'done'],
  answered: ['done'],
  abandoned: ['done'],
  done: [],
};

export abstract class Lifecycle {
  #stage: Stage = 'read';

  get stage(): Stage {
    return this.#stage;
  }

  /** Whether it counts among those that its client has upstream. */
  get isInFlight(): boolean {
    return this.#stage === 'sent';
  }

  /** It is in its client's queue. */
  markWaiting(): void {
    this.#become('waiting');
  }

  /** It is chosen to go to QEMU in this turn. */
  markSent(): void {
    this.#become('sent');
  }

  /** Its turn has come to be carried out here. */
  markRunning(): void {
    this.#become('running');
  }

  /** It has a reply of ours. */
  markAnswered(): void {
    this.#become('answered');
  }

  /** Its client waits for QEMU's answer no longer. */
  markAbandoned(): void {
    this.#become('abandoned');
  }

  /** Nobody waits for it any more. */
  markDone(): void {
    this.#become('done');
  }

  /** @throws Error if `stage` may not follow: a fault of ours */
  #become(stage: Stage): void {
    if (!NEXT[this.#stage].includes(stage)) throw new Error(`a command that is ${this.#stage} cannot be ${stage}`);
    this.#stage = stage;
  }
}
