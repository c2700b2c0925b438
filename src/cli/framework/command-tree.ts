/** The tree of subcommands: where a command line leads in it, and all of it loaded, which manual pages and completion scripts are made of. */
import { suggestion } from '../../shared/spelling.js';
import { type Subcommand, UsageError } from './subcommand.js';

/** A subcommand that is not loaded yet. */
export interface Entry {
  /** In the words of the help, with a small letter and no stop. */
  readonly summary: string;
  readonly load: () => Promise<Subcommand>;
}

/** Subcommands of one subject: `qmpmux audit show …`. */
export interface Group {
  readonly summary: string;
  readonly commands: Readonly<Record<string, Entry | Group>>;
}

/** Where a command line leads: to a subcommand, or to a group of them. */
export interface Place<Found extends Entry | Group> {
  /** The words that name it: `audit show`; empty for the root. */
  readonly name: string;
  readonly found: Found;
  /** All other words, in their order. */
  readonly rest: readonly string[];
}

/** @returns the place to which the words lead. @throws UsageError where a word that should name a command does not */
export function findCommand(root: Group, words: readonly string[]): Place<Entry | Group> {
  const names: string[] = [];
  let found: Entry | Group = root;
  let rest = words;
  while ('commands' in found) {
    const at = rest.findIndex((word) => !word.startsWith('-'));
    const word = rest[at];
    if (word === undefined) break;
    const next: Entry | Group | undefined = Object.hasOwn(found.commands, word) ? found.commands[word] : undefined;
    if (next === undefined) throw new UsageError(describeUnknown(word, Object.keys(found.commands)));
    names.push(word);
    found = next;
    rest = rest.toSpliced(at, 1);
  }
  return { name: names.join(' '), found, rest };
}

function describeUnknown(word: string, known: readonly string[]): string {
  return `unknown command ${JSON.stringify(word)}${suggestion(word, known) || ` (known: ${known.join(', ')})`}`;
}

export interface CommandLeaf {
  /** `audit show`. */
  readonly name: string;
  readonly summary: string;
  readonly command: Subcommand;
}

export interface CommandTree {
  /** In the order of the help. */
  readonly leaves: readonly CommandLeaf[];
  /** Groups by their names, without the root. */
  readonly groups: readonly { readonly name: string; readonly summary: string }[];
}

export async function loadTree(root: Group): Promise<CommandTree> {
  const leaves: CommandLeaf[] = [];
  const groups: { name: string; summary: string }[] = [];
  const load = async (prefix: string, { commands }: Group): Promise<void> => {
    for (const [word, entry] of Object.entries(commands)) {
      const name = `${prefix}${word}`;
      if ('load' in entry) leaves.push({ name, summary: entry.summary, command: await entry.load() });
      else {
        groups.push({ name, summary: entry.summary });
        await load(`${name} `, entry);
      }
    }
  };
  await load('', root);
  return { leaves, groups };
}
