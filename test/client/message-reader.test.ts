import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { MessageReader } from '../../dist/client/message-reader.js';

const LIMIT = 1 << 26;

/** Everything a reader makes of these chunks: messages as text, then `malformed: …` if it came to that. */
function read(chunks: readonly (string | Buffer)[], limit = LIMIT): string[] {
  const reader = new MessageReader(limit);
  const found: string[] = [];
  for (const chunk of chunks) {
    reader.push(Buffer.from(chunk));
    for (;;) {
      const reading = reader.next();
      if (reading.kind === 'more') break;
      if (reading.kind === 'malformed') return [...found, `malformed: ${reading.reason}`];
      found.push(reading.bytes.toString());
    }
  }
  return found;
}

function cut(text: string, at: readonly number[]): Buffer[] {
  const bytes = Buffer.from(text);
  const places = [...new Set(at.map((place) => place % (bytes.length + 1)))].sort((a, b) => a - b);
  return [0, ...places].map((from, index) => bytes.subarray(from, places[index] ?? bytes.length));
}

/** The text of messages, and of a malformed end only that it came. */
function outline(found: readonly string[]): string[] {
  return found.map((text) => (text.startsWith('malformed') ? 'malformed' : text));
}

/** @returns the processor time of reading one message in chunks of that many bytes, in microseconds. */
function time(chunkSize: number, message: Buffer): number {
  const reader = new MessageReader(LIMIT);
  const start = process.cpuUsage().user;
  for (let at = 0; at < message.length; at += chunkSize) {
    reader.push(message.subarray(at, at + chunkSize));
    const reading = reader.next();
    assert.equal(reading.kind, at + chunkSize >= message.length ? 'message' : 'more');
    if (reading.kind === 'message') assert.ok(reading.bytes.equals(message));
  }
  return process.cpuUsage().user - start;
}

describe('the message reader', () => {
  it('finds messages on one line, on many, and several on one', () => {
    assert.deepEqual(read(['{"a": 1}\r\n{"b": "}"}{"c": [{}]}\n \t{\n    "d": {\n    }\n}\r\n']), [
      '{"a": 1}',
      '{"b": "}"}',
      '{"c": [{}]}',
      '{\n    "d": {\n    }\n}',
    ]);
  });

  it('gives the same messages however the bytes are cut', () => {
    const message = fc
      .tuple(
        fc.dictionary(fc.string(), fc.oneof(fc.string({ unit: 'grapheme' }), fc.array(fc.string()), fc.integer())),
        fc.boolean(),
      )
      .map(([value, pretty]) => JSON.stringify(value, null, pretty ? 4 : 0));
    fc.assert(
      fc.property(fc.array(message, { maxLength: 5 }), fc.array(fc.nat(), { maxLength: 20 }), (messages, places) => {
        const stream = messages.map((text) => `${text}\r\n`).join('');
        assert.deepEqual(read(cut(stream, places)), messages);
        assert.deepEqual(read([...Buffer.from(stream)].map((byte) => Buffer.from([byte]))), messages);
      }),
    );
  });

  it('never throws and never hangs, whatever comes in whatever pieces, and says the same of it', () => {
    const junk = fc.oneof(
      fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes).toString('latin1')),
      fc
        .array(fc.constantFrom('{', '}', '[', ']', '"', '\\', ',', '\n', 'x', ' '), { maxLength: 40 })
        .map((a) => a.join('')),
    );
    fc.assert(
      fc.property(junk, fc.array(fc.nat(), { maxLength: 5 }), (text, places) => {
        assert.deepEqual(outline(read(cut(text, places))), outline(read([text])));
      }),
      { numRuns: 2000 },
    );
  });

  it('takes 20 MB in small chunks in the time that 20 MB take', () => {
    const bytes = Buffer.from(`{"return": [${'"0123456789abcdef0123456789abcdef", '.repeat(600_000)}1]}`);
    const quarter = Buffer.from(
      `${bytes
        .subarray(0, bytes.length >> 2)
        .toString('latin1')
        .replace(/[^,]*$/, '')} 1]}`,
    );
    time(100, quarter); // warm up
    const [small, large] = [time(100, quarter), time(100, bytes)];
    assert.ok(large < 12 * small + 100_000, `4 times the bytes took ${(large / small).toFixed(1)} times as long`);
  });

  it('refuses a message beyond its limit, and keeps no more than that of it', () => {
    const piece = 'x'.repeat(100);
    const found = read(['{"a": "', ...Array.from({ length: 20 }, () => piece)], 1000);
    assert.deepEqual(found, ['malformed: a message of more than 1000 bytes']);
    assert.deepEqual(read([`{"a": "${'x'.repeat(990)}"}`], 1000).length, 1);
    assert.match(read([`{"a": "${'x'.repeat(1000)}"}`], 1000)[0] ?? '', /^malformed/);
  });

  it('passes over 0xFF between messages, and nothing else', () => {
    assert.deepEqual(read([Buffer.from('\u00ff{"a": 1}\n\u00ff\u00ff\n{"b": 2}\u00ff', 'latin1')]), [
      '{"a": 1}',
      '{"b": 2}',
    ]);
    assert.deepEqual(read([Buffer.from('\u00ff\u00fe{"a": 1}', 'latin1')]), ['malformed: it sent ".{\\"a\\": 1}"']);
  });

  it('while it seeks reads the bytes after the last 0xFF, whatever came before and however they are cut', () => {
    const junk = fc.array(fc.constantFrom('{', '}', '[', ']', '"', '\\', ',', '\n', 'x', '\u00ff'), { maxLength: 40 });
    fc.assert(
      fc.property(junk, fc.array(fc.nat(), { maxLength: 9 }), (before, places) => {
        const bytes = Buffer.from(`${before.join('')}\u00ff{"id": "ours"}\n`, 'latin1');
        const reader = new MessageReader(1000);
        reader.isSeeking = true;
        const ends = [...places.map((place) => place % bytes.length).sort((a, b) => a - b), bytes.length];
        let last = '';
        ends.forEach((end, index) => {
          reader.push(bytes.subarray(ends[index - 1] ?? 0, end));
          for (let found = reader.next(); found.kind !== 'more'; found = reader.next()) {
            assert.equal(found.kind, 'message');
            if (found.kind === 'message') last = found.bytes.toString();
          }
        });
        assert.equal(last, '{"id": "ours"}');
      }),
      { numRuns: 2000 },
    );
  });

  it('quotes input that is not a message', () => {
    assert.deepEqual(read(['SSH-2.0-OpenSSH_9.2\r\n']), ['malformed: it sent "SSH-2.0-OpenSSH_9.2"']);
    assert.deepEqual(read(['{"a": 1}\r\n]']), ['{"a": 1}', 'malformed: it sent "]"']);
    assert.deepEqual(read(['{"a": "x\n']), ['malformed: a line ended inside a string']);
  });
});
