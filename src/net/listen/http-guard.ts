/**
 * Notices that a client of a TCP listener is not a monitor's client but a web browser, or something else that speaks HTTP. A page on any
 * web site can have a browser send a POST to a port of this machine, whose body could be commands.
 *
 * HTTP begins with a method in capitals, which is neither JSON nor a command of the human monitor. Input that may be one is held back until
 * that is clear, for 17 bytes at most. Other methods (a page may not choose them without being asked) are found by the end of their line,
 * or by a `Host:` header, before the body comes. A TLS handshake, which may carry bytes of a page's choice too, begins with 16 03.
 */

/** RFC 9110, RFC 5789 (PATCH), RFC 9113 (PRI), RFC 4918 (WebDAV). */
const METHODS = new Set(
  'GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH PRI PROPFIND PROPPATCH MKCOL COPY MOVE LOCK UNLOCK'.split(' '),
);
const LONGEST_METHOD = 16;
/** The most of the first input that is checked. */
const MOST_HEAD_BYTES = 64 * 1024;
const HOST = 'host:';
const VERSION = ' HTTP/';
const LINE_FEED = 0x0a;
const TLS_HANDSHAKE = 0x16;
const TLS_MAJOR = 0x03;

/** A protocol that is not served. */
export type Foreign = 'HTTP' | 'TLS';

type Place =
  /** Blanks, before anything else. */
  | 'start'
  /** Capitals, held back. */
  | 'method'
  /** The first byte of a TLS record, held back. */
  | 'record'
  /** Lines of text, which are passed on. */
  | 'lines'
  | 'over';

/** Bytes to pass on, or the client's foreign protocol. */
type Judged = Uint8Array | Foreign;

const NO_BYTES = new Uint8Array(0);

export class HttpGuard {
  #place: Place = 'start';
  #held = '';
  #seen = 0;
  /** How much of `HOST` the line begins with, or -1 when it begins with something else; and of `VERSION` it has just had. */
  #hostAt = 0;
  #versionAt = 0;

  /**
   * @returns the bytes held back before and the chunk, without those held back now; or the client's protocol: then nothing of the chunk may
   * be passed on
   */
  judge(chunk: Uint8Array): Judged {
    if (this.#place === 'over') return chunk;
    const before = this.#held;
    for (const byte of chunk) {
      const foreign = this.#read(byte);
      if (foreign !== null) return foreign;
      if (this.#isOver) break;
    }
    const isHolding = this.#place === 'method' || this.#place === 'record';
    if (!isHolding) this.#held = '';
    if (before === '' && !isHolding) return chunk;
    const all = new Uint8Array(before.length + chunk.length);
    for (let i = 0; i < before.length; i++) all[i] = before.charCodeAt(i);
    all.set(chunk, before.length);
    return isHolding ? all.subarray(0, all.length - this.#held.length) : all;
  }

  /** @returns the bytes held back, when nothing more comes */
  rest(): Uint8Array {
    const held = this.#held;
    this.#held = '';
    this.#place = 'over';
    return held === '' ? NO_BYTES : Uint8Array.from(held, (letter) => letter.charCodeAt(0));
  }

  get #isOver(): boolean {
    return this.#place === 'over';
  }

  #read(byte: number): Foreign | null {
    if (++this.#seen > MOST_HEAD_BYTES) this.#place = 'over';
    switch (this.#place) {
      case 'start':
        this.#begin(byte);
        return null;
      case 'record':
        this.#place = 'over';
        return byte === TLS_MAJOR ? 'TLS' : null;
      case 'method':
        if (byte === 0x20 && METHODS.has(this.#held)) return 'HTTP';
        if (isCapital(byte) && this.#held.length < LONGEST_METHOD) {
          this.#held += String.fromCharCode(byte);
          return null;
        }
        for (const letter of this.#held) this.#readLine(letter.charCodeAt(0));
        this.#place = 'lines';
        return this.#readLine(byte);
      case 'lines':
        return this.#readLine(byte);
      case 'over':
        return null;
    }
  }

  #begin(byte: number): void {
    if (byte <= 0x20 && byte !== TLS_HANDSHAKE) return;
    if (byte === TLS_HANDSHAKE) this.#place = 'record';
    else if (isCapital(byte)) this.#place = 'method';
    else if (byte >= 0x61 && byte <= 0x7a) this.#place = 'lines';
    else this.#place = 'over';
    if (this.#place === 'lines') this.#readLine(byte);
    else if (this.#place !== 'over') this.#held = String.fromCharCode(byte);
  }

  #readLine(byte: number): Foreign | null {
    if (byte === LINE_FEED) {
      this.#hostAt = 0;
      this.#versionAt = 0;
      return null;
    }
    const letter = String.fromCharCode(byte);
    if (this.#hostAt >= 0) this.#hostAt = letter.toLowerCase() === HOST[this.#hostAt] ? this.#hostAt + 1 : -1;
    if (this.#hostAt === HOST.length) return 'HTTP';
    if (this.#versionAt === VERSION.length) {
      if (byte >= 0x30 && byte <= 0x39) return 'HTTP';
      this.#versionAt = 0;
    }
    if (letter === VERSION[this.#versionAt]) this.#versionAt++;
    else this.#versionAt = letter === VERSION[0] ? 1 : 0;
    return null;
  }
}

function isCapital(byte: number): boolean {
  return byte >= 0x41 && byte <= 0x5a;
}
