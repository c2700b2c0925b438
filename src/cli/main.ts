/**
 * Where the program begins. It runs the bundle that the build makes of all modules (bundle.config.mjs), which starts in half the
 * time; or the modules themselves, where there is no bundle, or one that is older than they are, or where coverage is measured.
 */
import { readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Script } from 'node:vm';

interface Program {
  run(words: readonly string[]): Promise<void>;
}

type Wrapper = (
  exports: object,
  require: NodeJS.Require,
  module: { exports: object },
  file: string,
  folder: string,
) => void;

const BUNDLE = fileURLToPath(new URL('../bundle/program.cjs', import.meta.url));
const CACHE = fileURLToPath(new URL('../bundle/program.cache', import.meta.url));
/** tsc writes these whenever it writes a module. They are not in the package. */
const MADE = ['../tsconfig.tsbuildinfo', '../core.tsbuildinfo'].map((file) =>
  fileURLToPath(new URL(file, import.meta.url)),
);

function modified(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

function hasBundle(): boolean {
  const time = modified(BUNDLE);
  return time > 0 && MADE.every((file) => modified(file) < time) && process.env['NODE_V8_COVERAGE'] === undefined;
}

/** @returns what V8 made of the bundle when it was built, for the same version of it; nothing where there is none. */
function cachedCode(): { cachedData?: Buffer } {
  try {
    return { cachedData: readFileSync(CACHE) };
  } catch {
    return {};
  }
}

function loadBundle(): Program {
  const script = new Script(readFileSync(BUNDLE, 'latin1'), {
    filename: BUNDLE,
    ...cachedCode(),
  });
  const module: { exports: object } = { exports: {} };
  // The banner and the footer of the bundle make it this function, and program.ts exports this.
  const wrapper = script.runInThisContext() as Wrapper;
  wrapper(module.exports, createRequire(BUNDLE), module, BUNDLE, dirname(BUNDLE));
  return module.exports as Program;
}

// A daemon that is told to read its config before it has begun to would end of it. It will read it anyway; held-signals.ts has the rest.
if (process.argv[2] === 'serve') for (const signal of ['SIGHUP', 'SIGUSR2']) process.on(signal, () => undefined);

const program: Program = hasBundle() ? loadBundle() : await import('./program.js');
await program.run(process.argv.slice(2));
