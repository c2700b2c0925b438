/** All that can be typed behind `qmpmux`, loaded: what manual pages, completion scripts and tables of options are made of. */

import { SUBCOMMANDS } from '../subcommands.js';
import type { OptionTable, Subcommand } from './subcommand.js';

export interface CommandLeaf {
  /** `audit show`. */
  readonly name: string;
  readonly summary: string;
  readonly command: Subcommand;
}

/** Subcommands of one subject. */
export interface CommandGroup {
  readonly name: string;
  readonly summary: string;
}

export interface CommandTree {
  /** In the order of the help. */
  readonly leaves: readonly CommandLeaf[];
  readonly groups: readonly CommandGroup[];
}

export async function loadCommands(): Promise<CommandTree> {
  const leaves: CommandLeaf[] = [];
  const groups: CommandGroup[] = [];
  for (const [name, entry] of Object.entries(SUBCOMMANDS)) {
    if ('load' in entry) {
      leaves.push({ name, summary: entry.summary, command: await entry.load() });
      continue;
    }
    groups.push({ name, summary: entry.summary });
    for (const [inner, { summary, load }] of Object.entries(entry.commands)) {
      leaves.push({ name: `${name} ${inner}`, summary, command: await load() });
    }
  }
  return { leaves, groups };
}

/** What every subcommand takes. */
export const COMMON_OPTIONS: OptionTable = {
  help: { type: 'boolean', alias: 'h', describe: 'show help' },
  version: { type: 'boolean', describe: 'show the version' },
};

/** An option as it is typed: `-H`, `--pretty`, and `VALUE` where it takes one. */
export interface OptionText {
  readonly spellings: readonly string[];
  readonly value: 'VALUE' | 'N' | null;
  readonly what: string;
  readonly values: readonly string[];
}

export function optionsOf({ options, values }: Subcommand): OptionText[] {
  return Object.entries({ ...options, ...COMMON_OPTIONS }).map(([name, option]) => {
    const aliases = typeof option.alias === 'string' ? [option.alias] : [];
    return {
      spellings: [...aliases, name].map((word) => (word.length === 1 ? `-${word}` : `--${word}`)),
      value: option.type === 'boolean' ? null : option.type === 'number' ? 'N' : 'VALUE',
      what: option.describe ?? '',
      values: values?.[name] ?? [],
    };
  });
}
