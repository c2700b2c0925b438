/**
 * Taking QEMU's place: its socket is moved aside, and clients find ours at the old path. And the way back.
 *
 *     path    where QEMU made its socket, and where its clients look: QEMU's, then ours
 *     aside   `path` + ".qemu": QEMU's socket while we stand at `path`
 *
 * Every step is one rename(2), and what is found at the two paths says how far things have come, so it can be gone on with after a crash
 * at any moment; nothing else is remembered anywhere. QEMU, when it starts again, makes a new socket at `path` whatever is there.
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
import { lstatSync, renameSync, type Stats, unlinkSync } from 'node:fs';
import { describeSystemError, errorCode, ListenError } from './listen-error.js';
import { connectTo, kindOf } from './socket-file.js';

/** What stands at a path: nothing, or a socket that somebody listens on, or one that nobody does. */
type Occupant =
  | { readonly is: 'nothing' }
  | { readonly is: 'dead'; readonly inode: number }
  | { readonly is: 'live'; readonly owner: string };

/** What `prepare` found: QEMU's socket is aside and can be dialled, or it is not there, and why. */
export type Prepared =
  | { readonly ready: true; readonly moved: boolean }
  | { readonly ready: false; readonly why: string };

export class Takeover {
  readonly path: string;
  readonly aside: string;

  constructor(path: string) {
    this.path = path;
    this.aside = `${path}.qemu`;
  }

  /**
   * Moves QEMU's socket aside if it is not there yet. To be called while we do not listen at `path`, before each attempt to dial.
   * @throws ListenError where something is in the way that is no socket, or somebody else stands at `path`
   */
  async prepare(): Promise<Prepared> {
    const [aside, path] = [await look(this.aside), await look(this.path)];
    if (path.is === 'live') {
      if (aside.is === 'live') {
        throw new ListenError(
          `unix:${this.path}`,
          `two stand there: ${path.owner} at that path, and ${aside.owner} at ${this.aside}; end one of them, ` +
            'and if no qmpmux runs, move the socket of the QEMU that is wanted to the first path',
        );
      }
      this.#move(this.path, this.aside);
      return { ready: true, moved: true };
    }
    if (aside.is !== 'nothing') return { ready: true, moved: false };
    const why = path.is === 'nothing' ? 'there is no such file' : 'a QEMU that has ended left this socket behind';
    return { ready: false, why };
  }

  /**
   * Puts QEMU's socket back. To be called while nobody listens at `path`. Where QEMU has been started again, and stands there already,
   * what it had before is removed.
   * @returns whether there was one to be put back
   * @throws ListenError where somebody does, or something is there that is no socket
   */
  async restore(): Promise<boolean> {
    const [aside, path] = [await look(this.aside), await look(this.path)];
    if (aside.is === 'nothing') return false;
    if (path.is === 'live' && aside.is === 'dead') {
      this.#remove(this.aside, aside.inode);
      return false;
    }
    if (path.is === 'live') {
      throw new ListenError(
        `unix:${this.path}`,
        `${path.owner} stands there; end that first, and it may restore it by itself`,
      );
    }
    this.#move(this.aside, this.path);
    return true;
  }

  /** Removes a dead socket, unless another file has taken its name meanwhile. */
  #remove(path: string, inode: number): void {
    try {
      if (lstatSync(path).ino === inode) unlinkSync(path);
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return;
      throw new ListenError(`unix:${this.path}`, `cannot remove ${path}: ${describeSystemError(error)}`, {
        cause: error,
      });
    }
  }

  #move(from: string, to: string): void {
    try {
      renameSync(from, to);
    } catch (error) {
      const problem = describeSystemError(error);
      throw new ListenError(`unix:${this.path}`, `cannot rename ${from} to ${to}: ${problem}`, { cause: error });
    }
  }
}

async function look(path: string): Promise<Occupant> {
  let found: Stats;
  try {
    found = lstatSync(path);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return { is: 'nothing' };
    throw new ListenError(`unix:${path}`, describeSystemError(error), { cause: error });
  }
  if (!found.isSocket()) {
    throw new ListenError(`unix:${path}`, `${kindOf(found)} is there, and only sockets are moved; move it away`);
  }
  const { code, owner } = await connectTo(path);
  if (code === 'ECONNREFUSED') return { is: 'dead', inode: found.ino };
  if (code === 'ENOENT') return { is: 'nothing' };
  // It took the connection, or has too many waiting, or will not have us: somebody is there.
  return { is: 'live', owner: owner ?? 'another program' };
}
