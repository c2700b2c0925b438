/**
 * One file, held by a descriptor (O_PATH, open(2)), whatever happens to its name meanwhile: checks and changes
 * concern the same file. A path that is looked at and then used can be made to name another file in between, by anyone who may
 * write to its folder.
 *
 * Calls that take only paths get /proc/self/fd/N, which the kernel resolves to the file itself. That is short as well: connecting by it works
 * if the name is too long for a socket address.
 */
import { closeSync, constants, fstatSync, openSync, type Stats } from 'node:fs';
import { linuxNumbers } from './linux.js';

export class FileHandle {
  readonly stat: Stats;
  readonly #fd: number;

  /** Links are not followed: the handle of a link is the link's own. @throws Error of the system, or for a machine whose numbers are not known */
  constructor(path: string) {
    this.#fd = openSync(path, linuxNumbers().O_PATH | constants.O_NOFOLLOW);
    this.stat = fstatSync(this.#fd);
  }

  /** A path that names this file, and no other, while the handle is open. Not for links. */
  get path(): string {
    return `/proc/self/fd/${this.#fd}`;
  }

  close(): void {
    closeSync(this.#fd);
  }
}
