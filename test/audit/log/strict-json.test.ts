import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as fc from 'fast-check';
import { checkJson, Json, MAX_DEPTH } from '../../../dist/audit/log/strict-json.js';

function check(text: string | Uint8Array): string {
  const bytes = Buffer.from(text);
  const padded = Buffer.concat([Buffer.from('{'), bytes, Buffer.from(']')]);
  const verdict = checkJson(padded, 1, bytes.length + 1);
  return verdict === Json.Line ? 'line' : verdict === Json.Lines ? 'lines' : 'no';
}

describe('text embedded as JSON', () => {
  test('is any JSON value on one line', () => {
    for (const text of [
      '{}',
      '[]',
      ' [ 1 , -0, 0.5, 1e5, 1E-7, 18446744073709551615, true, false, null ] ',
      '"\\u00e9\\"\\\\\\/\\b\\f\\n\\r\\t é 😀"',
      '{"a": {"b": [{}, []]}, "": 1}',
      '"\\ud800"',
      '3',
    ]) {
      assert.equal(check(text), 'line', text);
    }
  });

  test('may have line ends between its tokens, and that is reported', () => {
    assert.equal(check('{"a":\n1}'), 'lines');
    assert.equal(check('\r[1]'), 'lines');
  });

  test('is nothing that only QEMU reads, or writes', () => {
    for (const text of [
      "{'a': 1}",
      '{"a": inf}',
      '{"a": -nan}',
      '"\\\'"',
      Buffer.from([0x22, 0xc0, 0x80, 0x22]),
      Buffer.from([0x22, 0xff, 0x22]),
    ]) {
      assert.equal(check(text), 'no', String(text));
    }
  });

  test('never ends the record around it', () => {
    for (const text of [
      '{"a": 1}, "client": 7',
      '{"a": 1}}',
      '1, 2',
      '{"a": 1',
      '"a',
      '"a\\',
      '"a\\u12',
      '',
      ' ',
      '}',
      '[}',
      '{]',
      '"a\nb"',
      '{"a"}',
      '{"a":}',
      '[1,]',
      '{,}',
      '{"a":1,}',
      '01',
      '-',
      '1.',
      '.5',
      '1e',
      'tru',
      'truee',
      'nul',
    ]) {
      assert.equal(check(text), 'no', text);
    }
  });

  test('is no deeper than the readers of the log can follow', () => {
    assert.equal(check('['.repeat(MAX_DEPTH) + ']'.repeat(MAX_DEPTH)), 'line');
    assert.equal(check('['.repeat(MAX_DEPTH + 1) + ']'.repeat(MAX_DEPTH + 1)), 'no');
  });

  test('is accepted where JSON.parse accepts it, for any text made of the pieces of JSON', () => {
    const piece = fc.constantFrom(
      '{',
      '}',
      '[',
      ']',
      ',',
      ':',
      '"',
      '"a"',
      '\\',
      '\\u00',
      '0',
      '1',
      '-',
      '.',
      'e',
      'true',
      'null',
      ' ',
      '\n',
      'é',
      '\u0001',
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        const text = pieces.join('');
        let accepted = true;
        try {
          JSON.parse(text);
        } catch {
          accepted = false;
        }
        assert.equal(check(text) !== 'no', accepted, text);
      }),
      { numRuns: 20_000 },
    );
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 6 }), (value) => {
        assert.equal(check(JSON.stringify(value)), 'line');
      }),
    );
  });
});
