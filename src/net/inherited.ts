/**
 * Listening sockets that another process has made and handed over: by number, or by the name systemd gave them (sd_listen_fds(3):
 * LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES).
 *
 * We listen on a copy and close only that. So while we do not listen, and while there is no qmpmux at all, whoever connects waits in
 * the kernel's queue and is refused by nobody.
 */
import { fstatSync } from 'node:fs';
import { createRequire } from 'node:module';
import { describeSystemError, ListenError } from './listen-error.js';

/** SD_LISTEN_FDS_START. */
const FIRST = 3;
/** From asm-generic/fcntl.h: a copy that children do not get; and the flag by which they do not get the original. */
const F_DUPFD_CLOEXEC = 1030;
const F_SETFD = 2;
const FD_CLOEXEC = 1;

type Fcntl = (fd: number, command: number, argument: number) => number;
let fcntl: Fcntl | null = null;

/** @returns the descriptor that `name` (a number, or systemd's name) stands for, or null. */
export function inheritedDescriptor(
  name: string,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): number | null {
  if (/^\d{1,9}$/.test(name)) return Number(name);
  if (environment['LISTEN_PID'] !== String(process.pid)) return null;
  const count = Number(environment['LISTEN_FDS'] ?? '0');
  const at = (environment['LISTEN_FDNAMES'] ?? '').split(':').indexOf(name);
  return at >= 0 && at < count ? FIRST + at : null;
}

/** @returns a copy of a socket that was handed over, for us to listen on. @throws ListenError */
export function copyInherited(name: string): number {
  const place = `fd:${name}`;
  const fd = inheritedDescriptor(name);
  if (fd === null) {
    throw new ListenError(place, 'no socket of this name was handed over (LISTEN_FDS, LISTEN_FDNAMES)');
  }
  try {
    if (!fstatSync(fd).isSocket()) throw new ListenError(place, 'it is no socket');
  } catch (error) {
    if (error instanceof ListenError) throw error;
    throw new ListenError(place, `no such descriptor was handed over: ${describeSystemError(error)}`, { cause: error });
  }
  try {
    fcntl ??= loadFcntl();
  } catch (error) {
    throw new ListenError(place, 'koffi has no binary for this machine, which this needs', { cause: error });
  }
  const copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) throw new ListenError(place, 'it cannot be copied: too many open files');
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  return copy;
}

function loadFcntl(): Fcntl {
  // Typed by the module itself, which is not imported: only daemons with sockets of others need it.
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi');
  return koffi.load(null).func('int fcntl(int, int, int)');
}
