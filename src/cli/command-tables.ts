/** The tables of commands and options in README.md and docs/reference/commands.md. */
import { type CommandTree, optionsOf } from './command-tree.js';

const BEGIN = '<!-- commands: made by packaging/manual.mjs -->\n';
const END = '<!-- end of commands -->\n';

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('<', '&lt;').replaceAll(/\s+/g, ' ');
}

/** @returns the README with the table of commands as it should be; the same text where it is already */
export function readmeWithCommands(readme: string, { leaves }: CommandTree): string {
  const from = readme.indexOf(BEGIN);
  const to = readme.indexOf(END);
  if (from < 0 || to < from) throw new Error('README.md has no place for the table of commands');
  const rows = leaves.map(({ name, summary }) => `| \`qmpmux ${name}\` | ${cell(summary)} |\n`);
  const table = `| command | what it does |\n| --- | --- |\n${rows.join('')}`;
  return `${readme.slice(0, from)}${BEGIN}\n${table}\n${readme.slice(to)}`;
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
  return `# Commands\n\n${intro}\n\n${sections.join('\n')}`;
}
