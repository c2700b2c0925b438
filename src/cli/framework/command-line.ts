/**
 * The words of a command line, read without yargs, whose loading takes longer than most commands run. Node's own parser reads what
 * is in order; anything else (help, a mistake) is left to yargs, which has the words for it.
 */
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { SCHEMES } from '../../net/address/address-words.js';
import type { OptionTable, Subcommand } from './subcommand.js';

/** What QMPMUX_SOCKET says; null when it is not set, or empty. */
export const DEFAULT_ADDRESS: string | null = process.env['QMPMUX_SOCKET'] || null;

/** Whether a word is an address beyond doubt, so that it can be told from a monitor's command. */
export function isAddress(word: string): boolean {
  if (/^\.{0,2}\//.test(word)) return true;
  const scheme = /^([A-Za-z][\w-]*):/.exec(word)?.[1];
  return scheme !== undefined && SCHEMES.has(scheme.toLowerCase());
}

type Flag = string | boolean | number | (string | boolean)[];

/** A command line in order. An option that was not given is not in `flags`. */
export interface PlainWords {
  readonly flags: Readonly<Record<string, Flag | undefined>>;
  readonly operands: readonly string[];
}

type ParserOptions = NonNullable<ParseArgsConfig['options']>;

function parserOptions(table: OptionTable): ParserOptions {
  const options: ParserOptions = {};
  for (const [name, { type, array, alias }] of Object.entries(table)) {
    options[name] = {
      type: type === 'boolean' ? 'boolean' : 'string',
      multiple: array === true,
      ...(typeof alias === 'string' && alias.length === 1 ? { short: alias } : {}),
    };
  }
  return options;
}

/** @returns null when it is not in order as far as can be told here. */
export function readWords(command: Subcommand, words: readonly string[]): PlainWords | null {
  try {
    const { values, positionals, tokens } = parseArgs({
      args: [...words],
      options: parserOptions(command.options),
      allowPositionals: (command.operands ?? 'none') !== 'none',
      tokens: true,
    });
    const given = tokens.filter(({ kind }) => kind === 'option').map((token) => ('name' in token ? token.name : ''));
    const flags: Record<string, Flag | undefined> = { ...values };
    for (const [name, option] of Object.entries(command.options)) {
      if (option.array !== true && given.indexOf(name) !== given.lastIndexOf(name)) return null;
      const value = flags[name] ?? option.default;
      if (value === undefined) continue;
      flags[name] = option.type === 'number' ? Number(value) : value;
      if (Number.isNaN(flags[name])) return null;
    }
    return { flags, operands: positionals };
  } catch {
    return null;
  }
}

/**
 * Marks, by `--`, where a monitor's command begins whose words are not ours to read, though they look like options.
 * @param hasDefault whether the address may be missing
 */
export function protectCommand(command: Subcommand, words: readonly string[], hasDefault: boolean): readonly string[] {
  if (command.operands !== 'command') return words;
  const { tokens } = parseArgs({
    args: [...words],
    options: parserOptions(command.options),
    allowPositionals: true,
    strict: false,
    tokens: true,
  });
  const [first, second] = tokens.filter((token) => token.kind === 'positional');
  const start = first !== undefined && hasDefault && !isAddress(first.value) ? first : second;
  const terminator = tokens.find(({ kind }) => kind === 'option-terminator');
  if (start === undefined || (terminator !== undefined && terminator.index < start.index)) return words;
  return [...words.slice(0, start.index), '--', ...words.slice(start.index)];
}
