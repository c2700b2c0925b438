/**
 * Each row of docs/reference/faults.md has tests, and they look for what it quotes; docs/reference/limits.md has each
 * limit, with its default.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { LIMITS } from '../../dist/daemon/config/options/limits.js';
import { namesOf, rowNamed } from '../../dist/daemon/config/options/row.js';
import { testsNamed } from '../support/text/named-tests.js';
import { quoted, root, tableRows } from '../support/text/pages.js';
import { FAULT_TESTS } from './rows/faults.js';

const rows = (page: string) => tableRows(readFileSync(join(root, 'docs', page), 'utf8'));

/** What a cell quotes, in pieces where it leaves something out (`…`). */
const pieces = (cell: string) => quoted(cell).flatMap((text) => text.split('…').map((piece) => piece.trim()));

describe('the table of faults', () => {
  const table = rows('reference/faults.md');

  it('has the faults that there are, and no test is kept for one that it has not', () => {
    assert.ok(table.length > 30, `${table.length} rows`);
    assert.deepEqual(
      Object.keys(FAULT_TESTS),
      table.map(([fault]) => fault),
    );
  });

  for (const [fault = '', seen = '', log = ''] of table) {
    it(`has a test for: ${fault}, which asks for what clients see and what the log says`, () => {
      const names = FAULT_TESTS[fault] ?? [];
      assert.ok(names.length > 0, 'a row has a test');
      const bodies = names.flatMap((name) => {
        const found = testsNamed(name);
        assert.ok(found.length > 0, `there is no test ${name}`);
        return found;
      });
      // how a regular expression or a text in quotes spells it
      const plain = bodies.join('\n').replaceAll('\\', '');
      for (const text of [...pieces(seen), ...pieces(log)]) {
        assert.ok(plain.includes(text), `nothing in ${names.join('; ')} looks for: ${text}`);
      }
    });
  }
});

describe('the table of limits', () => {
  it('has every limit, with its default', () => {
    const plain = (name: string | undefined) => name?.replaceAll('`', '') ?? '';
    const table = rows('reference/limits.md').filter(([name]) => namesOf(LIMITS).includes(plain(name)));
    assert.deepEqual(table.map(([name]) => plain(name)).sort(), [...namesOf(LIMITS)].sort());
    for (const [name, value = ''] of table) {
      const row = rowNamed(LIMITS, plain(name))?.[1];
      assert.deepEqual(row?.type.fromText(value), { value: row?.default }, name);
    }
  });
});
