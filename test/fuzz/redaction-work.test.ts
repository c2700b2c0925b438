/**
 * What takes secrets out of messages does work in proportion to their size, whatever is in them, and never throws. Inputs are grown from
 * small pieces, repeated and nested at random; of some shapes that are known to be hard, by hand.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as fc from 'fast-check';
import { checkJson } from '../../dist/audit/log/strict-json.js';
import { Redactor } from '../../dist/audit/redact/redaction.js';
import { maySecretsBeIn } from '../../dist/audit/redact/suspect-text.js';
import { type SecretReader, secretsInOptions, secretsInText } from '../../dist/audit/redact/text-redaction.js';
import { parseRedaction } from '../../dist/audit/write/settings.js';
import { fuzz } from '../support/text/fuzz.js';
import { assertLinear } from '../support/text/work.js';

const redactor = new Redactor([parseRedaction('x:**.a.**.b.**.pin'), parseRedaction('x*y*z:return.**.x')]);
const reader: SecretReader = { mark: () => '[redacted]', nested: () => null };

/** Pieces of which hard texts are made. */
const PIECES = [
  'a',
  '.',
  'a.',
  '://',
  'x://',
  'https://',
  'http://u:',
  'u:p@',
  '@',
  ':',
  '%',
  '/',
  '?',
  '&',
  ';',
  '#',
  '=',
  'token',
  '?token=',
  '&sig=',
  'json:',
  'json:{',
  'json:{}',
  '{',
  '}',
  '[',
  ']',
  '"',
  "'",
  '\\',
  '\\"',
  ',',
  ',,',
  'a=b',
  'a=b,',
  'a=b,,',
  'cookie=',
  'password',
  '"password":',
  'rbd:',
  'rbd:p/i:',
  ':key=',
  'exec:',
  'blkdebug::',
  ' ',
  '\t',
  'é',
  '%2F',
  '[::1]',
  'secret',
  'qom-type',
  '..',
  '@h/',
];

const text = (size: number, pieces: readonly string[]): string => {
  const unit = pieces.join('');
  return unit.repeat(Math.ceil(size / Math.max(1, unit.length)));
};
const inCommand = (value: string) => Buffer.from(JSON.stringify({ execute: 'x', arguments: { f: value } }));

/** Every function here that reads what a peer wrote, for a text of a size. */
function readers(value: string): readonly (readonly [name: string, run: () => unknown])[] {
  const command = inCommand(value);
  const raw = Buffer.from(value);
  const answer = Buffer.from(JSON.stringify({ return: value, id: 1 }));
  const echoes = { values: ['aaaaab', 'token=x', value.slice(0, 300)], hides: 'nothing', id: null } as const;
  return [
    ['secretsInText', () => secretsInText(value, reader)],
    ['secretsInOptions', () => secretsInOptions(value, null, reader)],
    ['secretsInOptions of a secret', () => secretsInOptions(value, new Set(['id']), reader)],
    ['command', () => redactor.command('blockdev-add', command)],
    ['answer', () => redactor.answer('query-block', null, answer)],
    ['answer with echoes', () => redactor.answer('x', echoes, answer)],
    ['other', () => redactor.other(answer)],
    ['malformed', () => redactor.malformed(raw)],
    ['maySecretsBeIn', () => maySecretsBeIn(raw, [])],
    ['checkJson', () => checkJson(raw, 0, raw.length)],
  ];
}

const SIZE = 16 * 1024;

describe('the work of redaction is linear in', () => {
  const HARD: readonly (readonly string[])[] = [
    ['a.'],
    ['://'],
    ['://?token'],
    ['x://?token='],
    ['https://u:'],
    [':http://a:b'],
    ['=https://u:p/@'],
    ['json:'],
    ['json:{'],
    ['json:{}'],
    ['json: '],
    ['json:{"a":"'],
    ['rbd:'],
    [':key='],
    ['\\'],
    ['a=b,'],
    ['a,'],
    [','],
    [',,'],
    ['"'],
    ['{'],
    ['[{"a":'],
    ['\\u0041'],
    ['%'],
    ['@'],
    ['pasword '],
    ['a-'],
  ];
  for (const pieces of HARD) {
    for (const [where, before] of [
      ['', ''],
      [' behind an URL', 'https://u:p@h/?a='],
    ] as const) {
      test(`${JSON.stringify(pieces.join(''))}${where}`, () => {
        assertLinear(SIZE, (size) => {
          const all = readers(before + text(size, pieces));
          return () => {
            for (const [, run] of all) run();
          };
        });
      });
    }
  }

  const messages: Readonly<Record<string, (size: number) => string>> = {
    'objects within objects': (size) => {
      const unit = '{"a":'.repeat(1000) + '1' + '}'.repeat(1000);
      return `{"execute":"x","arguments":{"l":[${text(size, [unit, ',']).slice(0, -1)}]}}`;
    },
    'many members that are secrets': (size) => `{"execute":"x","arguments":[${text(size, ['{"osk":1},'])}0]}`,
    'many members beside one that says what they are': (size) =>
      `{"execute":"x","arguments":{"property":"data",${Array.from({ length: size / 16 }, (_, i) => `"x${i}.value":1`).join(',')}}}`,
    // More than are remembered, at the smaller size too.
    'many different names': (size) =>
      `{"execute":"x","arguments":{${Array.from({ length: size / 6 }, (_, i) => `"pass-${i.toString(26)}rd-x":"y"`).join(',')}}}`,
    'deep paths with secrets': (size) =>
      `{"execute":"x","arguments":${`{"${'k'.repeat(100)}":`.repeat(900)}[${text(size, ['{"osk":1},'])}0]${'}'.repeat(900)}}`,
    'many ids': (size) => `{"execute":"x","id":[${text(size, ['{"password":"x"},'])}0]}`,
    'a long name': (size) => `{"execute":"${'x'.repeat(size)}","arguments":{"a":1}}`,
    'many rows of the user': (size) =>
      `{"execute":"x","arguments":${'{"a":{"b":'.repeat(400)}[${text(size, ['{"pin":1},'])}0]${'}}'.repeat(400)}}`,
    'texts of JSON': (size) =>
      JSON.stringify({
        execute: 'x',
        arguments: { l: Array.from({ length: size / 48 }, () => 'json:{"a":"json:{}","cookie":"x"}') },
      }),
    escapes: (size) => `{"execute":"x","arguments":{"a":"${text(size, ['\\u0070'])}"}}`,
  };
  for (const [what, make] of Object.entries(messages)) {
    test(what, () => {
      assertLinear(SIZE, (size) => {
        const raw = Buffer.from(make(size));
        return () => {
          redactor.command('x', raw);
          redactor.malformed(raw);
        };
      });
    });
  }
});

describe('redaction never throws', () => {
  test('at texts grown at random, and its work is linear in them', () => {
    const grown = fc.array(fc.constantFrom(...PIECES), { minLength: 1, maxLength: 5 });
    const nesting = fc.array(fc.constantFrom('json:{"a":', '[', '{"b":"', 'https://u:'), { maxLength: 4 });
    fuzz(
      'work of redaction',
      fc.property(nesting, grown, grown, (outer, pieces, end) => {
        const make = (size: number) => text(size / 4, outer) + text(size, pieces) + text(size / 4, end);
        for (const [name, run] of readers(make(2000))) assert.doesNotThrow(run, name);
        assertLinear(SIZE / 4, (size) => {
          const all = readers(make(size));
          return () => {
            for (const [, run] of all) run();
          };
        });
      }),
    );
  });

  test('at 16 MiB of what is hardest', () => {
    for (const pieces of [['a.'], ['x://?token='], ['json:{}'], ['a=b,']]) {
      const value = text(16 * 1024 * 1024, pieces);
      assert.doesNotThrow(() => redactor.command('blockdev-add', inCommand(value)));
      assert.doesNotThrow(() => secretsInOptions(value, new Set(['id']), reader));
    }
  });
});
