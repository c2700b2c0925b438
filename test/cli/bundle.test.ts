import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { scratch } from '../support/scratch.js';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const BUNDLE = "(function (exports) { exports.run = async (words) => console.log('bundle', ...words); })";

interface Files {
  /** The bundle's text. */
  readonly bundle?: string;
  readonly cache?: Buffer;
  /** Whether the modules were compiled after the bundle was made; null where there is no telling, as in a package. */
  readonly isStale?: boolean | null;
}

/** A program that consists of the real main.js, and says whether it runs as a bundle or as modules. */
function program(t: TestContext, { bundle, cache, isStale = false }: Files) {
  const folder = scratch(t);
  mkdirSync(join(folder, 'dist/cli'), { recursive: true });
  mkdirSync(join(folder, 'dist/bundle'));
  writeFileSync(join(folder, 'package.json'), '{"type": "module"}');
  copyFileSync(MAIN, join(folder, 'dist/cli/main.js'));
  writeFileSync(
    join(folder, 'dist/cli/program.js'),
    "export async function run(words) { console.log('modules', ...words); }",
  );
  const file = join(folder, 'dist/bundle/program.cjs');
  if (bundle !== undefined) {
    writeFileSync(file, bundle);
    utimesSync(file, 1000, 1000);
  }
  if (cache !== undefined) writeFileSync(join(folder, 'dist/bundle/program.cache'), cache);
  if (isStale !== null) {
    for (const name of ['core', 'tsconfig']) {
      const info = join(folder, `dist/${name}.tsbuildinfo`);
      writeFileSync(info, '');
      utimesSync(info, 999, name === 'core' || !isStale ? 999 : 1001);
    }
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

  test('is the modules where there is no bundle, or one that they are newer than', (t) => {
    assert.equal(program(t, {})(), 'modules two words');
    assert.equal(program(t, { bundle: BUNDLE, isStale: true })(), 'modules two words');
  });

  test('is the modules where coverage is measured', (t) => {
    const run = program(t, { bundle: BUNDLE });
    assert.equal(run({ NODE_V8_COVERAGE: scratch(t) }), 'modules two words');
  });

  test('does without what V8 made of the bundle, where that is of another V8 or of something else', (t) => {
    assert.equal(program(t, { bundle: BUNDLE, cache: Buffer.alloc(1000) })(), 'bundle two words');
    assert.equal(program(t, { bundle: BUNDLE, cache: Buffer.alloc(0) })(), 'bundle two words');
  });
});
