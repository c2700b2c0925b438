/**
 * Where the program begins. It runs the bundle that the build makes of all modules (bundle.config.mjs), which starts in half the
 * time; or the modules themselves, where there is no bundle of them, or where coverage is measured.
 */
import { fileURLToPath, pathToFileURL } from 'node:url';
import { keepCompiledCode } from './compile-cache.js';
import { currentBundle } from './main-bundle.js';

interface Program {
  run(words: readonly string[]): Promise<void>;
}

// A signal to read the config again would end a daemon that has not begun yet. It will read the config anyway; held-signals.ts has the
// rest.
if (process.argv[2] === 'serve') for (const signal of ['SIGHUP', 'SIGUSR2']) process.on(signal, () => undefined);

const isMeasured = process.env['NODE_V8_COVERAGE'] !== undefined;
const bundle = isMeasured ? null : currentBundle(fileURLToPath(new URL('..', import.meta.url)));
if (bundle !== null) keepCompiledCode(process.env);
// The bundle is made of program.ts and has its exports.
const program: Program = await import(bundle === null ? './program.js' : pathToFileURL(bundle).href);
await program.run(process.argv.slice(2));
