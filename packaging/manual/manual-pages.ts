/** The manual pages, in roff, made from the same source as the help: qmpmux(1) and one for each subcommand. */

import type { CommandLeaf, CommandTree } from '../../dist/cli/framework/command-tree.js';
import { optionsOf } from '../../dist/cli/framework/subcommand.js';
import { packageVersion } from '../../dist/system/version.js';

/** @returns text in which nothing is a request or an escape of roff's */
export function roff(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll(/^(?=[.'])/gm, '\\&');
}

function header(page: string, section: number): string {
  return `.TH ${page.toUpperCase().replaceAll('-', '\\-')} ${section} "" "qmpmux ${packageVersion()}" "qmpmux"`;
}

function pageName(name: string): string {
  return `qmpmux-${name.replace(' ', '-')}`;
}

/** A command line, unchanged and set off. */
function verbatim(lines: readonly string[]): string[] {
  return ['.PP', '.RS 4', '.nf', ...lines.map(roff), '.fi', '.RE'];
}

function seeAlso(pages: readonly string[]): string[] {
  return ['.SH SEE ALSO', pages.map((page) => roff(page).replace(/^(.*)(\(\d\))$/, '\\fB$1\\fR$2')).join(', ')];
}

function commandPage({ name, summary, command }: CommandLeaf): string {
  const page = pageName(name);
  const usages = command.usage.split(/\n\s*or: \$0 /);
  const lines = [header(page, 1), '.SH NAME', `${roff(page)} \\- ${roff(summary)}`, '.SH SYNOPSIS'];
  for (const [index, usage] of usages.entries()) {
    if (index > 0) lines.push('.br');
    lines.push(`\\fBqmpmux\\fR ${roff(usage)}`);
  }
  lines.push('.SH OPTIONS');
  for (const { spellings, value, what } of optionsOf(command)) {
    const spelt = spellings.map((spelling) => `\\fB${roff(spelling)}\\fR`).join(', ');
    lines.push('.TP', value === null ? spelt : `${spelt} \\fI${value}\\fR`, roff(what));
  }
  lines.push('.SH EXAMPLES');
  for (const [line, what] of command.examples) {
    lines.push('.PP', `${roff(what)}:`, ...verbatim([line.replaceAll('$0', 'qmpmux')]));
  }
  if (command.notes !== '') {
    lines.push('.SH NOTES');
    for (const [index, note] of command.notes.split('\n').entries()) {
      if (index > 0) lines.push('.br');
      lines.push(note === '' ? '.PP' : roff(note));
    }
  }
  lines.push(...seeAlso(['qmpmux(1)', 'qmpmux.toml(5)']));
  return `${tidy(lines).join('\n')}\n`;
}

const ABOUT = [
  'qmpmux owns the one QMP (QEMU Machine Protocol) socket of a virtual machine and serves any number of clients on new sockets, each',
  'of which behaves, byte for byte, like QEMU\'s own: "qmpmux serve". The other commands are clients of such a socket, or of any QMP socket.',
];

const ADDRESSES = [
  ['PATH, unix:PATH', 'a unix socket; when listening also with mode=, user=, group='],
  ['tcp:HOST:PORT', 'TCP; put an IPv6 address in brackets'],
  ['exec:COMMAND', 'upstream only: the standard input and output of a command'],
  ['libvirt:DOMAIN', "upstream only: a VM of libvirt's"],
  ['fd:NAME', 'listeners only: an inherited socket'],
] as const;

const ENVIRONMENT = [
  ['QMPMUX_SOCKET', 'the default ADDRESS of commands'],
  ['NO_COLOR', 'when set, turns colours off'],
] as const;

const EXITS = [
  ['0', 'success'],
  ['1', 'QEMU answered with an error, or a check failed'],
  ['64', 'the command line is wrong'],
  ['66', 'a file cannot be read'],
  ['69', 'no answer, or a socket cannot be created'],
  ['70', 'an internal error of qmpmux'],
  ['78', 'the config file is wrong'],
] as const;

function terms(entries: readonly (readonly [string, string])[]): string[] {
  return entries.flatMap(([term, what]) => ['.TP', `\\fB${roff(term)}\\fR`, roff(what)]);
}

function mainPage({ leaves }: CommandTree): string {
  return `${[
    header('qmpmux', 1),
    '.SH NAME',
    'qmpmux \\- share the one QMP monitor of a QEMU virtual machine among many clients',
    '.SH SYNOPSIS',
    '\\fBqmpmux\\fR \\fICOMMAND\\fR [\\fIOPTIONS\\fR] \\fI…\\fR',
    '.SH DESCRIPTION',
    ...ABOUT.map(roff),
    '.SH COMMANDS',
    ...terms(leaves.map(({ name, summary }) => [name, summary])),
    '.SH ADDRESSES',
    ...terms(ADDRESSES),
    '.SH ENVIRONMENT',
    ...terms(ENVIRONMENT),
    '.SH EXIT STATUS',
    ...terms(EXITS),
    ...seeAlso([...leaves.map(({ name }) => `${pageName(name)}(1)`), 'qmpmux.toml(5)', 'qemu(1)']),
  ].join('\n')}\n`;
}

/** @returns the pages by their file names. @param config docs/reference/config.md, which becomes qmpmux.toml(5) */
export function manualPages(tree: CommandTree, config: string): Map<string, string> {
  const pages = new Map([['qmpmux.1', mainPage(tree)]]);
  for (const leaf of tree.leaves) pages.set(`${pageName(leaf.name)}.1`, commandPage(leaf));
  pages.set('qmpmux.toml.5', configPage(config));
  return pages;
}

function configPage(markdown: string): string {
  const name = 'qmpmux.toml \\- config file of qmpmux';
  return `${[header('qmpmux.toml', 5), '.SH NAME', name, ...fromMarkdown(markdown), ...seeAlso(['qmpmux(1)', 'qmpmux-serve(1)'])].join('\n')}\n`;
}

/** The Markdown of the documentation: headings, paragraphs, lists, tables, blocks of code. */
function fromMarkdown(markdown: string): string[] {
  const out: string[] = [];
  let isCode = false;
  /** The heads of the table at hand; empty outside of one. */
  let heads: readonly string[] = [];
  for (const line of markdown.split('\n')) {
    if (line.startsWith('```')) {
      isCode = !isCode;
      out.push(...(isCode ? ['.PP', '.RS 4', '.nf'] : ['.fi', '.RE']));
    } else if (isCode) out.push(roff(line));
    else if (line.startsWith('# ')) out.push('.SH DESCRIPTION');
    else if (/^##+ /.test(line)) out.push(`.SH ${inline(line.replace(/^#+ /, '')).toUpperCase()}`);
    else if (line.startsWith('|')) {
      const cells = line
        .replaceAll('\\|', '¦')
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim().replaceAll('¦', '|'));
      // The first row is a header, the second a rule.
      if (heads.length === 0) heads = cells;
      else if (!/^-+$/.test(cells[0] ?? '')) out.push('.TP', inline(cells[0] ?? ''), inline(describeRow(heads, cells)));
      continue;
    } else if (line.startsWith('<!--')) continue;
    else if (line.startsWith('- ')) out.push('.IP \\(bu 2', inline(line.slice(2)));
    else if (/^ {4}/.test(line)) out.push('.PP', '.RS 4', '.nf', roff(line.slice(4)), '.fi', '.RE');
    else if (line.trim() === '') out.push(...(out.at(-1) === '.PP' ? [] : ['.PP']));
    else out.push(inline(line.trim()));
    heads = [];
  }
  return tidy(out);
}

/** Describes the first cell of a row: the second cell, then the others that are not empty, each with its head. */
function describeRow(heads: readonly string[], [, what = '', ...others]: readonly string[]): string {
  const more = others.map((text, at) => (text === '' ? '' : `${heads[at + 2] ?? ''}: ${text}`));
  return [what, ...more.filter((text) => text !== '')].join('; ');
}

/** A paragraph begins once, and never where something else does. */
function tidy(lines: readonly string[]): string[] {
  const kept: string[] = [];
  for (const [index, line] of lines.entries()) {
    const isBegun = kept.at(-1)?.startsWith('.SH') === true || kept.at(-1) === '.PP';
    const next = lines[index + 1];
    if (line === '.PP' && (isBegun || next === undefined || /^\.(SH|IP|TP)/.test(next))) continue;
    kept.push(line);
  }
  return kept;
}

function inline(text: string): string {
  return roff(text.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1'))
    .replaceAll(/`` ?(.*?) ?``/g, '\\fB$1\\fR')
    .replaceAll(/`([^`]*)`/g, '\\fB$1\\fR')
    .replaceAll(/\*\*([^*]*)\*\*/g, '\\fB$1\\fR');
}
