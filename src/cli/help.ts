/**
 * The command line by yargs: help, versions, and what is said to mistakes. Loaded only for these: loading yargs takes longer than
 * Node's own start.
 */
import yargs, { type Argv } from 'yargs';
import { nearest, suggestion } from '../shared/spelling.js';
import { packageVersion } from '../system/version.js';
import { EXIT } from './framework/exit-code.js';
import { type Subcommand, UsageError } from './framework/subcommand.js';
import { type Entry, SUBCOMMANDS } from './subcommands.js';

/**
 * Reads the words with yargs, and does what they say: prints help, or runs a subcommand.
 * @param loaded the subcommand of these words; null when they name none
 * @returns the exit code. @throws UsageError
 */
export async function runWithYargs(words: readonly string[], loaded: Subcommand | null): Promise<number> {
  let code: number = EXIT.ok;
  let printed = '';
  const misuse = (message: string) => new UsageError(describeMisuse(message, words, loaded));
  // yargs would show its general help for `qmpmux exe --help`.
  const unknown = loaded === null ? describeUnknownCommand(words) : null;
  if (unknown !== null) throw new UsageError(unknown);
  const parser = yargs([...words])
    .scriptName('qmpmux')
    .usage('Usage: $0 COMMAND\n\nShares the one QMP monitor of a QEMU virtual machine among many clients.')
    .locale('en')
    .parserConfiguration({
      'boolean-negation': false,
      'camel-case-expansion': false,
      'dot-notation': false,
      'greedy-arrays': false,
      'parse-numbers': false,
      'parse-positional-numbers': false,
      'short-option-groups': false,
    })
    .version(`qmpmux ${packageVersion()}`)
    .alias('help', 'h')
    .alias('version', 'V')
    .wrap(Math.min(100, process.stdout.columns ?? 80))
    .epilogue('`qmpmux COMMAND --help` lists the options of a command, with examples.')
    .demandCommand(1)
    .strictOptions()
    .exitProcess(false)
    .fail((message: string | null, error: Error | undefined) => {
      throw error ?? misuse(message ?? '');
    });
  const register = (to: Argv, name: string, { summary }: Entry) => {
    to.command(
      name,
      summary,
      (inner: Argv) => (loaded === null ? inner : describe(inner, summary, loaded)),
      async ({ _: named, ...flags }) => {
        if (loaded === null) throw misuse('');
        refuseRepetition(loaded, flags);
        const operands = named.slice(loaded.name.split(' ').length).map(String);
        const [unexpected] = operands;
        if (unexpected !== undefined && (loaded.operands ?? 'none') === 'none') {
          throw misuse(`Unknown argument: ${unexpected}`);
        }
        code = await loaded.run(flags, operands);
      },
    );
  };
  for (const [name, entry] of Object.entries(SUBCOMMANDS)) {
    if ('load' in entry) register(parser, name, entry);
    else {
      parser.command(name, entry.summary, (inner: Argv) => {
        inner.usage(`Usage: $0 ${name} COMMAND\n\n${sentence(entry.summary)}`).demandCommand(1);
        for (const [sub, leaf] of Object.entries(entry.commands)) register(inner, sub, leaf);
        // Not a known command.
        return inner.command('$0', false, {}, () => {
          throw misuse('');
        });
      });
    }
  }
  // Not a known command.
  parser.command('$0', false, {}, () => {
    throw misuse('');
  });
  try {
    await parser.parseAsync([...words], {}, (_error, _flags, output) => {
      printed = output;
    });
  } catch (error) {
    // Some complaints yargs throws by itself, others it passes to `fail`.
    if (error instanceof Error && error.name === 'YError') throw misuse(error.message);
    throw error;
  }
  if (printed !== '') {
    process.stdout.write(
      `${printed.replace(TYPES, '').replace(EXAMPLES, () => (loaded === null ? '' : listExamples(loaded)))}\n`,
    );
  }
  return code;
}

/** What yargs says of an option's type, which the text beside it says better. */
const TYPES = /\s*\[(?:boolean|string|array|number)\](?=\s*\n|$)/g;
/** Where the examples come in yargs' text: its own column breaks long ones within words, and then they cannot be pasted. */
const EXAMPLES = '\u0001';

function describe(parser: Argv, summary: string, command: Subcommand): Argv {
  parser.usage(`Usage: $0 ${command.usage}\n\n${sentence(summary)}`);
  return parser.options({ ...command.options }).epilogue(`${EXAMPLES}\n\n${command.notes}`);
}

/** Each in one piece, however narrow the terminal. */
function listExamples({ examples }: Subcommand): string {
  const blocks = examples.map(([line, what]) => `  ${what}:\n    ${line.replaceAll('$0', 'qmpmux')}`);
  return ['Examples:', ...blocks].join('\n');
}

function sentence(summary: string): string {
  return `${summary.charAt(0).toUpperCase()}${summary.slice(1)}.`;
}

/** yargs makes a list of an option that is given twice. */
function refuseRepetition(command: Subcommand, flags: Readonly<Record<string, unknown>>): void {
  for (const [name, option] of Object.entries(command.options)) {
    if (option.array !== true && Array.isArray(flags[name])) throw new UsageError(`--${name} is given more than once`);
  }
}

/** yargs' message in our words, with the nearest right word. */
function describeMisuse(message: string, words: readonly string[], loaded: Subcommand | null): string {
  if (loaded === null) {
    const option = words.find((word) => word.startsWith('-'));
    return option === undefined
      ? `name a command: ${namesBehind(words).names.join(', ')}`
      : describeUnknownOption(option, loaded);
  }
  const first = message.split('\n')[0] ?? '';
  const lacking = /^Not enough arguments following: (.*)$/.exec(first);
  if (lacking !== null) return `--${lacking[1]} needs a value`;
  const unknown = /^Unknown (?:argument|command)s?: (.*)$/.exec(first)?.[1];
  if (unknown === undefined) return first;
  // Several are listed with commas between them, which may also be part of one: the first that was typed is told.
  const option = words.find((word) => /^--?\w/.test(word) && unknown.startsWith(bareName(word)));
  if (option !== undefined) return describeUnknownOption(option, loaded);
  const word = words.find((candidate) => candidate !== '' && unknown.startsWith(candidate)) ?? unknown;
  return `${JSON.stringify(word)} is unexpected here; an option's value stands behind its name`;
}

/** @returns what to say to a word that stands where a command should and names none; null where there is no such word. */
function describeUnknownCommand(words: readonly string[]): string | null {
  const { word, names } = namesBehind(words);
  if (word === undefined || names.includes(word)) return null;
  return `unknown command ${JSON.stringify(word)}${suggestion(word, names) || ` (known: ${names.join(', ')})`}`;
}

/** @returns the commands that could stand there, and what does. */
function namesBehind(words: readonly string[]): {
  readonly names: readonly string[];
  readonly word: string | undefined;
} {
  const [first = '', second] = words.filter((word) => !word.startsWith('-'));
  const group = Object.hasOwn(SUBCOMMANDS, first) ? SUBCOMMANDS[first] : undefined;
  if (group !== undefined && 'commands' in group) return { names: Object.keys(group.commands), word: second };
  return { names: Object.keys(SUBCOMMANDS), word: first === '' || first === 'help' ? undefined : first };
}

function describeUnknownOption(option: string, loaded: Subcommand | null): string {
  const known = ['help', 'version', ...Object.keys(loaded?.options ?? {})];
  const near = nearest(bareName(option), known);
  return `unknown option ${option.replace(/=.*$/s, '')}${near === null ? '' : `; did you mean --${near}?`}`;
}

function bareName(word: string): string {
  return word.replace(/^-+/, '').replace(/=.*$/s, '');
}
