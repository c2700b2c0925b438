/**
 * Whatever comes from QEMU, LineReader and PrettyFolder give the same bytes however they are cut into chunks, lose none,
 * and keep nothing once a line is over.
 */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import * as fc from 'fast-check';
import { Envelope, FOREIGN_ID, MessageKind } from '../../dist/qmp/stream/envelope.js';
import { LineReader } from '../../dist/qmp/stream/lines.js';
import { PrettyFolder } from '../../dist/qmp/stream/pretty.js';
import { fuzz } from '../support/text/fuzz.js';
import { anyInput, anySizes, anyValue } from '../support/text/json-text.js';
import { pieces, readInput } from '../support/world/client-input.js';
import { prettyPrinted } from '../support/world/fake-qemu.js';
import { bytesOf, textOf } from '../support/world/world.js';

const line = fc.oneof(
  anyInput,
  anyValue.map((value) => `{"return": ${value}, "id": 3}`),
  anyValue.map((value) => `{"id": 3, "error": ${value}}`),
  anyValue.map((value) => `{"timestamp": ${value}, "event": "X", "data": ${value}}`),
);
const stream = fc
  .array(fc.tuple(line, fc.constantFrom('\r\n', '\r\n', '\n', '')), { maxLength: 6 })
  .map((all) => all.flat().join(''));

it('lines and what their envelopes say are the same in any chunking', () => {
  fuzz(
    'lines in any chunking',
    fc.property(stream, anySizes, fc.constantFrom(0, 0, 0, 66_000), (input, sizes, size) => {
      const text = input.replace('{', () => `{"pad": "${'x'.repeat(size)}", `);
      const cut = size === 0 ? sizes : [...sizes, 5000];
      const whole = read(text, [Math.max(1, text.length)]);
      const cutUp = read(text, cut);
      assert.deepEqual(cutUp, whole);
      assert.equal(whole.map((each) => each.text).join(''), text);
    }),
  );
});

function read(input: string, sizes: readonly number[]): { text: string; kind?: number; id?: number; event?: string }[] {
  const reader = new LineReader();
  const envelope = new Envelope();
  const all: { text: string; kind?: number; id?: number; event?: string }[] = [];
  for (const piece of pieces(input, sizes)) {
    const chunk = bytesOf(piece);
    reader.push(chunk);
    while (reader.next()) {
      const text =
        reader.pieces === null ? textOf(reader.bytes.subarray(reader.start, reader.end)) : textOf(reader.pieces);
      envelope.read(reader);
      if (envelope.kind === MessageKind.Unknown || envelope.id === FOREIGN_ID) envelope.readThoroughly();
      all.push({ text, kind: envelope.kind, id: envelope.id, event: envelope.eventName });
      if (!envelope.isBlank) assert.equal(textOf(envelope.chunks()), `${text.replace(/[\r\n]+$/, '')}\r\n`);
    }
    assert.equal(textOf(chunk), piece, 'a chunk is left as it is');
  }
  const held = reader.heldBytes;
  const rest = textOf(reader.takeUnfinished());
  assert.equal(held, rest.length);
  assert.equal(reader.heldBytes, 0);
  if (rest !== '') all.push({ text: rest });
  return all;
}

it('folding a pretty-printed stream gives the one-line stream, in any chunking', () => {
  fuzz(
    'pretty printing in any chunking',
    fc.property(fc.array(anyValue, { maxLength: 4 }), anyInput, anySizes, (values, noise, sizes) => {
      const lines = values.map((value) => readInput(`{"id":[${value}]}`).told[0]?.id ?? '[]');
      const fold = (text: string, cut: readonly number[]): string => {
        const folder = new PrettyFolder();
        return pieces(text, cut)
          .map((piece) => textOf(folder.fold(bytesOf(piece))))
          .join('');
      };
      const oneLine = lines.map((each) => `${each}\r\n`).join('');
      assert.equal(fold(lines.map((each) => `${prettyPrinted(each)}\r\n`).join(''), sizes), oneLine);
      assert.equal(fold(oneLine, sizes), oneLine);
      assert.equal(fold(noise, sizes), fold(noise, [Math.max(1, noise.length)]));
    }),
  );
});
