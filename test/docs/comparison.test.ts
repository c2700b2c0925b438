/** Each row of docs/explanation/comparison.md has a test. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { testsNamed } from '../support/text/named-tests.js';
import { root, tableRows } from '../support/text/pages.js';
import { COMPARISON_TESTS } from './rows/comparison.js';

describe('the comparison', () => {
  const rows = tableRows(readFileSync(join(root, 'docs/explanation/comparison.md'), 'utf8')).map(([what = '']) => what);

  it('has rows, and no test is kept for a row that it has not', () => {
    assert.ok(rows.length > 20, `${rows.length} rows`);
    assert.deepEqual(Object.keys(COMPARISON_TESTS), rows);
  });

  for (const [row, [file, name]] of Object.entries(COMPARISON_TESTS)) {
    it(`has a test for: ${row}`, () => {
      assert.ok(testsNamed(name, file).length > 0, `${file} has no test ${name}`);
    });
  }
});
