/**
 * docs/reference/faults.md has a test for each of its rows, and what it quotes is what that test looks for; docs/reference/limits.md has each limit, with
 * its default.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { LIMIT_NAMES, parseLimits } from '../../dist/daemon/config/limit-settings.js';
import { DEFAULT_LIMITS } from '../../dist/mux/ports/limits.js';

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

/** A test's own text, or that of its whole file where its name is made from a case; of all that have the name, if several do. */
function testNamed(name: string): string {
  const files = readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' });
  const found: string[] = [];
  for (const file of files.filter((each) => each.endsWith('.test.ts'))) {
    const source = readFileSync(join(root, 'test', file), 'utf8');
    const quote = name.includes('${') ? '`' : "'";
    const at = [`it(${quote}${name}${quote}`, `test(${quote}${name}${quote}`]
      .map((call) => source.indexOf(call))
      .find((index) => index >= 0);
    if (at === undefined) continue;
    if (name.includes('${')) {
      found.push(source);
      continue;
    }
    const indent = /(?:^|\n)( *)$/.exec(source.slice(0, at))?.[1] ?? '';
    const end = source.indexOf(`\n${indent}})`, at);
    found.push(source.slice(at, end < 0 ? undefined : end));
  }
  assert.ok(found.length > 0, `there is no test ${name}`);
  return found.join('\n');
}

/** What stands between backquotes, without what stands for something else (`…`). */
function quoted(cell: string): string[] {
  return [...cell.matchAll(/`([^`]*)`/g)].flatMap(([, text = '']) => text.split('…')).map((text) => text.trim());
}

describe('the table of faults', () => {
  const table = rows('reference/faults.md');
  it('has the faults that there are', () => {
    assert.ok(table.length > 30, `${table.length} rows`);
  });
  for (const [fault = '', seen = '', log = '', tests = ''] of table) {
    it(`has a test for: ${fault}, which asks for what clients see and what the log says`, () => {
      const bodies = quoted(tests).map(testNamed);
      assert.ok(bodies.length > 0, tests);
      // how a regular expression or a text in quotes spells it
      const plain = bodies.join('\n').replaceAll('\\', '');
      for (const text of [...quoted(seen), ...quoted(log)]) {
        assert.ok(plain.includes(text), `nothing in ${tests} looks for: ${text}`);
      }
    });
  }
});

describe('the table of limits', () => {
  it('has every limit, with its default', () => {
    const table = rows('reference/limits.md').filter(([name]) =>
      Object.hasOwn(LIMIT_NAMES, name?.replaceAll('`', '') ?? ''),
    );
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
