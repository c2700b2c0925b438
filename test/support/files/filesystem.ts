/** Small file systems of their own for tests that fill, freeze or break them; needs root, and is skipped with one line elsewhere. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { missing, skippable } from '../daemon/programs.js';
import { removeFolder, type Scope } from './scratch.js';

let mounting: string | false | undefined;

/** Whether file systems can be mounted, tried once. */
export function mountingFault(): string | false {
  if (mounting === undefined) {
    const tried = spawnSync('unshare', ['--mount', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt'], { encoding: 'utf8' });
    mounting = tried.status === 0 ? false : 'no file system can be mounted here';
  }
  return mounting;
}

/**
 * For the `skip` option: false where file systems can be mounted, otherwise the line to skip with. Others than root always skip.
 * @throws Error with that line when we are root and QMPMUX_REQUIRE_QEMU is set
 */
export function cannotMount(isRoot = process.getuid?.() === 0, fault = mountingFault()): string | false {
  if (!isRoot) return 'needs root to mount a file system';
  return fault === false ? false : skippable(fault);
}

/** The same for file systems in a file, which need mke2fs and a loop device. */
export function cannotMountExt4(): string | false {
  const lacking = cannotMount() || missing('mkfs.ext4');
  if (lacking !== false) return lacking;
  // A container may have none, though its root may mount: nothing to be installed makes one.
  return spawnSync('losetup', ['-f']).status === 0 ? false : 'no loop device for an ext4 here';
}

export interface SmallFileSystem {
  /** Where it is mounted. */
  readonly path: string;
  /** Fills it to the last byte. @returns a function that frees it again */
  fill(): () => void;
  remount(options: string): void;
}

/** Mounts a tmpfs of `kilobytes`; it goes away with `scope`. */
export function mountTmpfs(scope: Scope, kilobytes: number): SmallFileSystem {
  const { path } = mountPoint(scope);
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${kilobytes}k,mode=0700`, 'tmpfs', path]);
  return smallFileSystem(path);
}

/** Makes an ext4 in a file and mounts it; it goes away with `scope`. */
export function mountExt4(scope: Scope): SmallFileSystem {
  const { folder, path } = mountPoint(scope);
  const image = join(folder, 'image');
  writeFileSync(image, '');
  execFileSync('truncate', ['--size', '8M', image]);
  execFileSync('mkfs.ext4', ['-q', '-F', image], { stdio: 'ignore' });
  execFileSync('mount', ['-o', 'loop', image, path]);
  return smallFileSystem(path);
}

/** A new folder with a mount point in it; mounts there are removed before the folder. */
function mountPoint(scope: Scope): { readonly folder: string; readonly path: string } {
  const folder = mkdtempSync(join(tmpdir(), 'qm-fs-'));
  const path = join(folder, 'fs');
  mkdirSync(path);
  scope.after(() => {
    spawnSync('umount', ['--lazy', path]);
    removeFolder(folder);
  });
  return { folder, path };
}

function smallFileSystem(path: string): SmallFileSystem {
  return {
    path,
    fill: () => {
      const filler = join(path, 'filler');
      const { bavail, bsize } = statfsSync(path);
      writeFileSync(filler, Buffer.alloc(bavail * bsize));
      return () => {
        execFileSync('rm', [filler]);
      };
    },
    remount: (options) => {
      execFileSync('mount', ['-o', `remount,${options}`, path], { stdio: 'ignore' });
    },
  };
}
