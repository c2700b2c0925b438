/** The picture of the README shows what the programs print today. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { missing } from '../support/qemu/qemu.js';
import { record, screensOf, svgOf } from './picture.js';
import { shape } from './terminals.js';

const file = new URL('../../docs/images/session.svg', import.meta.url);
const picture = readFileSync(file, 'utf8');

describe('the picture of the README', () => {
  test('is what a session in four terminals shows today', { skip: missing('qemu', 'nc', 'tmux') }, async (t) => {
    const now = screensOf(svgOf(await record(t)));
    const then = screensOf(picture);
    assert.deepEqual([...now.keys()], ['daemon', 'person', 'watcher', 'script']);
    for (const [pane, screen] of now) {
      assert.equal(shape(then.get(pane) ?? ''), shape(screen), `${pane}: npm run picture makes it again\n${screen}`);
    }
  });

  test('is small, and needs nothing from elsewhere', () => {
    assert.ok(picture.length < 40_000, `${picture.length} bytes`);
    assert.doesNotMatch(picture.replace('http://www.w3.org/2000/svg', ''), /https?:|<script|<image|@import|url\(/);
  });

  test('is drawn as the program that makes it draws now', () => {
    const frame = (svg: string) => svg.replaceAll(/<text class="(?!title)[^>]*>[^<]*<\/text>\n/g, '');
    assert.equal(frame(picture), frame(svgOf({})), 'npm run picture makes it again');
  });
});
