/** What a terminal would act on never reaches it, whoever wrote it. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { printable, printableLines } from '../../dist/shared/printable.js';

/** From the ranges by their numbers, and from the categories by V8's own table. */
const categories = /\p{Cc}|\p{Cf}|\p{Co}|\p{Cs}|\p{Zl}|\p{Zp}/u;
const ranges: readonly (readonly [number, number])[] = [
  [0x00, 0x1f],
  [0x7f, 0x9f],
  [0xad, 0xad],
  [0x061c, 0x061c],
  [0x200b, 0x200f],
  [0x2028, 0x202e],
  [0x2060, 0x206f],
  [0xd800, 0xdfff],
  [0xe000, 0xf8ff],
  [0xfeff, 0xfeff],
  [0xfff9, 0xfffb],
  [0xe0000, 0xe0fff],
  [0x10fffd, 0x10fffd],
];

describe('text for a terminal', () => {
  it('has none of the characters that a terminal acts on, of all of Unicode', () => {
    for (let code = 0; code <= 0x10ffff; code++) {
      const character = String.fromCodePoint(code);
      const isActedOn = categories.test(character) || ranges.some(([first, last]) => code >= first && code <= last);
      const shown = printable(`a${character}z`);
      if (!isActedOn) assert.equal(shown, `a${character}z`, code.toString(16));
      else assert.match(shown, /^a(?:\\u[0-9a-f]{4}){1,2}z$/, code.toString(16));
    }
  });

  it('keeps line feeds and tabs only where lines are shown', () => {
    assert.equal(printable('a\tb\nc\r'), 'a\\u0009b\\u000ac\\u000d');
    assert.equal(printableLines('a\tb\nc\r\u001b[8m'), 'a\tb\nc\\u000d\\u001b[8m');
  });

  it('is JSON of the same meaning where it was JSON', () => {
    const value = { 'a\u009b': ['\u200b\u202e\u2028', '\u{e0041}', '\u{f0000}', 'ä 日本 😀'] };
    const shown = printable(JSON.stringify(value));
    assert.match(shown, /^[^\p{C}]*$/u);
    assert.deepEqual(JSON.parse(shown), value);
  });

  it('spells half a surrogate pair, and leaves a whole one alone', () => {
    assert.equal(printable('\ud83d \ude00 \u{1f600}'), '\\ud83d \\ude00 \u{1f600}');
  });

  it('is at most six times as long', () => {
    for (const character of ['\u0000', '\u202e', '\ud800', '\u{e0041}', '\u{10fffd}']) {
      const text = character.repeat(100_000);
      assert.equal(printable(text).length, 6 * text.length);
      assert.equal(printableLines(text).length, 6 * text.length);
    }
  });
});
