import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import {
  decodeLossy,
  encode,
  INVALID,
  isValidCodePoint,
  quote,
  readCodePoint,
  sequenceEnd,
} from '../../dist/qmp/json/unicode.js';
import { isCharacter, quoted, readUtf8, writeUtf8 } from '../support/world/reference-reader.js';
import { bytesOf, textOf } from '../support/world/world.js';

describe('a sequence of bytes', () => {
  it('is read as QEMU reads it, and ends where QEMU goes on', () => {
    const lead = fc.integer({ min: 0x80, max: 0xff });
    const bytes = fc
      .tuple(
        fc.oneof(lead, fc.nat(255)),
        fc.array(fc.oneof({ weight: 4, arbitrary: fc.integer({ min: 0x80, max: 0xbf }) }, fc.nat(255)), {
          maxLength: 6,
        }),
      )
      .map(([first, rest]) => String.fromCharCode(first, ...rest));
    fc.assert(
      fc.property(bytes, (text) => {
        const codePoint = readCodePoint(bytesOf(text), 0, text.length);
        const expected = readUtf8(text, 0);
        assert.deepEqual([codePoint === INVALID ? null : codePoint, sequenceEnd], [expected.codePoint, expected.end]);
      }),
      { numRuns: 20_000 },
    );
  });

  it('is every character in its shortest form, NUL in two bytes, and nothing else', () => {
    for (
      let codePoint = 0;
      codePoint <= 0x10ffff;
      codePoint += codePoint < 0x3000 || (codePoint & 0xffff) > 0xfff0 ? 1 : 7
    ) {
      assert.equal(isValidCodePoint(codePoint), isCharacter(codePoint));
      if (!isCharacter(codePoint)) continue;
      const out: number[] = [];
      encode(String.fromCodePoint(codePoint), out);
      assert.equal(String.fromCharCode(...out), writeUtf8(codePoint));
      assert.equal(readCodePoint(new Uint8Array(out), 0, out.length), codePoint);
      assert.equal(sequenceEnd, out.length);
    }
    assert.deepEqual([isValidCodePoint(-1), isValidCodePoint(0x110000)], [false, false]);
  });

  it('is invalid when it breaks off at the end', () => {
    for (const text of ['\xc3', '\xe2\x82', '\xf0\x9f\x98']) {
      assert.equal(readCodePoint(bytesOf(`${text}\x80\x80`), 0, text.length), INVALID);
      assert.equal(sequenceEnd, text.length);
    }
  });
});

describe('text', () => {
  it('is quoted as QEMU quotes it', () => {
    for (const [text, expected] of [
      ['', '""'],
      ["plain /'", '"plain /\'"'],
      ['"\\\b\f\n\r\t', '"\\"\\\\\\b\\f\\n\\r\\t"'],
      ['\0\x01\x1f\x7f', '"\\u0000\\u0001\\u001F\\u007F"'],
      ['é€\uffff', '"\\u00E9\\u20AC\\uFFFF"'],
      ['😀\u{10fffd}', '"\\uD83D\\uDE00\\uDBFF\\uDFFD"'],
      ['\ud800x', '"\\uFFFDx"'],
    ] as const) {
      assert.equal(quote(text), expected);
    }
  });

  it('of bytes that are none is shown up to a NUL, bad sequences as U+FFFD', () => {
    assert.equal(decodeLossy(bytesOf('a\xff\xc3\xa9\xc3b'), 0, 6), 'a\ufffdé\ufffdb');
    assert.equal(decodeLossy(bytesOf('ab\0cd'), 0, 5), 'ab');
    assert.equal(decodeLossy(bytesOf('abcd'), 1, 3), 'bc');
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 12 }), (bytes) => {
        const text = textOf(bytes);
        const end = text.indexOf('\0');
        assert.equal(quote(decodeLossy(bytes, 0, bytes.length)), quoted(end < 0 ? text : text.slice(0, end)));
      }),
      { numRuns: 5000 },
    );
  });
});
