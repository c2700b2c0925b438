import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Colour, plain } from '../../../dist/cli/screen/colour.js';
import { Report } from '../../../dist/cli/screen/json-view.js';
import { tableLines } from '../../../dist/cli/screen/table.js';

const COLUMNS = [
  { head: 'N', isNumber: true },
  { head: 'NAME', mayShrink: true },
  { head: 'SIZE', isNumber: true },
];
const ROWS = [
  ['1', 'a', '10'],
  ['12', 'a-long-name-of-a-program', '9'],
];

describe('a table', () => {
  it('has columns two blanks apart, numbers to the right, and no blanks at the end of a line', () => {
    assert.deepEqual(tableLines(COLUMNS, ROWS, { width: null, colour: plain }), [
      ' N  NAME                      SIZE',
      ' 1  a                           10',
      '12  a-long-name-of-a-program     9',
    ]);
    assert.deepEqual(tableLines([{ head: 'A' }, { head: 'B' }], [['x', '']], { width: null, colour: plain }), [
      'A  B',
      'x',
    ]);
  });

  it('is cut to the width of a terminal where it may be', () => {
    const lines = tableLines(COLUMNS, ROWS, { width: 24, colour: plain });
    assert.deepEqual(lines, [' N  NAME            SIZE', ' 1  a                 10', '12  a-long-name-o…     9']);
    for (const line of lines) assert.ok(line.length <= 24);
  });

  it('is not cut beyond recognition', () => {
    assert.equal(tableLines(COLUMNS, ROWS, { width: 5, colour: plain })[2], '12  a-long-…     9');
  });

  it('measures characters by the cells they take on a terminal', () => {
    const lines = tableLines(
      [{ head: 'A' }, { head: 'B' }],
      [
        ['日本', 'x'],
        ['é', 'y'],
      ],
      { width: null, colour: plain },
    );
    assert.deepEqual(lines, ['A     B', '日本  x', 'é     y']);
  });

  it('does not count colours as characters', () => {
    const bold: Colour = (_style, text) => `\x1b[1m${text}\x1b[22m`;
    const lines = tableLines([{ head: 'A' }, { head: 'B' }], [[bold('bold', 'xyz'), 'q']], {
      width: null,
      colour: bold,
    });
    assert.deepEqual(lines, ['\x1b[1mA\x1b[22m    \x1b[1mB\x1b[22m', '\x1b[1mxyz\x1b[22m  q']);
    // A head that is cut keeps its colour's end.
    const [head] = tableLines([{ head: 'OLDEST COMMAND', mayShrink: true }], [['x']], { width: 8, colour: bold });
    assert.equal(head, '\x1b[1mOLDEST …\x1b[22m');
  });

  it('shows nothing that a terminal would act on', () => {
    const text = 'a\x1b[31mb\r\nc\u009bd\u202e\u200be';
    assert.equal(new Report(text).text, String.raw`a\u001b[31mb\u000d\u000ac\u009bd\u202e\u200be`);
  });
});
