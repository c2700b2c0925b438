/** A Node.js that is too old says so in one line, whatever it was asked to do, a build included. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

const check = fileURLToPath(new URL('../../bin/node-version.cjs', import.meta.url));
const program = fileURLToPath(new URL('../../bin/qmpmux.js', import.meta.url));

/** Runs a file as a Node.js that says it is of this version. */
function runAs(version: string, file: string, words: readonly string[] = []) {
  const stub = `Object.defineProperty(process.versions, 'node', { value: '${version}' })`;
  const preload = `data:text/javascript,${encodeURIComponent(stub)}`;
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--import', preload, file, ...words], {
    encoding: 'utf8',
  });
  return { status, stdout, stderr };
}

describe('a Node.js', () => {
  for (const words of [['--version'], ['serve', '--help'], ['exec', '/none', 'query-status']]) {
    it(`that is too old is reported for qmpmux ${words.join(' ')}`, () => {
      assert.deepEqual(runAs('18.20.4', program, words), {
        status: 69,
        stdout: '',
        stderr: `qmpmux: needs Node.js 20.19, 22.12, or 24 and later; this is 18.20.4 (${process.execPath})\n`,
      });
    });
  }

  for (const version of ['8.17.0', '12.22.9', '20.18.3', '21.7.3', '22.11.0', '23.11.1']) {
    it(`${version} is refused`, () => {
      assert.equal(runAs(version, check).status, 69);
    });
  }

  for (const version of ['20.19.0', '20.20.2', '22.12.0', '24.0.0', '100.0.0']) {
    it(`${version} is let through`, () => {
      assert.deepEqual(runAs(version, check), { status: 0, stdout: '', stderr: '' });
    });
  }

  it('that is old can read the code that reports it', () => {
    assert.doesNotMatch(readFileSync(check, 'utf8'), /=>|`|\b(?:const|let|class|import)\b|\?\.|\?\?/);
  });

  it('is asked before anything is built', () => {
    const { scripts } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
      scripts: Record<string, string>;
    };
    assert.match(scripts['build'] ?? '', /^node bin\/node-version\.cjs && /);
  });
});
