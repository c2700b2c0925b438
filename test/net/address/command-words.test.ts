import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { joinCommand, splitCommand } from '../../../dist/net/address/command-words.js';

function words(text: string): readonly string[] {
  const result = splitCommand(text);
  assert.ok(result.ok, `${text}: ${result.ok ? '' : result.problem}`);
  return result.words;
}

function problem(text: string): string {
  const result = splitCommand(text);
  assert.ok(!result.ok, `${text} was taken`);
  return `${result.at}: ${result.problem}`;
}

test('a command is split at blanks, with the quotes of a shell', () => {
  assert.deepEqual(words('ssh host socat - UNIX:/run/vm.qmp'), ['ssh', 'host', 'socat', '-', 'UNIX:/run/vm.qmp']);
  assert.deepEqual(words('  a\tb  '), ['a', 'b']);
  assert.deepEqual(words(`sh -c 'a | b' "c \\"d\\" \\x" e\\ f ''`), ['sh', '-c', 'a | b', 'c "d" \\x', 'e f', '']);
  assert.deepEqual(words(`a'b'"c"d`), ['abcd']);
  assert.deepEqual(words('nc -o [::1] 4444 *'), ['nc', '-o', '[::1]', '4444', '*']);
  assert.deepEqual(words('env A=b c'), ['env', 'A=b', 'c']);
});

test('a command that only a shell can run is refused, at the place where it needs one', () => {
  for (const char of '|&;<>()$`\n') assert.match(problem(`ab ${char}c`), /^3: .*needs a shell/);
  assert.match(problem('ls "$HOME"'), /^4: .*double quotes/);
  assert.match(problem('cat ~/x'), /^4: .*needs a shell/);
  assert.match(problem('a #b'), /^2: .*needs a shell/);
  assert.match(problem('A=b c'), /^0: .*exec:env A=/);
});

test('an unfinished quote and an empty command are refused', () => {
  assert.match(problem(`a 'b`), /^2: /);
  assert.match(problem('a "b'), /^2: /);
  assert.match(problem('a \\'), /^2: /);
  assert.match(problem(''), /^0: the command is missing/);
  assert.match(problem('   '), /^0: the command is missing/);
  assert.match(problem(`'' a`), /^0: /);
  assert.match(problem('a\0'), /^1: .*NUL/);
  assert.match(problem("a '\0'"), /NUL/);
});

test('words that are joined are split into the same words', () => {
  const word = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.string({ unit: fc.constantFrom(...`ab '"\\$=~#,\n\t|`.split('')) }),
  );
  fc.assert(
    fc.property(word, fc.array(word), (first, rest) => {
      const command = [`x${first}`, ...rest].map((w) => w.replaceAll('\0', ''));
      assert.deepEqual(words(joinCommand(command)), command);
    }),
  );
});

test('a shell reads a command as we do', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(...`ab '"\\ =-,x`.split('')), maxLength: 12 }), (text) => {
      const ours = splitCommand(`printf '%s\\n' ${text}`);
      if (!ours.ok) return;
      const shell = execFileSync('sh', ['-c', `printf '%s\\n' ${text}`], { encoding: 'utf8' });
      const args = ours.words.slice(2);
      assert.equal(shell, args.length === 0 ? '\n' : args.map((arg) => `${arg}\n`).join(''));
    }),
    { numRuns: 100 },
  );
});
