import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseFields, pickFields } from '../../../dist/cli/screen/fields.js';
import { type JsonValue, parseJson } from '../../../dist/qmp/json/value.js';

function pick(json: string, fields: string) {
  const parsed = parseJson(json);
  assert.ok(parsed.ok);
  const value: JsonValue = parsed.value;
  const paths = parseFields(fields);
  assert.ok(paths !== null);
  return pickFields(value, paths);
}

function problems(json: string, fields: string) {
  return pick(json, fields).missing.map(({ problem }) => problem);
}

describe('--fields', () => {
  test('makes a line of an object, and one for each item of a list, with tabs between the fields', () => {
    assert.deepEqual(pick('{"a": 1, "b": "x"}', 'b,a').lines, ['x\t1']);
    assert.deepEqual(pick('[{"a": 1}, {"a": 2}, {}]', 'a').lines, ['1', '2', '']);
    assert.deepEqual(pick('[]', 'a'), { lines: [], missing: [] });
  });

  test('follows dots into objects and lists', () => {
    assert.deepEqual(pick('{"a": {"b": [{"c": true}, {"c": null}]}}', 'a.b.0.c,a.b.1.c').lines, ['true\tnull']);
  });

  test('writes text plainly, with characters that would break the row escaped, and the rest as JSON with all digits', () => {
    assert.deepEqual(pick('{"a": "x y\\tz\\n", "b": 18446744073709551615, "c": {"d": [1]}}', 'a,b,c').lines, [
      'x y\\tz\\n\t18446744073709551615\t{"d":[1]}',
    ]);
  });

  test('reports a field that is nowhere, and the nearest', () => {
    assert.deepEqual(problems('{"status": 1}', 'stats'), ['no field stats; did you mean status?']);
    assert.deepEqual(problems('[{"a": {"file": 1}}, {}]', 'a.fiel'), ['no field a.fiel; did you mean a.file?']);
    assert.deepEqual(problems('[{"a": 1}, {"b": 1}]', 'a,b,zzz'), ['no field zzz']);
    assert.deepEqual(problems('{"toString": 1}', 'valueOf,toString'), ['no field valueOf']);
  });

  test('needs a name everywhere', () => {
    for (const text of ['', ',a', 'a,', 'a..b', '.a', 'a.']) assert.equal(parseFields(text), null, text);
    assert.deepEqual(parseFields('a.b, c'), [['a', 'b'], ['c']]);
  });
});
