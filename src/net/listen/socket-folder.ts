/**
 * Whether a socket may be made in a folder: whoever may write there, or to a folder on the way there, can put a socket of their own in
 * its place and be taken for the VM. Where root makes it they could also have root act on a file of their choice, so there the rule is stricter.
 */

import { lstatSync, readlinkSync, type Stats, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describeSystemError } from '../../system/system-error.js';
import { formatMode, formatPlace, type UnixListenAddress } from '../address/address.js';
import { ListenError } from './listen-error.js';

/** As many links as the kernel follows (path_resolution(7)). */
const MOST_LINKS = 40;
const STICKY = 0o1000;

/**
 * Refuses folders that others may write to. For everyone: those open to all, without the sticky bit of /tmp, by which users can remove only
 * their own files. For root also those of other users, and those that a group may write to, unless the address says `shared-folder=on`. A
 * socket that takes QEMU's place may be in a folder of QEMU's account, which could impersonate QEMU already.
 * @throws ListenError
 */
export function checkFolders(address: UnixListenAddress): void {
  const isRoot = process.geteuid?.() === 0 && address.sharedFolder !== true;
  const trusted = isRoot ? trustedBy(address) : null;
  for (const folder of foldersTo(dirname(address.path))) {
    let found: Stats;
    try {
      found = statSync(folder);
    } catch (error) {
      throw new ListenError(formatPlace(address), `${folder}: ${describeSystemError(error)}`, { cause: error });
    }
    const { mode, uid, gid } = found;
    const shown = `mode ${formatMode(mode & 0o7777)}`;
    const isSticky = (mode & STICKY) !== 0;
    if ((mode & 0o002) !== 0 && !isSticky) {
      const problem = `anyone can write to the folder ${folder} (${shown}), and replace the socket; chmod o-w ${folder}`;
      throw new ListenError(formatPlace(address), problem);
    }
    if (trusted === null) continue;
    const problem = trusted.has(uid)
      ? (mode & 0o020) !== 0 && gid !== 0 && !isSticky
        ? `group ${gid} can write to the folder ${folder} (${shown})`
        : null
      : `the folder ${folder} belongs to uid ${uid}`;
    if (problem === null) continue;
    throw new ListenError(
      formatPlace(address),
      `${problem}, and qmpmux runs as root: whoever can write there can replace the socket; use a folder that only root can write to, ` +
        'run qmpmux under a separate account, or accept the risk by adding shared-folder=on to the address',
    );
  }
}

/** @returns the users whose folders root takes, or null where that cannot be said yet. */
function trustedBy({ like }: UnixListenAddress): ReadonlySet<number> | null {
  if (like === undefined) return new Set([0]);
  const found = lstatSync(like, { throwIfNoEntry: false });
  // No QEMU has been there yet. This is asked again before the socket is made, and then one has.
  return found === undefined ? null : new Set([0, found.uid]);
}

/** @returns the folders that the kernel passes on its way to `folder`, that one included: also where links lead. As far as they are there. */
function foldersTo(folder: string): ReadonlySet<string> {
  const passed = new Set(['/']);
  const rest = steps(folder.startsWith('/') ? folder : join(process.cwd(), folder)).toReversed();
  let here = '/';
  let links = 0;
  for (let step = rest.pop(); step !== undefined; step = rest.pop()) {
    if (step === '..') {
      here = dirname(here);
      continue;
    }
    const next = join(here, step);
    let target: string | null;
    try {
      target = lstatSync(next).isSymbolicLink() ? readlinkSync(next) : null;
    } catch {
      // A folder that is missing is reported where the socket's path is looked at.
      return passed;
    }
    if (target === null) {
      here = next;
      passed.add(here);
      continue;
    }
    if (++links > MOST_LINKS) return passed;
    if (target.startsWith('/')) here = '/';
    for (const one of steps(target).toReversed()) rest.push(one);
  }
  return passed;
}

function steps(path: string): string[] {
  return path.split('/').filter((step) => step !== '' && step !== '.');
}
