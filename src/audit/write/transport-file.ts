/**
 * Where a transport's module is: beside qmpmux, or where `npm install --global` puts packages, which a qmpmux from a .deb would not look
 * through by itself.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, isAbsolute, join, resolve } from 'node:path';

/** Folders in whose `node_modules` packages are looked for; those of NODE_PATH come with each. */
function places(): string[] {
  return [...new Set([join(dirname(dirname(process.execPath)), 'lib'), '/usr/local/lib', '/usr/lib'])];
}

/**
 * @param target a package's name, or a path: one that begins with `./` or `../` is that from the working directory
 * @param folders where else `node_modules` are looked for
 * @returns the file of its module, or `target` where pino knows it
 * @throws Error when there is none
 */
export function transportFile(target: string, folders: readonly string[] = places()): string {
  if (isAbsolute(target) || target.startsWith('file:')) return target;
  if (/^\.\.?\//.test(target)) return resolve(target);
  if (target.startsWith('pino/')) return target;
  const requires = [createRequire(import.meta.url), ...folders.map((folder) => createRequire(join(folder, 'x.js')))];
  for (const require of requires) {
    const found = find(require, target);
    if (found !== null) return found;
  }
  throw new Error(
    `there is no package ${target} beside qmpmux, nor in node_modules of ${folders.join(', ')}; ` +
      `install it with npm install --global, or name its file by path`,
  );
}

function find(require: NodeJS.Require, target: string): string | null {
  try {
    return require.resolve(target);
  } catch {
    return importable(require, target);
  }
}

/** @returns the file of a package that can be imported alone */
function importable(require: NodeJS.Require, target: string): string | null {
  for (const folder of require.resolve.paths(target) ?? []) {
    try {
      const manifest: { exports?: unknown } = JSON.parse(readFileSync(join(folder, target, 'package.json'), 'utf8'));
      const entry = entryOf(manifest.exports);
      if (entry !== null) return join(folder, target, entry);
    } catch {
      // It is not there.
    }
  }
  return null;
}

/** The entry of `exports` that an import of the package itself gets (nodejs.org/api/packages.html). */
function entryOf(exported: unknown): string | null {
  if (typeof exported === 'string') return exported;
  if (typeof exported !== 'object' || exported === null) return null;
  for (const name of ['.', 'import', 'node', 'default']) {
    const entry = entryOf(Reflect.get(exported, name));
    if (entry !== null) return entry;
  }
  return null;
}
