/**
 * Standard output, for all subcommands: a failed write (a full disk, a terminal that is gone) is an error, and never silent. A reader that
 * closes early is not an error.
 */
import { fstatSync, readlinkSync, writeSync } from 'node:fs';
import { isatty } from 'node:tty';
import { QmpmuxError } from '../../shared/errors.js';

const STDOUT = 1;
/** How often it is looked whether the terminal is still there, in milliseconds. */
const LOOK_PAUSE = 1000;

/** Standard output could not be written. */
export class OutputError extends QmpmuxError {
  readonly code = 'QMPMUX_OUTPUT';
}

let isTakenCareOf = false;
let settle: (error: OutputError) => void = () => undefined;
const lost = new Promise<OutputError>((resolve) => {
  settle = resolve;
});

/**
 * To be called once, before anything is written.
 * @param end is called when output is lost, unless the subcommand handles that itself
 * @returns false where standard output is a terminal that is gone already
 */
export function guardOutput(end: (error: OutputError) => void): boolean {
  // Its own failures cannot be reported anywhere.
  streamOf('stderr')?.on('error', () => undefined);
  const stdout = streamOf('stdout');
  if (stdout === null || isDeadTerminal(STDOUT)) return false;
  if (isFile(STDOUT)) {
    // Node's own write drops the bytes that an almost full disk does not take.
    // The name is that of Node's streams.
    // oxlint-disable-next-line eslint/no-underscore-dangle
    stdout._write = (chunk: Uint8Array, _encoding, done) => {
      try {
        for (let rest = chunk; rest.length > 0; rest = rest.subarray(writeSync(STDOUT, rest)));
        done();
      } catch (error) {
        done(error instanceof Error ? error : new Error(String(error)));
      }
    };
  }
  let isFirst = true;
  const lose = (cause: NodeJS.ErrnoException) => {
    if (!isFirst) return;
    isFirst = false;
    if (cause.code === 'EPIPE') return;
    const error = new OutputError(`cannot write to standard output: ${cause.message}`, { cause });
    settle(error);
    if (!isTakenCareOf) end(error);
  };
  stdout.on('error', lose);
  return true;
}

/** @returns null for a terminal that was gone before we began */
function streamOf(name: 'stdout' | 'stderr'): NodeJS.WriteStream | null {
  try {
    return process[name];
  } catch {
    return null;
  }
}

/**
 * Looks now and then whether the terminal that shows standard output is still there: a command that only waits has no write that could
 * fail, and gets no signal where SIGHUP is ignored.
 */
export function watchTerminal(): void {
  const { stdout } = process;
  if (!stdout.isTTY) return;
  setInterval(() => {
    if (!isatty(STDOUT)) stdout.emit('error', new Error('the terminal was closed'));
  }, LOOK_PAUSE).unref();
}

/** For a subcommand that has things to end in order. @returns when output is lost, with the error to throw then */
export function untilOutputIsLost(): Promise<OutputError> {
  isTakenCareOf = true;
  return lost;
}

/** For a subcommand that only writes: ends it when nobody reads any more. */
export function whenReaderLeaves(action: () => void): void {
  process.stdout.once('error', action);
}

/** Whether it was one when it was opened, and answers as none now. */
function isDeadTerminal(fd: number): boolean {
  return !isatty(fd) && /^\/dev\/(?:pts\/|tty)/.test(readlinkSync(`/proc/self/fd/${fd}`));
}

function isFile(fd: number): boolean {
  const kind = fstatSync(fd);
  return kind.isFile() || (kind.isCharacterDevice() && !isatty(fd));
}
