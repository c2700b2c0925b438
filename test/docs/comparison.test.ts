/** docs/explanation/comparison.md promises a test for each of its rows. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));

it('each row of the comparison names a test that there is', () => {
  const tests = join(root, 'test');
  const files = readdirSync(tests, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.test.ts'));
  const sources = new Map(files.map((name) => [name, readFileSync(join(tests, name), 'utf8')]));
  const lines = readFileSync(join(root, 'docs/explanation/comparison.md'), 'utf8').split('\n');
  const rows = lines.filter((line) => line.startsWith('| ') && !line.startsWith('| what') && !line.startsWith('| --'));
  assert.ok(rows.length > 20, `${rows.length} rows`);
  for (const row of rows) {
    const named = /`(\S+\.test\.ts)`: (.+) \|$/.exec(row);
    assert.ok(named !== null, `no test is named: ${row}`);
    const [, file = '', name = ''] = named;
    const source = sources.get(file) ?? '';
    const isThere = [`'${name.trim()}'`, `"${name.trim()}"`].some((quoted) => source.includes(quoted));
    assert.ok(isThere, `${file} has no test ${name}`);
  }
});
