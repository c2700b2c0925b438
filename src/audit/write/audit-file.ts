/**
 * The audit log as a file: pino's destination in synchronous mode, with the safeguards that a log needs to lose no line.
 *
 * SonicBoom (pino's destination) writes a batch with one write(2), goes on after a partial write, and emits `error` before
 * its `write` returns. But after an error it keeps a reference to our buffer, its `flushSync` never returns on a full disk, it
 * follows links, and it does not notice that its file is gone. So a destination that has failed is dropped at once; how far it came
 * is read off the file's size, and the rest is kept here.
 *
 * What must hold: the file ends with a whole line, or with the beginning of the line that is kept; that line is continued in the
 * same file, or written again from its beginning in another one.
 */

import * as fs from 'node:fs';
import { dirname } from 'node:path';
import { pino } from 'pino';
import { type FileIdentity, isSameFile } from '../../system/file-identity.js';
import { systemReason } from '../../system/system-error.js';
import { openLogFile } from '../log/log-place.js';
import type { Reopened, Report, Sink, Trouble } from '../log/sink.js';
import { FileLock } from './file-lock.js';

type Destination = ReturnType<typeof pino.destination>;

interface OpenFile {
  readonly fd: number;
  readonly destination: Destination;
  readonly lock: FileLock;
}

interface AuditFileOptions {
  readonly path: string;
  /** As `openLogFile` returned it. */
  readonly fd: number;
  /** Whether a new file's name must survive a power cut too. */
  readonly sync: boolean;
  readonly report: Report;
  /** The monotonic time in microseconds. */
  readonly now: () => number;
}

const NEW_LINE = 0x0a;
/** How often it is looked whether the file still has a name, in microseconds. One look costs about a microsecond. */
const NAME_CHECK_INTERVAL_US = 20_000;

export class AuditFile implements Sink {
  readonly name: string;
  readonly #options: AuditFileOptions;
  /** Null while it cannot be written. */
  #file: OpenFile | null;
  /** The file that was written last, and how long it is if nobody else writes into it. */
  #last: FileIdentity<bigint> = { dev: 0n, ino: 0n };
  #size: number;
  #nextLook = 0;
  /** Whole lines that are not in the file yet, but for the first `#keptFrom` bytes of them, which are. */
  #kept: Buffer | null = null;
  #keptFrom = 0;
  #isSyncDue = false;
  #error: unknown = null;

  /** @throws Error of the system when the directory of a new file cannot be synced, or one that says that another program writes the file */
  constructor(options: AuditFileOptions) {
    this.name = options.path;
    this.#options = options;
    const stat = fs.fstatSync(options.fd, { bigint: true });
    this.#size = Number(stat.size);
    this.#file = this.#wrap(options.fd, stat);
  }

  /** Warnings given already: the file is opened again and again while it cannot be written. */
  readonly #warned = new Set<string>();
  readonly #warn = (problem: string): void => {
    if (this.#warned.has(problem)) return;
    this.#warned.add(problem);
    this.#options.report('warn', problem);
  };

  write(bytes: Uint8Array): Trouble | null {
    if (this.#kept !== null) {
      this.#kept = Buffer.concat([this.#kept, bytes]);
      return this.retry();
    }
    const trouble = this.#look();
    if (trouble === null && this.#append(bytes)) return null;
    this.#keep(bytes, this.#size);
    return trouble ?? this.#drop();
  }

  retry(): Trouble | null {
    if (this.#file === null) {
      const trouble = this.#open();
      if (trouble !== null) return trouble;
    }
    const kept = this.#kept;
    if (kept !== null) {
      const before = this.#size - this.#keptFrom;
      this.#kept = null;
      if (!this.#append(kept.subarray(this.#keptFrom))) {
        this.#keep(kept, before);
        return this.#drop();
      }
      this.#keptFrom = 0;
    }
    return this.#isSyncDue ? this.sync() : null;
  }

  sync(): Trouble | null {
    this.#isSyncDue = true;
    if (this.#file === null) return 'the file is not open';
    try {
      fs.fdatasyncSync(this.#file.fd);
    } catch (error) {
      return systemReason(error);
    }
    this.#isSyncDue = false;
    return null;
  }

  reopen(): Reopened {
    const old = this.#file;
    const before = { last: this.#last, size: this.#size };
    try {
      const fd = openLogFile(this.name, this.#warn);
      const stat = fs.fstatSync(fd, { bigint: true });
      if (isSameFile(this.#last, stat)) {
        fs.closeSync(fd);
        return { kind: 'same' };
      }
      this.#adopt(fd, stat);
    } catch (error) {
      if (this.#file !== old) letGo(this.#file);
      this.#file = old;
      this.#last = before.last;
      this.#size = before.size;
      return { kind: 'failed', trouble: systemReason(error) };
    }
    letGo(old);
    return { kind: 'new' };
  }

  close(): void {
    this.#letGo();
  }

  #letGo(): void {
    letGo(this.#file);
    this.#file = null;
  }

  /** @returns whether all of `bytes` is in the file. */
  #append(bytes: Uint8Array): boolean {
    if (this.#file === null) return false;
    this.#error = null;
    // Typed for text only, but in this mode it takes bytes.
    this.#file.destination.write(bytes as unknown as string);
    if (this.#error !== null) return false;
    this.#size += bytes.length;
    return true;
  }

  /**
   * Keeps the part of `lines` that the file lacks.
   * @param lines whole lines
   * @param from the place of their first byte in the file, written or not
   */
  #keep(lines: Uint8Array, from: number): void {
    let there = 0;
    if (this.#file !== null) {
      try {
        const size = Number(fs.fstatSync(this.#file.fd, { bigint: true }).size);
        there = Math.min(Math.max(size - from, 0), lines.length);
        this.#size = from + there;
      } catch {
        // If the size is unknown, take the lines for not written: a line twice is better than none.
      }
    }
    // From the line on that was cut: if the file is lost, it is needed whole.
    const start = there === 0 ? 0 : lines.lastIndexOf(NEW_LINE, there - 1) + 1;
    this.#kept = Buffer.from(lines.subarray(start));
    this.#keptFrom = there - start;
  }

  /** Lets go of a destination that has failed. @returns why it did */
  #drop(): Trouble {
    const reason = systemReason(this.#error ?? 'it could not be written');
    this.#letGo();
    return reason;
  }

  /** Opens the file again. If it is not as it was left, a line that was begun begins again. */
  #open(): Trouble | null {
    try {
      const fd = openLogFile(this.name, this.#warn);
      const stat = fs.fstatSync(fd, { bigint: true });
      if (isSameFile(this.#last, stat) && Number(stat.size) === this.#size) this.#file = this.#wrap(fd, stat);
      else {
        // A new file may have got the old one's number.
        const isLess = !isSameFile(this.#last, stat) || Number(stat.size) < this.#size;
        this.#adopt(fd, stat);
        this.#keptFrom = 0;
        if (isLess) this.#options.report('warn', `the audit log ${this.name} was removed; a new file was created`);
      }
      return null;
    } catch (error) {
      return systemReason(error);
    }
  }

  /** Goes on in another file, or one that was changed meanwhile. */
  #adopt(fd: number, stat: fs.BigIntStats): void {
    this.#file = this.#wrap(fd, stat);
    this.#size = Number(stat.size);
    if (this.#size === 0) return;
    const last = Buffer.alloc(1);
    fs.readSync(fd, last, 0, 1, this.#size - 1);
    // A line that was left without an end is not continued.
    if (last[0] !== NEW_LINE && !this.#append(Buffer.of(NEW_LINE))) throw this.#error;
  }

  #wrap(fd: number, stat: fs.BigIntStats): OpenFile {
    const destination = pino.destination({ fd, sync: true, contentMode: 'buffer', retryEAGAIN: () => false });
    destination.on('error', (error: unknown) => {
      this.#error = error;
    });
    if (this.#options.sync && stat.size === 0n) syncDirectory(dirname(this.name));
    try {
      const lock = new FileLock(fd);
      this.#last = { dev: stat.dev, ino: stat.ino };
      return { fd, destination, lock };
    } catch (error) {
      destination.destroy();
      throw error;
    }
  }

  /** Checks now and then whether the file still has a name: lines in a file without one are as good as lost. */
  #look(): Trouble | null {
    const now = this.#options.now();
    if (now < this.#nextLook) return null;
    this.#nextLook = now + NAME_CHECK_INTERVAL_US;
    if (this.#file === null) return 'the file is not open';
    try {
      if (fs.fstatSync(this.#file.fd).nlink > 0) return null;
    } catch (error) {
      this.#error = error;
      return this.#drop();
    }
    this.#letGo();
    // Where only the file was removed, the log goes on in a new one.
    return this.#open();
  }
}

/** Closes a file, and gives its lock back. */
function letGo(file: OpenFile | null): void {
  file?.destination.destroy();
  file?.lock.release();
}

function syncDirectory(path: string): void {
  const fd = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
  try {
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}
