/**
 * Whatever a client sends:
 * - the messages and errors are the same however the bytes are cut into chunks;
 * - they are those of the reference reader, byte for byte: error texts, ids, names, arguments, what was written;
 * - an error is one of the texts below, and reading goes on after it;
 * - what would go upstream for a command reads as that command, and as nothing else.
 * Nothing throws.
 */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import * as fc from 'fast-check';
import type { Dialect } from '../../dist/qmp/json/prompt-stream.js';
import { fuzz } from '../support/text/fuzz.js';
import { anyInput, anySizes } from '../support/text/json-text.js';
import { readInput, referenceInput, scannerOf } from '../support/world/client-input.js';

const anyDialect = fc.constantFrom<Dialect>('classic', 'prompt');

/** All that QEMU 11.1 says of input it cannot read, behind the place; what it has in common with those before it is below. */
const PROMPT = [
  /^"(\d+:\d+: JSON parse error, .*)"$/s,
  /^"\d+:\d+: JSON parse error, (expecting (value|key|':')|expected ',' or '[\]}]'|duplicate key|stray '.*|invalid .*|.* is not a valid .*)"$/s,
];

/** All that QEMU ever says of input it cannot read or dispatch, as quoted text. */
const ALLOWED = [
  /^"JSON parse error, stray '.*'"$/s,
  /^"JSON parse error, invalid keyword '[a-z]*'"$/,
  /^"JSON parse error, .* is not a valid Unicode character"$/s,
  /^"JSON parse error, (expecting value|premature EOI|missing : in object pair|key is not a string in object)"$/,
  /^"JSON parse error, (expected separator in (dict|list)|duplicate key)"$/,
  /^"JSON parse error, invalid (escape|UTF-8) sequence in string"$/,
  /^"JSON (token size|token count|nesting depth) limit exceeded"$/,
  /^"QMP input must be a JSON object"$/,
  /^"QMP input lacks member 'execute'"$/,
  /^"QMP input member '.*' (must be a string|must be an object|is unexpected)"$/s,
  /^"QMP input member 'execute' clashes with 'exec-oob'"$/,
];

it('any bytes in any chunking yield the same messages and errors', () => {
  fuzz(
    'any chunking of client input',
    fc.property(
      anyInput,
      anySizes,
      anySizes,
      fc.boolean(),
      anyDialect,
      (input, sizes, otherSizes, allowOob, dialect) => {
        const fresh = () => scannerOf(dialect);
        const whole = readInput(input, { allowOob, scanner: fresh() });
        assert.deepEqual(readInput(input, { sizes, allowOob, scanner: fresh() }), whole);
        assert.deepEqual(readInput(input, { sizes: otherSizes, allowOob, scanner: fresh() }), whole);
        for (const each of whole.told) {
          if ('error' in each)
            assert.ok(
              ALLOWED.some((text) => text.test(each.error)) ||
                (dialect === 'prompt' && PROMPT.every((text) => text.test(each.error))),
              each.error,
            );
        }
        // What follows is read as if nothing had been before it, once a line and all brackets are closed.
        const scanner = fresh();
        readInput(`${input}"\n'\n\x01`, { scanner });
        const [after] = readInput('{"execute":"after"}', { scanner }).told.slice(-1);
        assert.ok(after !== undefined && 'name' in after && after.name === '"after"');
      },
    ),
  );
});

it('any bytes come to what the reference reader makes of them', () => {
  const limits = fc.constantFrom(null, 20, 50, 200);
  fuzz(
    'the reference reader',
    fc.property(anyInput, anySizes, fc.boolean(), limits, anyDialect, (input, sizes, allowOob, bytes, dialect) => {
      const limit = bytes === null ? {} : { limits: { bytes, tokens: 2 * 1024 * 1024, nesting: 1024 } };
      const scanner = scannerOf(dialect, bytes ?? undefined);
      const told = readInput(input, { sizes, allowOob, scanner }).told;
      const expected = referenceInput(input, { allowOob, dialect, ...limit });
      // A long message may have lost blanks.
      const isSqueezed = bytes !== null;
      assert.deepEqual(isSqueezed ? told.map(withoutRaw) : told, isSqueezed ? expected.map(withoutRaw) : expected);
    }),
  );
});

function withoutRaw(told: object): object {
  return { ...told, raw: '' };
}

it('what would go upstream is the command and nothing else', () => {
  fuzz(
    'wire forms',
    fc.property(anyInput, anySizes, (input, sizes) => {
      const read = readInput(input, { sizes });
      const commands = read.told.filter((told) => 'name' in told);
      const sent = read.wires.map((wire, at) => `${wire},"id":${at % 10}}`).join('');
      assert.deepEqual(
        referenceInput(sent).map((told) => ('name' in told ? [told.name, told.oob, told.args, told.id] : told)),
        commands.map((told, at) => [told.name, told.oob, told.args, String(at % 10)]),
      );
    }),
  );
});

/** Bytes that change what a message is. */
const CHANGES = '"\\{}[]:,07a- \n\x01\x7f\xe9'.split('');

it('commands that come again, and again with a few bytes changed, come to what the reference reader makes of them', () => {
  fuzz(
    'commands that come again',
    fc.property(
      anyInput,
      fc.array(fc.tuple(fc.nat(), fc.constantFrom(...CHANGES)), { maxLength: 3 }),
      anySizes,
      anyDialect,
      (input, changes, sizes, dialect) => {
        let changed = input;
        for (const [at, byte] of changes) {
          const place = at % (input.length + 1);
          changed = changed.slice(0, place) + byte + changed.slice(place + (at % 2));
        }
        const all = `${input}\n${input}\n${changed}\n${input}`;
        const { told } = readInput(all, { sizes, scanner: scannerOf(dialect) });
        assert.deepEqual(told, referenceInput(all, { dialect }));
      },
    ),
  );
});
