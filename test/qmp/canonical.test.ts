import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { bucketOf, walkOrder } from '../../dist/qmp/json/dictionary.js';
import { anyValue } from '../support/text/json-text.js';
import { readInput, referenceInput } from '../support/world/client-input.js';

/** The id of a command with this id, as it comes back. */
function back(id: string): string | null | undefined {
  return readInput(`{"id":${id}}`).told[0]?.id;
}

describe('a value', () => {
  it('comes back as QEMU 7.2 was seen to write it', () => {
    for (const [given, expected] of [
      ['1.0', '1'],
      ['1e2', '100'],
      ['0.1', '0.10000000000000001'],
      ['-0', '0'],
      ['-0.0', '-0'],
      ['1e400', 'inf'],
      ['-1e400', '-inf'],
      ['123456789012345.125', '123456789012345.12'],
      ['999999999999999', '999999999999999'],
      ['9999999999999999', '9999999999999999'],
      ['"plain"', '"plain"'],
      ["'single'", '"single"'],
      ['"\\u0071\\/\\\'\\""', '"q/\'\\""'],
      ['"\\u00e9\xc3\xa9"', '"\\u00E9\\u00E9"'],
      ['"\\ud83d\\ude00\xf0\x9f\x98\x80"', '"\\uD83D\\uDE00\\uD83D\\uDE00"'],
      ['"\\b\\f\\n\\r\\t\\u0001\x7f"', '"\\b\\f\\n\\r\\t\\u0001\\u007F"'],
      ['"\\u0000\xc0\x80"', '"\\u0000\\u0000"'],
      ['[ 1 , [ ] , { } ]', '[1, [], {}]'],
      [
        '{"b":{"b":{"b":1,"a":2},"a":3},"a":{"y":{"z":[{"q":1,"p":2}]}}}',
        '{"a": {"y": {"z": [{"p": 2, "q": 1}]}}, "b": {"a": 3, "b": {"a": 2, "b": 1}}}',
      ],
      ['true', 'true'],
      ['null', 'null'],
    ] as const) {
      assert.equal(back(given), expected);
    }
  });

  it('of any kind comes back as the reference reader writes it', () => {
    fc.assert(
      fc.property(anyValue, (text) => {
        const input = `{"id":${text}}`;
        assert.deepEqual(readInput(input).told, referenceInput(input));
      }),
      { numRuns: 1000 },
    );
  });
});

describe('the order of keys', () => {
  it('is that of the hash table of QEMU 7.2', () => {
    for (const [given, expected] of [
      [
        ['z', 'y', 'x', 'w', 'a'],
        ['w', 'x', 'a', 'y', 'z'],
      ],
      [
        ['return', 'id', 'error'],
        ['return', 'id', 'error'],
      ],
      [
        ['error', 'return', 'id'],
        ['return', 'id', 'error'],
      ],
      [
        ['execute', 'arguments', 'id', 'exec-oob'],
        ['exec-oob', 'execute', 'arguments', 'id'],
      ],
      [
        ['é', 'è', '€', '😀', '\0', '"', '\\', '\x7f'],
        ['é', '"', '\0', '\\', 'è', '\x7f', '😀', '€'],
      ],
      [
        ['', ' ', '  '],
        ['', ' ', '  '],
      ],
      [[], []],
    ] as const) {
      assert.deepEqual(
        walkOrder(given).map((at) => given[at]),
        expected,
      );
    }
  });

  it('has the newest first among keys of one chain', () => {
    assert.equal(new Set(['a', 'rb', 'rr'].map(bucketOf)).size, 1);
    assert.deepEqual(walkOrder(['a', 'rb', 'rr']), [2, 1, 0]);
    assert.deepEqual(walkOrder(['rr', 'a', 'rb']), [2, 1, 0]);
  });
});
