/** What a QEMU does for each key is compared with a QEMU in test/conformance/hmp.test.ts; here are the bounds. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { HmpEditor, LONGEST_LINE } from '../../dist/mux/hmp-editor.js';

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
    const editor = new HmpEditor(() => undefined);
    editor.prompt();
    const most = 'a'.repeat(LONGEST_LINE);
    assert.deepEqual(typed(editor, `${most}b\x01c\n`), [most]);
  });

  it('is kept for the 64 lines entered last', () => {
    const editor = new HmpEditor(() => undefined);
    editor.prompt();
    for (let i = 0; i < 100; i++) typed(editor, `line ${i}\n`);
    assert.equal(editor.history.lines.length, 64);
    assert.equal(editor.history.lines[0], 'line 36');
  });

  it('lists 256 completions at most, in columns of 80 at most', () => {
    let shown = '';
    const editor = new HmpEditor((text) => {
      shown += text;
    });
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
});
