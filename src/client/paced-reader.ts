/**
 * A server's messages, at the pace of the callers that wait for them: a caller whose command was answered goes on some microtasks later,
 * and must not find that an event sent after its reply has already been handed out. So reading can be held until the next turn of the event
 * loop.
 */
import { MessageReader } from './message-reader.js';

/** Receives the messages. */
interface MessageTaker {
  /** A message was read: called once for each, in order. */
  read(bytes: Buffer): void;
  /** The next message. It may be given back to `hold`, and comes again. */
  take(bytes: Buffer): void;
  /** Nothing more can be read. @param reason a phrase for people */
  malformed(reason: string): void;
}

export class PacedReader {
  readonly #reader: MessageReader;
  readonly #taker: MessageTaker;
  #isHolding = false;
  #held: Buffer | null = null;
  #hasAnswered = false;
  #isStopped = false;

  /** @param maxBytes the longest message that is accepted */
  constructor(maxBytes: number, taker: MessageTaker) {
    this.#reader = new MessageReader(maxBytes);
    this.#taker = taker;
  }

  /** Whether a message has begun and not ended. */
  get isInsideMessage(): boolean {
    return this.#reader.isInsideMessage;
  }

  /** See `MessageReader.isSeeking`. */
  get isSeeking(): boolean {
    return this.#reader.isSeeking;
  }

  set isSeeking(isSeeking: boolean) {
    this.#reader.isSeeking = isSeeking;
  }

  /** Whether messages may be there that have not been read yet. */
  get isHolding(): boolean {
    return this.#isHolding;
  }

  /** Whether a command was answered in this turn of the event loop, so that its caller has not gone on yet. */
  get hasAnswered(): boolean {
    return this.#hasAnswered;
  }

  /** The message that was taken last has answered a command. */
  answered(): void {
    this.#hasAnswered = true;
  }

  push(chunk: Buffer): void {
    this.#reader.push(chunk);
    if (!this.#isHolding) this.#hasAnswered = false; // chunks come in turns of their own
    this.#read();
  }

  /** Goes on with the next turn of the event loop. @param message the one that was taken last, to be taken again then */
  hold(message: Buffer | null = null): void {
    this.#isHolding = true;
    this.#held = message;
    setImmediate(() => {
      this.#isHolding = false;
      this.#hasAnswered = false;
      this.#read();
    });
  }

  /** Reads nothing more. */
  stop(): void {
    this.#isStopped = true;
  }

  #read(): void {
    while (!this.#isHolding && !this.#isStopped) {
      const held = this.#held;
      if (held !== null) {
        this.#held = null;
        this.#taker.take(held);
        continue;
      }
      const reading = this.#reader.next();
      if (reading.kind === 'more') return;
      if (reading.kind === 'malformed') {
        this.#taker.malformed(reading.reason);
        return;
      }
      this.#taker.read(reading.bytes);
      this.#taker.take(reading.bytes);
    }
  }
}
