/** docs/explanation/hostile-input.md names a reader's file and the test of its bounds in each of its rows; both are there. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));
const rows = readFileSync(join(root, 'docs/explanation/hostile-input.md'), 'utf8')
  .split('\n')
  .filter((line) => line.startsWith('| ') && !line.startsWith('| ---'))
  .slice(1)
  .map((line) => line.split('|').slice(1, -1));
const tests = readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.test.ts'))
  .map((file) => readFileSync(join(root, 'test', file), 'utf8'));

function quoted(cell: string): string[] {
  return [...cell.matchAll(/`([^`]+)`/g)].map(([, text = '']) => text);
}

describe('the list of readers of hostile text', () => {
  it('has rows', () => {
    assert.ok(rows.length >= 10);
  });
  for (const [reader = '', where = '', , named = ''] of rows) {
    it(`names the files of${reader}and tests of their bounds`, () => {
      for (const file of quoted(where)) assert.ok(existsSync(join(root, file)), `there is no ${file}`);
      const names = quoted(named);
      assert.ok(names.length > 0, 'a row has a test');
      for (const name of names) {
        const quote = name.includes('${') ? '`' : "'";
        const isThere = tests.some((source) =>
          ['it(', 'test('].some((call) => source.includes(`${call}${quote}${name}${quote}`)),
        );
        assert.ok(isThere, `there is no test ${name}`);
      }
    });
  }
});
