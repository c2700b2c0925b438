/**
 * The commands of the human monitor, as its own `help` lists them, and the possible next words of a line.
 *
 * A line of `help` is `name|alias [-flags] parameters -- what it does`, which may continue over further lines.
 */

import { nameEnd } from '../../hmp/line.js';
import { readHmpWord, skipBlanks } from '../../hmp/words.js';
import type { Candidate } from './completion.js';
import { isValueOf, type LiveSource, sourceOfWord } from './live-source.js';

interface HmpCommand {
  readonly names: readonly string[];
  readonly parameters: string;
  readonly summary: string;
}

/** `source` is set where only the VM knows the words. */
interface HmpCompletion {
  readonly from: number;
  readonly candidates: readonly Candidate[];
  readonly source: LiveSource | null;
}

export class HmpCommands {
  readonly commands: readonly HmpCommand[];
  readonly info: readonly HmpCommand[];

  /**
   * @param help the text of `help`
   * @param infoHelp the text of `help info`
   */
  constructor(help: string, infoHelp: string) {
    this.commands = readHelp(help);
    this.info = readHelp(infoHelp.replace(/^info /gm, ''));
  }

  /** The command, or subcommand of `info`, that these words begin with; and its words. */
  find(words: readonly string[]): { readonly command: HmpCommand; readonly rest: readonly string[] } | null {
    const [first, ...rest] = words;
    const command = named(this.commands, first);
    if (command === null) return null;
    const inner = first === 'info' ? named(this.info, rest[0]) : null;
    return inner === null ? { command, rest } : { command: inner, rest: rest.slice(1) };
  }

  /** @param cursor an offset into the line; text after it does not count */
  complete(line: string, cursor: number): HmpCompletion {
    const { words, from } = splitTyped(line.slice(0, cursor));
    if (from === null) return { from: cursor, candidates: [], source: null };
    const current = line.slice(from, cursor);
    const offer = (texts: readonly string[], source: LiveSource | null = null): HmpCompletion => ({
      from,
      candidates: [...new Set(texts)]
        .filter((text) => text.startsWith(current))
        .sort()
        .map((text) => ({ text, goesOn: false })),
      source,
    });
    const [first] = words;
    if (first === undefined) return offer(allNames(this.commands));
    if (first === 'help' || first === '?') {
      return words[1] === 'info'
        ? offer(allNames(this.info))
        : offer(words.length === 1 ? allNames(this.commands) : []);
    }
    if (first === 'info' && words.length === 1) return offer(allNames(this.info));
    const found = this.find(words);
    if (found === null) return offer([]);
    const { command, rest } = found;
    if (current.startsWith('-')) return offer(flagsOf(command));
    const given = rest.filter((word) => !word.startsWith('-'));
    const parameter = parametersOf(command)[given.length] ?? '';
    const name = first === 'info' ? `info ${command.names[0] ?? ''}` : (command.names[0] ?? '');
    const source = sourceOfWord(name, parameter, given);
    return offer(wordsOf(parameter), source !== null && isValueOf(parameter) ? source : null);
  }
}

/**
 * Splits the text before the cursor as QEMU splits it.
 * @returns the words before the last, and where that one begins; null where it is in quotes
 */
function splitTyped(typed: string): { readonly words: readonly string[]; readonly from: number | null } {
  const words: string[] = [];
  for (let at = 0; ; ) {
    const start = skipBlanks(typed, at);
    // A verb, or a topic of `info`, ends at a slash too.
    const isName = words.length === 0 || (words.length === 1 && words[0] === 'info');
    const word = isName ? null : readHmpWord(typed, start);
    if (!isName && word === null) return { words, from: start < typed.length ? null : start };
    const end = word === null ? nameEnd(typed, start) : word.end;
    if (end === typed.length && typed[start] !== '"') return { words, from: start };
    words.push(word === null ? typed.slice(start, end) : word.text);
    at = end;
  }
}

function named(commands: readonly HmpCommand[], name: string | undefined): HmpCommand | null {
  return commands.find(({ names }) => name !== undefined && names.includes(name)) ?? null;
}

function allNames(commands: readonly HmpCommand[]): string[] {
  return commands.flatMap(({ names }) => names);
}

function readHelp(text: string): HmpCommand[] {
  // A line that begins with a blank or a bracket continues the line before.
  const entries = text
    .replace(/\r/g, '')
    .replace(/\n(?=[\s[])/g, ' ')
    .split('\n');
  return entries.flatMap((entry) => {
    const match = /^([A-Za-z?][\w?|-]*)(?: (.*?))? ?-- (.*)$/.exec(entry);
    if (match === null) return [];
    const [, names = '', parameters = '', summary = ''] = match;
    return [{ names: names.split('|'), parameters: parameters.trim(), summary: summary.trim().replace(/\s+/g, ' ') }];
  });
}

function flagsOf({ parameters }: HmpCommand): string[] {
  return [...parameters.matchAll(/(?<![\w-])-[A-Za-z]\b/g)].map(([flag]) => flag);
}

/** Positional ones, without their brackets: `device`, `on|off`. */
function parametersOf({ names, parameters }: HmpCommand): string[] {
  return parameters
    .split(/\s+/)
    .map((word) => word.replace(/^[[<]+|[\]>]+$/g, ''))
    .filter((word) => word !== '' && !/^-\w(?:\||$)/.test(word) && !names.includes(word));
}

/** The words that a parameter names: `on|off`. Names of things (`device|all`) are not among them, but the others are. */
function wordsOf(parameter: string): string[] {
  return /^[\w-]+(?:\|[\w-]+)+$/.test(parameter) ? parameter.split('|').filter((word) => !isValueOf(word)) : [];
}
