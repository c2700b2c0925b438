/**
 * Puts the program into dist/bundle/program.mjs and a few files for what not every command needs: reading some hundred modules takes longer than Node's own start.
 * dist/cli/main.js runs it instead of the modules, as long as it is made from them. Packages that only some commands use stay outside and are
 * loaded as ever.
 *
 * `node bundle.config.mjs` after tsc.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { madeFrom } from './dist/cli/main-bundle.js';
import { shippedPackages } from './packaging/shipped.mjs';

const ROOT = resolve(fileURLToPath(import.meta.url), '..');
const DIST = join(ROOT, 'dist');
const FOLDER = join(DIST, 'bundle');

/** Not in the bundle: what has machine code, and what only a terminal, a config file, logs and metrics need. */
const OUTSIDE = ['koffi', 'pino-pretty', 'prom-client', 'smol-toml', 'split2'];

/** The modules ask where they lie, to find files beside them. */
const places = {
  name: 'places',
  setup(build) {
    build.onLoad({ filter: /\/dist\/.*\.js$/ }, ({ path }) => {
      const contents = readFileSync(path, 'utf8');
      if (!contents.includes('import.meta.url')) return undefined;
      const place = JSON.stringify(relative(FOLDER, path));
      return { contents: contents.replaceAll('import.meta.url', `new URL(${place}, import.meta.url).href`) };
    });
    // A transport of pino's is a thread, which starts from a file of the package.
    build.onResolve({ filter: /^pino$/ }, ({ importer }) => {
      return basename(importer) === 'transport-tap.js' ? { path: 'pino', external: true } : undefined;
    });
  },
};

async function bundle() {
  const { build } = await import('esbuild');
  rmSync(FOLDER, { recursive: true, force: true });
  mkdirSync(FOLDER);
  const { metafile } = await build({
    entryPoints: [join(DIST, 'cli/program.js')],
    outdir: FOLDER,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    splitting: true,
    platform: 'node',
    target: 'node20.19',
    format: 'esm',
    external: OUTSIDE,
    plugins: [places],
    // Packages that are no ES modules ask for Node's own by it.
    banner: {
      js: "import { createRequire as createRequireOfBundle } from 'node:module'; const require = createRequireOfBundle(import.meta.url);",
    },
    // Half the text is read in less time; names stay, for stack traces.
    minifyWhitespace: true,
    minifySyntax: true,
    lineLimit: 160,
    metafile: true,
    legalComments: 'none',
    logLevel: 'warning',
    absWorkingDir: ROOT,
  });
  checkLicences(Object.keys(metafile.inputs));
  writeFileSync(join(FOLDER, 'made-from'), madeFrom(DIST) ?? '');
}

/** Fails where a file is from a package that dist/licences.txt would not name. @param files below the root */
function checkLicences(files) {
  const shipped = new Set(shippedPackages().map(({ path }) => path));
  for (const file of files) {
    const folder = /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file)?.[0];
    if (folder !== undefined && !shipped.has(folder))
      throw new Error(`the bundle has ${file}, which is in no dependency`);
  }
}

await bundle();
