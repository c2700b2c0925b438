/**
 * The command line: finds the subcommand, loads it and nothing else, and turns what goes wrong into one line and an exit code.
 */
import yargs, { type Argv } from 'yargs';
import { QmpmuxError } from '../errors.js';
import { nearest, suggestion } from '../spelling.js';
import { packageVersion } from '../version.js';
import { EXIT, exitCodeOf } from './exit-code.js';
import { type Subcommand, UsageError } from './subcommand.js';

interface Entry {
  readonly summary: string;
  /** What stands behind the name, for yargs: `<files..>`. Each is an option of the same name, too. */
  readonly words?: string;
  readonly load: () => Promise<Subcommand>;
}

/** Subcommands of one subject: `qmpmux audit show …`. */
interface Group {
  readonly summary: string;
  readonly commands: Readonly<Record<string, Entry>>;
}

/** In the order of the help. */
const SUBCOMMANDS: Readonly<Record<string, Entry | Group>> = {
  serve: {
    summary: 'share the monitors of running VMs among many clients',
    load: async () => (await import('./serve.js')).serve,
  },
  demo: {
    summary: 'share a VM that it brings along, or one of yours, and say what to type next',
    load: async () => (await import('./demo.js')).demo,
  },
  audit: {
    summary: 'read audit logs: show, verify, stats, replay',
    commands: {
      show: {
        summary: 'show who did what, one line an occurrence',
        words: '[files..]',
        load: async () => (await import('./audit-show.js')).auditShow,
      },
      verify: {
        summary: 'find out whether a log is whole, and nobody has tampered with it',
        words: '[files..]',
        load: async () => (await import('./audit-verify.js')).auditVerify,
      },
      stats: {
        summary: 'count commands, errors, times and bytes by client and by command',
        words: '[files..]',
        load: async () => (await import('./audit-stats.js')).auditStats,
      },
      replay: {
        summary: 'send the commands of a log to a test VM and compare the answers',
        words: '[files..]',
        load: async () => (await import('./audit-replay.js')).auditReplay,
      },
    },
  },
};

/** The subcommand of this command line, once it is loaded. */
let loaded: Subcommand | null = null;

async function load(entry: Entry): Promise<Subcommand> {
  loaded ??= await entry.load();
  return loaded;
}

/** @returns the exit code. */
async function main(words: readonly string[]): Promise<number> {
  let code: number = EXIT.ok;
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
    .wrap(Math.min(100, process.stdout.columns ?? 100))
    .epilogue('`qmpmux COMMAND --help` tells the options of a command, with examples.')
    .demandCommand(1, 1)
    .strict()
    .exitProcess(false)
    .fail((message: string | null, error: Error | undefined) => {
      throw error ?? new UsageError(describeMisuse(message ?? '', words));
    });
  const register = (to: Argv, name: string, entry: Entry) => {
    to.command(
      entry.words === undefined ? name : `${name} ${entry.words}`,
      entry.summary,
      async (inner: Argv) => describe(inner, entry.summary, await load(entry)),
      async (args) => {
        const command = await load(entry);
        refuseRepetition(command, args);
        code = await command.run(args);
      },
    );
  };
  for (const [name, entry] of Object.entries(SUBCOMMANDS)) {
    if ('load' in entry) register(parser, name, entry);
    else {
      parser.command(name, entry.summary, (inner: Argv) => {
        inner.usage(`Usage: $0 ${name} COMMAND\n\n${sentence(entry.summary)}`).demandCommand(1, 1);
        for (const [sub, leaf] of Object.entries(entry.commands)) register(inner, sub, leaf);
        return inner;
      });
    }
  }
  try {
    await parser.parseAsync();
  } catch (error) {
    // Some complaints yargs throws by itself, others it passes to `fail`.
    if (error instanceof Error && error.name === 'YError') throw new UsageError(describeMisuse(error.message, words));
    throw error;
  }
  return code;
}

function describe(parser: Argv, summary: string, command: Subcommand): Argv {
  parser.usage(`Usage: $0 ${command.usage}\n\n${sentence(summary)}`);
  parser.options({ ...command.options }).epilogue(command.notes);
  for (const [line, what] of command.examples) parser.example(line, what);
  return parser;
}

function sentence(summary: string): string {
  return `${summary.charAt(0).toUpperCase()}${summary.slice(1)}.`;
}

/** yargs makes a list of an option that is given twice. */
function refuseRepetition(command: Subcommand, args: Readonly<Record<string, unknown>>): void {
  for (const [name, option] of Object.entries(command.options)) {
    if (option.array !== true && Array.isArray(args[name])) throw new UsageError(`--${name} is given more than once`);
  }
}

/** yargs' message in our words, with the nearest right word. */
function describeMisuse(message: string, words: readonly string[]): string {
  if (loaded === null) {
    const given = words.filter((word) => !word.startsWith('-'));
    const group = SUBCOMMANDS[given[0] ?? ''];
    const isGroup = group !== undefined && 'commands' in group;
    const command = given[isGroup ? 1 : 0];
    const names = Object.keys(isGroup ? group.commands : SUBCOMMANDS);
    if (command !== undefined) {
      const near = suggestion(command, names) || ` (known: ${names.join(', ')})`;
      return `unknown command ${JSON.stringify(command)}${near}`;
    }
    const option = words.find((word) => word.startsWith('-'));
    return option === undefined ? `name a command: ${names.join(', ')}` : describeUnknownOption(option);
  }
  const first = message.split('\n')[0] ?? '';
  const lacking = /^Not enough arguments following: (.*)$/.exec(first);
  if (lacking !== null) return `--${lacking[1]} needs a value`;
  const unknown = /^Unknown (?:argument|command)s?: (.*)$/.exec(first)?.[1];
  if (unknown === undefined) return first;
  // Several are listed with commas between them, which may also be part of one: the first that was typed is told.
  const option = words.find((word) => /^--?\w/.test(word) && unknown.startsWith(bareName(word)));
  if (option !== undefined) return describeUnknownOption(option);
  const word = words.find((candidate) => candidate !== '' && unknown.startsWith(candidate)) ?? unknown;
  return `${JSON.stringify(word)} is unexpected here; an option's value stands behind its name`;
}

function describeUnknownOption(option: string): string {
  const known = ['help', 'version', ...Object.keys(loaded?.options ?? {})];
  const near = nearest(bareName(option), known);
  return `unknown option ${option.replace(/=.*$/s, '')}${near === null ? '' : `; did you mean --${near}?`}`;
}

function bareName(word: string): string {
  return word.replace(/^-+/, '').replace(/=.*$/s, '');
}

function tell(error: unknown): void {
  if (!(error instanceof QmpmuxError)) {
    process.stderr.write(`qmpmux: a fault of qmpmux itself: ${error instanceof Error ? error.stack : String(error)}\n`);
    return;
  }
  const hint = error instanceof UsageError ? ` (see qmpmux${loaded === null ? '' : ` ${loaded.name}`} --help)` : '';
  process.stderr.write(`qmpmux: ${error.message}${hint}\n`);
}

// A reader of our output that goes away is no reason to fail.
process.stdout.on('error', () => undefined);
try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  tell(error);
  process.exitCode = exitCodeOf(error);
}
