/** Each link of the documentation leads to a file, and to a heading in it; and docs/README.md lists each page. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, it } from 'node:test';
import { anchors, linesOfText, links, pages, root, tableRows } from '../support/text/pages.js';

const read = (page: string) => readFileSync(join(root, page), 'utf8');

/** The path from the root, and the anchor, of a link in a page; null if it leads out of the repository. */
function target(page: string, link: string): { path: string; anchor: string } | null {
  if (/^[a-z][a-z+.-]*:/.test(link)) return null;
  const [file = '', anchor = ''] = link.split('#');
  return { path: file === '' ? page : normalize(join(dirname(page), file)), anchor };
}

describe('the links of the documentation', () => {
  for (const page of pages()) {
    it(`lead to what there is, in ${page}`, () => {
      for (const link of links(read(page))) {
        const found = target(page, link);
        if (found === null) continue;
        assert.ok(existsSync(join(root, found.path)), `${page}: ${link}: there is no ${found.path}`);
        const isPage = found.path.endsWith('.md');
        if (found.anchor !== '') {
          assert.ok(isPage && anchors(read(found.path)).has(found.anchor), `${page}: ${link}: no such heading`);
        }
      }
    });
  }

  it('are found, and so are headings', () => {
    assert.deepEqual(links('[a](b.md#c)\n\n    [no](no.md)\n\n`[no](no.md)` [d][e]\n\n[e]: f.md\n'), [
      'b.md#c',
      'f.md',
    ]);
    assert.deepEqual(
      [...anchors('# QEMU’s `a_b`, (x)\n## What\n```\n# no\n```\n## What\n')],
      ['qemus-a_b-x', 'what', 'what-1'],
    );
  });
});

/** The pages that a page links to, each with the text beside its link. */
function listed(page: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const { text } of linesOfText(read(page))) {
    for (const link of links(text)) {
      const to = target(page, link);
      if (to === null) continue;
      const rest = text.replace(/^\W*\[[^\]]*\]\([^)]*\)/, '');
      if (statSync(join(root, to.path)).isFile()) found.set(to.path, rest.trim());
    }
  }
  return found;
}

for (const [index, folder] of [
  ['docs/README.md', 'docs/'],
  ['docs/adr/README.md', 'docs/adr/'],
] as const) {
  describe(index, () => {
    const found = listed(index);
    for (const page of pages().filter((name) => name.startsWith(folder) && name !== index)) {
      if (folder === 'docs/' && page.startsWith('docs/adr/0')) continue;
      it(`lists ${page}, and says what it is`, () => {
        assert.ok((found.get(page) ?? '').length > 10, `${index} has no line for ${page}`);
      });
    }
  });
}

describe('the index of decisions', () => {
  const rows = tableRows(read('docs/adr/README.md'));

  it('says of each what its page says: whether it holds, or which one took its place', () => {
    for (const [decision = '', status = ''] of rows) {
      const [page = ''] = links(decision);
      const lines = read(`docs/adr/${page}`).split('\n');
      const said = /^(Superseded(?: in part)? by) \[(\d+)\]/.exec(lines[2] ?? '');
      assert.equal(status, said === null ? 'holds' : `${said[1]?.toLowerCase()} ${said[2]}`, page);
    }
  });
});
