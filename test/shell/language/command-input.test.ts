import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CommandInput, type InputPiece } from '../../../dist/shell/language/command-input.js';

function read(text: string, chunkSize = Number.POSITIVE_INFINITY): InputPiece[] {
  const input = new CommandInput();
  const pieces: InputPiece[] = [];
  const take = (isLast: boolean) => {
    for (let piece = input.next(isLast); piece !== null; piece = input.next(isLast)) pieces.push(piece);
  };
  for (let at = 0; at < text.length; at += chunkSize) {
    input.push(text.slice(at, at + chunkSize));
    take(false);
  }
  take(true);
  return pieces;
}

describe('commands from a stream', () => {
  const text = `
query-name
  stop  \r
# no command: {
{"execute": "a}", 'b': '"}', "c": {"d": "\\"}"}}{"execute":
"e"} transaction(
x y=1 )
last`;
  const expected: InputPiece[] = [
    { text: 'query-name', isJson: false, line: 2 },
    { text: 'stop', isJson: false, line: 3 },
    { text: `{"execute": "a}", 'b': '"}', "c": {"d": "\\"}"}}`, isJson: true, line: 5 },
    { text: '{"execute":\n"e"}', isJson: true, line: 5 },
    { text: 'transaction(', isJson: false, line: 6 },
    { text: 'x y=1 )', isJson: false, line: 7 },
    { text: 'last', isJson: false, line: 8 },
  ];

  test('end at line feeds, or where braces balance, and know their line', () => {
    assert.deepEqual(read(text), expected);
  });

  test('are the same in chunks of any size', () => {
    for (const size of [1, 2, 3, 7]) assert.deepEqual(read(text, size), expected, `${size}`);
  });

  test('that are not whole at the end come as they are', () => {
    assert.deepEqual(read('{"a": '), [{ text: '{"a":', isJson: true, line: 1 }]);
    assert.deepEqual(read(' \n \n'), []);
  });

  test('are there as soon as they are whole', () => {
    const input = new CommandInput();
    input.push('{"execute": "stop"}');
    assert.equal(input.next(false)?.text, '{"execute": "stop"}');
    input.push('con');
    assert.equal(input.next(false), null);
    input.push('t\n');
    assert.equal(input.next(false)?.text, 'cont');
    assert.equal(input.next(true), null);
  });
});
