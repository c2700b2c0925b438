import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { anyCommand } from '../support/text/json-text.js';
import { type Read, readInput, referenceInput } from '../support/world/client-input.js';
import { ReferenceReader, type Value } from '../support/world/reference-reader.js';

/** The error about the shape of a command, without QEMU's usual beginning; null for a good one. */
function shape(input: string, allowOob: boolean): string | null {
  const [told] = readInput(input, { allowOob }).told;
  assert.deepEqual([told], referenceInput(input, { allowOob }), 'as the reference reader judges');
  return told !== undefined && 'error' in told ? told.error.slice(1, -1).replace('QMP input ', '') : null;
}

describe('the shape of a command', () => {
  const cases: readonly (readonly [string, string | null, string | null])[] = [
    // The input, QEMU's error without `oob` and with it.
    ['{}', "lacks member 'execute'", "lacks member 'execute'"],
    ['{"id":1}', "lacks member 'execute'", "lacks member 'execute'"],
    ['{"arguments":{}}', "lacks member 'execute'", "lacks member 'execute'"],
    ['{"execute":"a"}', null, null],
    ['{"execute":"a","arguments":{},"id":{}}', null, null],
    ['{"exec-oob":"a"}', "member 'exec-oob' is unexpected", null],
    ['{"exec-oob":"a","execute":"b"}', "member 'exec-oob' is unexpected", "member 'execute' clashes with 'exec-oob'"],
    ['{"execute":"b","exec-oob":"a"}', "member 'exec-oob' is unexpected", "member 'execute' clashes with 'exec-oob'"],
    ['{"execute":1,"exec-oob":"a"}', "member 'exec-oob' is unexpected", "member 'execute' must be a string"],
    ['{"execute":"a","exec-oob":1}', "member 'exec-oob' is unexpected", "member 'exec-oob' must be a string"],
    ['{"execute":null}', "member 'execute' must be a string", "member 'execute' must be a string"],
    ['{"execute":{}}', "member 'execute' must be a string", "member 'execute' must be a string"],
    ['{"execute":"a","arguments":[]}', "member 'arguments' must be an object", "member 'arguments' must be an object"],
    [
      '{"execute":"a","arguments":null}',
      "member 'arguments' must be an object",
      "member 'arguments' must be an object",
    ],
    ['{"execute":1,"arguments":1}', "member 'execute' must be a string", "member 'execute' must be a string"],
    ['{"execute":"a","foo":1}', "member 'foo' is unexpected", "member 'foo' is unexpected"],
    ['{"foo":1,"execute":1}', "member 'execute' must be a string", "member 'execute' must be a string"],
    ['{"foo":1,"bar":2}', "member 'bar' is unexpected", "member 'bar' is unexpected"],
    ['{"execute":"a","\\u00e9":1}', "member '\\u00E9' is unexpected", "member '\\u00E9' is unexpected"],
    ['{"execute":"a","x\\u0000y":1}', "member 'x\\u0000y' is unexpected", "member 'x\\u0000y' is unexpected"],
    ['{"execute":"a","":1}', "member '' is unexpected", "member '' is unexpected"],
    ['{"Execute":"a"}', "member 'Execute' is unexpected", "member 'Execute' is unexpected"],
    ['{"execute ":"a"}', "member 'execute ' is unexpected", "member 'execute ' is unexpected"],
  ];
  for (const [input, plain, oob] of cases) {
    it(`is judged as QEMU does: ${input}`, () => {
      assert.equal(shape(input, false), plain);
      assert.equal(shape(input, true), oob);
    });
  }

  it('is judged by decoded names', () => {
    const input = '{"\\u0065xecute":"a\\u0062","\\u0069d":1,"\\u0061rguments":{"x":1}}';
    assert.deepEqual(readInput(input).told, [{ name: '"ab"', id: '1', oob: false, args: '{"x": 1}', raw: input }]);
    const other = "{'exec-oob':'a','id':'b'}";
    assert.deepEqual(readInput(other).told, [{ name: '"a"', id: '"b"', oob: true, args: '{}', raw: other }]);
  });

  it('has a name that is not mistaken for one seen before', () => {
    const names = ['query-name', 'query-nama', 'a', '', 'x'.repeat(64), 'x'.repeat(65), 'x'.repeat(1024), 'query-name'];
    // Names by the thousand, so that they meet in the store of names seen lately.
    for (let i = 0; i < 3000; i++) names.push(`n${i % 1500}`);
    for (const name of names) {
      const [told] = readInput(`{"execute":"${name}"}`).told;
      assert.equal(told !== undefined && 'name' in told && told.name, `"${name}"`);
    }
  });

  it('has a name that is reported cut after 1024 bytes, and goes to QEMU with all of it', () => {
    for (const [written, cut] of [
      ['x'.repeat(1025), `${'x'.repeat(1024)}\\u2026`],
      ['\\u0078'.repeat(300), `${'x'.repeat(171)}\\u2026`],
      ['x'.repeat(100_000), `${'x'.repeat(1024)}\\u2026`],
    ] as const) {
      const { told, wires } = readInput(`{"execute":"${written}"}`);
      const [only] = told;
      assert.equal(only !== undefined && 'name' in only && only.name, `"${cut}"`);
      assert.equal(wires[0], `{"execute":"${written}"`);
    }
  });

  it('with an unexpected member of any length draws an error that quotes 64 KiB of it', () => {
    const [told] = readInput(`{"execute":"a","${'k'.repeat(1_000_000)}":1}`).told;
    assert.equal(
      told !== undefined && 'error' in told && told.error.length,
      65_536 + `"QMP input member '' is unexpected"`.length,
    );
  });

  it('and all else about any command is as the reference reader says', () => {
    fc.assert(
      fc.property(anyCommand, fc.boolean(), (input, allowOob) => {
        assert.deepEqual(readInput(input, { allowOob }).told, referenceInput(input, { allowOob }));
      }),
      { numRuns: 2000 },
    );
  });
});

/** The members of a command but for its id and empty arguments. */
function essence(input: string): (readonly [string, Value])[] {
  const [outcome] = new ReferenceReader().read(input);
  assert.ok(outcome !== undefined && 'value' in outcome && outcome.value.kind === 'object', input);
  return outcome.value.members.filter(
    ([key, value]) => key !== 'id' && !(key === 'arguments' && value.kind === 'object' && value.members.length === 0),
  );
}

/** The blanks of JSON text outside strings. */
function blanksOutsideStrings(text: string): string {
  return text.replaceAll(/"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'/gs, '').replaceAll(/[^ \t\r\n]/g, '');
}

describe('the wire form of a command', () => {
  function wire(input: string): string | undefined {
    const read: Read = readInput(input);
    assert.equal(read.wires.length, 1, input);
    return read.wires[0];
  }

  it('leaves out blanks, the id and empty arguments, and nothing else', () => {
    for (const [input, expected] of [
      ['{"execute":"a"}', '{"execute":"a"'],
      [' { "execute" : "a" } ', '{"execute":"a"'],
      ['{"execute":"a","id":1}', '{"execute":"a"'],
      ['{"id":{"id":[1]},"execute":"a"}', '{"execute":"a"'],
      ['{"execute":"a","arguments":{}}', '{"execute":"a"'],
      ['{"arguments":{ \n },"execute":"a"}', '{"execute":"a"'],
      ['{"arguments":{},"id":0,"execute":"a"}', '{"execute":"a"'],
      ['{"execute":"a","arguments":{"b":{}}}', '{"execute":"a","arguments":{"b":{}}'],
      ['{"arguments":{"b":[]},"id":"x","execute":"a"}', '{"arguments":{"b":[]},"execute":"a"'],
      ['{"exec-oob":"a","id":1,"arguments":{"b":1}}', '{"exec-oob":"a","arguments":{"b":1}'],
      [
        '{"execute":"a","arguments":{"x":1.50,"y":-0,"z":1E+5,"w":"\\/ \\u0041  "}}',
        '{"execute":"a","arguments":{"x":1.50,"y":-0,"z":1E+5,"w":"\\/ \\u0041  "}',
      ],
      [
        `{"execute":"a" ,"arguments" :{ "x" : "${'y'.repeat(100)}" }}`,
        `{"execute":"a","arguments":{"x":"${'y'.repeat(100)}"}`,
      ],
    ] as const) {
      assert.equal(wire(input), expected);
    }
  });

  it('reads as the command itself, for any command', () => {
    fc.assert(
      fc.property(anyCommand, (input) => {
        const { told, wires } = readInput(input);
        fc.pre(told.length === 1 && wires.length === 1);
        const sent = `${wires[0]},"id":5}`;
        assert.deepEqual(essence(sent), essence(input));
        assert.equal(blanksOutsideStrings(sent), '');
        assert.ok(sent.length <= input.trim().length + ',"id":5'.length);
      }),
      { numRuns: 2000 },
    );
  });
});
