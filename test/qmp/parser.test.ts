import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Parser } from '../../dist/qmp/json/parser.js';
import { Scan, Scanner } from '../../dist/qmp/json/scanner.js';
import { readInput, referenceInput } from '../support/world/client-input.js';
import { bytesOf } from '../support/world/world.js';

/** The parser's verdict on one message: QEMU's text, `ok`, or `no object`. */
function verdict(input: string): string {
  const scanner = new Scanner();
  const parser = new Parser();
  scanner.push(bytesOf(`${input} `));
  assert.equal(scanner.next(), Scan.Message, input);
  parser.parse(scanner.bytes, scanner.tokens);
  if (parser.error !== null) return parser.error.replace('JSON parse error, ', '');
  return parser.isObject ? 'ok' : 'no object';
}

describe('the grammar', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['{}', 'ok'],
    ['{"a":[],"b":{},"c":[{},[]]}', 'ok'],
    ['{"a":[1,-0,1.5e3,true,false,null,"",\'\']}', 'ok'],
    ['[]', 'no object'],
    ['1', 'no object'],
    ['true', 'no object'],
    ['"x"', 'no object'],
    ['tru', "invalid keyword 'tru'"],
    ['{"a":nul}', "invalid keyword 'nul'"],
    [`[${'x'.repeat(2000)}]`, `invalid keyword '${'x'.repeat(2000)}'`.slice(0, 1023)],
    ['{1:2}', 'key is not a string in object'],
    ['{true:2}', 'key is not a string in object'],
    ['{{}:2}', 'key is not a string in object'],
    ['{[]:2}', 'key is not a string in object'],
    ['{nul:2}', "invalid keyword 'nul'"],
    ['{,}', 'expecting value'],
    ['{"a"}', 'missing : in object pair'],
    ['{"a",1}', 'missing : in object pair'],
    ['{"a":}', 'expecting value'],
    ['{"a":1,}', 'expecting value'],
    ['{"a":1 "b":2}', 'expected separator in dict'],
    ['{"a":1:2}', 'expected separator in dict'],
    ['[,]', 'expecting value'],
    ['[1,]', 'expecting value'],
    ['[1 2]', 'expected separator in list'],
    ['[1:2]', 'expected separator in list'],
    ['}', 'expecting value'],
    [']', 'expecting value'],
    [',', 'expecting value'],
    [':', 'expecting value'],
    ['{]', 'expecting value'],
    ['[}', 'expecting value'],
    ['{"a":[}]', 'expecting value'],
    ['{"a":1]', 'expected separator in dict'],
    ['[1}', 'expected separator in list'],
    ['{"a"]', 'missing : in object pair'],
    ['{"a":{]', 'expecting value'],
    ['{"a":1,"a":2}', 'duplicate key'],
    ['{"a":1,"\\u0061":2}', 'duplicate key'],
    ['{"\\u0061":1,\'a\':2}', 'duplicate key'],
    ['{\'\':1,"":2}', 'duplicate key'],
    ['{"a":{"b":1,"b":2}}', 'duplicate key'],
    ['[{"b":[],"c":0,"b":[]}]', 'duplicate key'],
    ['{"a":1,"a":nul}', "invalid keyword 'nul'"],
    ['{"a":1,"a":2 3}', 'duplicate key'],
    ['{"a":{"a":1},"b":{"a":1}}', 'ok'],
    ['{"a":1,"A":2}', 'ok'],
    ['{"\\ud800\\udc00":1,"\xf0\x90\x80\x80":2}', 'duplicate key'],
    ['{"\\u0000":1,"\xc0\x80":2}', 'duplicate key'],
  ];
  for (const [input, expected] of cases) {
    it(`says ${JSON.stringify(expected.slice(0, 60))} of ${JSON.stringify(input.slice(0, 60))}`, () => {
      assert.equal(verdict(input), expected);
      assert.deepEqual(readInput(`${input} `).told, referenceInput(`${input} `), 'as the reference reader does');
    });
  }

  it('finds a key that comes twice among any number, however it is spelt', () => {
    for (const count of [2, 23, 24, 25, 26, 100, 1000]) {
      for (const twice of [0, 1, count - 1]) {
        for (const quote of ['"', "'"]) {
          const members = Array.from({ length: count }, (_, at) => `${quote}key${at}${quote}:0`);
          for (const again of [`"key${twice}"`, `'key${twice}'`, `"\\u006bey${twice}"`]) {
            assert.equal(verdict(`{${members.join()},${again}:1}`), 'duplicate key');
            assert.equal(verdict(`{${again}:1,${members.join()}}`), 'duplicate key');
          }
          assert.equal(verdict(`{${members.join()},"fresh":1}`), 'ok');
        }
      }
    }
  });

  it('is followed to the deepest nesting there may be', () => {
    for (const [open, close] of [
      ['[', ']'],
      ['{"a":', '}'],
    ] as const) {
      const levels = 1024;
      const deep = open.repeat(levels) + '1' + close.repeat(levels);
      assert.equal(verdict(deep), open === '[' ? 'no object' : 'ok');
    }
  });
});

describe('strings', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['"\\"\\\'\\\\\\/\\b\\f\\n\\r\\t\\u0041"', 'no object'],
    ['"\\u0000\\uabCD\\uE000\\ufffd"', 'no object'],
    ['"\\x"', 'invalid escape sequence in string'],
    ['"\\U0041"', 'invalid escape sequence in string'],
    ['"\\u12"', '\\u12" is not a valid Unicode character'],
    ["'\\u12'", "\\u12' is not a valid Unicode character"],
    ['"\\u"', '\\u" is not a valid Unicode character'],
    ['"\\u12g4"', '\\u12g4 is not a valid Unicode character'],
    ['"\\u12\xc3\xa9"', '\\u12é is not a valid Unicode character'],
    ['"\\u123\xc3\xa9"', '\\u123\ufffd is not a valid Unicode character'],
    ['"\\ud800"', '\\ud800 is not a valid Unicode character'],
    ['"\\udc00"', '\\udc00 is not a valid Unicode character'],
    ['"\\ud800x"', '\\ud800 is not a valid Unicode character'],
    ['"\\ud800\\n"', '\\ud800 is not a valid Unicode character'],
    ['"\\ud800\\u0041"', '\\ud800 is not a valid Unicode character'],
    ['"\\ud800\\ud800"', '\\ud800 is not a valid Unicode character'],
    ['"\\udbff\\udfff"', '\\udbff\\udfff is not a valid Unicode character'],
    ['"\\ud83d\\ude00"', 'no object'],
    ['"\\uffff"', '\\uffff is not a valid Unicode character'],
    ['"\\ufdd0"', '\\ufdd0 is not a valid Unicode character'],
    ['"\\ud83f\\udffe"', '\\ud83f\\udffe is not a valid Unicode character'],
    ['"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xc0\x80"', 'no object'],
    ['"\x80"', 'invalid UTF-8 sequence in string'],
    ['"\xc3"', 'invalid UTF-8 sequence in string'],
    ['"\xc1\x81"', 'invalid UTF-8 sequence in string'],
    ['"\xe0\x80\x80"', 'invalid UTF-8 sequence in string'],
    ['"\xed\xa0\x80"', 'invalid UTF-8 sequence in string'],
    ['"\xef\xbf\xbf"', 'invalid UTF-8 sequence in string'],
    ['"\xf4\x90\x80\x80"', 'invalid UTF-8 sequence in string'],
    ['"\xf8\x88\x80\x80\x80"', 'invalid UTF-8 sequence in string'],
    ['"\xfc\x84\x80\x80\x80\x80"', 'invalid UTF-8 sequence in string'],
    ['"\xe2\x82"', 'invalid UTF-8 sequence in string'],
    ['"\\x\x80"', 'invalid escape sequence in string'],
    ['"\x80\\x"', 'invalid UTF-8 sequence in string'],
    ['"\x7f"', 'no object'],
    ["'\"'", 'no object'],
    ['"%s %p %"', 'no object'],
  ];
  for (const [input, expected] of cases) {
    it(`says ${JSON.stringify(expected)} of ${JSON.stringify(input)}`, () => {
      assert.equal(verdict(input), expected);
      assert.deepEqual(readInput(`[${input}]`).told, referenceInput(`[${input}]`), 'as the reference reader does');
    });
  }
});

describe('a parser', () => {
  it('says so if the tokens end too early, which a scanner never lets them do', () => {
    const parser = new Parser();
    for (const input of ['{"a":1}', '[1,[2]]', '{"a":[{}],"b":{"c":0}}']) {
      const scanner = new Scanner();
      scanner.push(bytesOf(input));
      assert.equal(scanner.next(), Scan.Message);
      const { tokens } = scanner;
      for (let count = tokens.count - 1; count >= 0; count--) {
        tokens.count = count;
        parser.parse(scanner.bytes, tokens);
        assert.equal(parser.error, 'JSON parse error, premature EOI', `${input} up to token ${count}`);
      }
    }
  });

  it('that has not parsed anything has no text to give', () => {
    const parser = new Parser();
    assert.deepEqual([parser.text(0), parser.key(0), parser.memberCount, parser.error], ['', '', 0, null]);
  });

  it('forgets one message over the next', () => {
    const parser = new Parser();
    const scanner = new Scanner();
    scanner.push(bytesOf('{"a":{"b":[1,2}, {"c":3} nul [] {}'));
    const told: unknown[] = [];
    while (scanner.next() !== Scan.NeedMore) {
      parser.parse(scanner.bytes, scanner.tokens);
      told.push([parser.error, parser.isObject, parser.memberCount]);
    }
    scanner.push(bytesOf(']}}{"c":3} nul [] {}'));
    while (scanner.next() !== Scan.NeedMore) {
      parser.parse(scanner.bytes, scanner.tokens);
      told.push([parser.error, parser.isObject, parser.isObject && parser.error === null ? parser.memberCount : 0]);
    }
    assert.deepEqual(told.slice(-4), [
      [null, true, 1],
      ["JSON parse error, invalid keyword 'nul'", false, 0],
      [null, false, 0],
      [null, true, 0],
    ]);
  });
});
