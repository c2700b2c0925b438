/**
 * Writes the manual pages (man/), the completion scripts (completions/), docs/reference/commands.md and the tables in
 * docs/reference/config.md, all made from the same source as the help. The build runs it for the first two;
 * `node packaging/manual.mjs --docs` for all.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { commandsDocument } from '../build/manual/command-tables.js';
import { manualPages } from '../build/manual/manual-pages.js';
import { configDocument } from '../build/manual/option-tables.js';
import { completionScript } from '../dist/cli/commands/completion-scripts.js';
import { loadCommands } from '../dist/cli/subcommands.js';

const ROOT = resolve(fileURLToPath(import.meta.url), '../..');
const tree = await loadCommands();

function write(folder, files) {
  rmSync(join(ROOT, folder), { recursive: true, force: true });
  mkdirSync(join(ROOT, folder));
  for (const [name, text] of files) writeFileSync(join(ROOT, folder, name), text);
}

const CONFIG = join(ROOT, 'docs/reference/config.md');
if (process.argv.includes('--docs')) {
  writeFileSync(join(ROOT, 'docs/reference/commands.md'), commandsDocument(tree));
  writeFileSync(CONFIG, configDocument(readFileSync(CONFIG, 'utf8')));
}
write('man', manualPages(tree, readFileSync(CONFIG, 'utf8')));
write('completions', [
  ['qmpmux.bash', completionScript('bash', tree)],
  ['_qmpmux', completionScript('zsh', tree)],
]);
