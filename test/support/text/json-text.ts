/** Random text in QEMU's dialect of JSON, as latin1 (one character, one byte): well-formed values, commands, and text that is neither. */
import * as fc from 'fast-check';
import { prettyPrinted } from '../world/fake-qemu.js';

const blanks = fc.oneof(
  { weight: 6, arbitrary: fc.constant('') },
  { weight: 2, arbitrary: fc.constant(' ') },
  fc.string({ unit: fc.constantFrom(' ', '\t', '\r', '\n'), maxLength: 4 }),
);

const latin1 = (text: string): string => Buffer.from(text).toString('latin1');

const plainPiece = fc.oneof(
  fc.string({
    unit: fc.constantFrom('a', 'b', 'Z', '0', ' ', '/', '{', '}', '[', ']', ':', ',', '%', '#'),
    maxLength: 6,
  }),
  fc.constantFrom('id', 'execute', 'exec-oob', 'arguments', 'return', 'error', 'event'),
);
const richPiece = fc.oneof(
  fc.constantFrom('\\n', '\\t', '\\b', '\\f', '\\r', '\\/', '\\\\', "\\'", '\\"', '\x7f'),
  fc.constantFrom('\\u0041', '\\u00e9', '\\u0000', '\\uD83D\\uDE00', '\\u20ac', '\\u0069', '\\uFFFD'),
  fc.string({ unit: 'grapheme', maxLength: 3 }).map((text) =>
    latin1(
      Array.from(text)
        .filter((c) => c >= ' ' && c !== '"' && c !== "'" && c !== '\\')
        .join(''),
    ),
  ),
  fc.constant('\xc0\x80'),
);
/** Characters that QEMU's parser refuses in a string, but its lexer lets through. */
const badPiece = fc.constantFrom(
  '\\x',
  '\\u12',
  '\\uD800',
  '\\uDC00',
  '\\uFFFF',
  '\x80',
  '\xc3',
  '\xed\xa0\x80',
  '\xf5\x80\x80\x80',
);

function quotedText(pieces: fc.Arbitrary<string>): fc.Arbitrary<string> {
  return fc.tuple(fc.boolean(), fc.array(pieces, { maxLength: 4 })).map(([isDouble, all]) => {
    const text = all.join('');
    // The other kind of quote needs no escape inside.
    return isDouble ? `"${text}'"`.replace("'", '') : `'${text}"'`;
  });
}

/** A string that is accepted. */
export const goodString = quotedText(fc.oneof(plainPiece, richPiece));
const simpleString = plainPiece.map((text) => `"${text}"`);

/** A number that is accepted. */
export const goodNumber = fc.oneof(
  fc.integer().map(String),
  fc.bigInt({ min: -(2n ** 66n), max: 2n ** 66n }).map(String),
  fc.constantFrom(
    '0',
    '-0',
    '1.0',
    '0.1',
    '-0.0',
    '1e5',
    '1E-7',
    '2.50e+03',
    '123456789012345.125',
    '1e400',
    '18446744073709551615',
  ),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => JSON.stringify(value)),
);

const leaf = fc.oneof(goodNumber, goodString, simpleString, fc.constantFrom('true', 'false', 'null'));

/** @returns an object's text; the same key may come twice. */
function objectOf(key: fc.Arbitrary<string>, value: fc.Arbitrary<string>, maxLength = 5): fc.Arbitrary<string> {
  const member = fc.tuple(blanks, key, blanks, blanks, value, blanks);
  return fc
    .array(member, { maxLength })
    .map((members) => `{${members.map(([a, k, b, c, v, d]) => `${a}${k}${b}:${c}${v}${d}`).join(',')}}`);
}

function listOf(value: fc.Arbitrary<string>): fc.Arbitrary<string> {
  return fc
    .array(fc.tuple(blanks, value, blanks), { maxLength: 5 })
    .map((items) => `[${items.map((item) => item.join('')).join(',')}]`);
}

/** Any well-formed value, but for keys that come twice. */
export const anyValue: fc.Arbitrary<string> = fc.letrec<{ value: string }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    leaf,
    objectOf(fc.oneof(goodString, simpleString), tie('value')),
    listOf(tie('value')),
  ),
})).value;

const commandKey = fc.constantFrom(
  '"execute"',
  '"execute"',
  "'execute'",
  '"exec-oob"',
  '"exec\\u002doob"',
  '"arguments"',
  '"id"',
  '"\\u0069d"',
  '"foo"',
  '""',
);

const commandName = fc.constantFrom('"query-status"', '"cont"', '"\\u0071uit"', "'stop'", '"device_add"', '"yank"');

/** Texts that look like a command, of right or wrong shape. */
export const anyCommand = fc.oneof(
  objectOf(commandKey, fc.oneof(commandName, anyValue)),
  fc
    .tuple(commandName, fc.option(anyValue), fc.option(objectOf(goodString, anyValue)), fc.boolean(), blanks)
    .map(([name, id, args, isIdFirst, blank]) => {
      const members = [`"execute":${blank}${name}`];
      if (args !== null) members.push(`"arguments"${blank}:${args}`);
      if (id !== null) members.splice(isIdFirst ? 0 : members.length, 0, `${blank}"id":${id}`);
      return `{${members.join(`,${blank}`)}${blank}}`;
    }),
);

/** Pieces that messages are made of, and pieces that end them. */
const scraps = [
  '{ } [ ] : , " \' \\ % $ - . e E + 0 1 12 a nul true "a" \'b\' {} [] [[ }} {"a": {"execute":"a" "id": 01 1. 1e 1e+ "\\u'.split(
    ' ',
  ),
  [
    '"\\ud800',
    '{1:2}',
    ' ',
    '\n',
    '\r\n',
    '\t',
    '\0',
    '\x01',
    '\x1f',
    '\x7f',
    '\x80',
    '\xc3',
    '\xa9',
    '\xe2\x82\xac',
    '\xfe',
    '\xff',
  ],
].flat();
const scrap = fc.constantFrom(...scraps);

const anyBytes = fc.string({ unit: fc.nat(255).map((byte) => String.fromCharCode(byte)), maxLength: 20 });

/** Anything a client may send: commands, values, scraps, noise, in any mixture. */
export const anyInput = fc
  .array(
    fc.oneof(
      { weight: 4, arbitrary: anyCommand },
      { weight: 2, arbitrary: anyValue },
      { weight: 5, arbitrary: scrap },
      { weight: 1, arbitrary: anyBytes },
      { weight: 1, arbitrary: quotedText(fc.oneof(plainPiece, richPiece, badPiece)) },
      { weight: 2, arbitrary: fc.constantFrom('\n', ' ', '\r\n') },
    ),
    { maxLength: 12 },
  )
  .map((all) => all.join(''));

/** Sizes of chunks: the last is used for the rest. */
export const anySizes = fc.oneof(
  fc.constant([1]),
  fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 30 }),
  fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 5 }),
);

/** A message in QEMU's one-line form and its pretty form. */
export interface BothForms {
  readonly line: string;
  readonly pretty: string;
}

/** @param line a message as QEMU writes it on one line */
export function bothForms(line: string): BothForms {
  return { line, pretty: prettyPrinted(line) };
}
