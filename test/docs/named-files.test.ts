/** The files that the pages for developers name are there, and so is what they say is in them. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { linesOfText, root } from '../support/text/pages.js';

const PAGES = ['docs/explanation/architecture.md', 'docs/explanation/protocol.md', 'CONTRIBUTING.md'];

for (const page of PAGES) {
  describe(page, () => {
    const text = linesOfText(readFileSync(join(root, page), 'utf8'))
      .map((line) => line.text)
      .join(' ')
      .replaceAll(/ +/g, ' ');

    it('names files and folders that are there', () => {
      const paths = [...text.matchAll(/`((?:src|test|docs|packaging)\/[\w./-]+)`/g)].map(([, path = '']) => path);
      for (const path of new Set(paths)) assert.ok(existsSync(join(root, path)), `there is no ${path}`);
    });

    it('names functions that are in the files they stand behind', () => {
      for (const [, path = '', name = ''] of text.matchAll(/`(src\/[\w./-]+\.ts)`(?:: | \()`([#\w]+)`/g)) {
        const isThere = new RegExp(`^ *(?:export function |get |async )?${name}\\(`, 'm');
        assert.match(readFileSync(join(root, path), 'utf8'), isThere, `${path} has no ${name}`);
      }
    });
  });
}

describe('the page on the architecture', () => {
  it('has at least a dozen functions by name, so that readers find them', () => {
    const page = readFileSync(join(root, 'docs/explanation/architecture.md'), 'utf8');
    assert.ok([...page.matchAll(/\.ts`(?:: | \()`/g)].length >= 12);
  });
});
