/**
 * Standard output as the audit log, for a supervisor that keeps it (journald under systemd). A record is in the supervisor's pipe or socket
 * before its command goes upstream; what the supervisor does with it is beyond our control.
 */

import { pino } from 'pino';
import { errorCode, systemReason } from '../../system/system-error.js';
import type { Reopened, Sink, Trouble } from '../log/sink.js';

const NO_BYTES = Buffer.alloc(0);

export class StreamSink implements Sink {
  readonly name = 'stdout';
  readonly #destination: ReturnType<typeof pino.destination>;
  #error: unknown = null;
  /** The reader is gone for good; pino's destination has made itself deaf. */
  #isBroken = false;

  /** @param fd 1, unless a test says otherwise */
  constructor(fd = 1) {
    this.#destination = pino.destination({ fd, sync: true, contentMode: 'buffer', retryEAGAIN: () => false });
    this.#destination.on('error', (error: unknown) => {
      this.#error = error;
      if (errorCode(error) === 'EPIPE') this.#isBroken = true;
    });
  }

  write(bytes: Uint8Array): Trouble | null {
    // A copy, because the destination keeps the bytes that it could not write.
    return this.#pass(Buffer.from(bytes));
  }

  retry(): Trouble | null {
    return this.#pass(NO_BYTES);
  }

  sync(): Trouble | null {
    return null;
  }

  reopen(): Reopened {
    return { kind: 'same' };
  }

  close(): void {
    // It is not ours to close.
  }

  #pass(bytes: Buffer): Trouble | null {
    if (this.#isBroken) return 'EPIPE: standard output has no reader any more';
    this.#error = null;
    // Typed for text only, but in this mode it takes bytes.
    this.#destination.write(bytes as unknown as string);
    return this.#error === null ? null : systemReason(this.#error);
  }
}
