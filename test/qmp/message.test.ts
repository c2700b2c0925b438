import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { emptyReturn, errorReply, eventMessage, genericError } from '../../dist/qmp/message.js';
import { ascii, asciiText, concat, equals, startsWith } from '../../dist/shared/bytes.js';
import { bytesOf, textOf } from '../support/world/world.js';

describe('a message of our own', () => {
  it('is written as QEMU writes it', () => {
    assert.equal(textOf(emptyReturn(null)), '{"return": {}}\r\n');
    assert.equal(textOf(emptyReturn(bytesOf('[1, "x"]'))), '{"return": {}, "id": [1, "x"]}\r\n');
    assert.equal(
      textOf(errorReply(null, genericError('no "é"'))),
      '{"error": {"class": "GenericError", "desc": "no \\"\\u00E9\\""}}\r\n',
    );
    assert.equal(
      textOf(errorReply(bytesOf('7'), { class: 'CommandNotFound', desc: 'x' })),
      '{"id": 7, "error": {"class": "CommandNotFound", "desc": "x"}}\r\n',
    );
    assert.equal(
      textOf(eventMessage('__org.qmpmux_X', 1, 20, '{"a": 1}')),
      '{"timestamp": {"seconds": 1, "microseconds": 20}, "event": "__org.qmpmux_X", "data": {"a": 1}}\r\n',
    );
  });

  it('may carry an id of any length', () => {
    const id = `"${'x'.repeat(300_000)}"`;
    assert.equal(textOf(emptyReturn(bytesOf(id))), `{"return": {}, "id": ${id}}\r\n`);
    assert.equal(
      textOf(errorReply(bytesOf(id), genericError('no'))),
      `{"id": ${id}, "error": {"class": "GenericError", "desc": "no"}}\r\n`,
    );
  });
});

describe('ASCII bytes', () => {
  it('are made of ASCII text and of no other', () => {
    assert.equal(textOf(ascii('a\x7f\0')), 'a\x7f\0');
    assert.throws(() => ascii('é'), { name: 'RangeError', message: 'not ASCII: é' });
  });

  it('are read back whatever their number', () => {
    for (const length of [0, 1, 4095, 4096, 4097, 10_000]) {
      const text = 'ab'.repeat(length).slice(0, length);
      assert.equal(asciiText(ascii(text)), text);
    }
    assert.equal(asciiText(ascii('abcdef'), 2, 4), 'cd');
  });

  it('are compared within their bounds', () => {
    const bytes = ascii('xabcx');
    assert.deepEqual([startsWith(bytes, 1, 5, ascii('abc')), startsWith(bytes, 1, 3, ascii('abc'))], [true, false]);
    assert.deepEqual([startsWith(bytes, 0, 5, ascii('abc')), startsWith(bytes, 1, 1, ascii(''))], [false, true]);
    assert.deepEqual([equals(bytes, 1, 4, ascii('abc')), equals(bytes, 1, 5, ascii('abc'))], [true, false]);
  });

  it('are joined in order', () => {
    assert.equal(textOf(concat([ascii('a'), ascii(''), ascii('bc')])), 'abc');
    assert.equal(concat([]).length, 0);
  });
});
