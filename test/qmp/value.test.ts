import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { formatJson, isJsonObject, type JsonValue, parseJson } from '../../dist/qmp/json/value.js';

function parsed(text: string): JsonValue {
  const result = parseJson(text);
  assert.ok(result.ok, `${text} should parse`);
  return result.value;
}

const anyJson = fc.letrec<{ value: JsonValue; leaf: JsonValue }>((tie) => ({
  leaf: fc.oneof(
    fc.constant(null),
    fc.boolean(),
    fc.double({ noDefaultInfinity: true, noNaN: true }).filter((number) => !Number.isInteger(number)),
    fc.integer(),
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }).map((n) => (Number.isSafeInteger(Number(n)) ? Number(n) : n)),
    fc.string({ unit: 'grapheme' }),
    fc.string({ unit: fc.constantFrom('"', '\\', '~', '{', ']', ',', ':', '1', 'u', '\n', 'é', '😀') }),
  ),
  value: fc.oneof(
    { maxDepth: 5 },
    tie('leaf'),
    fc.array(tie('value')),
    fc.dictionary(fc.string(), tie('value'), { noNullPrototype: true }),
  ),
})).value;

describe('JSON values', () => {
  it('keep every digit of 64-bit integers', () => {
    for (const digits of ['18446744073709551615', '-9223372036854775808', '9007199254740993']) {
      assert.equal(parsed(digits), BigInt(digits));
      assert.deepEqual(parsed(`{"a": [${digits}, 1]}`), { a: [BigInt(digits), 1] });
      assert.equal(formatJson(parsed(`{"a":[${digits},1]}`)), `{"a":[${digits},1]}`);
    }
  });

  it('stay numbers as long as a number is exact', () => {
    assert.equal(parsed('9007199254740991'), 9007199254740991);
    assert.equal(parsed('1234567890123456.5'), 1234567890123456.5);
    assert.equal(parsed('1e20'), 1e20);
  });

  it('leave digits inside strings alone', () => {
    const text = '{"18446744073709551615":"18446744073709551615 \\" 18446744073709551615","n":18446744073709551615}';
    assert.deepEqual(parsed(text), {
      '18446744073709551615': '18446744073709551615 " 18446744073709551615',
      n: 18446744073709551615n,
    });
  });

  it('survive writing and parsing, whatever they are', () => {
    fc.assert(
      fc.property(anyJson, fc.constantFrom('compact' as const, 'qemu' as const), (value, style) => {
        const text = formatJson(value, style);
        assert.match(text, /^[\x20-\x7e]*$/);
        assert.deepEqual(parsed(text), value);
        assert.deepEqual(parsed(`[18446744073709551615, ${text}]`), [18446744073709551615n, value]);
      }),
    );
  });

  it('are refused exactly where the engine refuses them, long numbers or not', () => {
    const pieces = [
      '{',
      '}',
      '[',
      ']',
      ',',
      ':',
      '"',
      '\\',
      '"a"',
      'true',
      'null',
      '-',
      '0',
      '1',
      '.',
      'e',
      ' ',
      '\n',
      '\u0001',
    ];
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...pieces, '11111111111111111'), { maxLength: 12 }), (parts) => {
        const text = parts.join('');
        let engine: unknown;
        let refused = false;
        try {
          engine = JSON.parse(text);
        } catch {
          refused = true;
        }
        const ours = parseJson(text);
        assert.equal(ours.ok, !refused, text);
        if (ours.ok && !text.includes('11111111')) assert.deepEqual(ours.value, engine);
      }),
      { numRuns: 2000 },
    );
  });

  it('that are nested too deep for the engine are a value, not a crash', () => {
    const deep = `${'['.repeat(1_000_000)}11111111111111111${']'.repeat(1_000_000)}`;
    assert.equal(parseJson(deep).ok, false);
  });

  it('can hold a member called __proto__', () => {
    const value = parsed('{"__proto__": 11111111111111111}');
    assert.ok(isJsonObject(value));
    assert.deepEqual(Object.keys(value), ['__proto__']);
  });

  it('are written as QEMU writes them', () => {
    assert.equal(
      formatJson({ a: [1, 'grüß €😀\u007f'], b: {} }, 'qemu'),
      '{"a": [1, "gr\\u00FC\\u00DF \\u20AC\\uD83D\\uDE00\\u007F"], "b": {}}',
    );
  });

  it('that JSON or QEMU cannot take are refused before they are sent', () => {
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, '\ud800', { '\udc00': 1 }, '\uffff', ['\ufdd0']])
      assert.throws(() => formatJson(value), TypeError);
  });
});
