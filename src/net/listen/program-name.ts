/**
 * The name a person would use for a program, from the facts in /proc. A program that runs others is called by the program it runs:
 * `exporter.py`, not `python3`; and qmpmux with its subcommand, `qmpmux exec`.
 *
 * All of it but `exe` is the process's own word: it can write what it likes over its arguments and its name.
 */
import { basename } from 'node:path';

interface ProgramFacts {
  /** The process's name, of at most 15 bytes (/proc/PID/comm); null where it is not known. */
  readonly comm: string | null;
  /** The beginning of its command line, in pieces. */
  readonly words: readonly string[];
  /** The file it executes, from the kernel; null where we may not know it. */
  readonly exe: string | null;
}

/** Of a name, in characters. */
export const LONGEST_PROGRAM = 64;
/** The kernel cuts a process's name at this many bytes. */
const COMM_BYTES = 15;
/** The name of the main thread in Node 24 and later. */
const MAIN_THREAD = 'MainThread';

const VERSION = /[\d.]*$/;
/** Programs that run a script, and their options that take a value. */
const INTERPRETERS: Readonly<Record<string, readonly string[]>> = {
  node: ['-r', '--require', '--import', '--loader', '--experimental-loader', '-C', '--conditions', '--env-file'],
  nodejs: [],
  bun: [],
  deno: [],
  python: ['-W', '-X'],
  pypy: ['-W', '-X'],
  perl: ['-I'],
  ruby: ['-I', '-r'],
  php: ['-d'],
  lua: ['-l'],
  sh: ['-o', '-O'],
  bash: ['-o', '-O', '--rcfile', '--init-file'],
  dash: ['-o'],
  ash: ['-o'],
  zsh: ['-o'],
  ksh: ['-o'],
};
/** Options after which no script comes: the command line itself has the program. */
const PROGRAM_OPTIONS = new Set(['-c', '-e', '-E', '-p', '-pe', '-ne', '--eval', '--print']);

/** @returns the program's name, or null where nothing is known. */
export function programName({ comm, words, exe }: ProgramFacts): string | null {
  const first = basename(words[0] ?? '').replace(/^-/, '');
  const name = scriptName(first, words) ?? scriptName(basename(exe ?? ''), words) ?? ownName(comm, first);
  return name === '' ? null : name.slice(0, LONGEST_PROGRAM);
}

/** @returns the name that a process goes by: that of its file, if it was not cut, or the name it chose. */
function ownName(comm: string | null, first: string): string {
  if (comm === null || comm === '' || comm === MAIN_THREAD) return first || (comm ?? '');
  return comm.length >= COMM_BYTES && first.startsWith(comm) ? first : comm;
}

/** @returns the name of the script that `program` runs; null where it runs none */
function scriptName(program: string, words: readonly string[]): string | null {
  const valued = INTERPRETERS[program.replace(VERSION, '')];
  if (valued === undefined) return null;
  for (let at = 1; at < words.length; at++) {
    const word = words[at] ?? '';
    // Nothing: a process that has written a title over its command line.
    if (word === '' || PROGRAM_OPTIONS.has(word)) return null;
    if (word === '-m' && program.startsWith('py')) return words[at + 1] ?? null;
    if (valued.includes(word)) at++;
    else if (word !== '--' && !word.startsWith('-')) return withSubcommand(basename(word), words[at + 1]);
  }
  return null;
}

function withSubcommand(script: string, next = ''): string {
  if (script !== 'qmpmux' && script !== 'qmpmux.js') return script;
  return /^[a-z][a-z-]{0,15}$/.test(next) ? `qmpmux ${next}` : 'qmpmux';
}
