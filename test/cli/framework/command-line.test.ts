import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseArgs } from 'node:util';
import { type CommandLine, isAddress, readCommandLine } from '../../../dist/cli/framework/command-line.js';
import { type Subcommand, UsageError } from '../../../dist/cli/framework/subcommand.js';

const options = {
  flag: { type: 'boolean', alias: 'f', describe: '' },
  other: { type: 'boolean', alias: 'o', describe: '' },
  value: { type: 'string', alias: 'v', describe: '' },
  many: { type: 'string', array: true, describe: '' },
  'no-such': { type: 'boolean', describe: '' },
  'dotted.name': { type: 'string', describe: '' },
} as const;

function read(
  words: readonly string[],
  operands: NonNullable<Subcommand['operands']>,
  hasDefault = false,
): CommandLine {
  return readCommandLine({ options, operands }, words, hasDefault);
}

/** @returns what is wrong with a command line. */
function complaint(words: string, operands: NonNullable<Subcommand['operands']> = 'words'): string {
  try {
    return JSON.stringify(read(words.split(' '), operands));
  } catch (error) {
    assert.ok(error instanceof UsageError);
    return error.message;
  }
}

describe('a command line', () => {
  /** What is given twice may be: an option for several values, and a flag. */
  const once = new Set(['value', 'dotted.name']);

  /** @returns what Node's own parser makes of the same words; null where it refuses them. */
  function readByNode(words: readonly string[], allowPositionals: boolean): CommandLine | null {
    const table = Object.fromEntries(
      Object.entries({ ...options, help: { type: 'boolean', alias: 'h' } } as const).map(([name, option]) => [
        name,
        {
          type: option.type,
          multiple: 'array' in option,
          ...('alias' in option ? { short: option.alias } : {}),
        },
      ]),
    );
    try {
      const { values, positionals, tokens } = parseArgs({
        args: [...words],
        options: table,
        allowPositionals,
        tokens: true,
      });
      if (values['help'] === true) return { kind: 'help' };
      const given = tokens.flatMap((token) => (token.kind === 'option' && once.has(token.name) ? [token.name] : []));
      if (new Set(given).size < given.length) return null;
      const flags: Record<string, string | boolean | string[]> = {};
      for (const [name, value] of Object.entries(values)) {
        if (value !== undefined) flags[name] = Array.isArray(value) ? value.map(String) : value;
      }
      return { kind: 'run', flags, operands: positionals };
    } catch {
      return null;
    }
  }

  test('has the same meaning as to Node’s parser, which refuses the same lines', () => {
    const given = [
      '--flag --flag=1 --no-flag --no-such -fo --fla --value --value= --many=1 --many -v --dotted.name=1 --dotted.other=1',
      `--value='q' --zzz --help -- - a {"c":1} true 0x1f 007`,
    ];
    const words = [...given.flatMap((line) => line.split(' ')), ''];
    let understood = 0;
    for (const operands of ['none', 'words'] as const) {
      for (const a of words) {
        for (const b of words) {
          for (const c of words) {
            const line = [a, b, c];
            const expected = readByNode(line, operands !== 'none');
            let actual: CommandLine | null = null;
            try {
              actual = read(line, operands);
            } catch (error) {
              assert.ok(error instanceof UsageError, String(error));
            }
            // Help is given to whoever asks for it, whatever else is wrong.
            if (actual?.kind === 'help' && expected === null) continue;
            assert.deepEqual(actual, expected, `${operands}: ${JSON.stringify(line)}`);
            if (expected !== null) understood++;
          }
        }
      }
    }
    assert.ok(understood > 3000, `${understood} lines are in order`);
  });

  test('is refused with the word that is wrong', () => {
    for (const [words, message] of [
      ['--vlaue=1', 'unknown option --vlaue; did you mean --value?'],
      ['--zzz', 'unknown option --zzz'],
      ['--flag.x', 'unknown option --flag.x; did you mean --flag?'],
      ['--no-flag', 'unknown option --no-flag'],
      ['-q', 'unknown option -q'],
      ['-fq', 'unknown option -q in -fq'],
      ['--__proto__', 'unknown option --___proto___'],
      ['--toString', 'unknown option --toString'],
      ['--value', '--value needs a value'],
      ['-v', '--value needs a value'],
      ['--value --many 1', '--value needs a value'],
      ['--flag=true', '--flag takes no value'],
      ['--value 1 -v 2', '--value is given more than once'],
    ] as const) {
      assert.equal(complaint(words), message);
    }
    assert.equal(complaint('a', 'none'), '"a" is unexpected here; an option\'s value follows its name');
  });

  test('takes the value of an option of one letter glued to it, whatever letters are in it', () => {
    for (const value of ['log.h', 'p', 'h', '-x', 'vv'])
      assert.deepEqual(read([`-v${value}`, 'a'], 'words'), { kind: 'run', flags: { value }, operands: ['a'] }, value);
    assert.equal(complaint('--value -vh a'), '--value needs a value');
    assert.deepEqual(read(['--', '-vh'], 'words'), { kind: 'run', flags: {}, operands: ['-vh'] });
    assert.deepEqual(read(['/a', 'x', '-vh'], 'command'), { kind: 'run', flags: {}, operands: ['/a', 'x', '-vh'] });
  });

  test('has no number for an option, and no value for help', () => {
    assert.equal(complaint('-1 a'), 'unknown option -1');
    assert.equal(complaint('/a -5 x', 'command'), 'unknown option -5');
    assert.equal(complaint('a --help=no'), '--help takes no value');
    assert.equal(complaint('a -h=0'), '--help takes no value');
  });

  test('has numbers only where an option takes one, and they are numbers', () => {
    const command = { options: { rows: { type: 'number', default: 20 } } } as const;
    const rows = (...words: string[]) => readCommandLine(command, words);
    assert.deepEqual(rows(), { kind: 'run', flags: { rows: 20 }, operands: [] });
    assert.deepEqual(rows('--rows', '-5'), { kind: 'run', flags: { rows: -5 }, operands: [] });
    for (const text of ['x', '', '1x']) {
      assert.throws(() => rows(`--rows=${text}`), { message: `--rows: a number is expected, not "${text}"` });
    }
  });
});

describe("a monitor's command after an address", () => {
  const line = (words: string, hasDefault = false) => read(words.split(' '), 'command', hasDefault);
  const asked = (flags: object, operands: string) => ({ kind: 'run', flags, operands: operands.split(' ') });

  test('keeps all its words, though they look like options', () => {
    assert.deepEqual(line('--value v /s info block -v --flag'), asked({ value: 'v' }, '/s info block -v --flag'));
    assert.deepEqual(line('/s --flag info -v'), asked({ flag: true }, '/s info -v'));
    assert.deepEqual(line('/s -- info -- -v'), asked({}, '/s info -- -v'));
    assert.deepEqual(line('-- /s info --flag'), asked({}, '/s info --flag'));
    assert.deepEqual(line('/s info -- -v'), asked({}, '/s info -- -v'));
    assert.deepEqual(line('/s help'), asked({}, '/s help'));
    assert.deepEqual(line('/s info --help'), asked({}, '/s info --help'));
    assert.deepEqual(line('/s'), asked({}, '/s'));
    assert.deepEqual(line('/s --help'), { kind: 'help' });
    assert.deepEqual(line('--help'), { kind: 'help' });
  });

  test('begins with the first word where the address has a default and that word is none', () => {
    assert.deepEqual(line('x/10i 0 -v', true), asked({}, 'x/10i 0 -v'));
    assert.deepEqual(line('--flag x/10i -v', true), asked({ flag: true }, 'x/10i -v'));
    assert.deepEqual(line('/s info -v', true), asked({}, '/s info -v'));
    assert.deepEqual(line('--flag tcp:localhost:1 info -v', true), asked({ flag: true }, 'tcp:localhost:1 info -v'));
  });

  test('has a first word that is no address', () => {
    for (const word of ['/a', './a', '../a', 'unix:a', 'UNIX-CONNECT:a', 'tcp:h:1', 'exec:a b'])
      assert.ok(isAddress(word));
    for (const word of ['a', 'x/10i', 'vm.mux', '-', '{"a":"/b"}', 'a=tcp:b', 'foo:bar', '.x', '']) {
      assert.ok(!isAddress(word), word);
    }
  });
});
