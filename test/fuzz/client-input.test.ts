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
import { Scanner } from '../../dist/qmp/scanner.js';
import { readInput, referenceInput } from '../support/client-input.js';
import { fuzz } from '../support/fuzz.js';
import { anyInput, anySizes } from '../support/json-text.js';

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
    fc.property(anyInput, anySizes, anySizes, fc.boolean(), (input, sizes, otherSizes, allowOob) => {
      const whole = readInput(input, { allowOob });
      assert.deepEqual(readInput(input, { sizes, allowOob }), whole);
      assert.deepEqual(readInput(input, { sizes: otherSizes, allowOob }), whole);
      for (const each of whole.told) {
        if ('error' in each)
          assert.ok(
            ALLOWED.some((text) => text.test(each.error)),
            each.error,
          );
      }
      // What follows is read as if nothing had been before it, once a line and all brackets are closed.
      const scanner = new Scanner();
      readInput(`${input}"\n'\n\x01`, { scanner });
      const [after] = readInput('{"execute":"after"}', { scanner }).told.slice(-1);
      assert.ok(after !== undefined && 'name' in after && after.name === '"after"');
    }),
  );
});

it('any bytes come to what the reference reader makes of them', () => {
  const limits = fc.constantFrom(null, 20, 50, 200);
  fuzz(
    'the reference reader',
    fc.property(anyInput, anySizes, fc.boolean(), limits, (input, sizes, allowOob, bytes) => {
      const limit = bytes === null ? {} : { limits: { bytes, tokens: 2 * 1024 * 1024, nesting: 1024 } };
      const scanner = bytes === null ? new Scanner() : new Scanner(bytes);
      const told = readInput(input, { sizes, allowOob, scanner }).told;
      const expected = referenceInput(input, { allowOob, ...limit });
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

it('commands of a form that is known come to what they would have come to without it', () => {
  let known = 0;
  fuzz(
    'forms of commands',
    fc.property(
      anyInput,
      fc.array(fc.tuple(fc.nat(), fc.constantFrom(...CHANGES)), { maxLength: 3 }),
      anySizes,
      (input, changes, sizes) => {
        let changed = input;
        for (const [at, byte] of changes) {
          const place = at % (input.length + 1);
          changed = changed.slice(0, place) + byte + changed.slice(place + (at % 2));
        }
        const all = `${input}\n${input}\n${changed}\n${input}`;
        const { known: count, ...read } = readInput(all, { sizes, learns: true });
        const { known: _, ...expected } = readInput(all, { sizes });
        assert.deepEqual(read, expected);
        known += count;
      },
    ),
  );
  assert.ok(known > 0, 'some commands were of a known form');
});
