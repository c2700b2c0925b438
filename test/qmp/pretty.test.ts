import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { PrettyFolder } from '../../dist/qmp/stream/pretty.js';
import { anySizes, anyValue } from '../support/text/json-text.js';
import { pieces, readInput } from '../support/world/client-input.js';
import { prettyPrinted } from '../support/world/fake-qemu.js';
import { bytesOf, textOf } from '../support/world/world.js';

function folded(text: string, sizes: readonly number[] = [Math.max(1, text.length)]): string {
  const folder = new PrettyFolder();
  return pieces(text, sizes)
    .map((piece) => textOf(folder.fold(bytesOf(piece))))
    .join('');
}

describe('a pretty-printed message', () => {
  it('of QEMU 7.2 is folded to its output without pretty=on', () => {
    for (const [pretty, line] of [
      ['{\n    "return": {\n    }\n}\r\n', '{"return": {}}\r\n'],
      ['{\n    "return": [\n    ],\n    "id": 1\n}\r\n', '{"return": [], "id": 1}\r\n'],
      [
        '{\n    "return": [\n        1,\n        {\n            "a": "b"\n        }\n    ]\n}\r\n',
        '{"return": [1, {"a": "b"}]}\r\n',
      ],
      ['{\n    "a": ",\\n \\"",\n    "b": "\\\\"\n}\r\n', '{"a": ",\\n \\"", "b": "\\\\"}\r\n'],
      ['{\r\n    "a": 1,\r\n    "b": 2\r\n}\r\n', '{"a": 1, "b": 2}\r\n'],
    ] as const) {
      assert.equal(folded(pretty), line);
      assert.equal(folded(pretty, [1]), line);
      assert.equal(folded(line), line, 'the one-line form is left as it is');
    }
  });

  it('of any content, in any chunking, is folded to its one-line form', () => {
    fc.assert(
      fc.property(fc.array(anyValue, { minLength: 1, maxLength: 3 }), anySizes, (values, sizes) => {
        const all = values.map((value) => readInput(`{"id":{"return":${value}}}`).told[0]?.id ?? '0');
        const both = (form: (line: string) => string): string => all.map((line) => `${form(line)}\r\n`).join('');
        assert.equal(
          folded(both(prettyPrinted), sizes),
          both((line) => line),
        );
        assert.equal(
          folded(
            both((line) => line),
            sizes,
          ),
          both((line) => line),
        );
      }),
      { numRuns: 500 },
    );
  });

  it('is left whole when it is none: nothing is lost but line breaks and indents', () => {
    const noise = fc.string({ unit: fc.constantFrom('{', '}', '[', ']', '"', '\\', ',', 'a', ' ', '\r', '\n') });
    fc.assert(
      fc.property(noise, anySizes, (text, sizes) => {
        assert.equal(folded(text, sizes), folded(text));
        assert.equal(folded(text).replaceAll(/[ \r\n]/g, ''), text.replaceAll(/[ \r\n]/g, ''));
      }),
    );
  });
});
