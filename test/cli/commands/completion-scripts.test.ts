/** What bash and zsh complete behind `qmpmux`, in these shells themselves. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { completionScript } from '../../../dist/cli/commands/completion-scripts.js';
import type { CommandTree } from '../../../dist/cli/framework/command-tree.js';
import { optionsOf } from '../../../dist/cli/framework/subcommand.js';
import { loadCommands } from '../../../dist/cli/subcommands.js';
import { startProgram } from '../../support/daemon/program.js';
import { missing } from '../../support/daemon/programs.js';
import { runQmpmux } from '../../support/daemon/run-qmpmux.js';
import { scratch } from '../../support/files/scratch.js';

describe('completion', () => {
  let tree: CommandTree;
  before(async () => {
    tree = await loadCommands();
  });

  /** What bash offers for each of the lines, in one bash. */
  function bash(...lines: readonly string[]): string[][] {
    const asks = lines.map((line) => {
      const words = ['qmpmux', ...line.split(' ')].map((word) => `'${word}'`).join(' ');
      return `COMP_WORDS=(${words}); COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)); _qmpmux; echo "\${COMPREPLY[*]}"`;
    });
    const script = `${completionScript('bash', tree)}\n${asks.join('\n')}`;
    const { stdout, stderr } = spawnSync('bash', ['--norc', '-c', script], { encoding: 'utf8' });
    assert.equal(stderr, '');
    return stdout
      .trimEnd()
      .split('\n')
      .map((line) => line.split(' ').filter((word) => word !== ''));
  }

  it('in bash knows every command and every option', { skip: missing('bash') }, () => {
    const first = [...tree.leaves, ...tree.groups].map(({ name }) => name).filter((name) => !name.includes(' '));
    assert.deepEqual(bash('')[0]?.toSorted(), [...first, 'help'].toSorted());
    const answers = bash(...tree.leaves.map(({ name }) => `${name} -`));
    for (const [index, { command }] of tree.leaves.entries()) {
      assert.deepEqual(
        answers[index],
        optionsOf(command).flatMap(({ spellings }) => spellings),
      );
    }
  });

  it('in bash knows the words after a group, a prefix and an option', { skip: missing('bash') }, () => {
    assert.deepEqual(
      bash(
        'audit ',
        'au',
        'audit s',
        'serve --log-level ',
        'serve --log-format=p',
        'serve --log-format = p',
        'serve --log-format =',
        'audit show --kind de',
        'exec --pr',
      ),
      [
        ['show', 'verify', 'stats', 'replay'],
        ['audit'],
        ['show', 'stats'],
        ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'],
        ['--log-format=pretty'],
        ['pretty'],
        ['pretty', 'json', 'auto'],
        ['descriptors', 'denied'],
        ['--pretty'],
      ],
    );
  });

  it('in bash completes files where nothing else is known', { skip: missing('bash', 'script') }, async (t) => {
    const folder = scratch(t);
    writeFileSync(
      join(folder, 'rc'),
      `${completionScript('bash', tree)}\nPS1='ready> '; cd ${folder}\nqmpmux() { :; }\n`,
    );
    writeFileSync(join(folder, 'the-config.toml'), '');
    const shell = startProgram(t, 'script', '-qfec', `bash --noprofile --rcfile ${folder}/rc -i`, '/dev/null');
    await shell.reads('ready> ');
    await shell.type('qmpmux conf\tch\tthe-\t');
    await shell.reads('qmpmux config check the-config.toml ');
    await shell.type('\x15qmpmux serve --config the-\t');
    await shell.reads('serve --config the-config.toml ');
  });

  it('in zsh completes commands, options, values and files', { skip: missing('zsh', 'script') }, async (t) => {
    const folder = scratch(t);
    mkdirSync(join(folder, 'functions'));
    writeFileSync(join(folder, 'functions/_qmpmux'), completionScript('zsh', tree));
    writeFileSync(join(folder, 'the-config.toml'), '');
    const setup =
      "autoload -U compinit; compinit -u -D; PS1='ready> '; zstyle ':completion:*' list-prompt ''; bindkey -e";
    writeFileSync(
      join(folder, '.zshrc'),
      `fpath=(${folder}/functions $fpath); ${setup}; cd ${folder}; qmpmux() { : }\n`,
    );
    const shell = startProgram(t, 'script', '-qfec', `ZDOTDIR=${folder} zsh -d -i`, '/dev/null');
    await shell.reads('ready> ');
    // Each line is shown as it stands when it is run.
    const shows = async (typed: string, line: string) => {
      await shell.type(`${typed}\x01echo "<\x05>"\r`);
      await shell.reads(`<${line}`);
      await shell.reads('ready> ');
    };
    await shows('qmpmux conf\tche\tthe-\t', 'qmpmux config check the-config.toml');
    await shows('qmpmux serve --log-l\tsil\t', 'qmpmux serve --log-level silent');
    await shows('qmpmux audit ver\t--he\t', 'qmpmux audit verify --he');
    await shows('qmpmux audit show --ki\tneg\t', 'qmpmux audit show --kind negotiated');
    await shows('qmpmux serve --log-f\tpre\t', 'qmpmux serve --log-format pretty');
    await shows('qmpmux ex\t--pre\t', 'qmpmux exec --pretty');
  });

  it('in zsh can be sourced', { skip: missing('zsh') }, () => {
    const script = `autoload -U compinit; compinit -u -D; ${completionScript('zsh', tree)}\nprint $_comps[qmpmux]`;
    const { stdout, stderr } = spawnSync('zsh', ['-f', '-c', script], { encoding: 'utf8' });
    assert.deepEqual({ stdout, stderr }, { stdout: '_qmpmux\n', stderr: '' });
  });

  it('is printed for a shell that it knows, and asked for one', async () => {
    const printed = await runQmpmux(['completion', 'bash']);
    assert.equal(printed.output, completionScript('bash', tree));
    for (const [words, complaint] of [
      [[], 'a shell is missing; name one of bash, zsh'],
      [['bsh'], 'did you mean "bash"?'],
      [['bash', 'zsh'], '"zsh" is unexpected'],
    ] as const) {
      const { code, errors } = await runQmpmux(['completion', ...words]);
      assert.equal(code, 64);
      assert.ok(errors.includes(complaint), errors);
    }
  });
});
