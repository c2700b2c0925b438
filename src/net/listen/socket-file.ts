/**
 * The file of a unix socket that we make: whether its path is free, who owns it, and its removal.
 *
 * What must hold, also while others change the folder: nothing but a dead socket, or our own, is removed, and nothing but our
 * own gets another owner or mode. So a file that was checked is held by a descriptor (file-handle.ts) until it has been used.
 */

import { randomUUID } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  closeSync,
  fchownSync,
  linkSync,
  lstatSync,
  openSync,
  renameSync,
  type Stats,
  unlinkSync,
} from 'node:fs';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import { peerText } from '../../shared/peer-text.js';
import { FileHandle } from '../../system/file-handle.js';
import { type FileIdentity, isSameFile } from '../../system/file-identity.js';
import { describeSystemError, errorCode } from '../../system/system-error.js';
import { formatPlace, type UnixListenAddress } from '../address/address.js';
import { groupId, userId } from '../address/passwd-lookup.js';
import { ListenError } from './listen-error.js';
import { unixPeer } from './peer-credentials.js';
import { checkFolders } from './socket-folder.js';

/** The owner to give a socket file; -1 leaves it as it is. */
interface Ownership {
  readonly uid: number;
  readonly gid: number;
}

/** A stale socket comes with a handle, which keeps its inode number from being given to another; to be closed. */
type Occupant = { readonly is: 'nobody' } | { readonly is: 'stale'; readonly file: FileHandle };

/** The identity of no file. */
const NO_FILE: FileIdentity = { dev: -1, ino: -1 };

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
    `there is no ${what} ${JSON.stringify(name)} in ${file}; write the name of another, or a number`,
  );
}

/**
 * Finds out whether a socket can be made at the path, without making one: creates a file beside it for a moment.
 * @throws ListenError
 */
export async function checkSocketPath(address: UnixListenAddress): Promise<void> {
  const ownership = ownershipOf(address);
  checkFolders(address);
  const occupant = await occupantOf(address);
  if (occupant.is === 'stale') occupant.file.close();
  const folder = dirname(address.path);
  let what = `in the folder ${folder}`;
  try {
    // Permissions, capabilities, groups, quotas, the file system: only making a file checks them all.
    const probe = join(folder, `.qmpmux-${randomUUID()}`);
    const fd = openSync(probe, 'wx', 0o600);
    try {
      if (ownership.uid !== -1 || ownership.gid !== -1) {
        what = 'to set its owner; without root, a socket can only be given to a group of this account (see id)';
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

/** Makes the path free for a new socket: a socket nobody listens on any more is removed. @throws ListenError */
export async function clearSocketPath(address: UnixListenAddress): Promise<void> {
  checkFolders(address);
  const occupant = await occupantOf(address);
  if (occupant.is === 'nobody') return;
  try {
    removeOnly(address.path, occupant.file.stat);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return;
    throw new ListenError(formatPlace(address), `a stale socket is in the way: ${describeSystemError(error)}`, {
      cause: error,
    });
  } finally {
    occupant.file.close();
  }
}

/**
 * Removes the file at `path` if it is `file`. It is moved away first, and put back if it turns out to be another's: between a look and
 * the removal a second daemon could have replaced the stale socket with its own.
 * @throws Error of the system
 */
function removeOnly(path: string, file: FileIdentity): void {
  if (!isFile(path, file)) return;
  const away = join(dirname(path), `.qmpmux-${randomUUID()}`);
  renameSync(path, away);
  if (!isFile(away, file)) {
    try {
      // Unlike a rename, this replaces nothing.
      linkSync(away, path);
    } catch (error) {
      if (errorCode(error) !== 'EEXIST') {
        renameSync(away, path);
        return;
      }
    }
  }
  unlinkSync(away);
}

/** A socket file that was just made, held so that whatever is put in its place since is left alone. */
export class MadeSocket {
  readonly #address: UnixListenAddress;
  readonly #handle: FileHandle;

  /**
   * To be called right after the socket was bound with a umask of 0177.
   * @throws ListenError when the file at the path cannot be the socket that was bound: somebody has replaced it
   */
  constructor(address: UnixListenAddress) {
    this.#address = address;
    try {
      this.#handle = new FileHandle(address.path);
    } catch (error) {
      throw new ListenError(formatPlace(address), `it disappeared at once: ${describeSystemError(error)}`, {
        cause: error,
      });
    }
    const { stat } = this.#handle;
    if (stat.isSocket() && stat.uid === process.geteuid?.() && (stat.mode & 0o777) === 0o600 && stat.nlink === 1)
      return;
    this.#handle.close();
    throw new ListenError(
      formatPlace(address),
      `${kindOf(stat)} replaced it at once; find out what writes to ${dirname(address.path)}`,
    );
  }

  get identity(): FileIdentity {
    return this.#handle.stat;
  }

  /** Gives the socket to its owner, then opens it to others. @throws ListenError */
  give(ownership: Ownership): void {
    const { mode, like } = this.#address;
    const { path } = this.#handle;
    try {
      if (ownership.uid !== -1 || ownership.gid !== -1) chownSync(path, ownership.uid, ownership.gid);
      if (mode !== undefined) chmodSync(path, mode);
      if (like === undefined) return;
      const model = lstatSync(like);
      if (!model.isSocket()) throw new Error(`${kindOf(model)} is at ${like}, where QEMU's socket was`);
      if (ownership.uid === -1 && ownership.gid === -1) chownSync(path, model.uid, model.gid);
      if (mode === undefined) chmodSync(path, model.mode & 0o777);
    } catch (error) {
      throw new ListenError(formatPlace(this.#address), `cannot set its owner or mode: ${describeSystemError(error)}`, {
        cause: error,
      });
    }
  }

  /** Lets go of the handle; the socket stays. */
  close(): void {
    this.#handle.close();
  }
}

/**
 * Calls `close`, during which libuv removes whatever is at `path`, in such a way that only `ours` goes.
 * @param ours null when nothing there is ours
 */
export function closeKeepingOthers(path: string, ours: FileIdentity | null, close: () => void): void {
  const aside = `${path}.${process.pid}~`;
  let foreign = exists(path) && !isFile(path, ours ?? NO_FILE);
  try {
    if (foreign) renameSync(path, aside);
  } catch {
    // A user who may not rename in this folder may not remove anything either.
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
  let file: FileHandle;
  try {
    file = new FileHandle(path);
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') {
      const problem = errorCode(error) === 'ENOTDIR' ? `${dirname(path)} is no folder` : describeSystemError(error);
      throw new ListenError(place, problem, { cause: error });
    }
    if (!exists(dirname(path)))
      throw new ListenError(place, `the folder ${dirname(path)} does not exist; make it first`);
    return { is: 'nobody' };
  }
  let isStale = false;
  try {
    if (!file.stat.isSocket()) {
      throw new ListenError(place, `${kindOf(file.stat)} is there, and qmpmux removes only dead sockets; move it away`);
    }
    const { code, owner } = await connectTo(file.path);
    switch (code) {
      case 'ECONNREFUSED':
        isStale = true;
        return { is: 'stale', file };
      case 'ENOENT':
        return { is: 'nobody' };
      case 'EACCES':
      case 'EPERM':
        throw new ListenError(place, 'no permission to open the socket there, which may be in use');
      default:
        // It took the connection, or has too many waiting (EAGAIN), or is a datagram socket (EPROTOTYPE): somebody is there.
        throw new ListenError(place, `it is in use by ${owner ?? 'another program'}; ${remedy(owner)}`);
    }
  } finally {
    if (!isStale) file.close();
  }
}

function remedy(owner: string | null): string {
  if (owner?.startsWith('systemd (pid 1,') !== true) return 'stop it, or choose another path';
  return 'it is a .socket unit: listen on fd:NAME, with its FileDescriptorName, or stop the unit';
}

/** @returns the code of the error with which connecting failed, or the empty string; and the owner of the listening socket, if known. */
export function connectTo(path: string): Promise<{ readonly code: string; readonly owner: string | null }> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    socket.once('connect', () => {
      const peer = unixPeer(socket);
      socket.destroy();
      const { program = 'a program' } = peer.kind === 'unix' ? peer : {};
      const who = peerText({ ...peer, program });
      resolve({ code: '', owner: who === program ? null : who });
    });
    socket.once('error', (error) => {
      resolve({ code: errorCode(error), owner: null });
    });
  });
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

function isFile(path: string, file: FileIdentity): boolean {
  return isSameFile(file, lstatSync(path, { throwIfNoEntry: false }));
}

/** The kind of file in the way, for a message. */
export function kindOf(found: Stats): string {
  if (found.isDirectory()) return 'a folder';
  if (found.isSymbolicLink()) return 'a symbolic link';
  if (found.isFIFO()) return 'a named pipe';
  if (found.isFile()) return 'a regular file';
  if (found.isSocket()) return 'another socket';
  return 'a device';
}
