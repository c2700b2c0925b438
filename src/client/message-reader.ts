/**
 * Bytes from a QMP server → messages. A message is one JSON object; it ends where its braces balance, so it makes no
 * difference whether the server writes one line or, as QEMU's `pretty=on` does, many, nor how the bytes are cut into chunks.
 *
 * Each byte is looked at once and copied at most twice, however small the chunks. Only the outline is judged here (strings,
 * braces); whether a message is JSON is for its parser. Malformed input is a value, after which nothing more can be read.
 */

/** The results of `MessageReader.next`. */
type Reading =
  | { readonly kind: 'message'; readonly bytes: Buffer }
  /** All bytes so far are used up. */
  | { readonly kind: 'more' }
  /** No message can begin or continue like this input; `reason` is a phrase for people. */
  | { readonly kind: 'malformed'; readonly reason: string };

const MORE: Reading = { kind: 'more' };
const NO_BYTES = Buffer.alloc(0);
const SMALLEST_HOLD = 4096;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const LINE_FEED = 0x0a;
/** The guest agent sends it before some answers. It is no part of UTF-8, and so of no message. */
const SENTINEL = 0xff;

export class MessageReader {
  /**
   * While it is set, the stream may begin anywhere, in the middle of a message too: bytes outside messages are skipped, and everything
   * before a sentinel byte (0xFF) is dropped.
   */
  isSeeking = false;
  readonly #maxBytes: number;
  /** Chunks not looked at yet, oldest first, from `#at` in the first. */
  readonly #chunks: Buffer[] = [];
  #at = 0;
  /** The beginning of a message whose end is in a later chunk: `#held` bytes in a buffer that doubles. */
  #hold = NO_BYTES;
  #held = 0;
  #depth = 0;
  #inString = false;
  #escaped = false;
  #malformed: Reading | null = null;

  /** @param maxBytes the longest message that is accepted, in bytes. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Whether a message has begun and not ended. */
  get isInsideMessage(): boolean {
    return this.#depth > 0;
  }

  /** Takes bytes from the server. The chunk must not be changed afterwards. */
  push(chunk: Buffer): void {
    let from = 0;
    if (this.isSeeking) {
      from = chunk.lastIndexOf(SENTINEL) + 1;
      if (from > 0) {
        this.#chunks.length = 0;
        this.#at = 0;
        this.#restart();
      }
    }
    if (chunk.length > from) this.#chunks.push(chunk.subarray(from));
  }

  /** @returns the next message; call again until it is `more` or `malformed`. */
  next(): Reading {
    for (;;) {
      if (this.#malformed !== null) {
        if (!this.isSeeking) return this.#malformed;
        this.#restart();
      }
      const chunk = this.#chunks[0];
      if (chunk === undefined) return MORE;
      if (this.#depth === 0) this.#skipBlanks(chunk);
      const start = this.#at;
      const ended = this.#malformed === null && start < chunk.length && this.#scan(chunk);
      const end = this.#at;
      if (ended || end > start) {
        if (this.#held + end - start > this.#maxBytes) {
          this.#malformed = { kind: 'malformed', reason: `a message of more than ${this.#maxBytes} bytes` };
          continue;
        }
      }
      if (end === chunk.length) {
        this.#chunks.shift();
        this.#at = 0;
      }
      if (ended) return { kind: 'message', bytes: this.#take(chunk, start, end) };
      this.#keep(chunk, start, end);
    }
  }

  /** Forgets a message that has begun. */
  #restart(): void {
    this.#malformed = null;
    this.#depth = 0;
    this.#inString = false;
    this.#escaped = false;
    this.#hold = NO_BYTES;
    this.#held = 0;
  }

  /** Between messages: moves to the next brace. */
  #skipBlanks(chunk: Buffer): void {
    let at = this.#at;
    for (; at < chunk.length; at++) {
      const byte = chunk[at];
      if (byte === 0x20 || byte === LINE_FEED || byte === 0x0d || byte === 0x09 || byte === SENTINEL) continue;
      if (byte !== 0x7b && this.isSeeking) continue;
      if (byte !== 0x7b) this.#malformed = { kind: 'malformed', reason: `it sent ${excerpt(chunk, at)}` };
      break;
    }
    this.#at = at;
  }

  /** Moves `#at` to the end of the message or of the chunk. @returns whether the message ended. */
  #scan(chunk: Buffer): boolean {
    let at = this.#at;
    let depth = this.#depth;
    let inString = this.#inString;
    let escaped = this.#escaped;
    let ended = false;
    while (at < chunk.length) {
      const byte = chunk[at++];
      if (inString) {
        if (escaped) escaped = false;
        else if (byte === BACKSLASH) escaped = true;
        else if (byte === QUOTE) inString = false;
        else if (byte === LINE_FEED) {
          this.#malformed = { kind: 'malformed', reason: 'a line ended inside a string' };
          break;
        }
      } else if (byte === QUOTE) inString = true;
      else if (byte === 0x7b || byte === 0x5b) depth++;
      else if ((byte === 0x7d || byte === 0x5d) && --depth === 0) {
        ended = true;
        break;
      }
    }
    this.#at = at;
    this.#depth = depth;
    this.#inString = inString;
    this.#escaped = escaped;
    return ended;
  }

  #keep(chunk: Buffer, start: number, end: number): void {
    const needed = this.#held + end - start;
    if (needed > this.#hold.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(SMALLEST_HOLD, needed, this.#hold.length * 2));
      this.#hold.copy(larger, 0, 0, this.#held);
      this.#hold = larger;
    }
    chunk.copy(this.#hold, this.#held, start, end);
    this.#held = needed;
  }

  /** The whole message: a part of the chunk where it lies in one, otherwise the hold, which is given away. */
  #take(chunk: Buffer, start: number, end: number): Buffer {
    if (this.#held === 0) return chunk.subarray(start, end);
    this.#keep(chunk, start, end);
    const bytes = this.#hold.subarray(0, this.#held);
    this.#hold = NO_BYTES;
    this.#held = 0;
    return bytes;
  }
}

/** The first bytes of unexpected input, quoted for a message to people. */
function excerpt(chunk: Buffer, at: number): string {
  const line =
    chunk
      .subarray(at, at + 60)
      .toString('latin1')
      .split(/[\r\n]/, 1)[0] ?? '';
  return JSON.stringify(line.replace(/[^\x20-\x7e]/g, '.'));
}
