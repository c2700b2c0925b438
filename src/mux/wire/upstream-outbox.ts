/** The output for QEMU at the end of this turn; mostly one piece, but a message with a descriptor goes by itself. */
import type { Descriptor, Link } from '../ports/link.js';
import { Outbox } from './outbox.js';

interface Sealed {
  readonly out: Outbox;
  readonly descriptor: Descriptor | null;
}

export class UpstreamOutbox {
  #out = new Outbox();
  #sealed: Sealed[] = [];

  get length(): number {
    return this.#sealed.reduce((sum, { out }) => sum + out.length, this.#out.length);
  }

  /** As `Outbox.append`. */
  append(bytes: Uint8Array): void {
    this.#out.append(bytes);
  }

  /** Ends the current piece. @param descriptor goes with it, and is handed over; null for none */
  seal(descriptor: Descriptor | null): void {
    if (this.#out.length === 0) return;
    this.#sealed.push({ out: this.#out, descriptor });
    this.#out = new Outbox();
  }

  flush(link: Link): void {
    for (const { out, descriptor } of this.#sealed) {
      if (descriptor === null) out.flush(link);
      else if (link.sendWith !== undefined) link.sendWith(out.takePieces(), descriptor);
      else {
        // Not reached: a command that has a descriptor is refused if the way carries none.
        descriptor.close();
        out.flush(link);
      }
    }
    this.#sealed = [];
    this.#out.flush(link);
  }

  clear(): void {
    for (const { descriptor } of this.#sealed) descriptor?.close();
    this.#sealed = [];
    this.#out.clear();
  }
}
