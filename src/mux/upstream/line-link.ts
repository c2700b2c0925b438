/**
 * A way to QEMU through something that passes on whole lines only: a terminal, `while read`, a filter that reads by line. Each write
 * consists of whole commands and ends with a line feed, which QEMU takes for a blank.
 */
import type { Descriptor, Link } from '../ports/link.js';

const LINE_FEED = Uint8Array.of(0x0a);

export class LineLink implements Link {
  /** Absent if the way beneath carries none. */
  readonly sendWith?: (chunks: readonly Uint8Array[], descriptor: Descriptor) => void;
  readonly #link: Link;

  constructor(link: Link) {
    this.#link = link;
    if (link.sendWith === undefined) return;
    this.sendWith = (chunks, descriptor) => {
      link.sendWith?.([...chunks, LINE_FEED], descriptor);
    };
  }

  write(chunk: Uint8Array): void {
    this.#link.writeAll([chunk, LINE_FEED]);
  }

  writeAll(chunks: readonly Uint8Array[]): void {
    this.#link.writeAll([...chunks, LINE_FEED]);
  }

  get window(): number | undefined {
    return this.#link.window;
  }

  get backlog(): number {
    return this.#link.backlog;
  }

  end(): void {
    this.#link.end();
  }

  destroy(): void {
    this.#link.destroy();
  }

  pause(): void {
    this.#link.pause();
  }

  resume(): void {
    this.#link.resume();
  }
}
