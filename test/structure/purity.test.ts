/** The pure folders of src know nothing of Node, and it is the compiler that sees to it: shown by trying. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { removeFolder } from '../support/files/scratch.js';

/** The pure folders. Which folder may import from which is a table in CONTRIBUTING.md, held by imports.test.ts. */
const PURE = ['shared', 'qmp', 'hmp', 'mux'];

const root = fileURLToPath(new URL('../..', import.meta.url));

/** What may not be had, in a file of its own, with the name that the compiler is to complain about. */
const forbidden: readonly (readonly [string, string, string])[] = [
  ['file-system', "import { readFileSync } from 'node:fs';\nexport const read = readFileSync;", "'node:fs'"],
  ['socket', "import { connect } from 'net';\nexport const dial = connect;", "'net'"],
  ['buffer', 'export const bytes = Buffer.alloc(1);', "'Buffer'"],
  ['buffer-type', 'export function first(bytes: Buffer): unknown {\n  return bytes;\n}', "'Buffer'"],
  ['timer', 'export const timer = setTimeout(() => {}, 1);', "'setTimeout'"],
  ['immediate', 'setImmediate(() => {});\nexport {};', "'setImmediate'"],
  ['process', 'export const id = process.pid;', "'process'"],
  ['console', "console.log('x');\nexport {};", "'console'"],
  ['text-encoder', 'export const encoder = new TextEncoder();', "'TextEncoder'"],
  ['require', "export const fs: unknown = require('fs');", "'require'"],
];

/** Compiles the files above with the settings of src/core.tsconfig.json, but for these. @returns what the compiler says */
function compile(settings: Readonly<Record<string, unknown>>): string {
  // Inside the project, so that Node's types are to be found wherever they are let in.
  const folder = mkdtempSync(join(root, 'build', 'purity-'));
  after(() => {
    removeFolder(folder);
  });
  for (const [name, text] of forbidden) writeFileSync(join(folder, `${name}.ts`), `${text}\n`);
  writeFileSync(join(folder, 'pure.ts'), 'export const bytes: Uint8Array = new Uint8Array(1);\n');
  const compilerOptions = { rootDir: '.', outDir: 'out', tsBuildInfoFile: 'out/purity.tsbuildinfo', ...settings };
  writeFileSync(
    join(folder, 'tsconfig.json'),
    JSON.stringify({ extends: join(root, 'src', 'core.tsconfig.json'), compilerOptions, include: ['*.ts'] }),
  );
  const { stdout, stderr, error } = spawnSync(
    join(root, 'node_modules', '.bin', 'tsc'),
    ['--pretty', 'false', '-p', folder],
    {
      cwd: folder,
      encoding: 'utf8',
    },
  );
  assert.equal(error, undefined);
  return stdout + stderr;
}

describe('the compiler', () => {
  const said = compile({});

  for (const [name, , word] of forbidden) {
    it(`refuses ${word} where the protocol and the multiplexer live (${name})`, () => {
      const errors = said.split('\n').filter((line) => line.startsWith(`${name}.ts(`));
      assert.ok(
        errors.some((line) => line.includes('error TS') && line.includes(word)),
        `${name}.ts: ${errors.join('\n') || 'no error'}`,
      );
    });
  }

  it('refuses nothing else there', () => {
    assert.ok(!said.includes('pure.ts'), said);
    const files = new Set([...said.matchAll(/^([a-z-]+)\.ts\(/gm)].map((match) => match[1]));
    assert.deepEqual(files, new Set(forbidden.map(([name]) => name)));
  });

  it('would take all of it with Node’s types: it is the setting that refuses', () => {
    assert.equal(compile({ types: ['node'] }), '');
  });

  it('is asked about every file of the pure folders', () => {
    const config = readFileSync(join(root, 'src', 'core.tsconfig.json'), 'utf8');
    const included = PURE.map((folder) => `"${folder}/**/*.ts"`);
    assert.ok(config.includes(`"include": [${included.join(', ')}]`), config);
    for (const folder of PURE) {
      const files = readdirSync(join(root, 'src', folder), { recursive: true, encoding: 'utf8' });
      for (const file of files.filter((name) => name.endsWith('.ts'))) {
        const text = readFileSync(join(root, 'src', folder, file), 'utf8');
        assert.doesNotMatch(text, /@ts-(ignore|nocheck|expect-error)|<reference/, file);
      }
    }
  });
});
