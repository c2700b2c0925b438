/**
 * The bundle that the build makes of all modules, and whether it may be run: after the modules are compiled again, the old program must not
 * run. Its sources are compared by content; times mean nothing after a copy or a checkout.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** tsc writes these whenever it writes a module, with a hash of each source. They are not in the package. */
const RECORDS = ['tsconfig.tsbuildinfo', 'core.tsbuildinfo'];

/** @returns a digest of all that tsc has compiled into `dist`; null where that is not known, as in a package */
export function madeFrom(dist: string): string | null {
  const hash = createHash('sha256');
  try {
    for (const record of RECORDS) hash.update(readFileSync(join(dist, record)));
  } catch {
    return null;
  }
  return hash.digest('hex');
}

/** @returns the path of the bundle below `dist`, or null where there is none, or one of other modules than those that are there */
export function currentBundle(dist: string): string | null {
  const folder = join(dist, 'bundle');
  try {
    const made = readFileSync(join(folder, 'made-from'), 'latin1');
    const now = madeFrom(dist);
    return now === null || now === made ? join(folder, 'program.mjs') : null;
  } catch {
    return null;
  }
}
