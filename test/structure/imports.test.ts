/** Arrows point down: which folder of src imports which is the table in CONTRIBUTING.md, and nothing imports in a circle. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { circles, folderGraph, importGraph } from './import-graph.js';
import { differences, folderRows } from './import-table.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const src = join(root, 'src');

const texts = new Map(
  readdirSync(src, { recursive: true, encoding: 'utf8', withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .toSorted()
    .map((path) => [relative(src, path), readFileSync(path, 'utf8')]),
);
const files = importGraph(texts);
const folders = folderGraph(files);

describe('the folders of src', () => {
  it('import what their rows in CONTRIBUTING.md allow, and all of that', () => {
    const rows = folderRows(readFileSync(join(root, 'CONTRIBUTING.md'), 'utf8'));
    assert.deepEqual(differences(rows, folders), []);
  });

  it('import one another in no circle', () => {
    assert.deepEqual(circles(folders), []);
  });
});

describe('the files of src', () => {
  it('are all found, each with what it imports', () => {
    const missing = [...files].flatMap(([file, imports]) =>
      [...imports].filter((name) => !files.has(name)).map((name) => `${file}: ${name}`),
    );
    assert.deepEqual(missing, []);
  });

  it('import one another in no circle, types included', () => {
    assert.deepEqual(circles(files), []);
  });
});

describe('an import that the table does not allow', () => {
  const rows = folderRows(
    [
      '| folder | what | may import |',
      '| --- | --- | --- |',
      '| `src` | the library | `high` |',
      '| `src/high` | above | `low/*` |',
      '| `src/low` | below | nothing |',
      '| `src/low/pit` | at the bottom | nothing |',
      '| `test` | is not in src | `dist` |',
    ].join('\n'),
  );
  const right: readonly (readonly [string, string])[] = [
    ['index.ts', "export { high } from './high/high.js';\n"],
    [
      'high/high.ts',
      "import { low } from '../low/low.js';\nimport pit from '../low/pit/pit.json' with { type: 'json' };\n",
    ],
    ['low/low.ts', "import { readFileSync } from 'node:fs';\n"],
    ['low/pit/pit.ts', 'export const pit = 1;\n'],
  ];
  const wrongs: readonly (readonly [string, string])[] = [
    ['static', "import { high } from '../high/high.js';\n"],
    ['over several lines', "import {\n  a,\n  type B,\n} from '../high/high.js';\n"],
    ['for its effect', "import '../high/high.js';\n"],
    ['of a type', "import type { High } from '../high/high.js';\n"],
    ['of a type within an expression', "export type High = import('../high/high.js').High;\n"],
    ['dynamic', "const high = await import('../high/high.js');\n"],
    ['dynamic, of one of two', "const high = await import(isRight ? './other.js' : '../high/high.js');\n"],
    ['passed on', "export type { High } from '../high/high.js';\n"],
    ['passed on whole', "export * from '../high/high.js';\n"],
  ];
  const differencesOf = (sources: Iterable<readonly [string, string]>): string[] =>
    differences(rows, folderGraph(importGraph(new Map(sources))));

  it('is no difference where the table allows it', () => {
    assert.deepEqual(differencesOf(right), []);
  });

  for (const [kind, text] of wrongs) {
    it(`is found: ${kind}`, () => {
      const sources = new Map([...right, ['low/low.ts', text] as const]);
      assert.deepEqual(differencesOf(sources), ['src/low may not import high']);
      assert.deepEqual(circles(importGraph(sources)), [['high/high.ts', 'low/low.ts']]);
      assert.deepEqual(circles(folderGraph(importGraph(sources))), [['high', 'low']]);
    });
  }

  it('is found in a folder without a row, and a row is found that allows what nobody uses', () => {
    const sources = [...right.filter(([path]) => path !== 'high/high.ts'), ['new/file.ts', ''] as const];
    assert.deepEqual(differencesOf(sources), ['src/new has no row', 'src/high has a row, but no files']);
    assert.deepEqual(differencesOf(new Map([...right, ['high/high.ts', ''] as const])), [
      'src/high does not import low/*',
    ]);
  });

  it('is a circle, however long', () => {
    const graph = new Map(
      [
        ['a', ['b']],
        ['b', ['c', 'd']],
        ['c', ['a']],
        ['d', ['e', 'd']],
        ['e', []],
      ].map(([node, next]) => [node as string, new Set(next as string[])]),
    );
    assert.deepEqual(circles(graph), [['a', 'b', 'c']]);
  });
});
