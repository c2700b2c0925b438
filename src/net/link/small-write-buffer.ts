/**
 * The end of the output that waits for a peer. Each piece that a stream of Node's holds costs it some 250 bytes besides its own, and keeps
 * alive the memory that it is a part of: a client that does not read its short answers would take several times the memory counted for it.
 * So small pieces are copied together, and the stream gets them as one.
 */
const BUFFER_BYTES = 8 * 1024;
/** Larger pieces are worth an object of their own, and may be shared with other clients. */
const COLLECT_BELOW = 4 * 1024;

export class SmallWriteBuffer {
  #bytes: Buffer | null = null;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** @returns whether the piece was taken; if not, it is too large, or there is no room before `give` is called */
  take(bytes: Uint8Array): boolean {
    const { length } = bytes;
    if (length >= COLLECT_BELOW || this.#length + length > BUFFER_BYTES) return false;
    this.#bytes ??= Buffer.allocUnsafeSlow(BUFFER_BYTES);
    this.#bytes.set(bytes, this.#length);
    this.#length += length;
    return true;
  }

  /** @returns all that was taken, to be written; null for nothing */
  give(): Uint8Array | null {
    const bytes = this.#bytes;
    if (bytes === null) return null;
    const { length } = this;
    this.#bytes = null;
    this.#length = 0;
    return bytes.subarray(0, length);
  }
}
