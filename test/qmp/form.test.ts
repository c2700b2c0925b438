import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CommandReader } from '../../dist/qmp/command.js';
import { CommandTemplate } from '../../dist/qmp/command-template.js';
import { Parser } from '../../dist/qmp/json/parser.js';
import { Scan, Scanner } from '../../dist/qmp/json/scanner.js';
import { bytesOf as viewedBytes, viewOf } from '../../dist/shared/bytes.js';
import { bytesOf, textOf } from '../support/world/world.js';

/** @returns the form of a command, as it is learned when that was read the long way */
function formOf(command: string): CommandTemplate | null {
  const [scanner, parser, reader] = [new Scanner(), new Parser(), new CommandReader()];
  scanner.push(bytesOf(command));
  assert.equal(scanner.next(), Scan.Message);
  parser.parse(scanner.bytes, scanner.tokens);
  assert.equal(parser.error, null);
  reader.read(scanner, parser, true);
  assert.equal(reader.shapeError, null);
  return CommandTemplate.of(scanner, parser, reader);
}

/** @returns the id of `command`, null for none; `undefined` when it is not of the form that `first` has */
function idIn(first: string, command: string): string | null | undefined {
  const form = formOf(first);
  assert.ok(form !== null, first);
  const bytes = bytesOf(command);
  const end = form.match(viewOf(bytes), 0, bytes.length);
  if (end < 0) return undefined;
  assert.equal(end, bytes.length);
  return form.idStart < 0 ? null : textOf(bytes.subarray(form.idStart, form.idEnd));
}

describe('a command’s form', () => {
  it('is that of all that differ in a plain id alone', () => {
    const text = '{"execute": "query-status", "id": "a-1"}';
    assert.equal(idIn(text, text), '"a-1"');
    assert.equal(idIn(text, '{"execute": "query-status", "id": ""}'), '""');
    assert.equal(idIn(text, '{"execute": "query-status", "id": "{}\' ,:"}'), '"{}\' ,:"');
    const first = '{"id":7,"execute":"a","arguments":{"id":1}}';
    assert.equal(idIn(first, first), '7');
    assert.equal(idIn(first, '{"id":123456789012345,"execute":"a","arguments":{"id":1}}'), '123456789012345');
    assert.equal(idIn(first, '{"id":0,"execute":"a","arguments":{"id":1}}'), '0');
    assert.equal(idIn('{"execute":"a"}', '{"execute":"a"}'), null);
  });

  it('is not that of a command with an id that QEMU would refuse, or spell in another way', () => {
    const text = '{"execute":"a","id":"x"}';
    for (const id of [
      '"\xc3\xa9"',
      '"\\n"',
      '"\\u0041"',
      '"\t"',
      '"\x7f"',
      "'x'",
      '1',
      'null',
      '[1]',
      '{}',
      '"x',
      '',
      `"${'x'.repeat(64)}"`,
    ])
      assert.equal(idIn(text, `{"execute":"a","id":${id}}`), undefined, id);
    const number = '{"execute":"a","id":5}';
    for (const id of ['-1', '01', '00', '1.0', '1e5', '1234567890123456', '"5"', 'true', '', '5 ', '5x'])
      assert.equal(idIn(number, `{"execute":"a","id":${id}}`), undefined, id);
  });

  it('is not that of a command which differs in anything else', () => {
    const text = '{"execute":"a","arguments":{"b":1},"id":"x"}';
    for (let at = 0; at < text.length; at++) {
      if (at > text.indexOf('"x"') && at < text.length - 2) continue;
      const other = `${text.slice(0, at)}#${text.slice(at + 1)}`;
      assert.equal(idIn(text, other), undefined, other);
      assert.equal(idIn(text, text.slice(0, at)), undefined);
    }
  });

  it('says what the command says', () => {
    const form = formOf('{ "arguments" : {"b": [1, 2]}, "execute" : "\\u0061b" , "id" : "x" }');
    assert.equal(form?.name, 'ab');
    assert.equal(form.hasArguments, true);
    assert.equal(textOf(viewedBytes(form.wire)), '{"arguments":{"b":[1,2]},"execute":"\\u0061b","id":');
    assert.equal(formOf('{"execute":"a","arguments":{},"id":1}')?.hasArguments, false);
  });

  it('is shared by all who send it, and none is kept of what is long or has another id', () => {
    assert.equal(formOf('{"execute":"a","id":"1"}'), formOf('{"execute":"a","id":"2"}'));
    assert.notEqual(formOf('{"execute":"a","id":1}'), formOf('{"execute":"a","id":"1"}'));
    assert.notEqual(formOf('{"execute":"a","id":1 }'), formOf('{"execute":"a","id": 1}'));
    for (const id of ['null', '-1', '1.5', '[]', '"\xc3\xa9"', '12345678901234567'])
      assert.equal(formOf(`{"execute":"a","id":${id}}`), null, id);
    assert.equal(formOf(`{"execute":"a","arguments":{"b":"${'x'.repeat(512)}"}}`), null);
  });

  it('is kept for a few hundred commands, however many there are', () => {
    const first = formOf('{"execute":"kept"}');
    for (let i = 0; i < 300; i++) formOf(`{"execute":"a${i}"}`);
    assert.notEqual(formOf('{"execute":"kept"}'), first);
  });
});

describe('a scanner that looks for a form', () => {
  const form = formOf('{"execute":"a","id":"1"}');
  assert.ok(form !== null);

  it('takes messages of it, blanks before them and all, and leaves others where they are', () => {
    const scanner = new Scanner();
    scanner.push(bytesOf(' \r\n{"execute":"a","id":"22"}\n{"execute":"b"}{"execute":"a","id":"3"}{"execute":"a","i'));
    assert.ok(scanner.nextIs(form));
    assert.equal(textOf(scanner.bytes.subarray(scanner.start, scanner.end)), '{"execute":"a","id":"22"}');
    assert.ok(!scanner.nextIs(form));
    assert.equal(scanner.next(), Scan.Message);
    assert.equal(textOf(scanner.bytes.subarray(scanner.start, scanner.end)), '{"execute":"b"}');
    assert.ok(scanner.nextIs(form));
    assert.ok(!scanner.nextIs(form));
    assert.equal(scanner.next(), Scan.NeedMore);
    assert.ok(!scanner.nextIs(form));
    scanner.push(bytesOf('d":"4"}{"execute":"a","id":"5"}'));
    assert.ok(!scanner.nextIs(form), 'not in the middle of a message');
    assert.equal(scanner.next(), Scan.Message);
    assert.equal(textOf(scanner.bytes.subarray(scanner.start, scanner.end)), '{"execute":"a","id":"4"}');
    assert.ok(scanner.nextIs(form));
    assert.equal(scanner.next(), Scan.NeedMore);
    assert.equal(scanner.heldBytes, 0);
  });

  it('takes none behind input that cannot be read, before that is over', () => {
    const scanner = new Scanner();
    scanner.push(bytesOf('"\x01{"execute":"a","id":"1"}'));
    assert.equal(scanner.next(), Scan.Malformed);
    assert.ok(!scanner.nextIs(form));
  });
});
