/** XDR (RFC 4506), as far as libvirt's protocol uses it: big-endian words, and bytes padded to a multiple of four. */

/** Collects fields into a message. Texts are UTF-8. */
export class XdrWriter {
  readonly #parts: Uint8Array[] = [];
  #length = 0;

  /** A 32-bit integer, signed or unsigned. */
  int(value: number): this {
    const word = Buffer.allocUnsafe(4);
    word.writeInt32BE(value | 0);
    return this.raw(word);
  }

  /** A string: its length, its bytes, padding. */
  bytes(value: Uint8Array): this {
    return this.int(value.length)
      .raw(value)
      .raw(Buffer.alloc(padding(value.length)));
  }

  text(value: string): this {
    return this.bytes(Buffer.from(value));
  }

  /** A string that may be absent. */
  optionalText(value: string | null): this {
    return value === null ? this.int(0) : this.int(1).text(value);
  }

  /** Bytes that are in XDR's form already. */
  raw(value: Uint8Array): this {
    if (value.length > 0) this.#parts.push(value);
    this.#length += value.length;
    return this;
  }

  finish(): Uint8Array {
    return Buffer.concat(this.#parts, this.#length);
  }
}

/**
 * Reads fields one after the other. Fields beyond the end of the message are read as zero or as empty, and `isShort` reports that
 * afterwards: a peer's fault is a value.
 */
export class XdrReader {
  isShort = false;
  readonly #view: Buffer;
  #at = 0;

  constructor(message: Uint8Array) {
    this.#view = Buffer.from(message.buffer, message.byteOffset, message.byteLength);
  }

  /** Bytes of the whole message. */
  get length(): number {
    return this.#view.length;
  }

  /** @returns a reader of the same message, from its beginning, that keeps no other memory alive */
  copy(): XdrReader {
    return new XdrReader(Uint8Array.from(this.#view));
  }

  /** Where the next field begins. */
  get position(): number {
    return this.#at;
  }

  int(): number {
    const at = this.#take(4);
    return at < 0 ? 0 : this.#view.readInt32BE(at);
  }

  unsigned(): number {
    return this.int() >>> 0;
  }

  /** A signed 64-bit integer; rounded beyond 2^53. */
  hyper(): number {
    const at = this.#take(8);
    return at < 0 ? 0 : Number(this.#view.readBigInt64BE(at));
  }

  /** `length` bytes and their padding, as they lie in the message. */
  opaque(length: number): Uint8Array {
    const at = this.#take(length + padding(length));
    return at < 0 ? new Uint8Array(0) : this.#view.subarray(at, at + length);
  }

  bytes(): Uint8Array {
    return this.opaque(this.unsigned());
  }

  text(): string {
    return Buffer.from(this.bytes()).toString('utf8');
  }

  optionalBytes(): Uint8Array | null {
    return this.int() === 0 ? null : this.bytes();
  }

  optionalText(): string | null {
    return this.int() === 0 ? null : this.text();
  }

  /** The bytes read since `from`, a former `position`. */
  since(from: number): Uint8Array {
    return this.#view.subarray(from, this.#at);
  }

  #take(length: number): number {
    const at = this.#at;
    if (this.isShort || at + length > this.#view.length) {
      this.isShort = true;
      return -1;
    }
    this.#at = at + length;
    return at;
  }
}

function padding(length: number): number {
  return (4 - (length % 4)) % 4;
}
