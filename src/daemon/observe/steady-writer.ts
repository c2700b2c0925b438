/**
 * Writes to a standard stream that never wait, whatever the stream is: a terminal that was stopped by Ctrl-S, a pipe whose reader
 * is stuck, the socket of a journald that starts again. A write that would wait takes nothing and says so.
 *
 * O_NONBLOCK on the stream itself is no solution: everybody who has the stream would get the flag, the shell too. So a terminal
 * or a pipe is opened once more, for us alone, and a socket is asked by call. A stream that cannot be opened once more (a pipe that
 * another user made) gets the flag for the length of a call. Not through libuv's threads either: a thread that waits in a write keeps the
 * process from ending.
 */
import { constants, fstatSync, openSync, writeSync } from 'node:fs';
import { isatty } from 'node:tty';
import { getSystemErrorName } from 'node:util';
import { loadKoffi } from '../../system/koffi.js';
import { F_GETFL, F_SETFL, MSG_DONTWAIT, MSG_NOSIGNAL } from '../../system/linux.js';

/** @returns how many of the bytes were taken; 0 if none can be now. @throws Error, with its `code`, if they cannot be written */
export type SteadyWrite = (bytes: Uint8Array) => number;

/** @param fd 1 or 2 */
export function steadyWriter(fd: number): SteadyWrite {
  const kind = fstatSync(fd);
  // A file takes the bytes, or says at once that it cannot; its offset must stay the one that all writers share.
  const neverWaits = kind.isFile() || kind.isDirectory() || (kind.isCharacterDevice() && !isatty(fd));
  if (neverWaits) return (bytes) => writeSync(fd, bytes);
  const own = kind.isSocket() ? null : openedAgain(fd);
  if (own !== null) return (bytes) => unlessBusy(() => writeSync(own, bytes));
  try {
    return throughLibc(fd, kind.isSocket());
  } catch {
    // koffi has no binary for this machine: better a log that may wait than none.
    return (bytes) => writeSync(fd, bytes);
  }
}

function openedAgain(fd: number): number | null {
  try {
    return openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch {
    // Another user's, or there is nobody at its other end.
    return null;
  }
}

function throughLibc(fd: number, isSocket: boolean): SteadyWrite {
  const koffi = loadKoffi();
  const libc = koffi.load(null);
  if (isSocket) {
    const send: (fd: number, bytes: Uint8Array, length: number, flags: number) => number = libc.func(
      'long send(int, const void *, size_t, int)',
    );
    return (bytes) => {
      const taken = send(fd, bytes, bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL);
      return taken >= 0 ? taken : unlessBusy(() => fail(koffi.errno()));
    };
  }
  const fcntl: (fd: number, command: number, type: string, argument: number) => number =
    libc.func('int fcntl(int, int, ...)');
  return (bytes) => {
    const flags = fcntl(fd, F_GETFL, 'int', 0);
    if (flags < 0) fail(koffi.errno());
    fcntl(fd, F_SETFL, 'int', flags | constants.O_NONBLOCK);
    try {
      return unlessBusy(() => writeSync(fd, bytes));
    } finally {
      fcntl(fd, F_SETFL, 'int', flags);
    }
  };
}

/** @param errno as libc has it */
function fail(errno: number): never {
  const code = getSystemErrorName(-errno);
  throw Object.assign(new Error(`write ${code}`), { code });
}

/** @returns 0 for a stream that takes nothing now */
function unlessBusy(write: () => number): number {
  try {
    return write();
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'EAGAIN' || error.code === 'EINTR')) return 0;
    throw error;
  }
}
