/**
 * What a client is to be sent, known beforehand to the last byte: checking is a comparison of memory a read or two, so that it is not
 * what is measured.
 */
import { ID } from './load.js';

/** Of messages longer than this few are prepared. */
export const LONG = 4096;

/** Compares what comes, read by read, with the replies that are due. */
export interface ExpectedReplies {
  /** @returns how many replies have become whole by the first bytes of a buffer, or -1 where one of those is wrong. */
  take(read: Buffer, length: number): number;
}

/** Bytes of some texts one behind the other, and where each begins. */
export class Ring {
  readonly bytes: Buffer;
  readonly starts: number[] = [0];

  constructor(texts: readonly string[]) {
    let at = 0;
    for (const text of texts) {
      at += text.length;
      this.starts.push(at);
    }
    this.bytes = Buffer.from(texts.join(''), 'latin1');
  }
}

/** A reply to each command of a job, as every client is to get them but for the ids. */
export class ReplyTexts {
  readonly areLong: boolean;
  readonly #texts: readonly string[];
  readonly #wholes: readonly Whole[];

  /** @param texts with `@@@@@` for the id's number */
  constructor(texts: readonly string[]) {
    this.areLong = texts.some((text) => text.length > LONG);
    this.#texts = texts;
    this.#wholes = texts.map((text) => ({ bytes: Buffer.from(text, 'latin1'), idAt: text.indexOf(ID) }));
  }

  /** @param ids of a client's commands, which repeat */
  expected(ids: readonly string[]): ExpectedReplies {
    if (this.areLong) return new LongReplies(this.#wholes, ids);
    return new ShortReplies(ids.map((id, at) => (this.#texts[at % this.#texts.length] ?? '').replace(ID, id)));
  }
}

/** One reply, and where in it the id's number is. */
interface Whole {
  readonly bytes: Buffer;
  readonly idAt: number;
}

/** Many of them come with one read, and are one piece of memory here as well. */
class ShortReplies implements ExpectedReplies {
  readonly #replies: Ring;
  readonly #count: number;
  #next = 0;
  /** Bytes up to what comes next. */
  #at = 0;

  constructor(texts: readonly string[]) {
    this.#replies = new Ring(texts);
    this.#count = texts.length;
  }

  take(read: Buffer, length: number): number {
    const { bytes, starts } = this.#replies;
    let done = 0;
    for (let at = 0; at < length; ) {
      const piece = Math.min(length - at, bytes.length - this.#at);
      if (read.compare(bytes, this.#at, this.#at + piece, at, at + piece) !== 0) return -1;
      at += piece;
      this.#at += piece;
      while (this.#next < this.#count && this.#at >= (starts[this.#next + 1] ?? 0)) {
        this.#next++;
        done++;
      }
      if (this.#next === this.#count) this.#next = this.#at = 0;
    }
    return done;
  }
}

/** Each is there once for all clients, and gets the id that is due before it is compared. */
class LongReplies implements ExpectedReplies {
  readonly #wholes: readonly Whole[];
  readonly #ids: readonly Buffer[];
  #next = 0;
  /** Bytes of the next reply that have come. */
  #within = 0;

  constructor(wholes: readonly Whole[], ids: readonly string[]) {
    this.#wholes = wholes;
    this.#ids = ids.map((id) => Buffer.from(id, 'latin1'));
  }

  take(read: Buffer, length: number): number {
    let done = 0;
    for (let at = 0; at < length; ) {
      const whole = this.#wholes[this.#next % this.#wholes.length];
      if (whole === undefined) return -1;
      this.#ids[this.#next]?.copy(whole.bytes, whole.idAt);
      const piece = Math.min(length - at, whole.bytes.length - this.#within);
      if (read.compare(whole.bytes, this.#within, this.#within + piece, at, at + piece) !== 0) return -1;
      at += piece;
      this.#within += piece;
      if (this.#within < whole.bytes.length) break;
      this.#within = 0;
      this.#next = (this.#next + 1) % this.#ids.length;
      done++;
    }
    return done;
  }
}
