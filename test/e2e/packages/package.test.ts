/** What someone gets who installs qmpmux: the command that the README types, and a package that has all of it. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { scratch } from '../../support/files/scratch.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const run = promisify(execFile);
/** npm tells a script about the npm it runs under, which would get in the way of another one. */
const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name)));

describe('the package', () => {
  test('brings the command qmpmux', async (t) => {
    const prefix = scratch(t);
    mkdirSync(join(prefix, 'lib'));
    const words = ['install', '--global', '--prefix', prefix, '--offline', '--no-audit', '--ignore-scripts', root];
    await run('npm', words, { env, cwd: prefix });
    const { stdout } = await run(join(prefix, 'bin/qmpmux'), ['--version'], { env });
    const { version }: { version: string } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
    assert.equal(stdout, `qmpmux ${version}\n`);
  });

  test('has what is compiled, the types, and nothing of the build', async () => {
    const words = ['pack', '--dry-run', '--json', '--ignore-scripts', '--offline'];
    const { stdout } = await run('npm', words, { env, cwd: root });
    const [packed]: [{ files: { path: string }[] }] = JSON.parse(stdout);
    const paths = packed.files.map(({ path }) => path);
    const { scripts }: { scripts: Record<string, string> } = JSON.parse(
      readFileSync(join(root, 'package.json'), 'utf8'),
    );
    assert.equal(scripts['prepack'], 'rm -rf dist && npm run --silent build && node packaging/shipped.mjs');
    for (const path of [
      'bin/qmpmux.js',
      'dist/cli/main.js',
      'dist/index.js',
      'dist/index.d.ts',
      'README.md',
      'LICENSE',
    ]) {
      assert.ok(paths.includes(path), `${path} is missing`);
    }
    assert.deepEqual(
      paths.filter((path) => path.endsWith('.tsbuildinfo') || /^(?:src|test|build)\//.test(path)),
      [],
    );
  });
});
