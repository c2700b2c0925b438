import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Scan, Scanner } from '../../dist/qmp/json/scanner.js';
import { MAX_NESTING, MAX_TOKEN_BYTES, MAX_TOKEN_COUNT } from '../../dist/qmp/json/stream-limits.js';
import { Token } from '../../dist/qmp/json/tokens.js';
import { readInput, referenceInput } from '../support/world/client-input.js';
import { bytesOf, textOf } from '../support/world/world.js';

/** The scanner's findings: messages as they were written, errors with `! ` before them. */
function found(input: string, chunkSize = Math.max(input.length, 1), scanner = new Scanner()): string[] {
  const all: string[] = [];
  for (let at = 0; at < input.length; at += chunkSize) {
    scanner.push(bytesOf(input.slice(at, at + chunkSize)));
    for (;;) {
      const result = scanner.next();
      if (result === Scan.NeedMore) break;
      all.push(
        result === Scan.Malformed ? `! ${scanner.error}` : textOf(scanner.bytes.subarray(scanner.start, scanner.end)),
      );
    }
  }
  return all;
}

function assertFound(input: string, expected: readonly string[]): void {
  for (const size of [input.length, 1, 2, 3, 5]) assert.deepEqual(found(input, size), expected, `in pieces of ${size}`);
}

function stray(text: string): string {
  return `! JSON parse error, stray '${text}'`;
}

describe('messages', () => {
  it('end where their brackets balance, not at a newline', () => {
    assertFound('{"a":1}{"b":2}\n[3]\r\n\t{"c"\n:\r\n[{}]} []', [
      '{"a":1}',
      '{"b":2}',
      '[3]',
      '{"c"\n:\r\n[{}]}',
      '[]',
    ]);
  });

  it('may hold brackets and quotes in strings of either kind', () => {
    assertFound(`{"a":"}{][\\"'"}{'b':'}"\\'{'}`, [`{"a":"}{][\\"'"}`, `{'b':'}"\\'{'}`]);
  });

  it('that are a keyword or a number need something after them, objects and strings do not', () => {
    assertFound('1 true,null"x"', ['1', 'true', ',', 'null', '"x"']);
    assertFound('12', []);
    assertFound('nul', []);
    assertFound('-0.5e+7}', ['-0.5e+7', '}']);
  });

  it('end with a bracket too many, each of which is a message', () => {
    assertFound('}]{"a":[}]]', ['}', ']', '{"a":[}]', ']']);
  });

  it('that are incomplete are waited for', () => {
    for (const input of ['{', '{"a":', '[1,', '"abc', '"abc\\', "'", '-', '1.', '1e', '1e+', '{"a":[{}]'])
      assertFound(input, []);
  });
});

describe('bytes that no message can hold', () => {
  const cases: readonly (readonly [string, readonly string[]])[] = [
    ['%p\n', [stray('%')]],
    ['{"a":1 $ {"b":2}\n', [stray('$'), '{"b":2}']],
    ['{"a\n"}', [stray('"a\n'), '}']],
    ["'\x1f'", [stray("'\x1f")]],
    ['"\\\n', [stray('"\\\n')]],
    ["'\\\xff", [stray("'\\\ufffd")]],
    ['\xff\xff', [stray('\ufffd'), stray('\ufffd')]],
    ['{\x00}', [stray(''), '}']],
    ['"a\x00b"\n', [stray('"a')]],
    ['01 2', [stray('01')]],
    ['-a[]', [stray('-a'), '[]']],
    ['1.a', [stray('1.a')]],
    ['1ex', [stray('1ex')]],
    ['1e+,', [stray('1e+,')]],
    ['\x7f{}', [stray('\x7f'), '{}']],
    ['\xc3\xa9{}', [stray('\ufffd'), '{}']],
    ['A b\tc:d\n', [stray('A'), ':']],
    ['"\x80\xbf\xfd"', ['"\x80\xbf\xfd"']],
    ['"\xfe"', [stray('"\ufffd')]],
  ];
  for (const [input, expected] of cases) {
    it(`draw one error, and reading goes on at the next sure place: ${JSON.stringify(input)}`, () => {
      for (const size of [100, 1]) {
        const all = found(input, size);
        assert.deepEqual(all.slice(0, expected.length), expected);
        assert.deepEqual(
          readInput(input, { sizes: [size] }).told.map((each) => ('error' in each ? each.error : each)),
          referenceInput(input).map((each) => ('error' in each ? each.error : each)),
        );
      }
    });
  }
});

describe('the limits of QEMU', () => {
  it('are 64 MiB of tokens, 2 Mi tokens and 1024 levels', () => {
    assert.deepEqual([MAX_TOKEN_BYTES, MAX_TOKEN_COUNT, MAX_NESTING], [67_108_864, 2_097_152, 1024]);
  });

  it('on nesting: 1024 levels pass, the next one is an error, and then every bracket is on its own', () => {
    const deep = '['.repeat(1024) + ']'.repeat(1024);
    assert.deepEqual(found(deep, 100), [deep]);
    const mixed = '{"a":['.repeat(512) + ']}'.repeat(512);
    assert.deepEqual(found(mixed, 7), [mixed]);
    const all = found('['.repeat(1025) + ']'.repeat(1025), 100);
    assert.equal(all.length, 1 + 1025);
    assert.equal(all[0], '! JSON nesting depth limit exceeded');
    assert.equal(new Set(all.slice(1)).size, 1);
  });

  it('on the number of tokens: 2 Mi pass, the next one is an error', () => {
    const values = '0,'.repeat(1024 * 1024 - 1);
    assert.deepEqual(
      found(`[${values}]`).map((each) => each.length),
      [values.length + 2],
    );
    assert.deepEqual(found(`[${values}0]`), ['! JSON token count limit exceeded']);
    assert.deepEqual(found(`[${values}0 ]]`), ['! JSON token count limit exceeded', ']']);
  });

  const small = { bytes: 100, tokens: MAX_TOKEN_COUNT, nesting: MAX_NESTING };
  const inputs: readonly (readonly [string, string])[] = [
    ['a message of as many bytes as may be', `["${'x'.repeat(95)}"]`],
    ['one byte more, at its end', `["${'x'.repeat(96)}"]`],
    ['one byte too many before the end', `["${'x'.repeat(97)}"]`],
    ['far too many', `["${'x'.repeat(500)}"]`],
    ['many tokens', `[${'1234567890,'.repeat(20)}1]`],
    ['a long number', `[${'1'.repeat(250)}]`],
    ['a long keyword', `${'a'.repeat(350)} {}`],
    ['a long string at top level', `"${'\\n'.repeat(230)}" {}`],
    ['a long string in single quotes', `'${'"'.repeat(101)}' {}`],
    ['a string as long as the limit', `"${'x'.repeat(98)}" {}`],
    ['a string longer by one', `"${'x'.repeat(99)}" {}`],
    ['a string that breaks at an escape', `"${'x'.repeat(99)}\\" {}`],
    ['fractions', `0.${'0'.repeat(99)}1e+${'2'.repeat(120)} []`],
    ['blanks, which count for nothing', `[${'1 , '.repeat(20)}${' '.repeat(10_000)}1]`],
    ['blanks at the front', `${' '.repeat(10_000)}[1]${' '.repeat(10_000)}[2]`],
  ];
  for (const [what, input] of inputs) {
    it(`on bytes hold for ${what}, in any chunking`, () => {
      const expected = referenceInput(input, { limits: small });
      assert.ok(expected.length > 0);
      for (const size of [1, 2, 7, 64, 100, 101, 20_000]) {
        assert.deepEqual(readInput(input, { sizes: [size], scanner: new Scanner(100) }).told, expected);
      }
    });
  }

  it('on bytes cannot be raised', () => {
    const scanner = new Scanner(Number.POSITIVE_INFINITY);
    const input = `["${'x'.repeat(MAX_TOKEN_BYTES)}`;
    assert.deepEqual(found(input, 1 << 24, scanner), ['! JSON token size limit exceeded']);
  });
});

describe('the scanner’s buffer', () => {
  it('is nothing between messages', () => {
    const scanner = new Scanner();
    for (const input of ['{"a":1}', ' \n', '[1] ', '% \n', '"x"']) {
      found(input, 1, scanner);
      assert.equal(scanner.heldBytes, 0, input);
      assert.equal(scanner.isInsideMessage, false, input);
    }
  });

  it('is the unfinished message alone, in a separate copy', () => {
    const scanner = new Scanner();
    const chunk = bytesOf(`${'[1]'.repeat(1000)}{"a":`);
    scanner.push(chunk);
    while (scanner.next() !== Scan.NeedMore);
    assert.equal(scanner.isInsideMessage, true);
    assert.ok(scanner.heldBytes <= 256);
    chunk.fill(0);
    scanner.push(bytesOf('2}'));
    assert.equal(scanner.next(), Scan.Message);
    assert.equal(textOf(scanner.bytes.subarray(scanner.start, scanner.end)), '{"a":2}');
  });

  it('is bounded by the limit, whatever number of blanks a message has', () => {
    const scanner = new Scanner(1000);
    found('[1,', 3, scanner);
    let most = 0;
    for (let i = 0; i < 1000; i++) {
      found(' '.repeat(1000), 1000, scanner);
      most = Math.max(most, scanner.heldBytes);
    }
    assert.ok(most < 8000, `${most} bytes were kept`);
    assert.deepEqual(found('2]', 1, scanner).length, 1);
  });

  it('leaves the words of a message as they were when it takes blanks out', () => {
    const blanks = ' '.repeat(400);
    for (const gap of ['', ' ', '  ', blanks]) {
      for (const tail of ['', ' ', blanks]) {
        const input = `{${gap}"execute"${gap}:${gap}"ab"${tail},${gap}"id"${gap}:${gap}"x  y"${tail}}`;
        for (const size of [1, 5, 50, 5000]) {
          const scanner = new Scanner(100);
          const [command] = readInput(input, { sizes: [size], scanner }).told;
          assert.ok(command !== undefined && 'name' in command);
          assert.deepEqual([command.name, command.id], ['"ab"', '"x  y"']);
          assert.deepEqual(command.raw.replaceAll(/ +/g, ''), input.replaceAll(/ +/g, ''));
        }
      }
    }
  });

  it('holds the bytes as they were between the words, but for blanks, wherever these were', () => {
    for (let wide = 0; wide < 45; wide++) {
      const words = Array.from({ length: 45 }, (_, at) => (at === wide ? '1  ,' : '1 ,'));
      const input = `[${words.join(' ')}2]`;
      for (let first = 130; first < 150; first++) {
        const scanner = new Scanner(94);
        found(input.slice(0, first), first, scanner);
        const [message] = found(input.slice(first) + ' '.repeat(1000), 2000, scanner);
        assert.equal(message?.replaceAll(' ', ''), input.replaceAll(' ', ''));
      }
    }
  });

  it('is never a chunk it was given: those are left as they are', () => {
    const scanner = new Scanner(50);
    for (const input of ['[1,   ', '   2,', ' "abc', '  d"  ', ' '.repeat(200), ']', '[3]']) {
      const chunk = bytesOf(input);
      scanner.push(chunk);
      while (scanner.next() !== Scan.NeedMore);
      assert.equal(textOf(chunk), input);
    }
  });
});

describe('the tokens of a message', () => {
  it('are reported by kind, and strings that are their own value are distinguished from others', () => {
    const scanner = new Scanner();
    scanner.push(bytesOf(`{"a":[-1,0.5,true,'b',"\\n","\x7f"]}`));
    assert.equal(scanner.next(), Scan.Message);
    const { tokens } = scanner;
    const kinds = Array.from({ length: tokens.count }, (_, at) => tokens.kind(at));
    const {
      LeftBrace,
      PlainString,
      Colon,
      LeftBracket,
      Integer,
      Comma,
      Float,
      Keyword,
      RichString,
      RightBracket,
      RightBrace,
    } = Token;
    const start = [LeftBrace, PlainString, Colon, LeftBracket];
    const strings = [Comma, RichString, Comma, RichString, Comma, RichString];
    assert.deepEqual(kinds, [...start, Integer, Comma, Float, Comma, Keyword, ...strings, RightBracket, RightBrace]);
    assert.equal(tokens.kind(tokens.count), 0);
  });

  it('go back to a common store, and come out of it empty', () => {
    const scanners = Array.from({ length: 20 }, () => new Scanner());
    for (const scanner of scanners) found('[1,2,3', 1, scanner);
    for (const scanner of scanners) assert.deepEqual(found(']', 1, scanner), ['[1,2,3]']);
    for (const scanner of scanners) assert.deepEqual(found('{}', 1, scanner), ['{}']);
  });
});
