import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { formatJson, isJsonObject, type JsonObject, type JsonValue, parseJson } from '../../../dist/qmp/json/value.js';
import {
  commandText,
  type ParsedLine,
  ShellLineReader,
  splitLine,
} from '../../../dist/shell/language/command-syntax.js';
import { parseInteger, parseLiteral } from '../../../dist/shell/language/literal.js';
import { recordedSchema } from '../../support/qemu/recorded-schema.js';

const schema = recordedSchema();

/** The arguments that a line has, or what is wrong with it. */
function args(line: string, reader = new ShellLineReader()): JsonValue {
  const parsed = reader.readLine(line);
  if (parsed.kind === 'command') return parsed.arguments;
  return parsed.kind === 'malformed' ? parsed.message : parsed.kind;
}

/** As the recorded lines have it. */
function outcome(parsed: ParsedLine): string {
  switch (parsed.kind) {
    case 'command':
      return formatJson({ execute: parsed.name, arguments: parsed.arguments }, 'qemu');
    case 'action':
      return '...';
    case 'malformed':
      return '!';
    case 'empty':
      return '-';
    case 'json':
      return parsed.text;
  }
}

/** What is wrong with a line, by the schema too. */
function complaint(line: string, reader = new ShellLineReader(schema)): string {
  const parsed = reader.readLine(line);
  assert.ok(parsed.kind === 'malformed', line);
  return parsed.message;
}

function known(line: string): JsonValue {
  return args(line, new ShellLineReader(schema));
}

describe('a command line', () => {
  const page = readFileSync(new URL('../../../test/shell/language/qmp-shell-lines.txt', import.meta.url), 'utf8');
  const cases = page
    .split('\n\n')
    .slice(1)
    .map((text) => text.trimEnd().split('\n'));

  it(`has the same meaning as in qmp-shell (${cases.length} recorded cases)`, () => {
    assert.ok(cases.length > 200);
    for (const lines of cases) {
      const reader = new ShellLineReader();
      let hasWrongAction = false;
      for (let at = 0; at + 1 < lines.length; at += 2) {
        const line = (lines[at] ?? '').slice(2);
        const said = outcome(reader.readLine(line));
        const recorded = parseJson(lines[at + 1] ?? '');
        let expected = recorded.ok ? formatJson(recorded.value, 'qemu') : lines[at + 1];
        // On purpose otherwise: qmp-shell sends a transaction without the actions that were wrong; ours is all or nothing.
        if (hasWrongAction && line.trim().endsWith(')')) {
          assert.ok(recorded.ok, line);
          expected = '!';
          hasWrongAction = false;
        }
        if (reader.inTransaction && said === '!') hasWrongAction = true;
        // An empty line within a transaction is nothing, and leaves it open.
        assert.equal(said === '-' && reader.inTransaction ? '...' : said, expected, line);
      }
    }
  });

  it('is sent as QMP, with exact integers, and without arguments where there are none', () => {
    assert.equal(commandText('query-status', {}), '{"execute":"query-status"}');
    assert.equal(commandText('migrate-pause', {}, true), '{"exec-oob":"migrate-pause"}');
    const parsed = new ShellLineReader().readLine('a b=18446744073709551615 c={"d":-9223372036854775808}');
    assert.ok(parsed.kind === 'command');
    assert.equal(
      commandText(parsed.name, parsed.arguments),
      '{"execute":"a","arguments":{"b":18446744073709551615,"c":{"d":-9223372036854775808}}}',
    );
  });

  it('has dotted keys that all count from the top', () => {
    assert.deepEqual(
      args('blockdev-add driver=qcow2 file.driver=file file.filename=/d cache.direct=true node-name=n'),
      {
        driver: 'qcow2',
        file: { driver: 'file', filename: '/d' },
        cache: { direct: true },
        'node-name': 'n',
      },
    );
    assert.deepEqual(args('a b={"c":{"d":1}} b.c.e=2 b.f=3'), { b: { c: { d: 1, e: 2 }, f: 3 } });
  });

  it('takes quotes off, and their content as one piece', () => {
    assert.deepEqual(args('hmp command-line="info block"'), { 'command-line': 'info block' });
    assert.deepEqual(args("a b='it\\'s' c=\"5\" d='' e=\"\\u20ac\\n\""), { b: "it's", c: '5', d: '', e: '€\n' });
    assert.deepEqual(args('a b=x"y z"'), { b: 'x"y z"' });
    assert.match(complaint('a b="x'), /the quote " is not closed: "x/);
    assert.match(complaint('a b="\\q"'), /b: unknown escape \\q/);
  });

  it('may have blanks inside braces and brackets', () => {
    assert.deepEqual(args('a b={ "c": [ 1, 2 ], \'d\': "} x" } e=1'), { b: { c: [1, 2], d: '} x' }, e: 1 });
    assert.deepEqual(args('a b=[ {"c": 1} ]'), { b: [{ c: 1 }] });
    assert.deepEqual(args('a b=[x c=1'), { b: '[x', c: 1 });
  });

  it('can be JSON, which is handed on as it is', () => {
    assert.deepEqual(new ShellLineReader().readLine('  {"execute": "query-name", "id": 1.0}  '), {
      kind: 'json',
      text: '{"execute": "query-name", "id": 1.0}',
    });
    assert.deepEqual(new ShellLineReader().readWords(['{"execute": "query-name"}']).kind, 'json');
  });

  it('that a shell has split already is not split again', () => {
    const parsed = new ShellLineReader().readWords(['human-monitor-command', 'command-line=info  block']);
    assert.deepEqual(parsed, {
      kind: 'command',
      name: 'human-monitor-command',
      arguments: { 'command-line': 'info  block' },
    });
    assert.deepEqual(new ShellLineReader().readWords([]), { kind: 'empty' });
    for (const given of [[''], [' ', 'a=1'], ['transaction(', '', 'a=1', ')']]) {
      assert.deepEqual(new ShellLineReader().readWords(given), {
        kind: 'malformed',
        message: 'the name of the command is empty',
      });
    }
  });

  it('names the fault and its place', () => {
    assert.equal(args('a b'), 'arguments are written KEY=VALUE, but "b" has no =');
    assert.equal(args('a =1'), 'there is no name in "=1" before a dot or the =');
    assert.equal(args('a b..c=1'), 'there is no name in "b..c=1" before a dot or the =');
    assert.equal(args('a b=1 b=2'), '"b" is set twice');
    assert.equal(args('a b=1 b.c=2'), '"b" has both a value and members');
    assert.equal(args('a b.c.d=1 b.c=2'), '"b.c" has members, and a value too');
  });

  it('can set a member called __proto__, and harms nothing by it', () => {
    const value = args('a __proto__.x=1 b={"__proto__":2}');
    assert.equal(formatJson(value), '{"__proto__":{"x":1},"b":{"__proto__":2}}');
    assert.equal(Object.hasOwn(Object.prototype, 'x'), false);
  });

  it('never throws, whatever is typed', () => {
    const piece = fc.constantFrom(
      'a',
      'b',
      '=',
      '.',
      ' ',
      '"',
      "'",
      '\\',
      '{',
      '}',
      '[',
      ']',
      ',',
      ':',
      '1',
      '-',
      'transaction(',
      ')',
      'true',
      '\t',
      'é',
      '😀',
    );
    fc.assert(
      fc.property(fc.array(fc.array(piece, { maxLength: 25 }), { maxLength: 4 }), (lines) => {
        for (const reader of [new ShellLineReader(), new ShellLineReader(schema)]) {
          for (const line of lines) {
            const parsed = reader.readLine(line.join(''));
            if (parsed.kind === 'command') assert.doesNotThrow(() => formatJson(parsed.arguments));
          }
        }
      }),
      { numRuns: 2000 },
    );
  });

  it('gives back any arguments that are written in it', () => {
    const name = fc.stringMatching(/^[a-z][a-z0-9_-]{0,8}$/);
    const leaf = fc.oneof(
      fc.constantFrom(true, false, null),
      fc
        .bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n })
        .map((n) => (Number.isSafeInteger(Number(n)) ? Number(n) : n)),
      fc.double({ noNaN: true, noDefaultInfinity: true }).filter((n) => !Number.isInteger(n)),
      fc.string(),
    );
    const value = fc.letrec<{ value: JsonValue }>((tie) => ({
      value: fc.oneof(
        { maxDepth: 3 },
        leaf,
        fc.array(tie('value')),
        fc.dictionary(fc.string(), tie('value'), { noNullPrototype: true }),
      ),
    })).value;
    fc.assert(
      fc.property(fc.dictionary(name, value, { noNullPrototype: true, maxKeys: 5 }), fc.boolean(), (object, dotted) => {
        const expected = writable(object, dotted);
        const line = `a ${words(expected, dotted).join(' ')}`;
        assert.deepEqual(args(line), expected, line);
      }),
      { numRuns: 1000 },
    );
  });
});

/** An object whose members are written one by one, with dots. */
function isDotted(value: JsonValue): value is JsonObject {
  return (
    isJsonObject(value) && Object.keys(value).length > 0 && Object.keys(value).every((key) => /^[a-z]+$/.test(key))
  );
}

/**
 * What of the arguments can be written as words: null and fractions make words of no sense but in a list or object, and an object
 * of which nothing is left has no word with dots.
 */
function writable(object: JsonObject, dotted: boolean): JsonObject {
  return Object.fromEntries(
    Object.entries(object).flatMap(([name, value]): [string, JsonValue][] => {
      if (value === null || (typeof value === 'number' && !Number.isInteger(value))) return [];
      if (!dotted || !isDotted(value)) return [[name, value]];
      const left = writable(value, dotted);
      return Object.keys(left).length === 0 ? [] : [[name, left]];
    }),
  );
}

/** Arguments as words. */
function words(object: JsonObject, dotted: boolean, above = ''): string[] {
  return Object.entries(object).flatMap(([name, value]) =>
    dotted && isDotted(value) ? words(value, dotted, `${above}${name}.`) : [`${above}${name}=${formatJson(value)}`],
  );
}

describe('a transaction', () => {
  it('is collected over lines, and sent when it is closed', () => {
    const reader = new ShellLineReader();
    assert.equal(reader.readLine('transaction(').kind, 'action');
    assert.ok(reader.inTransaction);
    assert.equal(reader.readLine('block-dirty-bitmap-add node=drive0 name=bitmap1').kind, 'action');
    assert.equal(reader.readLine('').kind, 'action');
    assert.equal(reader.readLine('block-dirty-bitmap-clear node=drive0').kind, 'action');
    assert.equal(reader.actions.length, 2);
    assert.deepEqual(reader.readLine(')'), {
      kind: 'command',
      name: 'transaction',
      arguments: {
        actions: [
          { type: 'block-dirty-bitmap-add', data: { node: 'drive0', name: 'bitmap1' } },
          { type: 'block-dirty-bitmap-clear', data: { node: 'drive0' } },
        ],
      },
    });
    assert.ok(!reader.inTransaction);
  });

  it('stays open after a faulty line, and is not sent without it', () => {
    const reader = new ShellLineReader();
    reader.readLine('transaction( a b=1');
    assert.equal(reader.readLine('c d').kind, 'malformed');
    assert.ok(reader.inTransaction);
    assert.match(complaint(')', reader), /^the transaction was not sent/);
    assert.ok(!reader.inTransaction);
  });

  it('is not closed by a line that goes on after the )', () => {
    const reader = new ShellLineReader();
    reader.readLine('transaction( a b=1');
    assert.equal(reader.readLine(') x').kind, 'malformed');
    assert.deepEqual(args(')', reader), { actions: [{ type: 'a', data: { b: 1 } }] });
  });

  it('can be abandoned', () => {
    const reader = new ShellLineReader();
    reader.readLine('transaction( a');
    reader.abandon();
    assert.deepEqual(reader.readLine('query-status'), { kind: 'command', name: 'query-status', arguments: {} });
  });
});

describe('with a schema, a word', () => {
  it('is text where text belongs, though it looks like something else', () => {
    assert.deepEqual(known('device_del id=5'), { id: '5' });
    assert.deepEqual(known('device_del id=true'), { id: 'true' });
    assert.deepEqual(known('qom-list path=[x]'), { path: '[x]' });
    assert.deepEqual(known('human-monitor-command command-line=5 cpu-index=5'), {
      'command-line': '5',
      'cpu-index': 5,
    });
    assert.deepEqual(known('blockdev-add driver=qcow2 file=5'), { driver: 'qcow2', file: '5' });
    assert.deepEqual(known('blockdev-add driver=nbd server.type=inet server.host=5 server.port=10809'), {
      driver: 'nbd',
      server: { type: 'inet', host: '5', port: '10809' },
    });
  });

  it('has qmp-shell’s meaning where that fits, and where nothing does', () => {
    assert.deepEqual(known('set_link name=5 up=TRUE'), { name: '5', up: true });
    assert.deepEqual(known('balloon value=18446744073709551615'), { value: 18446744073709551615n });
    assert.deepEqual(known('balloon value=1k'), { value: '1k' });
    assert.deepEqual(known('qom-set path=/ property=x value=5'), { path: '/', property: 'x', value: 5 });
    assert.deepEqual(known('no-such x=5'), { x: 5 });
    assert.deepEqual(known('balloon nonsense=5'), { nonsense: 5 });
    assert.deepEqual(known('blockdev-add driver=qcow2 backing=null'), { driver: 'qcow2', backing: 'null' });
  });

  it('in braces is an object where one is allowed, and an error where it cannot be read', () => {
    assert.deepEqual(known("blockdev-add driver=qcow2 file={'driver':'nbd','oops':1}"), {
      driver: 'qcow2',
      file: { driver: 'nbd', oops: 1 },
    });
    assert.match(
      complaint("blockdev-add driver=qcow2 file={'driver':nbd}"),
      /^file: nbd is not a value: put text in quotes, at "nbd\}"/,
    );
    assert.match(complaint('send-key keys=[{]'), /^keys: the name of a member, in quotes, is missing/);
  });

  it('in a transaction takes the types of its action', () => {
    const reader = new ShellLineReader(schema);
    reader.readLine('transaction(');
    assert.deepEqual(
      reader.readLine('block-dirty-bitmap-add node=5 name=6 granularity=65536 persistent=true').kind,
      'action',
    );
    assert.deepEqual(reader.actions[0], {
      type: 'block-dirty-bitmap-add',
      data: { node: '5', name: '6', granularity: 65536, persistent: true },
    });
  });
});

describe('a literal', () => {
  it('that is JSON keeps its meaning in JSON', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 4 }), (value) => {
        const text = JSON.stringify(value);
        const exact = parseJson(text);
        assert.deepEqual(parseLiteral(text), { ok: true, value: exact.ok ? exact.value : null });
      }),
    );
  });

  it('says where it goes wrong', () => {
    for (const [text, at, reason] of [
      ['', 0, /a value is missing/],
      ['[1 2]', 3, /a comma or \] is missing/],
      ['{"a" 1}', 5, /a colon is missing/],
      ['{a: 1}', 1, /the name of a member, in quotes/],
      ['{"a": 1', 7, /a comma or \} is missing/],
      ['[yes]', 1, /yes is not a value/],
      ['"x', 0, /closing quote/],
      ['[1] 2', 4, /something follows/],
      ['[1e999]', 1, /too large/],
      ['"\\U00110000"', 1, /not a character/],
      ['[-]', 1, /a value is missing/],
      ['['.repeat(2000), 1025, /too deeply/],
    ] as const) {
      const parsed = parseLiteral(text);
      assert.ok(!parsed.ok, text);
      assert.equal(parsed.at, at, text);
      assert.match(parsed.reason, reason);
    }
  });

  it('that is an integer is exact', () => {
    assert.equal(parseInteger('18446744073709551615'), 18446744073709551615n);
    assert.equal(parseInteger('-9223372036854775808'), -9223372036854775808n);
    assert.equal(parseInteger('-0'), 0);
    assert.equal(parseInteger('+0_7'), 7);
    assert.equal(parseInteger('7_'), null);
    assert.equal(parseInteger('0x7'), null);
  });
});

describe('words of a line', () => {
  it('are reported with their places', () => {
    assert.deepEqual(splitLine('  ab  c={ } "d e"'), [
      { text: 'ab', start: 2 },
      { text: 'c={ }', start: 6 },
      { text: '"d e"', start: 12 },
    ]);
  });
});
