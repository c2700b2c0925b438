/** Help, laid out by yargs but for examples and notes: in its columns a long example breaks, and cannot be pasted. Loaded for help alone. */
import yargs from 'yargs';
import type { Group } from './command-tree.js';
import { COMMON_OPTIONS, type Subcommand } from './subcommand.js';

/** Columns, where the terminal has more, and where there is none. */
const WIDEST = 100;
const USUAL = 80;

/** @param summary with a small letter and no stop @returns the help of a subcommand */
export async function commandHelp(summary: string, command: Subcommand): Promise<string> {
  const examples = command.examples.map(([line, what]) => `  ${what}:\n    ${line.replaceAll('$0', 'qmpmux')}`);
  const table = await layOut('qmpmux', `${command.usage}\n\n${sentence(summary)}`, [], command.options);
  const notes = command.notes.split('\n').map((note) => filled(note, '  ', '    '));
  return [table, ['Examples:', ...examples].join('\n'), ['Notes:', ...notes].join('\n')].join('\n\n');
}

/** @param name of a group, or empty for the program @returns its help, which lists its commands */
export async function groupHelp(name: string, { summary, commands }: Group): Promise<string> {
  const rows = Object.entries(commands).map(([word, entry]) => [word, entry.summary] as const);
  const self = name === '' ? 'qmpmux' : `qmpmux ${name}`;
  const table = await layOut(self, `COMMAND\n\n${sentence(summary)}`, rows, {});
  return `${table}\n\n${filled(`\`${self} COMMAND --help\` lists the options of a command, with examples.`)}`;
}

function layOut(
  self: string,
  usage: string,
  commands: readonly (readonly [name: string, summary: string])[],
  options: Subcommand['options'],
): Promise<string> {
  const page = yargs([]).scriptName(self).usage(`Usage: $0 ${usage}`).locale('en').help(false).version(false);
  for (const [name, summary] of commands) page.command(name, summary);
  // Its type would be shown after each option, which the text says better.
  for (const [name, { alias, describe }] of Object.entries({ ...options, ...COMMON_OPTIONS })) {
    page.option(name, { ...(alias === undefined ? {} : { alias }), ...(describe === undefined ? {} : { describe }) });
  }
  return page.wrap(columns()).getHelp();
}

function columns(): number {
  return Math.min(WIDEST, process.stdout.columns ?? USUAL);
}

/** @returns a paragraph in lines as long as the terminal has columns; only a word that is longer makes a longer one */
function filled(text: string, first = '', others = ''): string {
  const lines: string[] = [];
  let line = first;
  for (const word of text.split(' ')) {
    const longer = line.trim() === '' ? `${line}${word}` : `${line} ${word}`;
    if (longer.length <= columns() || line.trim() === '') line = longer;
    else {
      lines.push(line);
      line = `${others}${word}`;
    }
  }
  return [...lines, line].join('\n');
}

function sentence(summary: string): string {
  return `${summary.charAt(0).toUpperCase()}${summary.slice(1)}.`;
}
