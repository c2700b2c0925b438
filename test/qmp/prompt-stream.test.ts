/** The dialect of QEMU 11.1: its errors about malformed input, their places, and when there is none. Each case was measured on 11.1.3. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Scan } from '../../dist/qmp/json/scanner.js';
import { scannerOf } from '../support/world/client-input.js';
import { bytesOf } from '../support/world/world.js';

/** @returns errors, and `ok` for each message */
function said(...pieces: readonly string[]): string[] {
  const scanner = scannerOf('prompt');
  const all: string[] = [];
  for (const piece of pieces) {
    scanner.push(bytesOf(piece));
    for (let found = scanner.next(); found !== Scan.NeedMore; found = scanner.next()) {
      all.push(found === Scan.Message ? 'ok' : scanner.error.replace('JSON parse error, ', ''));
    }
  }
  return all;
}

describe('positions of QEMU 11.1', () => {
  const cases: readonly (readonly [string, readonly string[]])[] = [
    ['}', ['1:1: expecting value']],
    ['{"execute":"qmp_capabilities"}\n}', ['ok', '2:1: expecting value']],
    ['{"execute":"qmp_capabilities"}}', ['ok', '1:31: expecting value']],
    ['1}', ['ok', '1:3: expecting value']],
    ['1 }', ['ok', '1:3: expecting value']],
    ['1\n}', ['ok', '2:1: expecting value']],
    ['[1}', ["1:4: expected ',' or ']'"]],
    ['[1"a"]', ["1:4: expected ',' or ']'"]],
    ['[1@]', ["1:4: stray '@'", '1:5: expecting value']],
    ['@}', ["1:1: stray '@'", '1:3: expecting value']],
    ['@ abc }', ["1:1: stray '@'", '1:8: expecting value']],
    ['"x"}', ['ok', '1:4: expecting value']],
    ['[}', ['1:2: expecting value']],
    ['"ab\n}', ["1:1: stray '\"ab\n'", '2:2: expecting value']],
    ['  nul }', ["1:3: invalid keyword 'nul'", '1:7: expecting value']],
    ['\t\r\0}', ["1:3: stray '", '1:5: expecting value']],
  ];
  for (const [input, expected] of cases) {
    it(`of ${JSON.stringify(input)}, whole and byte by byte`, () => {
      const fixed = expected.map((text) => (text.endsWith("stray '") ? `${text}'` : text));
      assert.deepEqual(said(input), fixed);
      assert.deepEqual(said(...input.split('')), fixed);
    });
  }
});

describe('an error of QEMU 11.1', () => {
  it('is said at once, and then nothing until the message is over', () => {
    assert.deepEqual(said('{"a" 1 '), ["1:6: expecting ':'"]);
    assert.deepEqual(said('{"a" 1 {"execute":"stop"} [@', '}}{}'), [
      "1:6: expecting ':'",
      '1:30: expecting value',
      '1:30: expecting value',
      'ok',
    ]);
    assert.deepEqual(said('{"a" [}]{}'), ["1:6: expecting ':'", 'ok']);
    assert.deepEqual(said('{"a":1]\n}'), ["1:8: expected ',' or '}'", '2:1: expecting value']);
  });

  it('comes once for a thousand brackets too many', () => {
    assert.deepEqual(said('['.repeat(1025)), ['JSON nesting depth limit exceeded']);
    assert.deepEqual(said(`${'['.repeat(3000)}\xff`), ['JSON nesting depth limit exceeded']);
  });

  it('names the tokens that may come next', () => {
    for (const [input, text] of [
      ['{1 ', '1:2: expecting key'],
      ['{"a":1,}', '1:8: expecting key'],
      ['{"a",', "1:5: expecting ':'"],
      ['{"a":1,"a"}', "1:11: expecting ':'"],
      ['{"a":1,"a":nul}', "1:12: invalid keyword 'nul'"],
      ['{"a":1,"a":{}', '1:13: duplicate key'],
      ['[1 "\\x"', "1:4: expected ',' or ']'"],
      ['["\\x"', '1:2: invalid escape sequence in string'],
    ] as const) {
      assert.deepEqual(said(input), [text], input);
    }
  });

  it('is cut at 1023 bytes, though it be within a character', () => {
    const [error = ''] = said(`"${'x'.repeat(1014)}\xc3\xa9\x01`);
    assert.equal(error, `1:1: stray '"${'x'.repeat(1014)}\ufffd`);
    assert.equal(said(`"${'x'.repeat(1013)}\x02`)[0]?.length, '1:1: '.length + 1023);
  });
});

describe('dropped input', () => {
  it('is not kept, however long it is', () => {
    const scanner = scannerOf('prompt');
    scanner.push(bytesOf('{"a" '));
    assert.equal(scanner.next(), Scan.NeedMore);
    scanner.push(bytesOf('1'));
    scanner.push(bytesOf(' '));
    assert.equal(scanner.next(), Scan.Malformed);
    for (let i = 0; i < 50; i++) {
      scanner.push(bytesOf(`"${'x'.repeat(100_000)}`));
      assert.equal(scanner.next(), Scan.NeedMore);
      assert.ok(scanner.heldBytes < 1000);
    }
  });

  it('does not hide the faults of a long string that comes in pieces', () => {
    const good = 'é\\u00e9\\uD83D\\uDE00'.repeat(20_000);
    const latin = Buffer.from(good).toString('latin1');
    const pieces = (text: string) => text.match(/[^]{1,65537}/g) ?? [];
    assert.deepEqual(said(...pieces(`["${latin}"]`)), ['ok']);
    assert.deepEqual(said(...pieces(`["${latin}\\uDC00${latin}"]`)), ['1:2: \\uDC00 is not a valid Unicode character']);
  });
});

describe('a change of dialect', () => {
  it('waits for the end of a message, and positions begin there', () => {
    const scanner = scannerOf('classic');
    scanner.push(bytesOf('\n\n{"a":'));
    assert.equal(scanner.next(), Scan.NeedMore);
    scanner.dialect = 'prompt';
    scanner.push(bytesOf('1}'));
    assert.equal(scanner.next(), Scan.Message);
    scanner.push(bytesOf(' }'));
    assert.equal(scanner.next(), Scan.Malformed);
    assert.equal(scanner.error, '1:2: JSON parse error, expecting value');
    scanner.dialect = 'classic';
    scanner.push(bytesOf('}'));
    // Judged by the parser, as all messages are in this dialect.
    assert.equal(scanner.next(), Scan.Message);
  });
});
