import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LONG, ReplyTexts } from './expected-replies.js';

const IDS = ['00000', '00001', '00002'];
const SHORT = ['{"return": {}, "id": "@@@@@"}\r\n', '{"return": [1], "id": "@@@@@"}\r\n'];
const PAD = 'x'.repeat(2 * LONG);
const LENGTHY = [`{"return": "${PAD}", "id": "@@@@@"}\r\n`, `{"id": "@@@@@", "return": "${PAD}y"}\r\n`];

/** Twice what a client is sent whose ids repeat. */
function sent(texts: readonly string[]): Buffer {
  const once = IDS.map((id, at) => (texts[at % texts.length] ?? '').replace('@@@@@', id)).join('');
  return Buffer.from(once + once);
}

for (const [name, texts] of Object.entries({ short: SHORT, long: LENGTHY })) {
  test(`${name} replies are found whole wherever the reads divide them`, () => {
    const bytes = sent(texts);
    for (const size of [1, 7, 100, LONG, bytes.length]) {
      const expected = new ReplyTexts(texts).expected(IDS);
      let done = 0;
      for (let at = 0; at < bytes.length; at += size) {
        const read = bytes.subarray(at, at + size);
        done += expected.take(read, read.length);
      }
      assert.equal(done, 2 * IDS.length);
    }
  });

  test(`one wrong byte of ${name} replies is found, wherever it is`, () => {
    const bytes = sent(texts);
    const step = Math.ceil(bytes.length / 500);
    for (let at = 0; at < bytes.length; at += step) {
      const wrong = Buffer.from(bytes);
      wrong[at] = (wrong[at] ?? 0) ^ 1;
      assert.equal(new ReplyTexts(texts).expected(IDS).take(wrong, wrong.length), -1, `byte ${at}`);
    }
  });
}

test('clients share long replies, and each is due its own ids', () => {
  const replies = new ReplyTexts([`{"return": "${PAD}", "id": "@@@@@"}\r\n`]);
  const [one, other] = [replies.expected(['00001']), replies.expected(['00002'])];
  const first = Buffer.from(`{"return": "${PAD}", "id": "00001"}\r\n`);
  const second = Buffer.from(`{"return": "${PAD}", "id": "00002"}\r\n`);
  const cut = 100;
  assert.equal(one.take(first, cut), 0);
  assert.equal(other.take(second, second.length), 1);
  assert.equal(one.take(first.subarray(cut), first.length - cut), 1);
  assert.equal(one.take(second, second.length), -1);
});
