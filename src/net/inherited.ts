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

/** systemd's names of what it has handed over, in the order of the descriptors. */
let names: readonly string[] | null = null;

/**
 * What systemd has handed over to this process. Its variables are taken out of `environment`, so that children do not take our sockets
 * for theirs.
 * @returns the names, in the order of the descriptors
 */
export function takeNames(environment: NodeJS.ProcessEnv): readonly string[] {
  const { LISTEN_PID: pid, LISTEN_FDS: fds, LISTEN_FDNAMES: text } = environment;
  for (const variable of ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES']) delete environment[variable];
  if (pid !== String(process.pid)) return [];
  return (text ?? '').split(':').slice(0, Number(fds ?? '0'));
}

/** @returns the descriptor that `name` (a number, or systemd's name) stands for, or null. */
export function inheritedDescriptor(name: string, known: readonly string[]): number | null {
  if (/^\d{1,9}$/.test(name)) return Number(name);
  const at = known.indexOf(name);
  return at >= 0 ? FIRST + at : null;
}

/** @returns a copy of a socket that was handed over, for us to listen on. @throws ListenError */
export function copyInherited(name: string): number {
  const place = `fd:${name}`;
  names ??= takeNames(process.env);
  const fd = inheritedDescriptor(name, names);
  if (fd === null) {
    const others = names.length === 0 ? 'nor any other' : `only ${names.join(', ')}`;
    throw new ListenError(
      place,
      `no socket of this name was handed over, ${others}; systemd does that for a .socket unit with FileDescriptorName=${name}`,
    );
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
