import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isAddress, protectCommand, readWords } from '../../../dist/cli/framework/command-line.js';
import { type Subcommand, subcommand } from '../../../dist/cli/framework/subcommand.js';
import { runWithYargs } from '../../../dist/cli/help.js';

/** A subcommand that keeps what it was given. It goes by the name of one that exists, for yargs to find it. */
function recorder(operands: NonNullable<Subcommand['operands']>) {
  const calls: { flags: Record<string, unknown>; operands: readonly string[] }[] = [];
  const command = subcommand({
    name: 'serve',
    usage: '',
    operands,
    options: {
      flag: { type: 'boolean', describe: '' },
      value: { type: 'string', requiresArg: true, describe: '' },
      many: { type: 'string', array: true, requiresArg: true, describe: '' },
      'no-such': { type: 'boolean', describe: '' },
    },
    examples: [],
    notes: '',
    run: (flags, words) => {
      const given = Object.entries(flags).filter(([name, value]) => name in command.options && value !== undefined);
      calls.push({ flags: Object.fromEntries(given), operands: words });
      return Promise.resolve(0);
    },
  });
  return { command, calls };
}

/**
 * @returns the lines that the quick parser and yargs are both given: every sequence of three of these words. But for `-` behind an
 * option: to the quick parser it is a value, yargs takes none.
 */
function lines(): string[][] {
  const words = [
    '--flag',
    '--value',
    '--value=x y',
    '--many=1',
    '--many',
    '--no-such',
    '--',
    'a',
    '-',
    "'b'",
    '{"c":1}',
  ];
  const all = words.flatMap((a) => words.flatMap((b) => words.map((c) => [a, b, c])));
  return all.filter((line) => !/--(?:value|many),-(?:,|$)/.test(line.join()));
}

describe('a command line in order', () => {
  test('means the same to the quick parser as to yargs', async () => {
    let plain = 0;
    for (const operands of ['none', 'words'] as const) {
      for (const line of lines()) {
        const { command, calls } = recorder(operands);
        const read = readWords(command, line);
        if (read === null) continue;
        plain++;
        assert.equal(await runWithYargs(['serve', ...line], command), 0);
        assert.deepEqual(calls, [{ flags: { ...read.flags }, operands: read.operands }], line.join(' '));
      }
    }
    assert.ok(plain > 400, `${plain} lines are in order`);
  });

  test('is told from one that is not: unknown, repeated, without its value, help', () => {
    const { command } = recorder('none');
    for (const line of ['--zzz', '-q', '--value', '--value --flag', '--flag --flag', '--flag=1', 'a', '-h', '--help']) {
      assert.equal(readWords(command, line.split(' ')), null, line);
    }
  });
});

describe("a monitor's command behind an address", () => {
  const { command } = recorder('command');
  const protectedWords = (line: string, hasDefault = false) =>
    protectCommand(command, line.split(' '), hasDefault).join(' ');

  test('keeps all its words, though they look like options', () => {
    assert.equal(protectedWords('--value v /s info block -v --flag'), '--value v /s -- info block -v --flag');
    assert.equal(protectedWords('/s --flag info -v'), '/s --flag -- info -v');
    assert.equal(protectedWords('/s -- info -- -v'), '/s -- info -- -v');
    assert.equal(protectedWords('/s info -- -v'), '/s -- info -- -v');
    assert.equal(protectedWords('/s'), '/s');
    assert.equal(protectedWords('--help'), '--help');
  });

  test('begins with the first word where the address has a default and that word is none', () => {
    assert.equal(protectedWords('x/10i 0 -v', true), '-- x/10i 0 -v');
    assert.equal(protectedWords('/s info -v', true), '/s -- info -v');
    assert.equal(protectedWords('--flag tcp:localhost:1 info -v', true), '--flag tcp:localhost:1 -- info -v');
  });

  test('has a first word that is no address', () => {
    for (const word of ['/a', './a', '../a', 'unix:a', 'UNIX-CONNECT:a', 'tcp:h:1', 'exec:a b'])
      assert.ok(isAddress(word));
    for (const word of ['a', 'x/10i', 'vm.mux', '-', '{"a":"/b"}', 'a=tcp:b', 'foo:bar', '.x', '']) {
      assert.ok(!isAddress(word), word);
    }
  });
});
