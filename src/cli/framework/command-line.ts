/**
 * The one reader of command lines, by the parser that yargs is built on. yargs itself takes longer to load than most commands run, so it is
 * loaded for help alone (help.ts). Nothing is guessed: a word stays the text that was typed, an option has the one name it is given, and
 * words that the parser would ignore are errors here.
 */
import Parser from 'yargs-parser';
import { SCHEMES } from '../../net/address/address-words.js';
import { nearest } from '../../shared/spelling.js';
import { COMMON_OPTIONS, type OptionTable, type Subcommand, UsageError } from './subcommand.js';

/** The value of QMPMUX_SOCKET; null when it is not set, or empty. */
export const DEFAULT_ADDRESS: string | null = process.env['QMPMUX_SOCKET'] || null;

/** Whether a word is an address beyond doubt, so that it differs from a monitor's command. */
export function isAddress(word: string): boolean {
  if (/^\.{0,2}\//.test(word)) return true;
  const scheme = /^([A-Za-z][\w-]*):/.exec(word)?.[1];
  return scheme !== undefined && SCHEMES.has(scheme.toLowerCase());
}

type Flag = string | boolean | number | readonly string[];

/** The request of a command line. An option that was not given, and has no default, is not in `flags`. */
export type CommandLine =
  | { readonly kind: 'help' }
  | { readonly kind: 'version' }
  | {
      readonly kind: 'run';
      readonly flags: Readonly<Record<string, Flag | undefined>>;
      readonly operands: readonly string[];
    };

/**
 * @param words those after the command's name
 * @param hasDefault whether the address among the operands may be missing
 * @throws UsageError
 */
export function readCommandLine(
  command: Pick<Subcommand, 'options' | 'operands'>,
  words: readonly string[],
  hasDefault: boolean = DEFAULT_ADDRESS !== null,
): CommandLine {
  const table = { ...command.options, ...COMMON_OPTIONS };
  const { options, operands, wrong } =
    command.operands === 'command' ? parseWithCommand(table, words, hasDefault) : parse(table, words, false);
  if (options.has('help') && wrong !== 'help') return { kind: 'help' };
  if (options.has('version') && wrong !== 'version') return { kind: 'version' };
  if (wrong !== null)
    throw new UsageError(`--${wrong} ${table[wrong]?.type === 'boolean' ? 'takes no' : 'needs a'} value`);
  const flags: Record<string, Flag | undefined> = {};
  for (const [name, values] of options) {
    const option = Object.hasOwn(table, name) ? table[name] : undefined;
    if (option === undefined) throw new UsageError(describeUnknown(name, words, Object.keys(table)));
    if (option.type === 'boolean') flags[name] = true;
    else if (option.array === true) flags[name] = values;
    else if (values.length > 1) throw new UsageError(`--${name} is given more than once`);
    else flags[name] = option.type === 'number' ? toNumber(name, values[0] ?? '') : values[0];
  }
  for (const [name, option] of Object.entries(command.options)) {
    if (option.default !== undefined) flags[name] ??= option.default;
  }
  const [unexpected] = operands;
  if (unexpected !== undefined && (command.operands ?? 'none') === 'none') {
    throw new UsageError(`${JSON.stringify(unexpected)} is unexpected here; an option's value follows its name`);
  }
  return { kind: 'run', flags, operands };
}

interface Parsed {
  /** The values given for each option, known or not, by the first of its names; none for options without a value. */
  readonly options: ReadonlyMap<string, readonly string[]>;
  readonly operands: readonly string[];
  /** An option that has no value and needs one, or has one and takes none. */
  readonly wrong: string | null;
}

/** @param endsAtOperand whether all words from the first operand on are operands, though they look like options */
function parse(table: OptionTable, words: readonly string[], endsAtOperand: boolean): Parsed {
  const entries = Object.entries(table);
  const flags = entries.filter(([, { type }]) => type === 'boolean').map(([name]) => name);
  const wrong: string[] = [];
  const settings = {
    alias: Object.fromEntries(
      entries.flatMap(([name, { alias }]) => (typeof alias === 'string' ? [[name, alias]] : [])),
    ),
    boolean: flags,
    string: entries.map(([name]) => name).filter((name) => !flags.includes(name)),
    // None of a flag: `--flag true` would be one word, and `--flag=no` a flag that is not given.
    narg: Object.fromEntries(entries.map(([name]) => [name, flags.includes(name) ? 0 : 1])),
    configuration: {
      'boolean-negation': false,
      'camel-case-expansion': false,
      'dot-notation': false,
      'halt-at-non-option': endsAtOperand,
      'parse-numbers': false,
      'parse-positional-numbers': false,
      'strip-aliased': true,
    },
    // The parser has its complaints translated, each of which is about an option's number of values.
    __: (_complaint: string, name: string) => {
      wrong.push(name);
      return '';
    },
  };
  const { _: operands, ...given } = Parser(separated(table, words, endsAtOperand), settings);
  const options = Object.entries(given).map(([name, value]) => [name, [value].flat().map(String)] as const);
  const [first] = wrong;
  return {
    options: new Map(options),
    operands: operands.map(String),
    wrong: first === undefined ? null : (entries.find(([, { alias }]) => alias === first)?.[0] ?? first),
  };
}

/**
 * What the parser reads in other ways than people write it: `-lFILE` as five options, and `-1` as an operand.
 * @returns the words, with an option of one letter whose value is glued to it as `--NAME=VALUE`
 * @throws UsageError for a number where only an option can be
 */
function separated(table: OptionTable, words: readonly string[], endsAtOperand: boolean): string[] {
  const withValue = (name: string) =>
    Object.entries(table).find(
      ([long, { alias, type }]) => type !== 'boolean' && (long === name || alias === name),
    )?.[0];
  const all: string[] = [];
  for (let at = 0; at < words.length; at++) {
    const word = words[at] ?? '';
    const isOption = word.startsWith('-') && word !== '-';
    if (word === '--' || (endsAtOperand && !isOption)) return [...all, ...words.slice(at)];
    const letter = word.startsWith('--') ? '' : word.slice(1, 2);
    if (isOption && /\d/.test(letter)) throw new UsageError(`unknown option ${word.slice(0, 20)}`);
    const long = isOption && letter !== '' && word.length > 2 && word[2] !== '=' ? withValue(letter) : undefined;
    all.push(long === undefined ? word : `--${long}=${word.slice(2)}`);
    // A number that follows may be the value.
    const name = word.startsWith('--') ? word.slice(2) : word.length === 2 ? letter : '';
    const next = words[at + 1];
    if (!isOption || next === undefined || withValue(name) === undefined || /^-(?!\d|$)/.test(next)) continue;
    all.push(next);
    at++;
  }
  return all;
}

/** Reads options before the monitor's command, on both sides of the address; the words of the command are not ours to read. */
function parseWithCommand(table: OptionTable, words: readonly string[], hasDefault: boolean): Parsed {
  const parsed = parse(table, words, true);
  const [first] = parsed.operands;
  if (first === undefined || (hasDefault && !isAddress(first))) return parsed;
  const behind = parse(table, words.toSpliced(words.length - parsed.operands.length, 1), true);
  return { ...behind, operands: [first, ...behind.operands] };
}

function toNumber(name: string, text: string): number {
  const number = Number(text);
  if (text.trim() === '' || Number.isNaN(number)) {
    throw new UsageError(`--${name}: a number is expected, not ${JSON.stringify(text)}`);
  }
  return number;
}

function describeUnknown(name: string, words: readonly string[], known: readonly string[]): string {
  if (name.length > 1) {
    const near = nearest(name, known);
    return `unknown option --${name}${near === null ? '' : `; did you mean --${near}?`}`;
  }
  const group = words.find((word) => /^-[^-]/.test(word) && word.includes(name));
  return `unknown option -${name}${group === undefined || group === `-${name}` ? '' : ` in ${group}`}`;
}
