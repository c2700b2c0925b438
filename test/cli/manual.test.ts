/** docs/reference/commands.md, the manual pages and --help are made of one table, and are in step with it. */
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { commandsDocument } from '../../build/manual/command-tables.js';
import { manualPages, roff } from '../../build/manual/manual-pages.js';
import { configDocument, optionTableNames } from '../../build/manual/option-tables.js';
import type { CommandTree } from '../../dist/cli/framework/command-tree.js';
import { optionsOf } from '../../dist/cli/framework/subcommand.js';
import { loadCommands } from '../../dist/cli/subcommands.js';
import { missing } from '../support/daemon/programs.js';
import { scratch } from '../support/files/scratch.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const program = join(root, 'bin/qmpmux.js');
const read = (file: string) => readFileSync(join(root, file), 'utf8');
const run = promisify(execFile);
const HOW = 'node packaging/manual.mjs --docs brings it up to date';

describe('the manual', () => {
  let tree: CommandTree;
  let pages: Map<string, string>;
  before(async () => {
    tree = await loadCommands();
    pages = manualPages(tree, read('docs/reference/config.md'));
  });

  it('has all commands in docs/reference/commands.md as they are', () => {
    assert.equal(commandsDocument(tree), read('docs/reference/commands.md'), HOW);
  });

  it('has all options in docs/reference/config.md as they are', () => {
    const page = read('docs/reference/config.md');
    assert.equal(configDocument(page), page, HOW);
    for (const name of optionTableNames()) assert.ok(page.includes(`<!-- table: ${name} -->`), name);
  });

  it('has a page for each command, with all of its options and examples', () => {
    for (const { name, command } of tree.leaves) {
      const page = pages.get(`qmpmux-${name.replace(' ', '-')}.1`) ?? '';
      for (const { spellings } of optionsOf(command)) {
        for (const spelling of spellings) assert.ok(page.includes(`\\fB${roff(spelling)}\\fR`), `${name} ${spelling}`);
      }
      assert.ok(command.examples.length > 0, `${name} has examples`);
      for (const [line] of command.examples) assert.ok(page.includes(roff(line.replaceAll('$0', 'qmpmux'))), line);
      assert.ok(pages.get('qmpmux.1')?.includes(`\\fB${roff(name)}\\fR`), name);
    }
  });

  it('is written by the build as it is', () => {
    for (const [name, page] of pages) assert.equal(read(join('man', name)), page, `${name}: npm run build`);
  });

  it('has the text of --help', async () => {
    const squeezed = (text: string) => text.replaceAll(/\s+/g, '');
    await Promise.all(
      tree.leaves.map(async ({ name, command, summary }) => {
        const { stdout } = await run(process.execPath, [program, ...name.split(' '), '--help']);
        const help = squeezed(stdout);
        for (const { spellings, what } of optionsOf(command)) {
          if (spellings.includes('--help') || spellings.includes('--version')) continue;
          for (const text of [...spellings, what]) assert.ok(help.includes(squeezed(text)), `${name}: ${text}`);
        }
        for (const [line] of command.examples) {
          // In one piece, so that it can be pasted.
          assert.ok(stdout.includes(`\n    ${line.replaceAll('$0', 'qmpmux')}\n`), line);
        }
        for (const note of command.notes.split('\n')) {
          assert.ok(help.includes(squeezed(note)), note);
          // A paragraph: no sentence begins in one and ends in the next.
          assert.match(note, /^[^a-z]/, name);
          const [beginning = ''] = /^.{1,20}(?= )/.exec(note) ?? [];
          assert.ok(stdout.includes(`\n  ${beginning}`), note);
        }
        assert.ok(help.toLowerCase().includes(squeezed(summary).toLowerCase()), summary);
      }),
    );
  });

  it('is good roff', { skip: missing('mandoc', 'man') }, (t) => {
    const folder = scratch(t);
    for (const [name, page] of pages) {
      const file = join(folder, name);
      writeFileSync(file, page);
      const lint = spawnSync('mandoc', ['-T', 'lint', '-W', 'warning', file], { encoding: 'utf8' });
      // There is none: the same sources make the same page.
      assert.deepEqual(
        lint.stdout.split('\n').filter((line) => line !== '' && !line.includes('missing date')),
        [],
      );
      const man = spawnSync('man', ['--warnings', '-l', file], {
        encoding: 'utf8',
        env: { ...process.env, LC_ALL: 'C.UTF-8' },
      });
      assert.equal(man.status, 0, man.stderr);
      assert.equal(man.stderr.replaceAll(/^.*cannot (?:adjust|break) line.*\n/gm, ''), '', name);
      assert.match(man.stdout, /NAME/);
    }
  });
});
