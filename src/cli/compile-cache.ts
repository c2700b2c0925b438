/**
 * What V8 has compiled, kept by Node itself from one start to the next (module.enableCompileCache, from Node 22.8 on). It is machine-made code that
 * is run unseen: so it is in a folder of the user's own that nobody else can write to, never one below /tmp, where Node would have it. Node keeps apart
 * what different builds have made. Node 20 has no such cache, and none is shipped: V8 11.3 does not look whether one is from its own build.
 */
import { lstatSync, mkdirSync } from 'node:fs';
import * as nodeModule from 'node:module';
import { dirname, join } from 'node:path';

/** Keeps it, where that can be done safely. It is an economy: what fails is left. */
export function keepCompiledCode(environment: Readonly<NodeJS.ProcessEnv>): void {
  // Those who have chosen a folder, or none, have been heard by Node.
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
        // It is there, or cannot be: the next look tells.
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

/** Whether nobody but us and root can put another one in the place of what is in a folder. */
function isSafe(folder: string): boolean {
  const found = lstatSync(folder);
  const isTrusted = found.uid === 0 || found.uid === process.geteuid?.();
  return found.isDirectory() && isTrusted && ((found.mode & 0o022) === 0 || (found.mode & 0o1000) !== 0);
}
