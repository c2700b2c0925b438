/**
 * The file of a unix socket that we make: whether its path is free, who owns it, and its removal.
 *
 * What must hold: nothing but a dead socket, or our own, is ever removed. Two daemons that start on one stale path at the same
 * instant could still race between the look and the removal; the kernel offers nothing better for sockets.
 */
import { randomUUID } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  closeSync,
  fchownSync,
  lstatSync,
  openSync,
  realpathSync,
  renameSync,
  type Stats,
  statSync,
  unlinkSync,
} from 'node:fs';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import { groupId, userId } from './accounts.js';
import { formatMode, formatPlace, type UnixListenAddress } from './address.js';
import { describeSystemError, errorCode, ListenError } from './listen-error.js';
import { unixPeer } from './peer-credentials.js';

/** Who is to own a socket file; -1 leaves it as it is. */
export interface Ownership {
  readonly uid: number;
  readonly gid: number;
}

/** Which file a path named when we looked. */
export interface FileIdentity {
  readonly dev: number;
  readonly ino: number;
}

type Occupant = { readonly is: 'nobody' } | { readonly is: 'stale'; readonly file: FileIdentity };

/** The accounts named in the address. @throws ListenError for a name that is unknown here. */
export function ownershipOf(address: UnixListenAddress): Ownership {
  const uid = address.user === undefined ? -1 : userId(address.user);
  if (uid === null) throw unknownAccount(address, 'user', address.user ?? '');
  const gid = address.group === undefined ? -1 : groupId(address.group);
  if (gid === null) throw unknownAccount(address, 'group', address.group ?? '');
  return { uid, gid };
}

function unknownAccount(address: UnixListenAddress, what: 'user' | 'group', name: string): ListenError {
  const file = what === 'user' ? '/etc/passwd' : '/etc/group';
  return new ListenError(
    formatPlace(address),
    `there is no ${what} ${JSON.stringify(name)} in ${file}; a number works too`,
  );
}

/**
 * Finds out whether a socket can be made at the path, without making one: a file beside it, for a moment, tells.
 * @throws ListenError
 */
export async function checkSocketPath(address: UnixListenAddress): Promise<void> {
  const ownership = ownershipOf(address);
  checkFolders(address);
  await occupantOf(address);
  const folder = dirname(address.path);
  let what = `in the folder ${folder}`;
  try {
    // Permissions, capabilities, groups, quotas, the file system: only a file can tell.
    const probe = join(folder, `.qmpmux-${randomUUID()}`);
    const fd = openSync(probe, 'wx', 0o600);
    try {
      if (ownership.uid !== -1 || ownership.gid !== -1) {
        what = 'to set its owner; without root a socket can only be given to a group that the account is in (id tells)';
        fchownSync(fd, ownership.uid, ownership.gid);
      }
    } finally {
      closeSync(fd);
      unlinkSync(probe);
    }
  } catch (error) {
    throw new ListenError(formatPlace(address), `${describeSystemError(error)} ${what}`, {
      cause: error,
    });
  }
}

/**
 * The folders above a socket must not be open to everyone: who may write there may put a socket of their own in its place, and be taken
 * for the VM. A sticky folder such as /tmp will do: there only owners remove what is theirs.
 * @throws ListenError
 */
function checkFolders(address: UnixListenAddress): void {
  let folder: string;
  try {
    folder = realpathSync(dirname(address.path));
  } catch {
    // That it is not there is told where the path itself is looked at.
    return;
  }
  for (;;) {
    const { mode } = statSync(folder);
    if ((mode & 0o002) !== 0 && (mode & 0o1000) === 0) {
      throw new ListenError(
        formatPlace(address),
        `anyone can write to the folder ${folder} (mode ${formatMode(mode & 0o7777)}), and replace the socket; chmod o-w ${folder}`,
      );
    }
    const above = dirname(folder);
    if (above === folder) return;
    folder = above;
  }
}

/** Makes the path free for a new socket: a socket nobody listens on any more is removed. @throws ListenError */
export async function clearSocketPath(address: UnixListenAddress): Promise<void> {
  checkFolders(address);
  const occupant = await occupantOf(address);
  if (occupant.is === 'nobody') return;
  try {
    if (isFile(address.path, occupant.file)) unlinkSync(address.path);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return;
    throw new ListenError(formatPlace(address), `a stale socket is in the way: ${describeSystemError(error)}`, {
      cause: error,
    });
  }
}

/** Gives a socket that was just made to its owner, then opens it to others. */
export function applyOwnership(address: UnixListenAddress, ownership: Ownership): void {
  try {
    if (ownership.uid !== -1 || ownership.gid !== -1) chownSync(address.path, ownership.uid, ownership.gid);
    if (address.mode !== undefined) chmodSync(address.path, address.mode);
    if (address.like !== undefined) {
      const { uid, gid, mode } = statSync(address.like);
      if (ownership.uid === -1 && ownership.gid === -1) chownSync(address.path, uid, gid);
      if (address.mode === undefined) chmodSync(address.path, mode & 0o777);
    }
  } catch (error) {
    throw new ListenError(formatPlace(address), `cannot set its owner or mode: ${describeSystemError(error)}`, {
      cause: error,
    });
  }
}

/** @returns what `path` names now. */
export function identify(path: string): FileIdentity {
  const { dev, ino } = lstatSync(path);
  return { dev, ino };
}

/**
 * Calls `close`, during which libuv removes whatever is at `path`, in such a way that only `ours` goes.
 */
export function closeKeepingOthers(path: string, ours: FileIdentity, close: () => void): void {
  const aside = `${path}.${process.pid}~`;
  let foreign = exists(path) && !isFile(path, ours);
  try {
    if (foreign) renameSync(path, aside);
  } catch {
    // Who may not rename in this folder may not remove anything either.
    foreign = false;
  }
  try {
    close();
  } finally {
    if (foreign) renameSync(aside, path);
  }
}

async function occupantOf(address: UnixListenAddress): Promise<Occupant> {
  const { path } = address;
  const place = formatPlace(address);
  let found: Stats;
  try {
    found = lstatSync(path);
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') {
      const problem = errorCode(error) === 'ENOTDIR' ? `${dirname(path)} is no folder` : describeSystemError(error);
      throw new ListenError(place, problem, { cause: error });
    }
    if (!exists(dirname(path)))
      throw new ListenError(place, `the folder ${dirname(path)} does not exist; make it first`);
    return { is: 'nobody' };
  }
  if (!found.isSocket()) {
    throw new ListenError(
      place,
      `${kindOf(found)} is there, and qmpmux removes nothing but dead sockets; move it away`,
    );
  }
  const { code, owner } = await connectTo(path);
  switch (code) {
    case 'ECONNREFUSED':
      return { is: 'stale', file: { dev: found.dev, ino: found.ino } };
    case 'ENOENT':
      return { is: 'nobody' };
    case 'EACCES':
    case 'EPERM':
      throw new ListenError(place, 'a socket is there that we may not open; it may be in use');
    default:
      // It took the connection, or has too many waiting (EAGAIN), or is a datagram socket (EPROTOTYPE): somebody is there.
      throw new ListenError(place, `it is in use by ${owner ?? 'another program'}; ${remedy(owner)}`);
  }
}

function remedy(owner: string | null): string {
  if (owner?.startsWith('systemd (pid 1,') !== true) return 'stop that, or choose another path';
  return 'that is a .socket unit: listen on fd:NAME, by its FileDescriptorName, or stop the unit';
}

/** @returns the code of the error with which connecting failed, or the empty string; and who listens there, if that can be told. */
export function connectTo(path: string): Promise<{ readonly code: string; readonly owner: string | null }> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    socket.once('connect', () => {
      const peer = unixPeer(socket);
      socket.destroy();
      resolve({ code: '', owner: peer.kind === 'unix' ? describeOwner(peer.pid, peer.uid, peer.program) : null });
    });
    socket.once('error', (error) => {
      resolve({ code: errorCode(error), owner: null });
    });
  });
}

function describeOwner(pid: number | undefined, uid: number | undefined, program: string | undefined): string | null {
  if (pid === undefined) return uid === undefined ? null : `a program of uid ${uid}`;
  return `${program ?? 'a program'} (pid ${pid}, uid ${uid})`;
}

/** Whether it is known that nothing is there. */
export function isGone(path: string): boolean {
  try {
    return !exists(path);
  } catch {
    return false;
  }
}

function exists(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

function isFile(path: string, { dev, ino }: FileIdentity): boolean {
  const now = lstatSync(path, { throwIfNoEntry: false });
  return now !== undefined && now.dev === dev && now.ino === ino;
}

/** What is in the way, for a message. */
export function kindOf(found: Stats): string {
  if (found.isDirectory()) return 'a folder';
  if (found.isSymbolicLink()) return 'a symbolic link';
  if (found.isFIFO()) return 'a named pipe';
  if (found.isFile()) return 'a regular file';
  return 'a device';
}
