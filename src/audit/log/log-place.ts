/**
 * Whether a file can be an audit log: a record is worth only as much as the effort of changing it. Users who can write to the file, or
 * replace it, can change it; users who can read it learn what all others do.
 *
 * Refused: folders open to all, a file of another user, one with a second name; as root also folders of other users, who could make root
 * write into a file of their choice. Warned about: a mode beyond 0640, a folder that a group may write to.
 */

import * as fs from 'node:fs';
import { dirname } from 'node:path';
import { isSameFile } from '../../system/file-identity.js';

const { O_APPEND, O_CREAT, O_NOFOLLOW, O_NONBLOCK, O_RDWR } = fs.constants;
const STICKY = 0o1000;
/** Bits beyond 0640 that let somebody in. */
const TOO_WIDE = 0o027;

/**
 * Opens a log file for appending, and creates it (0600) where there is none. Links are not followed. The open file is checked, not its
 * name.
 * @param warn called with a sentence about a weakness
 * @param the file's purpose, for messages
 * @throws Error of the system, or one that says why the file is refused, and what to do
 */
export function openLogFile(path: string, warn: (problem: string) => void, what = 'the audit log'): number {
  checkFolders(dirname(path), what, warn);
  // Without O_NONBLOCK the open of a pipe would wait for a reader. A regular file knows no difference.
  const fd = fs.openSync(path, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600);
  try {
    checkFile(path, fs.fstatSync(fd), what, warn);
    return fd;
  } catch (error) {
    fs.closeSync(fd);
    throw error;
  }
}

function checkFile(path: string, found: fs.Stats, what: string, warn: (problem: string) => void): void {
  const { mode, uid } = found;
  if (!found.isFile()) throw new Error(`${path} is not a regular file`);
  if (!isTrusted(uid)) {
    throw new Error(`${path} belongs to uid ${uid}, who can change its contents; move it away, or chown it`);
  }
  const named = fs.lstatSync(path);
  if (!isSameFile(named, found)) throw new Error(`${path} was replaced just now`);
  // Both are asked: the kernel counts the names after it has found the file, so a name that goes in between is missing in one of them.
  if (found.nlink > 1 || named.nlink > 1)
    throw new Error(`${path} has another name (a hard link) through which it can be changed; move it away`);
  if ((mode & TOO_WIDE) === 0) return;
  const how = (mode & 0o022) === 0 ? 'read' : 'change';
  warn(`others can ${how} ${what} ${path} (mode ${octal(mode)}); chmod 0640 ${path}`);
}

function checkFolders(folder: string, what: string, warn: (problem: string) => void): void {
  let here: string;
  try {
    here = fs.realpathSync(folder);
  } catch {
    // Opening the file reports the fault.
    return;
  }
  const { mode, gid } = fs.statSync(here);
  if ((mode & 0o020) !== 0 && gid !== 0 && (mode & STICKY) === 0) {
    warn(`group ${gid} can replace ${what} in ${here} (mode ${octal(mode)}); chmod g-w ${here}`);
  }
  for (;;) {
    const above = fs.statSync(here);
    if ((above.mode & 0o002) !== 0 && (above.mode & STICKY) === 0) {
      throw new Error(`anyone can write to the folder ${here}, and replace ${what}; chmod o-w ${here}`);
    }
    if (process.geteuid?.() === 0 && above.uid !== 0) {
      throw new Error(
        `the folder ${here} belongs to uid ${above.uid}, who can replace ${what}, and qmpmux runs as root; ` +
          'use a folder of root’s, or run qmpmux as that user',
      );
    }
    const next = dirname(here);
    if (next === here) return;
    here = next;
  }
}

function isTrusted(uid: number): boolean {
  return uid === 0 || uid === process.geteuid?.();
}

function octal(mode: number): string {
  return `0${(mode & 0o7777).toString(8).padStart(3, '0')}`;
}
