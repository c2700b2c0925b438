/**
 * Listening sockets that another process has made and handed over: by number, or by the name systemd gave them (sd_listen_fds(3):
 * LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES).
 *
 * We listen on a copy and close only that. So while we do not listen, and while there is no qmpmux at all, whoever connects waits in
 * the kernel's queue and is refused by nobody.
 */

import { closeSync, fstatSync } from 'node:fs';
import { loadKoffi } from '../../system/koffi.js';
import { F_DUPFD_CLOEXEC, F_SETFD, FD_CLOEXEC } from '../../system/linux.js';
import { describeSystemError } from '../../system/system-error.js';
import { ListenError } from './listen-error.js';

/** SD_LISTEN_FDS_START. */
const FIRST_DESCRIPTOR = 3;

type Fcntl = (fd: number, command: number, argument: number) => number;
let fcntl: Fcntl | null = null;

/** systemd's names of the sockets it has handed over, in the order of the descriptors. */
let names: readonly string[] | null = null;

/**
 * The sockets that systemd has handed over to this process. Its variables are taken out of `environment`, so that children do not take our
 * sockets for theirs.
 * @returns the names, in the order of the descriptors
 */
export function takeNames(environment: NodeJS.ProcessEnv): readonly string[] {
  const { LISTEN_PID: pid, LISTEN_FDS: fds, LISTEN_FDNAMES: text } = environment;
  for (const variable of ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES']) delete environment[variable];
  if (pid !== String(process.pid)) return [];
  return (text ?? '').split(':').slice(0, Number(fds ?? '0'));
}

/** @returns the descriptors called `name` (a number, or systemd's name): those of one .socket unit share a name. */
export function inheritedDescriptors(name: string, known: readonly string[]): readonly number[] {
  if (/^\d{1,9}$/.test(name)) return [Number(name)];
  return known.flatMap((each, index) => (each === name ? [FIRST_DESCRIPTOR + index] : []));
}

/**
 * @param used the names that somebody listens at
 * @returns the other sockets that systemd has handed over, as they would be named. Whoever connects to one waits in vain.
 */
export function unusedSockets(used: ReadonlySet<string>): readonly string[] {
  names ??= takeNames(process.env);
  const unused = names.filter((name, index) => !used.has(name) && !used.has(String(FIRST_DESCRIPTOR + index)));
  return [...new Set(unused)];
}

/** @returns copies of the sockets that were handed over by this name, for us to listen on. @throws ListenError */
export function copyInherited(name: string): readonly number[] {
  names ??= takeNames(process.env);
  const found = inheritedDescriptors(name, names);
  if (found.length === 0) {
    const others = names.length === 0 ? 'there is none' : `only ${names.join(', ')}`;
    throw new ListenError(
      `fd:${name}`,
      `no socket of this name was inherited (${others}); start a systemd .socket unit with FileDescriptorName=${name} first`,
    );
  }
  const copies: number[] = [];
  try {
    for (const fd of found) copies.push(copyOf(fd, `fd:${name}`));
  } catch (error) {
    for (const copy of copies) closeSync(copy);
    throw error;
  }
  return copies;
}

function copyOf(fd: number, place: string): number {
  try {
    if (!fstatSync(fd).isSocket()) throw new ListenError(place, 'it is not a socket');
  } catch (error) {
    if (error instanceof ListenError) throw error;
    throw new ListenError(place, `no such descriptor was inherited: ${describeSystemError(error)}`, { cause: error });
  }
  try {
    fcntl ??= loadFcntl();
  } catch (error) {
    throw new ListenError(place, 'this needs koffi, which has no binary for this machine', { cause: error });
  }
  // A copy that children do not get, and the flag by which they do not get the original.
  const copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) throw new ListenError(place, 'cannot duplicate it: too many open files');
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  return copy;
}

function loadFcntl(): Fcntl {
  const koffi = loadKoffi();
  return koffi.load(null).func('int fcntl(int, int, int)');
}
