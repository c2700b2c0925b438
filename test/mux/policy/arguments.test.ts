import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ArgumentList, type Leaf } from '../../../dist/mux/policy/arguments.js';
import { CommandReader } from '../../../dist/qmp/command.js';
import { Parser } from '../../../dist/qmp/json/parser.js';
import { Scan, Scanner } from '../../../dist/qmp/json/scanner.js';
import { assertLinear } from '../../support/text/work.js';
import { bytesOf } from '../../support/world/world.js';

function list(args: string): ArgumentList {
  const scanner = new Scanner();
  const parser = new Parser();
  const reader = new CommandReader();
  scanner.push(bytesOf(`{"execute":"a","arguments":${args}}`));
  assert.equal(scanner.next(), Scan.Message);
  parser.parse(scanner.bytes, scanner.tokens);
  reader.read(scanner, parser, true);
  assert.equal(reader.shapeError, null);
  return new ArgumentList(scanner.bytes, scanner.tokens, parser, reader.argumentsToken);
}

function leaves(args: string): readonly Leaf[] | null {
  return list(args).leaves();
}

/** An object with a given number of members below a key with a given number of parts. */
function below(parts: number, members: number): string {
  const key = Array.from({ length: parts }, () => 'p').join('.');
  return `{"${key}":{${Array.from({ length: members }, (_, at) => `"k${at}":1`).join(',')}}}`;
}

describe('a command', () => {
  it('has its arguments as values, each with its path in parts', () => {
    const args = '{"a.b":{"c":1,"d":[2,{"e.f":"x"}]},"":null,".":1.0,"g":{},"h":[]}';
    assert.deepEqual(
      leaves(args)?.map(({ path, text }) => [path.join('/'), text]),
      [
        ['a/b/c', '1'],
        ['a/b/d/0', '2'],
        ['a/b/d/1/e/f', 'x'],
        ['', 'null'],
        ['/', '1'],
        ['g', '{}'],
        ['h', '[]'],
      ],
    );
  });

  it('that has too many arguments, or too long ones, is taken apart no further', () => {
    assert.equal(leaves(below(1, 32_768))?.length, 32_768);
    assert.equal(leaves(below(1, 32_769)), null);
    assert.equal(leaves(below(65_535, 1))?.length, 1);
    assert.equal(leaves(below(65_536, 1)), null);
    assert.equal(leaves(below(200, 326))?.length, 326);
    assert.equal(leaves(below(200, 327)), null);
    assert.equal(leaves(`{"a":"${'x'.repeat(4_000_000)}"}`)?.length, 1);
    assert.equal(leaves(`{"a":"${'x'.repeat(4_200_000)}"}`), null);
  });

  it('costs no more than in proportion, however many parts are above however many values', () => {
    for (const parts of [1, 30, 3000]) {
      assertLinear(2000, (size) => {
        const judged = list(below(parts, size));
        return () => judged.leaves();
      });
    }
    assertLinear(2000, (size) => {
      const judged = list(below(size * 10, size));
      return () => judged.leaves();
    });
  });
});
