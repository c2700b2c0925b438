/**
 * The wait for a server's greeting. QEMU first sends a new client the events and answers meant for an earlier one. They are skipped, up to
 * a limit.
 */
import type { JsonObject } from '../qmp/json/value.js';
import { type Greeting, readGreeting } from './messages.js';

/** The most that may come before the greeting, in messages and bytes. */
const MOST_EARLY_MESSAGES = 1000;
const MOST_EARLY_BYTES = 64 * 1024 * 1024;

export class GreetingWait {
  readonly greeting: Promise<Greeting>;
  #greeted: (greeting: Greeting) => void = () => {};
  #isOver = false;
  #messages = 0;
  #bytes = 0;

  constructor() {
    this.greeting = new Promise((resolve) => {
      this.#greeted = resolve;
    });
  }

  /** Whether the greeting has come. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** @returns the fault of a message received during this wait, or null */
  take(message: JsonObject, bytes: Buffer): string | null {
    const greeting = readGreeting(message, bytes);
    if (greeting !== null) {
      this.#isOver = true;
      this.#greeted(greeting);
      return null;
    }
    this.#messages++;
    this.#bytes += bytes.length;
    if (!('event' in message || 'return' in message || 'error' in message))
      return 'its first message is not a greeting';
    return this.#messages > MOST_EARLY_MESSAGES || this.#bytes > MOST_EARLY_BYTES
      ? `${this.#messages} messages, and no greeting`
      : null;
  }
}
