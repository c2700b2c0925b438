/**
 * Taking QEMU's place: its socket is moved aside, and clients find ours at the old path. And the way back.
 *
 *     path    where QEMU made its socket, and where its clients look: QEMU's, then ours
 *     aside   `path` + ".qemu": QEMU's socket while ours is at `path`
 *
 * Every step is one rename(2), and the files at the two paths show how far it has come, so it can continue after a crash at any moment;
 * nothing else is remembered anywhere. QEMU, when it starts again, makes a new socket at `path` whatever is there.
 *
 *     aside    path      what it means                                     what is done
 *     -        -         no QEMU yet                                       wait
 *     -        live      QEMU, as it started                               rename path → aside
 *     -        dead      a QEMU that has ended                             wait
 *     any      -         taken over; we do not listen (yet, any more)      dial aside
 *     any      dead      taken over by one of us that has crashed          dial aside; whoever listens replaces what is at path
 *     dead     live      QEMU has started again                            rename path → aside
 *     live     live      two claimants: another qmpmux, or two QEMUs       refuse
 *
 * On the way back, `dead live` means that QEMU has its place already: the dead one is removed. Only sockets are ever touched.
 */

import { lstatSync, realpathSync, renameSync, type Stats, unlinkSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { FileHandle } from '../../system/file-handle.js';
import { isSameFile } from '../../system/file-identity.js';
import { describeSystemError, errorCode } from '../../system/system-error.js';
import { MAX_PATH_BYTES } from '../address/address-parser.js';
import { ListenError } from './listen-error.js';
import { connectTo, kindOf } from './socket-file.js';

/**
 * The occupant of a path: nothing, or a socket that somebody listens on, or one that nobody does. Sockets come with a handle, to check,
 * right before one is moved or removed, that it is still the same one.
 */
type Occupant =
  | { readonly is: 'nothing' }
  | { readonly is: 'dead'; readonly file: FileHandle }
  | { readonly is: 'live'; readonly file: FileHandle; readonly owner: string };

/** The occupants of the two paths, which are in one folder: it is held, so that it stays the same folder until all is done. */
interface Scene {
  readonly folder: FileHandle | null;
  readonly aside: Occupant;
  readonly path: Occupant;
}

const ENDING = '.qemu';

/** @returns why the socket at `path` cannot be taken over, or null: to dial it aside, its path must fit a socket address */
export function takeoverProblem(path: string): string | null {
  const excess = Buffer.byteLength(path + ENDING) - MAX_PATH_BYTES;
  if (excess <= 0) return null;
  return (
    `its socket would be moved to ${path}${ENDING}, ${excess} ${excess === 1 ? 'byte' : 'bytes'} longer than a socket's path may be ` +
    `(${MAX_PATH_BYTES}); give QEMU a shorter path`
  );
}

/** The result of `prepare`: QEMU's socket is aside and can be dialled, or it is not there, and why. */
type Prepared = { readonly ready: true; readonly moved: boolean } | { readonly ready: false; readonly why: string };

export class Takeover {
  readonly path: string;
  readonly aside: string;

  constructor(path: string) {
    this.path = path;
    this.aside = path + ENDING;
  }

  /**
   * Moves QEMU's socket aside if it is not there yet. To be called while we do not listen at `path`, before each attempt to dial.
   * @throws ListenError where something is in the way that is no socket, or somebody else listens at `path`, or the path is too long
   */
  prepare(): Promise<Prepared> {
    return this.#at(({ folder, aside, path }): Prepared => {
      const problem = takeoverProblem(this.path);
      if (problem !== null) {
        const left = aside.is === 'nothing' ? '' : `; move back what an earlier version left there with --restore`;
        throw this.#fault(problem + left);
      }
      if (path.is === 'live') {
        if (aside.is === 'live') {
          throw this.#fault(
            `two programs listen: ${path.owner} at that path, and ${aside.owner} at ${this.aside}; stop one of them, ` +
              'and if no qmpmux runs, move the socket of the QEMU you want to the first path',
          );
        }
        this.#move(folder, path, [this.path, this.aside], aside);
        return { ready: true, moved: true };
      }
      if (aside.is !== 'nothing') return { ready: true, moved: false };
      const why =
        path.is === 'nothing' ? 'there is no such file' : 'this socket is left over from a QEMU that has ended';
      return { ready: false, why };
    });
  }

  /**
   * Puts QEMU's socket back. To be called while nobody listens at `path`. Where QEMU has been started again, and has its socket there
   * already, its old one is removed.
   * @returns whether there was one to be put back
   * @throws ListenError where somebody does, or something is there that is no socket
   */
  restore(): Promise<boolean> {
    return this.#at(({ folder, aside, path }) => {
      if (aside.is === 'nothing') return false;
      if (path.is === 'live' && aside.is === 'dead') {
        this.#remove(folder, aside);
        return false;
      }
      if (path.is === 'live')
        throw this.#fault(`${path.owner} listens there; stop it first, and it may move the socket back itself`);
      this.#move(folder, aside, [this.aside, this.path], path);
      return true;
    });
  }

  /** Looks at both paths, and calls `step` with their occupants. */
  async #at<T>(step: (scene: Scene) => T): Promise<T> {
    const held: FileHandle[] = [];
    const hold = (path: string): FileHandle | null => {
      try {
        const file = new FileHandle(path);
        held.push(file);
        return file;
      } catch (error) {
        if (errorCode(error) === 'ENOENT') return null;
        throw this.#fault(describeSystemError(error), error);
      }
    };
    try {
      const folder = hold(resolved(dirname(this.path)));
      const look = async (path: string): Promise<Occupant> => {
        const file = folder === null ? null : hold(within(folder, path));
        return file === null ? { is: 'nothing' } : await occupant(path, file);
      };
      const aside = await look(this.aside);
      return step({ folder, aside, path: await look(this.path) });
    } finally {
      for (const file of held) file.close();
    }
  }

  /** Removes a dead socket, unless another file has taken its name meanwhile. */
  #remove(folder: FileHandle | null, { file }: { readonly file: FileHandle }): void {
    if (folder === null) return;
    try {
      if (isStill(folder, this.aside, file)) unlinkSync(within(folder, this.aside));
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return;
      throw this.#fault(`cannot remove ${this.aside}: ${describeSystemError(error)}`, error);
    }
  }

  /** @param replaced the occupant of the other path, which goes */
  #move(
    folder: FileHandle | null,
    { file }: { readonly file: FileHandle },
    [from, to]: readonly [string, string],
    replaced: Occupant,
  ): void {
    if (folder === null) return;
    try {
      const isFree = replaced.is === 'nothing' ? find(folder, to) === null : isStill(folder, to, replaced.file);
      if (isFree && isStill(folder, from, file)) {
        renameSync(within(folder, from), within(folder, to));
        return;
      }
    } catch (error) {
      throw this.#fault(`cannot rename ${from} to ${to}: ${describeSystemError(error)}`, error);
    }
    throw this.#fault(`cannot rename ${from} to ${to}: another file was just put at one of them`);
  }

  #fault(problem: string, cause?: unknown): ListenError {
    return new ListenError(`unix:${this.path}`, problem, cause === undefined ? undefined : { cause });
  }
}

function resolved(folder: string): string {
  try {
    return realpathSync(folder);
  } catch {
    // Opening it reports the fault.
    return folder;
  }
}

/** @returns where `path` is, by way of the folder that is held. */
function within(folder: FileHandle, path: string): string {
  return `${folder.path}/${basename(path)}`;
}

function find(folder: FileHandle, path: string): Stats | null {
  return lstatSync(within(folder, path), { throwIfNoEntry: false }) ?? null;
}

function isStill(folder: FileHandle, path: string, { stat }: FileHandle): boolean {
  return isSameFile(stat, find(folder, path));
}

async function occupant(path: string, file: FileHandle): Promise<Occupant> {
  if (!file.stat.isSocket()) {
    throw new ListenError(`unix:${path}`, `${kindOf(file.stat)} is there, and only sockets are moved; move it away`);
  }
  const { code, owner } = await connectTo(file.path);
  if (code === 'ECONNREFUSED') return { is: 'dead', file };
  if (code === 'ENOENT') return { is: 'nothing' };
  // It took the connection, or has too many waiting, or will not have us: somebody is there.
  return { is: 'live', file, owner: owner ?? 'another program' };
}
