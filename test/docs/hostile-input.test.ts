/** Each row of docs/explanation/hostile-input.md names the files of a reader, and has tests of its bounds. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { testsNamed } from '../support/text/named-tests.js';
import { quoted, root, tableRows } from '../support/text/pages.js';
import { HOSTILE_INPUT_TESTS } from './rows/hostile-input.js';

describe('the list of readers of hostile text', () => {
  const rows = tableRows(readFileSync(join(root, 'docs/explanation/hostile-input.md'), 'utf8'));

  it('has rows, and no test is kept for a row that it has not', () => {
    assert.ok(rows.length >= 10);
    assert.deepEqual(
      Object.keys(HOSTILE_INPUT_TESTS),
      rows.map(([reader]) => reader),
    );
  });

  for (const [reader = '', where = ''] of rows) {
    it(`names the files of ${reader} and has tests of their bounds`, () => {
      for (const file of quoted(where)) assert.ok(existsSync(join(root, file)), `there is no ${file}`);
      const names = HOSTILE_INPUT_TESTS[reader] ?? [];
      assert.ok(names.length > 0, 'a row has a test');
      for (const name of names) assert.ok(testsNamed(name).length > 0, `there is no test ${name}`);
    });
  }
});
