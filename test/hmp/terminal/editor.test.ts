/** test/conformance/hmp.test.ts compares each key with a real QEMU; here are the bounds. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { HmpEditor, LONGEST_LINE } from '../../../dist/hmp/terminal/editor.js';

function typed(editor: HmpEditor, text: string): string[] {
  const lines: string[] = [];
  for (const char of text) {
    const request = editor.type(char.charCodeAt(0));
    if (request?.kind === 'enter') {
      lines.push(request.line);
      editor.prompt();
    }
  }
  return lines;
}

describe('the line that is typed at a text monitor', () => {
  it('has 4,095 bytes at most, wherever more is typed', () => {
    const editor = new HmpEditor(() => undefined, '7.2.0');
    editor.prompt();
    const most = 'a'.repeat(LONGEST_LINE);
    assert.deepEqual(typed(editor, `${most}b\x01c\n`), [most]);
  });

  it('is edited by keys and control characters', () => {
    const [up, down, right, left, remove] = ['\x1b[A', '\x1b[B', '\x1b[C', '\x1b[D', '\x1b[3~'];
    for (const [keys, line] of [
      [`nfo${left.repeat(5)}i${right}${remove}\n`, 'ino'],
      [`b\x01a\x05c\x08\x7fd\x01\x04${right.repeat(9)}\n`, 'd'],
      ['b\x1bOHa\x1bOFc\x1b[1~x\x1b[4~y\x1bOZ\x1b[9~\x1bq\n', 'xabcy'],
      ['one two  \x17\x17\x17three four\x17\x17\n', ''],
      [' one\x01\x17\x05\x17two\n', 'two'],
      [`a\nb\n${up}${up}${up}\n`, 'a'],
      [`a\nb\n${down}${up}${up}${down}${down}c\n`, 'c'],
      [`a\nb\na\n${up}${up}\n`, 'b'],
      [`a\nb\n${up}x\n\x1b[F\x1b[E\x1b[F\n`, 'bx'],
      ['\n\x02a\x0cb\x9bDc\r', 'acb'],
    ] as const) {
      const editor = new HmpEditor(() => undefined, '7.2.0');
      editor.prompt();
      assert.equal(typed(editor, keys).at(-1), line, JSON.stringify(keys));
    }
  });

  it('is kept for the 64 lines entered last', () => {
    const editor = new HmpEditor(() => undefined, '7.2.0');
    editor.prompt();
    for (let i = 0; i < 100; i++) typed(editor, `line ${i}\n`);
    assert.equal(editor.history.lines.length, 64);
    assert.equal(editor.history.lines[0], 'line 36');
  });

  it('lists 256 completions at most, in columns of 80 at most', () => {
    let shown = '';
    const editor = new HmpEditor((text) => {
      shown += text;
    }, '7.2.0');
    editor.prompt();
    editor.type(9);
    editor.completed(
      Array.from({ length: 300 }, (_, index) => `w${index}`.padEnd(100, 'x')),
      0,
    );
    assert.equal(shown.split('\r\n').length, 1 + 256 + 1);
    editor.type(9);
    editor.completed(['wfolder/'], 1);
    assert.ok(shown.endsWith('folder/\x1b[K'));
  });

  it('knows ^N, ^P and ^U from QEMU 9.1 on', () => {
    for (const [version, lines] of [
      ['7.2.22', ['a', 'b', 'xy', 'z w']],
      ['9.0.4', ['a', 'b', 'xy', 'z w']],
      ['9.1.0', ['a', 'b', 'a', 'w']],
      ['10.0.13', ['a', 'b', 'a', 'w']],
      ['11.1.3', ['a', 'b', 'a', 'w']],
    ] as const) {
      const editor = new HmpEditor(() => undefined, version);
      editor.prompt();
      assert.deepEqual(typed(editor, 'a\nb\nxy\x10\x10\x0e\x10\nz w\x1b[D\x15\n'), lines, version);
    }
  });
});
