/**
 * Lines for a standard stream that may be full, stopped, or gone: writers never wait and never fail. Lines that cannot be
 * written now wait here, up to a bound; lines beyond that, or that cannot be written at all, are dropped and counted. When lines can be
 * written again, one of them says how many were lost.
 */
import { type SteadyWrite, steadyWriter } from './steady-writer.js';

/** At most this many bytes of lines wait for a stream that takes nothing. */
export const MOST_WAITING = 1024 * 1024;
/** Between attempts to write, unless a line comes sooner; in milliseconds. */
const FIRST_PAUSE_MS = 20;
const LONGEST_PAUSE_MS = 2000;
/** How long the end waits for a stream that takes nothing, in milliseconds. */
const END_WAIT_MS = 500;
const LINE_FEED = Buffer.from('\n');

/** @returns the line that says how many lines were lost, and why the last of them was */
type DescribeLoss = (lines: number, reason: string) => string;

export class LineSink {
  /** Lines that were dropped, since the beginning. */
  lost = 0;
  readonly #write: SteadyWrite;
  readonly #describeLoss: DescribeLoss | null;
  /** Oldest first; a part of the first may be written already. */
  readonly #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #isFirstBegun = false;
  /** Lines that were dropped and not reported yet. */
  #untold = 0;
  /** How many lost lines the first waiting line reports; 0 if it is a line of the log. */
  #toldBy = 0;
  #reason = '';
  /** Whether the stream ends with a line whose rest is lost. */
  #isTorn = false;
  #timer: NodeJS.Timeout | undefined;
  #pause = FIRST_PAUSE_MS;
  readonly #flush = () => {
    this.#drain();
  };

  /**
   * @param stream 1 or 2, or a function that writes
   * @param describeLoss null if no line is to report lost ones
   */
  constructor(stream: number | SteadyWrite, describeLoss: DescribeLoss | null = null) {
    this.#write = typeof stream === 'number' ? steadyWriter(stream) : stream;
    this.#describeLoss = describeLoss;
    process.once('exit', this.#flush);
  }

  /** @param line with the line feed at its end */
  write(line: string): void {
    const bytes = Buffer.from(line);
    if (this.#isFull(bytes)) this.#drain();
    if (this.#isFull(bytes)) {
      this.#lose(1, 'nobody reads them');
      return;
    }
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
    this.#drain();
  }

  /** Writes the waiting lines, unless the stream takes nothing for a while. Nothing is written later. */
  async end(): Promise<void> {
    let left = this.#waitingBytes;
    for (let since = performance.now(); !this.#drain(); ) {
      if (this.#waitingBytes < left) since = performance.now();
      else if (performance.now() - since > END_WAIT_MS) break;
      left = this.#waitingBytes;
      await new Promise((resolve) => {
        setTimeout(resolve, FIRST_PAUSE_MS);
      });
    }
    clearTimeout(this.#timer);
    process.off('exit', this.#flush);
  }

  /** A line of any length is let in if none waits. */
  #isFull(line: Buffer): boolean {
    return this.#waitingBytes > 0 && this.#waitingBytes + line.length > MOST_WAITING;
  }

  /** Writes as much as can be written now. @returns whether no line is left */
  #drain(): boolean {
    try {
      for (;;) {
        const line = this.#waiting[0] ?? this.#lossLine();
        if (line === null) break;
        if (!this.#put(line)) {
          this.#later();
          return false;
        }
        this.#waiting.shift();
        this.#isFirstBegun = false;
        this.#toldBy = 0;
      }
      clearTimeout(this.#timer);
      this.#pause = FIRST_PAUSE_MS;
    } catch (error) {
      this.#isTorn ||= this.#isFirstBegun;
      this.#isFirstBegun = false;
      const lines = this.#waiting.splice(0).length;
      this.#waitingBytes = 0;
      // The line that reports a loss is not itself a loss.
      this.#untold += this.#toldBy;
      this.#lose(lines - (this.#toldBy > 0 ? 1 : 0), codeOf(error));
      this.#toldBy = 0;
      this.#later();
    }
    return true;
  }

  /** @returns whether all of the first line is written. @throws if it cannot be */
  #put(line: Buffer): boolean {
    if (this.#isTorn && this.#write(LINE_FEED) === 0) return false;
    this.#isTorn = false;
    for (let rest = line; rest.length > 0; ) {
      const taken = this.#write(rest);
      if (taken === 0) return false;
      this.#isFirstBegun = true;
      this.#waitingBytes -= taken;
      rest = rest.subarray(taken);
      this.#waiting[0] = rest;
    }
    return true;
  }

  /** Queues the line that reports lost ones if none waits. @returns null if there is nothing to report */
  #lossLine(): Buffer | null {
    if (this.#untold === 0 || this.#describeLoss === null) return null;
    const line = Buffer.from(this.#describeLoss(this.#untold, this.#reason));
    this.#toldBy = this.#untold;
    this.#untold = 0;
    this.#waiting.push(line);
    this.#waitingBytes += line.length;
    return line;
  }

  #lose(lines: number, reason: string): void {
    this.lost += lines;
    this.#untold += lines;
    this.#reason = reason;
  }

  #later(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#flush, this.#pause).unref();
    this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE_MS);
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error);
}
