/**
 * The lines of earlier sessions, in the user's file: appended line by line, so that parallel sessions keep each other's lines, and cut back
 * when one begins.
 *
 * Anything may be in the place of the file, or of its folders: a history that cannot be opened is left out, reported once, and never waited
 * for.
 */
import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';

/** So many lines are kept. */
export const MOST_LINES = 1000;
/** So many bytes at its end are read of a longer file. */
const MOST_BYTES = 1024 * 1024;

/** @returns the file below XDG_STATE_HOME; null where there is no home. @param name of the kind of history */
export function historyFile(name: string): string | null {
  const { XDG_STATE_HOME: state } = process.env;
  // A path that is not absolute is to be ignored, says the XDG Base Directory Specification.
  if (state?.startsWith('/') === true) return join(state, 'qmpmux', name);
  const home = homeFolder();
  return isAbsolute(home) ? join(home, '.local/state/qmpmux', name) : null;
}

/** @returns HOME; where it is not set, the system's entry for the user; empty where there is none. */
function homeFolder(): string {
  try {
    return homedir();
  } catch {
    return '';
  }
}

export class ShellHistory {
  /** The newest is the first. */
  readonly lines: readonly string[];
  readonly #file: string | null;
  readonly #tell: (problem: string) => void;
  #isBroken = false;

  /**
   * @param file null for none
   * @param tell called once, with the reason, where there is no history
   */
  constructor(file: string | null, tell: (problem: string) => void = () => undefined) {
    this.#file = file;
    this.#tell = tell;
    const all = this.#read();
    const kept = all.slice(-MOST_LINES);
    this.lines = kept.toReversed();
    if (all.length > kept.length) this.#rewrite(kept);
  }

  append(line: string): void {
    this.#with((fd) => writeSync(fd, `${line}\n`));
  }

  #read(): string[] {
    return (
      this.#with((fd) => {
        fchmodSync(fd, 0o600);
        const { size } = fstatSync(fd);
        const start = Math.max(0, size - MOST_BYTES);
        const bytes = Buffer.alloc(size - start);
        const text = bytes.toString('utf8', 0, readSync(fd, bytes, 0, bytes.length, start));
        // A control character would act on the terminal that the line is shown on again.
        const lines = text.split('\n').filter((line) => line !== '' && !/\p{Cc}/u.test(line));
        return start > 0 ? lines.slice(1) : lines;
      }) ?? []
    );
  }

  /** Opens the file, which is made if need be. @returns null, for ever, once something has gone wrong */
  #with<T>(act: (fd: number) => T): T | null {
    if (this.#isBroken || this.#file === null) {
      if (!this.#isBroken) this.#fail('there is no home folder');
      return null;
    }
    try {
      const fd = openHistory(this.#file);
      try {
        return act(fd);
      } finally {
        closeSync(fd);
      }
    } catch (error) {
      this.#fail(error instanceof Error ? error.message : String(error));
      return null;
    }
  }

  #fail(why: string): void {
    this.#isBroken = true;
    this.#tell(`no history is kept: ${why}`);
  }

  #rewrite(lines: readonly string[]): void {
    if (this.#file === null) return;
    const temporary = `${this.#file}.${process.pid}`;
    try {
      writeFileSync(temporary, `${lines.join('\n')}\n`, { mode: 0o600, flag: 'wx' });
      renameSync(temporary, realpathSync(this.#file));
    } catch {
      // It stays longer than wanted, and is tried again next time.
      rmSync(temporary, { force: true });
    }
  }
}

/** @returns a descriptor to read, and to append. @throws where it is no file, another user's, or cannot be had */
function openHistory(file: string): number {
  const user = process.geteuid?.() ?? 0;
  // With another user's HOME (sudo -E, su -m), root would make and change files wherever that user's links lead.
  if (user === 0) refuseFoldersOfOthers(file);
  makeFolder(dirname(file));
  const { O_RDWR, O_APPEND, O_CREAT, O_NONBLOCK, O_NOCTTY } = constants;
  const fd = openSync(file, O_RDWR | O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY, 0o600);
  const stat = fstatSync(fd);
  if (stat.isFile() && stat.uid === user) return fd;
  closeSync(fd);
  throw new Error(stat.isFile() ? `${file} belongs to the user with uid ${stat.uid}` : `${file} is not a regular file`);
}

/** @throws where a folder or link on the way to `file`, or that itself, is not root's: only root can change the target of root's */
function refuseFoldersOfOthers(file: string): void {
  const parent = dirname(file);
  if (parent !== file) refuseFoldersOfOthers(parent);
  const stat = lstatSync(file, { throwIfNoEntry: false });
  if (stat === undefined || stat.uid === 0) return;
  throw new Error(`${file} belongs to the user with uid ${stat.uid}, and this is root`);
}

/** Not mkdir's own `recursive`, which goes on for ever in /proc, where nothing can be made. */
function makeFolder(folder: string): void {
  try {
    mkdirSync(folder, { mode: 0o700 });
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : '';
    if (code === 'EEXIST') return;
    if (code !== 'ENOENT' || dirname(folder) === folder) throw error;
    makeFolder(dirname(folder));
    mkdirSync(folder, { mode: 0o700 });
  }
}
