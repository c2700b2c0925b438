import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { JsonBeginning } from '../../dist/shared/json-beginning.js';

function faultOf(text: string): string | null {
  const json = new JsonBeginning();
  for (const character of text) json.take(character);
  return json.fault;
}

describe('the beginning of a JSON text', () => {
  const wholes = [
    '{"execute": "stop", "arguments": {"a": [1, -2.5e+3, true, false, null, [], {}], "b": "\\"}]"}, \'id\': \'"\'}\n',
    '{}\n',
    '{\n"a"\n:\n0\n}\n',
  ];

  it('is taken for what it can become, wherever it is cut', () => {
    for (const whole of wholes) {
      for (let end = 0; end <= whole.length; end++)
        assert.equal(faultOf(whole.slice(0, end)), null, whole.slice(0, end));
    }
  });

  it('is known to become none as soon as nothing can mend it', () => {
    const faults: readonly (readonly [text: string, fault: string])[] = [
      ['{execute: "stop"}', 'a name in quotes or } is expected, not execute'],
      ['{"execute" "stop"', ': is expected, not "'],
      ['{"a": 1 "b"', ', or } is expected, not "'],
      ['{"a": [1 2 ', ', or ] is expected, not 2'],
      ['{"a": [1}', ', or ] is expected, not }'],
      ['{]', 'a name in quotes or } is expected, not ]'],
      ['{"a": }', 'a value is expected, not }'],
      ['{"a": 1,}', 'a name in quotes is expected, not }'],
      ['{"a": stop\n', 'stop is not a JSON value; put text in quotes'],
      ['{"a": 01\n', '01 is not a JSON value; put text in quotes'],
      ['{"a": "stop\n', 'the quote " is not closed at the end of the line'],
      ["{'a\n", "the quote ' is not closed at the end of the line"],
      ['{"a": =', 'a value is expected, not ='],
    ];
    for (const [text, fault] of faults) {
      assert.equal(faultOf(text), fault);
      assert.equal(faultOf(`${text} "b": {}}`), fault, 'what follows changes nothing');
    }
  });

  it('is seen in one look at each character, however deep and long', () => {
    assert.equal(faultOf(`{"a": ${'['.repeat(100_000)}`), null);
    assert.match(faultOf(`{"a": ${'x'.repeat(1_000_000)} `) ?? '', /^x{40} is not a JSON value/);
  });
});
