import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { madeFrom } from '../../dist/cli/main-bundle.js';
import { scratch } from '../support/files/scratch.js';

const DIST = fileURLToPath(new URL('../../dist/', import.meta.url));
const BUNDLE = "export async function run(words) { console.log('bundle', ...words); }";

interface Files {
  /** The bundle's text. */
  readonly bundle?: string;
  /** Whether the modules were compiled after the bundle was made; null where there is no telling, as in a package. */
  readonly isStale?: boolean | null;
}

/** A program that consists of the real main.js, and says whether it runs as a bundle or as modules. */
function program(t: TestContext, { bundle, isStale = false }: Files) {
  const folder = scratch(t);
  const dist = join(folder, 'dist');
  mkdirSync(join(dist, 'cli'), { recursive: true });
  mkdirSync(join(dist, 'bundle'));
  writeFileSync(join(folder, 'package.json'), '{"type": "module"}');
  for (const name of ['main.js', 'main-bundle.js', 'compile-cache.js']) {
    copyFileSync(join(DIST, 'cli', name), join(dist, 'cli', name));
  }
  writeFileSync(join(dist, 'cli/program.js'), "export async function run(words) { console.log('modules', ...words); }");
  const records = ['core', 'tsconfig'].map((name) => join(dist, `${name}.tsbuildinfo`));
  for (const record of records) writeFileSync(record, 'made first');
  if (bundle !== undefined) {
    writeFileSync(join(dist, 'bundle/program.mjs'), bundle);
    writeFileSync(join(dist, 'bundle/made-from'), madeFrom(dist) ?? '');
  }
  for (const record of records) {
    if (isStale === true) writeFileSync(record, 'made next');
    // Of the same content, and much older or newer: that says nothing.
    utimesSync(record, isStale === true ? 1 : 4_000_000_000, 1);
    if (isStale === null) rmSync(record);
  }
  return (environment: Readonly<Record<string, string>> = {}) => {
    const env: NodeJS.ProcessEnv = { ...process.env, ...environment };
    if (environment['NODE_V8_COVERAGE'] === undefined) delete env['NODE_V8_COVERAGE'];
    const args = [join(folder, 'dist/cli/main.js'), 'two', 'words'];
    const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', env });
    assert.equal(stderr, '');
    return stdout.trim();
  };
}

describe('the program', () => {
  test('is the bundle, where there is one', (t) => {
    assert.equal(program(t, { bundle: BUNDLE })(), 'bundle two words');
    assert.equal(program(t, { bundle: BUNDLE, isStale: null })(), 'bundle two words');
  });

  test('is the modules where there is no bundle, or one of other modules', (t) => {
    assert.equal(program(t, {})(), 'modules two words');
    assert.equal(program(t, { bundle: BUNDLE, isStale: true })(), 'modules two words');
  });

  test('is the modules where coverage is measured', (t) => {
    const run = program(t, { bundle: BUNDLE });
    assert.equal(run({ NODE_V8_COVERAGE: scratch(t) }), 'modules two words');
  });
});

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
const keeps = major > 22 || (major === 22 && minor >= 8);

describe(`code compiled by Node ${process.version}`, () => {
  test('is shipped with no package: nothing that one build has made is run by another', () => {
    const files = readdirSync(join(DIST, 'bundle')).filter((name) => !name.endsWith('.mjs'));
    assert.deepEqual(files, ['made-from']);
  });

  test('lets the program start, again and again', () => {
    const bin = join(DIST, '../bin/qmpmux.js');
    for (let round = 0; round < 3; round++) {
      const { status, signal, stdout, stderr } = spawnSync(process.execPath, [bin, '--version'], { encoding: 'utf8' });
      assert.deepEqual([status, signal, stderr], [0, null, '']);
      assert.match(stdout, /^qmpmux \d/);
      const { stdout: help } = spawnSync(process.execPath, [bin, 'serve', '--help'], { encoding: 'utf8' });
      assert.match(help, /--upstream/);
    }
  });

  test('is kept in a folder of the user alone, where Node keeps it at all', (t) => {
    const home = scratch(t);
    const run = program(t, { bundle: BUNDLE });
    const folder = join(home, '.cache/qmpmux/compiled');
    assert.equal(run({ HOME: home, XDG_CACHE_HOME: '' }), 'bundle two words');
    assert.equal(existsSync(folder), keeps);
    const other = join(scratch(t), 'cache');
    assert.equal(run({ HOME: home, XDG_CACHE_HOME: other }), 'bundle two words');
    assert.equal(existsSync(join(other, 'qmpmux/compiled')), keeps);
  });

  test('is not kept, nor taken, where somebody else could have put it', (t) => {
    const run = program(t, { bundle: BUNDLE });
    const made = (prepare: (home: string) => void): boolean => {
      const home = join(scratch(t), 'home');
      mkdirSync(home);
      prepare(home);
      assert.equal(run({ HOME: home, XDG_CACHE_HOME: '' }), 'bundle two words');
      const folder = join(home, '.cache/qmpmux/compiled');
      return existsSync(folder) && readdirSync(folder).length > 0;
    };
    assert.equal(
      made((home) => chmodSync(home, 0o777)),
      false,
    );
    assert.equal(
      made((home) => mkdirSync(join(home, '.cache'), { mode: 0o755 })),
      keeps,
    );
    assert.equal(
      made((home) => {
        mkdirSync(join(home, '.cache'));
        chmodSync(join(home, '.cache'), 0o775);
      }),
      false,
    );
    assert.equal(
      made((home) => {
        mkdirSync(join(home, 'elsewhere'));
        symlinkSync('elsewhere', join(home, '.cache'));
      }),
      false,
    );
    if (process.geteuid?.() === 0)
      assert.equal(
        made((home) => chownSync(home, 12345, 12345)),
        false,
      );
    for (const HOME of ['/proc/self', '/dev/null', '/nowhere', '', 'relative']) {
      assert.equal(run({ HOME, XDG_CACHE_HOME: '' }), 'bundle two words');
    }
  });
});

test('a Node that is too old is reported in one line, from the program’s first file', (t) => {
  const bin = join(DIST, '../bin/qmpmux.js');
  const folder = scratch(t);
  for (const [version, isTaken] of [
    ['18.20.4', false],
    ['20.18.3', false],
    ['20.19.0', true],
    ['21.7.3', false],
    ['22.11.0', false],
    ['22.12.0', true],
    ['24.0.0', true],
    ['26.1.0', true],
  ] as const) {
    const preload = join(folder, 'version.cjs');
    writeFileSync(preload, `Object.defineProperty(process.versions, 'node', { value: '${version}' });`);
    const { status, stdout, stderr } = spawnSync(process.execPath, ['--require', preload, bin, '--version'], {
      encoding: 'utf8',
    });
    assert.equal(status, isTaken ? 0 : 69, version);
    if (isTaken) assert.match(stdout, /^qmpmux /);
    else
      assert.match(
        stderr,
        new RegExp(
          `^qmpmux: needs Node\\.js 20\\.19, 22\\.12, or 24 and later; this is ${version.replaceAll('.', '\\.')} \\(.*\\)\n$`,
        ),
      );
  }
});
