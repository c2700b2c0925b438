import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { EDGE, LineReader } from '../../dist/qmp/stream/lines.js';
import { pieces } from '../support/world/client-input.js';
import { bytesOf, textOf } from '../support/world/world.js';

interface Line {
  readonly text: string;
  /** Lengths of its pieces; null when it is in one. */
  readonly parts: readonly number[] | null;
}

/** The lines that come of `chunks`. */
function lines(chunks: readonly string[], reader = new LineReader()): Line[] {
  const all: Line[] = [];
  for (const chunk of chunks) {
    reader.push(bytesOf(chunk));
    while (reader.next()) {
      const text =
        reader.pieces === null ? textOf(reader.bytes.subarray(reader.start, reader.end)) : textOf(reader.pieces);
      all.push({ text, parts: reader.pieces?.map((piece) => piece.length) ?? null });
    }
  }
  return all;
}

describe('lines', () => {
  it('end with their line feed, and are the same in any chunking', () => {
    const text = fc
      .array(fc.oneof(fc.constantFrom('\n', '\r\n', '\r', 'a', '{"return": {}}\r\n'), fc.string({ maxLength: 300 })), {
        maxLength: 20,
      })
      .map((all) => Buffer.from(all.join('')).toString('latin1'));
    const sizes = fc.array(fc.integer({ min: 1, max: 500 }), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(text, sizes, (input, cut) => {
        const reader = new LineReader();
        const expected = input.split('\n');
        const rest = expected.pop() ?? '';
        assert.deepEqual(
          lines(pieces(input, cut), reader).map((line) => line.text),
          expected.map((line) => `${line}\n`),
        );
        assert.equal(reader.heldBytes, rest.length);
        assert.equal(textOf(reader.takeUnfinished()), rest);
        assert.equal(reader.heldBytes, 0);
      }),
    );
  });

  it('of any size are the same in any chunking, with a first and a last piece that can hold an id', () => {
    const lengths = [1, 60, EDGE - 1, EDGE, 4095, 4096, 65_535, 65_536, 65_537, 70_000, 131_072, 200_000];
    const cuts = [
      [1, 65_536],
      [100, 65_536],
      [127, 65_536],
      [128, 70_000],
      [4095],
      [4096],
      [65_536],
      [65_537],
      [200_000],
      [1000, 1, 100_000],
      [60_000, 3000, 90_000, 1],
    ];
    for (const length of lengths) {
      for (const cut of cuts) {
        const line = `${'x'.repeat(length - 1)}\n`;
        const input = `short\n${line}${line}end\n`;
        const read = lines(pieces(input, cut));
        assert.deepEqual(read.map((each) => each.text).join(''), input, `${length} in ${cut.join()}`);
        assert.equal(read.length, 4);
        for (const { text, parts } of read) {
          if (parts === null) continue;
          assert.ok(parts.length > 1);
          assert.ok((parts[0] ?? 0) >= EDGE && (parts.at(-1) ?? 0) >= EDGE, `${text.length} bytes in ${parts.join()}`);
        }
      }
    }
  });

  it('in one chunk are reported where they lie, without a copy', () => {
    const reader = new LineReader();
    const chunk = bytesOf('one\ntwo\n');
    reader.push(chunk);
    while (reader.next()) assert.equal(reader.bytes, chunk);
  });

  it('that are large are kept as the chunks they came in', () => {
    const reader = new LineReader();
    const chunks = Array.from({ length: 100 }, () => bytesOf('x'.repeat(65_536)));
    for (const chunk of chunks) {
      reader.push(chunk);
      assert.equal(reader.next(), false);
    }
    reader.push(bytesOf('\n'));
    assert.equal(reader.next(), true);
    const kept = reader.pieces?.filter((piece) => chunks.some((chunk) => chunk.buffer === piece.buffer));
    assert.equal(
      kept?.length,
      98,
      'all but the first, which might have been small, and the last, joined with the line feed',
    );
  });

  it('that are unfinished can be taken out, small or large', () => {
    for (const sizes of [[10], [10, 20], [70_000], [10, 70_000], [70_000, 10], [70_000, 10, 70_000]]) {
      const reader = new LineReader();
      for (const size of sizes) lines(['y'.repeat(size)], reader);
      const total = sizes.reduce((sum, size) => sum + size, 0);
      assert.equal(reader.heldBytes, total);
      assert.equal(textOf(reader.takeUnfinished()), 'y'.repeat(total));
      assert.deepEqual(lines(['z\n'], reader), [{ text: 'z\n', parts: null }]);
    }
    assert.equal(new LineReader().takeUnfinished().length, 0);
  });
});
