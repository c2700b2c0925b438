/** Lines of the documentation end where a diff can be read: at 120 columns, but for tables, code, and what cannot be broken. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { pages, proseLines, root } from '../support/text/pages.js';

const MOST_COLUMNS = 120;

describe('a line of prose', () => {
  for (const page of pages()) {
    it(`of ${page} has at most ${MOST_COLUMNS} columns`, () => {
      for (const { text, number } of proseLines(readFileSync(join(root, page), 'utf8'))) {
        const isBreakable = / /.test(text.trimStart().replaceAll(/`[^`]*`|\[[^\]]*\]\([^)]*\)/g, 'x'));
        assert.ok(text.length <= MOST_COLUMNS || !isBreakable, `${page}:${number}: ${text}`);
      }
    });
  }
});
