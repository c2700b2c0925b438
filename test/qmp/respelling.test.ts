/** Messages that go through a program that reads JSON and writes it again keep their meaning, and come back in QEMU's bytes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { Parser } from '../../dist/qmp/json/parser.js';
import { Scan, Scanner } from '../../dist/qmp/json/scanner.js';
import { formatJson } from '../../dist/qmp/json/value.js';
import { hasNul, qemuReply, qemuValue, strictCommand, writtenId } from '../../dist/qmp/stream/respelling.js';

function read(text: string): { readonly scanner: Scanner; readonly parser: Parser } {
  const scanner = new Scanner();
  scanner.push(Buffer.from(text));
  assert.equal(scanner.next(), Scan.Message);
  const parser = new Parser();
  parser.parse(scanner.bytes, scanner.tokens);
  assert.equal(parser.error, null);
  return { scanner, parser };
}

function strict(text: string): string {
  const { scanner, parser } = read(text);
  return Buffer.from(strictCommand(scanner.bytes, scanner.tokens, parser)).toString('latin1');
}

function reply(text: string, id: string | null): string {
  const { scanner, parser } = read(text);
  const spelt = qemuReply(scanner.bytes, scanner.tokens, parser, id === null ? null : Buffer.from(id));
  return Buffer.from(spelt).toString('latin1');
}

test('a command loses its id and whatever only QEMU reads, and nothing else', () => {
  assert.equal(strict('{"execute":"a","id":7}'), '{"execute":"a"}');
  assert.equal(strict('{"id":{"id":1},"execute":"a"}'), '{"execute":"a"}');
  assert.equal(strict('{"execute":"a","arguments":{"id":7},"id":[7]}'), '{"execute":"a","arguments":{"id":7}}');
  assert.equal(strict(`{'execute' : 'it\\'s "so"\\/'}`), '{"execute":"it\'s \\"so\\"/"}');
  assert.equal(strict('{"\\u0069d":1,"execute":"é\u{1f600}\u007f"}'), '{"execute":"\\u00E9\\uD83D\\uDE00\\u007F"}');
  const numbers = '{"execute":"a","arguments":{"n":[18446744073709551615,-0,1.0,1e400,0.10]}}';
  assert.equal(strict(numbers), numbers);
});

test('an id is taken as it is written', () => {
  for (const id of ['7', '"a b"', '[1, {"x": null}]', '-0.5e3', 'null']) {
    const { scanner, parser } = read(`{"execute":"a","id":${id}}`);
    assert.equal(Buffer.from(writtenId(scanner.bytes, scanner.tokens, parser) ?? []).toString(), id);
  }
  const { scanner, parser } = read('{"execute":"a","arguments":{"id":1}}');
  assert.equal(writtenId(scanner.bytes, scanner.tokens, parser), null);
});

test('a reply gets the id where QEMU has it, and QEMU’s blanks and escapes', () => {
  assert.equal(
    reply('{"return":{"a":[1,-0],"b":{}},"id":"libvirt-9"}', '7'),
    '{"return": {"a": [1, -0], "b": {}}, "id": 7}\r\n',
  );
  assert.equal(reply('{"return":[],"id":"libvirt-9"}', null), '{"return": []}\r\n');
  assert.equal(
    reply('{"id":"libvirt-9","error":{"class":"C","desc":"é, : \\u000a"}}', '[7]'),
    '{"id": [7], "error": {"class": "C", "desc": "\\u00E9, : \\n"}}\r\n',
  );
  // An error of shape: libvirt gives those no id.
  assert.equal(reply('{"error":{"class":"C"}}', '"x"'), '{"id": "x", "error": {"class": "C"}}\r\n');
});

test('U+0000 is seen however it is written, and wherever', () => {
  for (const text of ['{"a":"\\u0000"}', '{"x\\u0000":1}', '{"a":[{"b":["c","d\\u0000e"]}]}', "{'a':'\\u0000'}"]) {
    assert.ok(hasNul(read(text).scanner.bytes, read(text).scanner.tokens), text);
  }
  assert.ok(!hasNul(read('{"a":"\\\\u0000 0"}').scanner.bytes, read('{"a":"\\\\u0000 0"}').scanner.tokens));
});

/** Strings that QEMU takes: no half surrogates, no noncharacters. */
const texts = fc
  .string({ unit: fc.oneof(fc.constantFrom('"', '\\', "'", '\u007f', 'é', '\u{1f600}', '/', '\n'), fc.string()) })
  .filter((text) => !/[\p{Surrogate}\p{Noncharacter_Code_Point}]/u.test(text));

test('any value comes back in QEMU’s form, through a writer that leaves all but the necessary unescaped', () => {
  const values = fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      texts,
      fc.integer(),
      fc.boolean(),
      fc.constant(null),
      fc.array(tie('value')),
      fc
        .uniqueArray(fc.tuple(texts, tie('value')), { selector: ([name]) => name })
        .map((all) => Object.fromEntries(all)),
    ),
  })).value;
  fc.assert(
    fc.property(fc.uniqueArray(fc.tuple(texts, values), { selector: ([name]) => name }), (members) => {
      const value = Object.fromEntries(members);
      const { scanner } = read(JSON.stringify(value));
      const spelt = Buffer.from(qemuValue(scanner.bytes, scanner.tokens)).toString('latin1');
      // values are JSON by construction
      assert.equal(spelt, formatJson(value as Parameters<typeof formatJson>[0], 'qemu'));
      assert.deepEqual(JSON.parse(spelt), value);
    }),
  );
});
