/** docs/reference/commands.md: a table of the commands, and a section for each with its options and examples. */
import type { CommandTree } from '../../dist/cli/framework/command-tree.js';
import { optionsOf } from '../../dist/cli/framework/subcommand.js';

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('<', '&lt;').replaceAll(/\s+/g, ' ');
}

/** @returns docs/reference/commands.md */
export function commandsDocument({ leaves }: CommandTree): string {
  const sections = leaves.map(({ name, summary, command }) => {
    const usage = command.usage.split(/\n\s*or: \$0 /).map((line) => `    qmpmux ${line}\n`);
    const options = optionsOf(command).map(({ spellings, value, what }) => {
      const spelt = spellings.map((spelling) => `\`${spelling}${value === null ? '' : ` ${value}`}\``).join(', ');
      return `| ${spelt} | ${cell(what)} |\n`;
    });
    const examples = command.examples.map(([line, what]) => `    # ${what}\n    ${line.replaceAll('$0', 'qmpmux')}\n`);
    return (
      `## qmpmux ${name}\n\n${summary.charAt(0).toUpperCase()}${summary.slice(1)}.\n\n${usage.join('')}\n` +
      `| option | what |\n| --- | --- |\n${options.join('')}\n${examples.join('')}`
    );
  });
  const intro = 'As `qmpmux COMMAND --help` and the manual pages say it. Made by `node packaging/manual.mjs --docs`.';
  const codes =
    'Exit codes are those of sysexits: 64 wrong command line, 69 no server, 74 output cannot be written, 78 wrong config.\n' +
    'The `--help` of each command lists its own.';
  const rows = leaves.map(({ name, summary }) => {
    const anchor = `qmpmux-${name.replaceAll(' ', '-')}`;
    return `| [\`qmpmux ${name}\`](#${anchor}) | ${cell(summary)} |\n`;
  });
  const table = `| command | what it does |\n| --- | --- |\n${rows.join('')}`;
  return `# Commands\n\n${intro}\n\n${codes}\n\n${table}\n${sections.join('\n')}`;
}
