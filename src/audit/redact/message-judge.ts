/** Decides which parts of each message go into the audit log. A fault of the redactor withholds the message it met, and nothing else. */

import type { Report } from '../log/sink.js';
import type { AnswerSecrets, Redacted, RedactedCommand, Redactor } from './redaction.js';

/** The most commands remembered whose answer was given up and may hold secrets. */
const MOST_ORPHANS = 8;
/** The longest description of a fault, in characters. */
const LONGEST_FAULT = 2000;

export class MessageJudge {
  readonly #redactor: Redactor;
  readonly #report: Report;
  /** Secrets of the last commands whose answer was given up: it may still come, as an answer to no command. */
  readonly #orphans: AnswerSecrets[] = [];
  #hasReported = false;

  /** @param report for the daemon's own log */
  constructor(redactor: Redactor, report: Report) {
    this.#redactor = redactor;
    this.#report = report;
  }

  /** @returns the recorded form of a command, as `Redactor.command`. */
  command(name: string, raw: Uint8Array): RedactedCommand | null {
    try {
      return this.#redactor.command(name, raw);
    } catch (error) {
      this.fault(error, raw.length);
      return this.#redactor.unreadable(raw);
    }
  }

  /** @returns the result of `redact`, or the message withheld when that fails. */
  guard(redact: () => Redacted | null, raw: Uint8Array): Redacted | null {
    try {
      return redact();
    } catch (error) {
      this.fault(error, raw.length);
      return this.#redactor.withheld(raw);
    }
  }

  /**
   * @param whole a message from QEMU; null when it is too long to be in one piece
   * @param message the same, in pieces
   * @returns as `Redactor.other`
   */
  other(whole: Uint8Array | null, message: readonly Uint8Array[]): Redacted | null {
    if (whole === null) return this.#redactor.withheld(...message);
    return this.guard(() => this.#redactor.other(whole), whole);
  }

  /** Remembers a command's secrets in its answer, which is no longer waited for. */
  giveUp(secrets: AnswerSecrets): void {
    if (this.#orphans.push(secrets) > MOST_ORPHANS) this.#orphans.shift();
  }

  /** @returns the message withheld if it may be an answer that was given up, with a secret in it; null otherwise */
  stray(whole: Uint8Array | null): Redacted | null {
    if (whole === null) return null;
    const isSecret = this.#orphans.some((orphan) => {
      if (orphan.hides !== 'nothing') return true;
      return this.guard(() => this.#redactor.answer('', orphan, whole), whole) !== null;
    });
    return isSecret ? this.#redactor.withheld(whole) : null;
  }

  /** Says once that a message met a fault of ours. @param length in bytes */
  fault(error: unknown, length: number): void {
    if (this.#hasReported) return;
    this.#hasReported = true;
    const what = error instanceof Error ? (error.stack ?? error.message) : String(error);
    this.#report(
      'error',
      `a message of ${length} bytes could not be prepared for the audit log and is withheld there; please report this: ${what.slice(0, LONGEST_FAULT)}`,
    );
  }
}
