/**
 * V8's compiled code, kept by Node itself from one start to the next (module.enableCompileCache, from Node 22.8 on). It runs unchecked, so
 * it is kept in a folder of the user that nobody else can write to, never below /tmp, Node's default. Node keeps the caches of different
 * builds apart. Node 20 has no such cache, and none is shipped: V8 11.3 does not check whether one is from its own build.
 */
import { lstatSync, mkdirSync } from 'node:fs';
import * as nodeModule from 'node:module';
import { dirname, join } from 'node:path';

/** Keeps it, where that can be done safely. It only saves time, so failures are ignored. */
export function keepCompiledCode(environment: Readonly<NodeJS.ProcessEnv>): void {
  // Node itself follows users who have chosen a folder, or none.
  if (environment['NODE_COMPILE_CACHE'] !== undefined || environment['NODE_DISABLE_COMPILE_CACHE'] !== undefined)
    return;
  const enable: unknown = Reflect.get(nodeModule, 'enableCompileCache');
  if (typeof enable !== 'function') return;
  const folder = privateFolder(environment);
  if (folder !== null) Reflect.apply(enable, nodeModule, [folder]);
}

/** @returns a folder that only we can write to, as every folder above it; made where it is not there. Null where there is none. */
function privateFolder({ XDG_CACHE_HOME: cache, HOME: home }: NodeJS.ProcessEnv): string | null {
  const isAbsolute = (path: string | undefined): path is string => path?.startsWith('/') === true;
  const base = isAbsolute(cache) ? cache : isAbsolute(home) ? join(home, '.cache') : null;
  if (base === null) return null;
  const folder = join(base, 'qmpmux', 'compiled');
  try {
    // One step at a time: a recursive mkdir has never come to an end below /proc.
    if (!isSafe(dirname(base))) return null;
    for (const part of [base, dirname(folder), folder]) {
      try {
        mkdirSync(part, { mode: 0o700 });
      } catch {
        // It exists, or cannot be made: the next check shows which.
      }
      if (!isOurs(part)) return null;
    }
    for (let above = dirname(base); ; above = dirname(above)) {
      if (!isSafe(above)) return null;
      if (above === dirname(above)) return folder;
    }
  } catch {
    return null;
  }
}

/** Whether a folder, which is no link, is ours and nobody else may write to it. */
function isOurs(folder: string): boolean {
  const { mode, uid } = lstatSync(folder);
  return isSafe(folder) && uid === process.geteuid?.() && (mode & 0o022) === 0;
}

/** Whether only we and root can replace files in a folder. */
function isSafe(folder: string): boolean {
  const found = lstatSync(folder);
  const isTrusted = found.uid === 0 || found.uid === process.geteuid?.();
  return found.isDirectory() && isTrusted && ((found.mode & 0o022) === 0 || (found.mode & 0o1000) !== 0);
}
