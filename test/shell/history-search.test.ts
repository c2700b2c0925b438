import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { HistorySearch } from '../../dist/shell/history-search.js';

const HISTORY = ['query-status', 'query-block', 'stop', 'query-block', 'cont', 'query-blockstats'];
const [CTRL_G, BACKSPACE, CTRL_R, CTRL_S] = ['\u0007', '\u007f', '\u0012', '\u0013'] as const;

/** @returns what is shown once the keys were pressed. */
function shown(keys: readonly string[], typed = 'typed') {
  const search = new HistorySearch(HISTORY, typed);
  for (const key of keys) assert.equal(search.press(key), 'go on');
  return search.prompt + search.line;
}

describe('the search through the history', () => {
  test('shows the newest line with the text in it, and older ones with each Ctrl-R', () => {
    assert.equal(shown([]), "(reverse-i-search)`': typed");
    assert.equal(shown(['b']), "(reverse-i-search)`b': query-block");
    assert.equal(shown(['b', 'l', 'o', CTRL_R]), "(reverse-i-search)`blo': query-blockstats");
    assert.equal(shown(['que', 'ry']), "(reverse-i-search)`query': query-status");
  });

  test('goes back to newer ones with Ctrl-S', () => {
    assert.equal(shown(['o', CTRL_R, CTRL_R, CTRL_S]), "(reverse-i-search)`o': stop");
  });

  test('says so when there is none, and keeps the last one found', () => {
    assert.equal(shown(['c', 'o', 'x']), "(failed reverse-i-search)`cox': cont");
    assert.equal(shown(['x']), "(failed reverse-i-search)`x': typed");
    assert.equal(shown(['stop', CTRL_R]), "(failed reverse-i-search)`stop': stop");
    assert.equal(shown(['stop', CTRL_S]), "(failed reverse-i-search)`stop': stop");
    assert.equal(shown([CTRL_R, CTRL_S]), "(reverse-i-search)`': typed");
  });

  test('takes characters back with Backspace, whole ones', () => {
    assert.equal(shown(['c', 'o', 'x', BACKSPACE]), "(reverse-i-search)`co': cont");
    assert.equal(shown(['\u{1f600}', BACKSPACE, 's', 't']), "(reverse-i-search)`st': query-status");
    assert.equal(shown(['s', BACKSPACE, BACKSPACE]), "(reverse-i-search)`': typed");
  });

  test('gives the typed line back at Ctrl-G, and leaves every other key to the line that was found', () => {
    const given = new HistorySearch(HISTORY, 'typed');
    given.press('stop');
    assert.equal(given.press(CTRL_G), 'end');
    assert.equal(given.line, 'typed');
    for (const key of ['\r', '\n', '\t', '\u001b', '\u0001', '\u0003']) {
      const search = new HistorySearch(HISTORY, 'typed');
      search.press('stop');
      assert.equal(search.press(key), 'end and act');
      assert.equal(search.line, 'stop');
    }
  });
});
