/**
 * Runs the tests of the named kinds: `node build/run.js unit e2e`, or `node build/run.js path/to/one.test.ts`.
 * A kind is a folder below test/ (`unit` is every folder that mirrors src/; `core` are those of src/shared, src/qmp, src/hmp and src/mux, which
 * are measured for coverage, and `rest` are the others). Fails when no test was found.
 *
 * QMPMUX_QEMU names the QEMU of the tests, or several, separated by colons. Everything runs with the first; `qemus` runs what
 * depends on QEMU's version with each of the others, side by side.
 *
 * QMPMUX_NODES names other builds of Node.js, as programs separated by colons: `nodes` runs what depends on Node's version with each of
 * them. QMPMUX_EMULATED_NODE is one for another architecture: `emulated` runs what depends on the architecture with it.
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

/** What depends on QEMU's version; libvirt does not belong here, since it goes with the QEMU of its own release. */
const ofEachQemu = [
  'audit/redact/schema.qemu',
  'cli/commands/exec.qemu',
  'shell/shell.qemu',
  'client/qmp-client.qemu',
  'conformance/conformance',
  'conformance/descriptors',
  'conformance/hmp',
  'demo/recorded-commands.qemu',
  'docs/picture',
  'docs/start',
  'e2e/audit/answers',
  'e2e/clients/hmp',
  'e2e/clients/oob',
  'e2e/clients/upstreams',
  'e2e/serve/constant-replies',
  'e2e/cli/demo',
  'e2e/serve/deprecated-input',
  'e2e/clients/descriptor-race',
  'e2e/clients/descriptors',
  'e2e/cli/own-commands',
  'e2e/serve/serve',
  'e2e/serve/upstreams',
  'e2e/cli/shell',
  'fuzz/hmp-lines',
  'fuzz/hmp-policy',
  'fuzz/qmp-policy',
  'mux/policy/read-only.qemu',
  'mux/policy/schema.qemu',
  'mux/policy/spellings.qemu',
];

/** What depends on Node's version: files, and whole folders. */
const ofEachNode = [
  'cli',
  'shell',
  'conformance/conformance',
  'conformance/descriptors',
  'daemon/listeners/open-file-budget',
  'e2e/clients/descriptors',
  'e2e/packages/node-builds',
  'e2e/packages/npm-package',
  'e2e/packages/package',
  'e2e/serve/serve',
  'e2e/cli/shell',
];

/** What asks libc by numbers that an architecture may have of its own: descriptors, credentials, the audit log's lock. */
const ofEachArchitecture = [
  'audit/write/recorder',
  'conformance/descriptors',
  'system/linux',
  'net/listen/peer-credentials',
  'net/link/receiving-link',
];

const all = testFiles(root);
const wanted = process.argv.slice(2);
const [first = '', ...otherQemus] = (process.env['QMPMUX_QEMU'] ?? '').split(':');
const listed = (variable: string) => (process.env[variable] ?? '').split(':').filter((path) => path !== '');
const files = all.filter((file) => {
  const name = relative(root, file);
  const kind = name.split('/')[0] ?? '';
  const bare = name.replace(/\.test\.js$/, '');
  return wanted.some(
    (want) =>
      want === kind ||
      (want === 'unit' && !kinds.includes(kind)) ||
      (want === 'core' && core.includes(kind)) ||
      (want === 'qemus' && ofEachQemu.includes(bare)) ||
      (want === 'nodes' && (ofEachNode.includes(bare) || ofEachNode.includes(kind))) ||
      (want === 'emulated' && ofEachArchitecture.includes(bare)) ||
      (want === 'rest' && !kinds.includes(kind) && !core.includes(kind)) ||
      name === want.replace(/^test\//, '').replace(/\.ts$/, '.js'),
  );
});

if (files.length === 0) {
  process.stderr.write(`no test file matches: ${wanted.join(' ') || '(nothing asked for)'}\n`);
  process.exit(1);
}

const jobs = Number(process.env['QMPMUX_TEST_JOBS'] ?? availableParallelism());
/**
 * For one file, in milliseconds. None takes a tenth of it on an idle machine; it only keeps one that waits for ever from holding up all
 * others.
 */
const BOUND = 1_200_000;

/**
 * @param qemu what QMPMUX_QEMU is to be; what it is, where this is empty
 * @param atOnce how many files run at a time
 * @param print takes what the run writes
 * @param node the program that runs the tests, and is qmpmux's own Node.js in them
 * @returns the status to end with
 */
async function run(
  qemu: string,
  atOnce: number,
  print: (chunk: Buffer) => void,
  node = process.execPath,
): Promise<number> {
  // Hundreds of daemons run for a second each: what makes the first commands of one fast would take the CPU from the tests.
  const env = { QMPMUX_REHEARSAL: 'off', ...process.env, ...(qemu === '' ? {} : { QMPMUX_QEMU: qemu }) };
  const child = spawn(
    node,
    [
      '--test',
      '--test-reporter=spec',
      `--test-concurrency=${atOnce}`,
      `--test-timeout=${BOUND}`,
      '--enable-source-maps',
      ...files,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'], env },
  );
  // The summary may be followed by pages of failures, so it is looked for as the output goes by.
  let found = '0';
  let tail = '';
  child.stdout.on('data', (chunk: Buffer) => {
    print(chunk);
    tail += chunk.toString('latin1');
    found = /^\S+ tests (\d+)$/m.exec(tail)?.[1] ?? found;
    tail = tail.slice(-200);
  });
  const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve) => {
    child.on('close', (...end) => {
      resolve(end);
    });
  });
  if (found === '0') {
    process.stderr.write('the run found no test\n');
    return 1;
  }
  return code ?? (signal === null ? 1 : 128);
}

const write = (chunk: Buffer) => void process.stdout.write(chunk);
if (wanted.includes('qemus')) {
  if (otherQemus.length === 0) process.stdout.write('QMPMUX_QEMU names no other QEMUs: nothing to repeat\n');
  const share = Math.max(1, Math.floor(jobs / otherQemus.length));
  const runs = otherQemus.map(async (qemu) => {
    // Side by side, but each report in one piece.
    const report: Buffer[] = [];
    const status = await run(qemu, share, (chunk) => void report.push(chunk));
    process.stdout.write(`\nwith ${qemu}\n`);
    for (const chunk of report) write(chunk);
    return status;
  });
  process.exitCode = (await Promise.all(runs)).find((status) => status !== 0) ?? 0;
} else if (wanted.includes('nodes') || wanted.includes('emulated')) {
  const variable = wanted.includes('nodes') ? 'QMPMUX_NODES' : 'QMPMUX_EMULATED_NODE';
  const nodes = listed(variable);
  if (nodes.length === 0) process.stdout.write(`${variable} names no other Node.js: nothing to repeat\n`);
  process.exitCode = 0;
  for (const node of nodes) {
    process.stdout.write(`\nwith ${node}\n`);
    process.exitCode = (await run(first, jobs, write, node)) || process.exitCode;
  }
} else process.exitCode = await run(first, jobs, write);
