/**
 * The lines of earlier sessions, in a file of the user's own: appended line by line, so that sessions at the same time keep each
 * other's, and cut back when one begins.
 */
import { appendFileSync, chmodSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';

/** So many lines are kept. */
export const MOST_LINES = 1000;

/** @returns the file below XDG_STATE_HOME. @param name of the kind of history */
export function historyFile(name: string): string {
  const { XDG_STATE_HOME: state } = process.env;
  // A path that is not absolute is to be ignored, says the XDG Base Directory Specification.
  const base = state?.startsWith('/') === true ? state : join(homedir(), '.local/state');
  return join(base, 'qmpmux', name);
}

export class ShellHistory {
  /** The newest is the first. */
  readonly lines: readonly string[];
  readonly #file: string;
  #isBroken = false;

  /** A history that cannot be read or written is none; the shell works without. */
  constructor(file: string) {
    this.#file = file;
    const all = readLines(file);
    const kept = all.slice(-MOST_LINES);
    this.lines = kept.toReversed();
    if (all.length > kept.length) this.#rewrite(kept);
  }

  append(line: string): void {
    if (this.#isBroken) return;
    try {
      mkdirSync(dirname(this.#file), { recursive: true, mode: 0o700 });
      appendFileSync(this.#file, `${line}\n`, { mode: 0o600 });
    } catch {
      this.#isBroken = true;
    }
  }

  #rewrite(lines: readonly string[]): void {
    const temporary = `${this.#file}.${process.pid}`;
    try {
      writeFileSync(temporary, `${lines.join('\n')}\n`, { mode: 0o600 });
      renameSync(temporary, this.#file);
    } catch {
      // It stays longer than wanted, and is tried again next time.
    }
  }
}

function readLines(file: string): string[] {
  try {
    const text = readFileSync(file, 'utf8');
    chmodSync(file, 0o600);
    return text.split('\n').filter((line) => line !== '');
  } catch {
    return [];
  }
}
