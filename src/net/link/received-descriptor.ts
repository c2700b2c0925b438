/** An open file that a client has sent. It is ours until it is closed, once, by whoever holds it last. */
import { closeSync, fstatSync, readlinkSync, type Stats } from 'node:fs';
import type { Descriptor } from '../../mux/ports/link.js';

export class ReceivedDescriptor implements Descriptor {
  #fd: number;
  #closed: () => void;
  #type: string | null = null;
  #path: string | null = null;

  /** @param closed called once, when it is closed */
  constructor(fd: number, closed: () => void = ignore) {
    this.#fd = fd;
    this.#closed = closed;
  }

  /** -1 when it is closed: its number may be another file's by then. */
  get fd(): number {
    return this.#fd;
  }

  get type(): string {
    this.#look();
    return this.#type ?? 'unknown';
  }

  get path(): string | null {
    this.#look();
    return this.#path;
  }

  close(): void {
    if (this.#fd < 0) return;
    const fd = this.#fd;
    const closed = this.#closed;
    this.#fd = -1;
    this.#closed = ignore;
    try {
      closeSync(fd);
    } catch {
      // EIO of a network file system; it is closed all the same (close(2))
    }
    closed();
  }

  /** Notes its type while it is open. */
  #look(): void {
    if (this.#type !== null || this.#fd < 0) return;
    try {
      this.#type = typeOf(fstatSync(this.#fd));
      const target = readlinkSync(`/proc/self/fd/${this.#fd}`);
      if (target.startsWith('/')) this.#path = target;
      else if (target.startsWith('anon_inode:')) this.#type = target.replace(/^anon_inode:\[?|\]$/g, '');
    } catch {
      this.#type ??= 'unknown';
    }
  }
}

function ignore(): void {
  // nobody counts them
}

function typeOf(stats: Stats): string {
  if (stats.isFile()) return 'file';
  if (stats.isDirectory()) return 'folder';
  if (stats.isBlockDevice()) return 'block device';
  if (stats.isCharacterDevice()) return 'character device';
  if (stats.isFIFO()) return 'pipe';
  return stats.isSocket() ? 'socket' : 'unknown';
}
