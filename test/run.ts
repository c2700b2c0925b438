/**
 * Runs the tests of the named kinds: `node build/run.js unit e2e`, or `node build/run.js path/to/one.test.ts`.
 * A kind is a folder below test/ (`unit` is every folder that mirrors src/; `core` are those of src/shared, src/qmp, src/hmp and src/mux, which
 * are measured for coverage, and `rest` are the others). Fails when no test was found.
 */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('.', import.meta.url));
const sources = fileURLToPath(new URL('../test', import.meta.url));
const core = ['shared', 'qmp', 'hmp', 'mux'];
const kinds = ['conformance', 'fuzz', 'e2e', 'bench', 'soak'];

function testFiles(below: string): string[] {
  return (
    readdirSync(below, { withFileTypes: true, recursive: true })
      .filter((entry) => entry.isFile() && entry.name.endsWith('.test.js'))
      .map((entry) => join(entry.parentPath, entry.name))
      // what was compiled from a test that has since been removed or renamed is no test
      .filter((file) => existsSync(join(sources, relative(root, file).replace(/\.js$/, '.ts'))))
      .sort()
  );
}

const all = testFiles(root);
const wanted = process.argv.slice(2);
const files = all.filter((file) => {
  const name = relative(root, file);
  const kind = name.split('/')[0] ?? '';
  return wanted.some(
    (want) =>
      want === kind ||
      (want === 'unit' && !kinds.includes(kind)) ||
      (want === 'core' && core.includes(kind)) ||
      (want === 'rest' && !kinds.includes(kind) && !core.includes(kind)) ||
      name === want.replace(/^test\//, '').replace(/\.ts$/, '.js'),
  );
});

if (files.length === 0) {
  process.stderr.write(`no test file matches: ${wanted.join(' ') || '(nothing asked for)'}\n`);
  process.exit(1);
}

const jobs = process.env['QMPMUX_TEST_JOBS'] ?? String(availableParallelism());
/** No test takes a tenth of it; it only keeps one that waits for ever from holding up all others. In milliseconds. */
const BOUND = 300_000;
const child = spawn(
  process.execPath,
  [
    '--test',
    '--test-reporter=spec',
    `--test-concurrency=${jobs}`,
    `--test-timeout=${BOUND}`,
    '--enable-source-maps',
    ...files,
  ],
  { stdio: ['ignore', 'pipe', 'inherit'] },
);
// The summary may be followed by pages of failures, so it is looked for as the output goes by.
let found = '0';
let tail = '';
child.stdout.on('data', (chunk: Buffer) => {
  process.stdout.write(chunk);
  tail += chunk.toString('latin1');
  found = /^\S+ tests (\d+)$/m.exec(tail)?.[1] ?? found;
  tail = tail.slice(-200);
});
child.on('close', (code, signal) => {
  if (found === '0') {
    process.stderr.write('the run found no test\n');
    process.exit(1);
  }
  process.exit(code ?? (signal === null ? 1 : 128));
});
