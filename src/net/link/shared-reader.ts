/**
 * Reads a socket into memory shared by all such readers, and hands on copies of just the bytes received. Node by itself takes 64 KiB for
 * each read, cuts them down to the bytes received, and passes those through a stream: for a few replies this costs more than the read, and
 * one of 200 KB comes in four pieces.
 */
import type { OnReadOpts } from 'node:net';

const BUFFER_BYTES = 256 * 1024;
/** Nobody keeps these bytes: it is copied before the next read of anyone. */
let shared: Buffer | null = null;

export class SharedReader {
  /** For `net.connect`. */
  readonly options: OnReadOpts;
  #receive: ((chunk: Uint8Array) => void) | null = null;
  /** Bytes received before `start`. */
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

  /** Hands past and future input to `receive`, each chunk in separate memory. Called once. */
  start(receive: (chunk: Uint8Array) => void): void {
    this.#receive = receive;
    for (const chunk of this.#early.splice(0)) receive(chunk);
  }
}
