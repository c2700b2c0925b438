/**
 * Facts about a process from /proc, for people. Each file is read once, up to a bound. The command line lies in the process's own memory;
 * since Linux 4.17 the kernel reads no part of it that could keep it waiting (a file's, another's).
 */
import { closeSync, openSync, readlinkSync, readSync } from 'node:fs';
import { userName } from '../address/passwd-lookup.js';
import { programName } from './program-name.js';

interface ProcessFacts {
  readonly loginuid?: number;
  readonly login?: string;
  readonly program?: string;
  readonly exe?: string;
  readonly unit?: string;
}

/** Bytes read of a file at most: of a command line its beginning, all that is needed of the rest. */
const MOST_READ = 4096;
/** Words of a command line that are looked at. */
const MOST_WORDS = 32;
/** Of a path or a unit, in characters. */
const LONGEST_TEXT = 256;
/** The loginuid of processes without a login. */
const NOBODY = 0xffff_ffff;
/** Types of unit that have processes (systemd.unit(5)). */
const UNIT = /^[^/]+\.(?:service|scope|socket|mount|swap)$/;

/** @returns the facts known of process `pid`; none where it has ended. */
export function processFacts(pid: number): ProcessFacts {
  const folder = `/proc/${pid}`;
  const comm = readStart(`${folder}/comm`)?.trimEnd() ?? null;
  const words = (readStart(`${folder}/cmdline`) ?? '').split('\0', MOST_WORDS);
  const exe = executable(folder);
  const program = programName({ comm, words, exe });
  const loginuid = loginOf(readStart(`${folder}/loginuid`));
  const login = loginuid === null ? null : userName(loginuid);
  const unit = unitOf(readStart(`${folder}/cgroup`) ?? '');
  return {
    ...(loginuid === null ? {} : { loginuid }),
    ...(login === null ? {} : { login }),
    ...(program === null ? {} : { program }),
    ...(exe === null ? {} : { exe }),
    ...(unit === null ? {} : { unit }),
  };
}

/** @returns the first bytes of a file, as text; null where it cannot be read. */
export function readStart(path: string): string | null {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch {
    return null;
  }
  try {
    const bytes = Buffer.alloc(MOST_READ);
    return bytes.toString('utf8', 0, readSync(fd, bytes, 0, MOST_READ, 0));
  } catch {
    return null;
  } finally {
    closeSync(fd);
  }
}

/** The kernel shows this to root and to the same user only. */
function executable(folder: string): string | null {
  try {
    return readlinkSync(`${folder}/exe`).slice(0, LONGEST_TEXT);
  } catch {
    return null;
  }
}

function loginOf(text: string | null): number | null {
  if (text === null || !/^\d{1,10}$/.test(text)) return null;
  return Number(text) === NOBODY ? null : Number(text);
}

/**
 * @param cgroups /proc/PID/cgroup
 * @returns systemd's own unit in it: the first below the slices. Names below that are the unit's choice
 */
export function unitOf(cgroups: string): string | null {
  const line = cgroups.split('\n').find((each) => each.startsWith('0::') || each.includes(':name=systemd:'));
  const parts = (line ?? '').split('/').slice(1);
  // `..`: the process lies outside of the part of the tree that we see.
  const first = parts.find((part) => part !== '..' && !part.endsWith('.slice')) ?? '';
  // systemd puts `_` before names that would clash with the kernel's files.
  return UNIT.test(first) ? first.replace(/^_/, '').slice(0, LONGEST_TEXT) : null;
}
