/**
 * Reads a socket into memory that all who read so share, and hands on copies of just what came. Node by itself takes 64 KiB for each
 * read, cuts them down to what came, and passes that through a stream: for a few replies this costs more than the read, and one of
 * 200 KB comes in four pieces.
 */
import type { OnReadOpts } from 'node:net';

const BUFFER_BYTES = 256 * 1024;
/** Nobody keeps what lies here: it is copied before the next read of anyone. */
let shared: Buffer | null = null;

export class SharedReader {
  /** For `net.connect`. */
  readonly options: OnReadOpts;
  #receive: ((chunk: Uint8Array) => void) | null = null;
  /** What came before anyone asked for it. */
  #early: Uint8Array[] = [];

  constructor() {
    shared ??= Buffer.allocUnsafeSlow(BUFFER_BYTES);
    const buffer = shared;
    this.options = {
      buffer,
      callback: (length) => {
        const chunk = Buffer.allocUnsafe(length);
        buffer.copy(chunk, 0, 0, length);
        if (this.#receive === null) this.#early.push(chunk);
        else this.#receive(chunk);
        return true;
      },
    };
  }

  /** Hands what came, and what comes, to `receive`; each chunk is its own. Called once. */
  start(receive: (chunk: Uint8Array) => void): void {
    this.#receive = receive;
    for (const chunk of this.#early.splice(0)) receive(chunk);
  }
}
