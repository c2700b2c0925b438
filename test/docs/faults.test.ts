/** docs/faults.md promises a test for each of its rows; docs/limits.md, a limit for each of its names. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { LIMIT_NAMES, parseLimits } from '../../dist/daemon/limit-settings.js';
import { DEFAULT_LIMITS } from '../../dist/mux/limits.js';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** The cells of a page's tables, by row, without their heads. */
function rows(page: string): string[][] {
  const lines = readFileSync(join(root, 'docs', page), 'utf8').split('\n');
  const isRow = (line: string | undefined) => line?.startsWith('| ') === true;
  return lines
    .filter((line, index) => isRow(line) && isRow(lines[index - 1] ?? '|-') && !/^\| *-/.test(line))
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
}

function testSources(): string {
  const names = readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' });
  const files = names.filter((name) => name.endsWith('.test.ts'));
  return files.map((name) => readFileSync(join(root, 'test', name), 'utf8')).join('\n');
}

describe('the table of faults', () => {
  it('names a test that there is in each row', () => {
    const sources = testSources();
    const table = rows('faults.md');
    assert.ok(table.length > 25, `${table.length} rows`);
    for (const [fault, , , test = ''] of table) {
      const name = /^`(.*)`$/.exec(test)?.[1];
      assert.ok(name !== undefined, `${fault}: ${test}`);
      assert.ok(sources.includes(name), `${fault}: there is no test ${name}`);
    }
  });
});

describe('the table of limits', () => {
  it('has every limit, with its default', () => {
    const table = rows('limits.md').filter(([name]) => Object.hasOwn(LIMIT_NAMES, name?.replaceAll('`', '') ?? ''));
    const names = table.map(([name = '']) => name.replaceAll('`', ''));
    assert.deepEqual(names.sort(), Object.keys(LIMIT_NAMES).sort());
    for (const [name = '', value = ''] of table) {
      const parsed = parseLimits([[name.replaceAll('`', ''), value]]);
      for (const [key, number] of Object.entries(parsed)) {
        assert.equal(number, Object.entries(DEFAULT_LIMITS).find(([other]) => other === key)?.[1], name);
      }
    }
  });
});
