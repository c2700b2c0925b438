/**
 * The lock that keeps a second daemon from writing into the same audit log, whose numbers and chain would not be whole then: flock(2),
 * which goes with its process however that ends. Node has no name for it, so libc is called through koffi.
 *
 * A process may hold it several times: a log that takes over goes on in the file of the one before.
 */
import * as fs from 'node:fs';
import { constants } from 'node:os';
import { loadKoffi } from '../../system/koffi.js';
import { LOCK_EX, LOCK_NB } from '../../system/linux.js';

const { EWOULDBLOCK } = constants.errno;

/** @returns 0, or an error number */
type Flock = (fd: number, operation: number) => number;

/** By device and inode: our own descriptor of the file, and how often it is held. */
const held = new Map<string, { readonly fd: number; count: number }>();
/** Undefined until it is needed, null where it cannot be had. */
let flock: Flock | null | undefined;

export class FileLock {
  readonly #key: string;
  #isHeld = true;

  /**
   * Takes the lock of an open file; where files have none (or there is no /proc, or no koffi for this machine) nothing is locked.
   * @throws Error when another process has it, with its pid where /proc shows it
   */
  constructor(fd: number) {
    const { dev, ino } = fs.fstatSync(fd, { bigint: true });
    this.#key = `${dev}:${ino}`;
    const there = held.get(this.#key);
    if (there !== undefined) {
      there.count++;
      return;
    }
    flock ??= loadFlock();
    // The lock belongs to an opening of the file: the log's own is closed and opened again.
    const own = opened(fd);
    if (own === null) return;
    if (flock !== null && flock(own, LOCK_EX | LOCK_NB) === EWOULDBLOCK) {
      fs.closeSync(own);
      const pid = holderOf(ino);
      throw new Error(
        `another program is writing it${pid === null ? '' : ` (pid ${pid})`}: give each qmpmux its own log`,
      );
    }
    held.set(this.#key, { fd: own, count: 1 });
  }

  /** Gives it back, once. */
  release(): void {
    const there = held.get(this.#key);
    if (!this.#isHeld || there === undefined) return;
    this.#isHeld = false;
    if (--there.count > 0) return;
    held.delete(this.#key);
    fs.closeSync(there.fd);
  }
}

/** @returns another opening of an open file, or null where there is no /proc. */
function opened(fd: number): number | null {
  try {
    return fs.openSync(`/proc/self/fd/${fd}`, 'r');
  } catch {
    return null;
  }
}

function loadFlock(): Flock | null {
  try {
    const koffi = loadKoffi();
    const call = koffi.load(null).func('int flock(int, int)');
    return (fd, operation) => (call(fd, operation) === 0 ? 0 : koffi.errno());
  } catch {
    return null;
  }
}

/** @returns the process that has locked a file (proc_locks(5)), or null. */
function holderOf(inode: bigint): string | null {
  try {
    const line = new RegExp(`^\\d+: FLOCK .* (\\d+) \\w+:\\w+:${inode} `, 'm');
    return line.exec(fs.readFileSync('/proc/locks', 'utf8'))?.[1] ?? null;
  } catch {
    return null;
  }
}
