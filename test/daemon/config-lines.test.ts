import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lineOf } from '../../dist/daemon/config-lines.js';

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

test('a key is found at its line, a value inside it at the line of the key', () => {
  assert.equal(lineOf(toml, ['top']), 2);
  assert.equal(lineOf(toml, ['a']), 3);
  assert.equal(lineOf(toml, ['a', 'b']), 4);
  assert.equal(lineOf(toml, ['a', 'b', 1]), 4);
  assert.equal(lineOf(toml, ['a', 'c', 'd']), 8);
  assert.equal(lineOf(toml, ['a', 'e f', 'g']), 10);
  assert.equal(lineOf(toml, ['list', 0, 'x']), 12);
  assert.equal(lineOf(toml, ['list', 1, 'x']), 14);
});

test('a key that is not there is found at the table where it would be', () => {
  assert.equal(lineOf(toml, ['a', 'missing']), 3);
  assert.equal(lineOf(toml, ['list', 1, 'missing']), 13);
  assert.equal(lineOf(toml, ['elsewhere']), null);
});
