import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lineOf } from '../../../dist/daemon/config/config-lines.js';

const toml = `# a comment with a = 1
top = 1
[a]
b = [
  1,
  2,
]
c.d = 1
[ a . "e f" ]
g = 1
[[list]]
x = 1
[[list]]
x = 2
`;

test('a key is found at its line, and so is an element of a list', () => {
  assert.equal(lineOf(toml, ['top']), 2);
  assert.equal(lineOf(toml, ['a']), 3);
  assert.equal(lineOf(toml, ['a', 'b']), 4);
  assert.equal(lineOf(toml, ['a', 'b', 0]), 5);
  assert.equal(lineOf(toml, ['a', 'b', 1]), 6);
  assert.equal(lineOf(toml, ['a', 'b', 2]), 4);
  assert.equal(lineOf(toml, ['a', 'c', 'd']), 8);
  assert.equal(lineOf(toml, ['a', 'e f', 'g']), 10);
  assert.equal(lineOf(toml, ['list', 0, 'x']), 12);
  assert.equal(lineOf(toml, ['list', 1, 'x']), 14);
});

test('a missing key is found at the table that would have it', () => {
  assert.equal(lineOf(toml, ['a', 'missing']), 3);
  assert.equal(lineOf(toml, ['list', 1, 'missing']), 13);
  assert.equal(lineOf(toml, ['elsewhere']), null);
});

const nested = `[monitor.web]
upstream = "/q" # ] } = not meant
listen = [
  "/a",
  { address = "/b", mode = "0600" },   # = [
  { address = '''
]}"''', adress = 1 },
  [ [ 1,
      2 ], { x.y = """
a "quote" \\" = 1
""""", z = 3 } ],
]
"q\\u0041".b = 1
[[monitor.list]]
a = 1
[monitor.list.sub]
b = 2
[[monitor.list]]
[monitor.list.sub]
b = 3
[monitor.db]
upstream = "/r"
`;

test('a value in lists and tables of several lines is found at its own line', () => {
  const web = ['monitor', 'web'];
  const cases: readonly (readonly [path: readonly (string | number)[], line: number])[] = [
    [['monitor'], 1],
    [[...web, 'listen'], 3],
    [[...web, 'listen', 0], 4],
    [[...web, 'listen', 1, 'mode'], 5],
    [[...web, 'listen', 2, 'address'], 6],
    [[...web, 'listen', 2, 'adress'], 7],
    [[...web, 'listen', 3, 0, 0], 8],
    [[...web, 'listen', 3, 0, 1], 9],
    [[...web, 'listen', 3, 1, 'x', 'y'], 9],
    [[...web, 'listen', 3, 1, 'z'], 11],
    [['monitor', 'web', 'qA', 'b'], 13],
    [['monitor', 'list', 0, 'sub', 'b'], 17],
    [['monitor', 'list', 1, 'sub', 'b'], 20],
    [['monitor', 'db', 'upstream'], 22],
  ];
  for (const [path, line] of cases) assert.equal(lineOf(nested, path), line, path.join('.'));
});

test('a line is found in steps that grow as the text does, whatever it is made of', () => {
  for (const unit of ['[', '[ ', ']', ' ', '{', '"', "'", 'a.', '"a', '=', '= [', ',\n', '[[a]]\n', '[a', '\\', '#']) {
    // With one step too many for each character this would not end.
    const text = unit.repeat(1_000_000 / unit.length);
    assert.doesNotThrow(() => lineOf(text, ['monitor', 'web', 'listen', 3]));
  }
});
