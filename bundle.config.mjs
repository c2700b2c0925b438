/**
 * Puts the program into one file, dist/bundle/program.cjs, with what V8 makes of it beside it (program.cache): reading a hundred
 * modules, and compiling them, takes longer than Node's own start. dist/cli/main.js runs it instead of the modules, unless they are
 * newer. Packages that only some commands use stay outside and are loaded as ever.
 *
 * `node bundle.config.mjs` after tsc. It calls itself for the cache, which is taken from a process that has started a daemon.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Script } from 'node:vm';

const ROOT = resolve(fileURLToPath(import.meta.url), '..');
const DIST = join(ROOT, 'dist');
const FOLDER = join(DIST, 'bundle');
const BUNDLE = join(FOLDER, 'program.cjs');
const CACHE = join(FOLDER, 'program.cache');

/** Not in the bundle: what has machine code, and what only help, a terminal, a config file, logs and metrics need. */
const OUTSIDE = ['@colors/colors', 'koffi', 'pino-pretty', 'prom-client', 'smol-toml', 'split2', 'valibot', 'yargs'];

/** The modules ask where they lie, to find files beside them. */
const places = {
  name: 'places',
  setup(build) {
    build.onLoad({ filter: /\/dist\/.*\.js$/ }, ({ path }) => {
      const contents = readFileSync(path, 'utf8');
      if (!contents.includes('import.meta.url')) return undefined;
      const place = JSON.stringify(relative(FOLDER, path));
      return { contents: contents.replaceAll('import.meta.url', `new URL(${place}, BUNDLE_URL).href`) };
    });
    // A transport of pino's is a thread, which starts from a file of the package.
    build.onResolve({ filter: /^pino$/ }, ({ importer }) => {
      return basename(importer) === 'transport-tap.js' ? { path: 'pino', external: true } : undefined;
    });
  },
};

/** Whether all is there, and newer than what it was made of. */
function isMade() {
  const time = (file) => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const sources = [join(DIST, 'tsconfig.tsbuildinfo'), join(DIST, 'core.tsbuildinfo'), fileURLToPath(import.meta.url)];
  return sources.every((file) => time(file) < time(BUNDLE)) && time(CACHE) >= time(BUNDLE);
}

async function bundle() {
  if (isMade()) return;
  const { build } = await import('esbuild');
  rmSync(FOLDER, { recursive: true, force: true });
  mkdirSync(FOLDER);
  const { metafile } = await build({
    entryPoints: [join(DIST, 'cli/program.js')],
    outfile: BUNDLE,
    bundle: true,
    platform: 'node',
    target: 'node20.19',
    format: 'cjs',
    external: OUTSIDE,
    // In what is run by node:vm, import() is an experiment; require() loads ES modules as well.
    supported: { 'dynamic-import': false },
    plugins: [places],
    // The loader calls this function; see src/cli/main.ts.
    banner: {
      js: "(function (exports, require, module, __filename, __dirname) { const BUNDLE_URL = require('node:url').pathToFileURL(__filename).href;",
    },
    footer: { js: '})' },
    metafile: true,
    legalComments: 'none',
    logLevel: 'warning',
    absWorkingDir: ROOT,
  });
  writeFileSync(join(FOLDER, 'licenses.txt'), licences(Object.keys(metafile.inputs)));
  execFileSync(process.execPath, [fileURLToPath(import.meta.url), 'cache'], { stdio: ['ignore', 'ignore', 'inherit'] });
}

/** @returns the licences of the packages that files in the bundle are from. */
function licences(files) {
  const packages = new Set(files.flatMap((file) => /^node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file) ?? []));
  const texts = [...packages]
    .toSorted((a, b) => a.localeCompare(b))
    .map((folder) => {
      const { name, version, license } = JSON.parse(readFileSync(join(ROOT, folder, 'package.json'), 'utf8'));
      return `${name} ${version} (${license})\n\n${licenceText(join(ROOT, folder))}`;
    });
  return `program.cjs contains these packages:\n\n${texts.join(`\n${'-'.repeat(80)}\n\n`)}`;
}

function licenceText(folder) {
  for (const name of ['LICENSE', 'LICENSE.md', 'LICENCE', 'license']) {
    try {
      return readFileSync(join(folder, name), 'utf8');
    } catch {
      // under another name
    }
  }
  throw new Error(`no licence in ${folder}`);
}

/** Starts a daemon from the bundle and asks it something, so that the functions of a start are compiled, and keeps what V8 has then. */
async function makeCache() {
  const script = new Script(readFileSync(BUNDLE, 'latin1'), { filename: BUNDLE });
  const module = { exports: {} };
  script.runInThisContext()(module.exports, createRequire(BUNDLE), module, BUNDLE, dirname(BUNDLE));
  const folder = mkdtempSync(join(tmpdir(), 'qm-build-'));
  const upstream = join(folder, 'vm.qmp');
  const listen = join(folder, 'vm.mux');
  const server = createServer((socket) => {
    socket.write('{"QMP": {"version": {"qemu": {"micro": 0, "minor": 0, "major": 9}}, "capabilities": ["oob"]}}\r\n');
    socket.on('error', () => {});
    socket.on('data', (commands) => {
      for (const [, id] of commands.toString('latin1').matchAll(/"id":("\w+"|\d+)/g)) {
        socket.write(`{"return": {}, "id": ${id}}\r\n`);
      }
    });
  }).listen(upstream);
  const write = process.stdout.write.bind(process.stdout);
  const { run } = module.exports;
  run(['serve', '--upstream', upstream, '--listen', listen, '--log-level', 'warn']);
  while (!existsSync(listen)) await setTimeout(10);
  process.stdout.write = () => true;
  await run(['exec', listen, 'query-version']);
  process.stdout.write = write;
  writeFileSync(CACHE, script.createCachedData());
  server.close();
  rmSync(folder, { recursive: true, force: true });
  process.exit();
}

await (process.argv[2] === 'cache' ? makeCache() : bundle());
