/** Small file systems of their own for tests that fill, freeze or break them; needs root, and is skipped with one line elsewhere. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { removeFolder, type Scope } from './scratch.js';

let mounting: string | false | undefined;

/** For the `skip` option: false where file systems can be mounted, otherwise the line to skip with. */
export function cannotMount(): string | false {
  if (mounting === undefined) {
    const tried = spawnSync('unshare', ['--mount', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt'], { encoding: 'utf8' });
    mounting = tried.status === 0 ? false : 'no file system can be mounted here';
  }
  return mounting;
}

/** The same for file systems in a file, which need a loop device and mke2fs. */
export function cannotMountExt4(): string | false {
  if (cannotMount() !== false) return cannotMount();
  const found = spawnSync('sh', ['-c', 'command -v mkfs.ext4 && losetup -f'], { encoding: 'utf8' });
  return found.status === 0 ? false : 'no ext4 can be made and mounted here';
}

export interface SmallFileSystem {
  /** Where it is mounted. */
  readonly path: string;
  /** Fills it to the last byte. @returns what frees it again */
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

/** A folder of its own, with a place to mount in it; what is mounted there goes before it does. */
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
