import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { assert as holds, json, property } from 'fast-check';
import { layOut } from '../../../dist/cli/screen/json-layout.js';

describe('laying out JSON', () => {
  test('puts each member on a separate line, and leaves empty values together', () => {
    assert.equal(
      layOut('{"a": [1, {"b": null}], "c": {}, "d": [], "e": [[]]}'),
      '{\n  "a": [\n    1,\n    {\n      "b": null\n    }\n  ],\n  "c": {},\n  "d": [],\n  "e": [\n    []\n  ]\n}',
    );
    assert.equal(layOut('"x"'), '"x"');
  });

  test('changes no token: digits, escapes and braces in strings survive', () => {
    for (const token of ['18446744073709551615', '-0', '1.0e+05', '"\\u00E9\\"{}[],:"', '"\\\\"', 'true']) {
      assert.equal(layOut(`[${token}]`), `[\n  ${token}\n]`);
    }
  });

  test('means the same as before, for any JSON', () => {
    holds(
      property(json(), (text) => {
        assert.deepEqual(JSON.parse(layOut(text)), JSON.parse(text));
        assert.equal(layOut(layOut(text)), layOut(text));
      }),
    );
  });

  test('distinguishes names from strings for colouring', () => {
    const kinds: string[] = [];
    layOut('{"a": "b", "c": [1, -2, true, null]}', (kind, text) => {
      kinds.push(`${kind} ${text}`);
      return text;
    });
    assert.deepEqual(kinds, [
      'name "a"',
      'string "b"',
      'name "c"',
      'number 1',
      'number -2',
      'keyword true',
      'keyword null',
    ]);
  });
});
