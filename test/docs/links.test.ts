/** Links between the pages lead somewhere: to a file of the repository, and to a heading of it. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { linesOfText, pages, root } from '../support/text/pages.js';

const textOf = (page: string) => linesOfText(readFileSync(join(root, page), 'utf8')).map(({ text }) => text);

/** @returns the names by which links reach a page's headings, as GitHub makes them */
function anchors(page: string): string[] {
  const headings = textOf(page)
    .join('\n')
    .matchAll(/^#+ (.*)$/gm);
  return [...headings].map(([, text = '']) =>
    text
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

for (const page of pages()) {
  test(`${page} has links that lead somewhere`, () => {
    const prose = textOf(page)
      .join('\n')
      .replaceAll(/`[^`\n]*`/g, '');
    for (const [, link = ''] of prose.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(link)) continue;
      const [path = '', anchor] = link.split('#');
      const target = path === '' ? page : join(dirname(page), path);
      assert.ok(existsSync(join(root, target)), `${link}: there is no ${target}`);
      if (anchor !== undefined) assert.ok(anchors(target).includes(anchor), `${link}: ${target} has no such heading`);
    }
  });
}
