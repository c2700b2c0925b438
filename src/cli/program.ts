/**
 * The command line: finds the subcommand, loads it and nothing else, and turns what goes wrong into one line and an exit code.
 */
import { closeSync, fstatSync, openSync, writeFileSync } from 'node:fs';
import { isatty } from 'node:tty';
import { LineSink } from '../daemon/observe/line-sink.js';
import { QmpmuxError } from '../shared/errors.js';
import { DEFAULT_ADDRESS, protectCommand, readWords } from './framework/command-line.js';
import { EXIT, exitCodeOf } from './framework/exit-code.js';
import { guardOutput, watchTerminal } from './framework/output.js';
import { type Subcommand, UsageError } from './framework/subcommand.js';
import { textFor, writeProblem as writeToErrors } from './screen/screen-text.js';
import { findSubcommand } from './subcommands.js';

const STDERR = 2;

/** The subcommand of this command line, once it is loaded. */
let loaded: Subcommand | null = null;

/** @returns the exit code. */
async function main(given: readonly string[]): Promise<number> {
  // `qmpmux help serve` is asked of many programs.
  const words = given[0] === 'help' && given.length > 1 ? [...given.slice(1), '--help'] : given;
  if (words.length === 0) {
    await runWithYargs(['--help']);
    return EXIT.usage;
  }
  const found = findSubcommand(words);
  if (found === null) return runWithYargs(words);
  nameProcess(found.name.join(' '));
  loaded = await found.entry.load();
  // The daemon serves clients, whoever looks at it.
  if (loaded.name !== 'serve') watchTerminal();
  const rest = protectCommand(loaded, found.rest, DEFAULT_ADDRESS !== null);
  const read = readWords(loaded, rest);
  return read === null ? runWithYargs([...found.name, ...rest]) : loaded.run(read.flags, read.operands);
}

async function runWithYargs(words: readonly string[]): Promise<number> {
  const help = await import('./help.js');
  return help.runWithYargs(words, loaded);
}

function tell(error: unknown): void {
  if (!(error instanceof QmpmuxError)) {
    writeProblem(`internal error, please report it: ${error instanceof Error ? error.stack : String(error)}`);
    return;
  }
  const hint = error instanceof UsageError ? ` (see qmpmux${loaded === null ? '' : ` ${loaded.name}`} --help)` : '';
  writeProblem(`${error.message}${hint}`);
}

/** For `ps`, and for those who ask who is connected. The daemon's arguments stay to be seen. */
function nameProcess(command: string): void {
  if (command === 'serve') writeFileSync('/proc/self/comm', 'qmpmux serve');
  else process.title = `qmpmux ${command}`;
}

/** The daemon's own standard error may be one that takes nothing, and it ends all the same. */
function writeProblem(text: string): void {
  if (loaded?.name === 'serve') new LineSink(STDERR).write(`qmpmux: ${textFor(process.stderr, text)}\n`);
  else writeToErrors(text);
}

/** Carries out a command line, and sets the process's exit code. @param words what stands behind the program's name */
export async function run(words: readonly string[]): Promise<void> {
  leaveDeadTerminals();
  const isThere = guardOutput((error) => {
    tell(error);
    process.exit(exitCodeOf(error));
  });
  // The daemon needs none.
  if (!isThere && words[0] !== 'serve') process.exit(EXIT.output);
  try {
    process.exitCode = await main(words);
  } catch (error) {
    tell(error);
    process.exitCode = exitCodeOf(error);
    // What a fault has left open would keep the process for ever.
    if (!(error instanceof QmpmuxError)) process.exit();
  }
}

/**
 * Node gives terminals back at its end as it found them, and aborts where that fails; which it does for one that is closed by then. What
 * is another file by then it leaves alone.
 */
function leaveDeadTerminals(): void {
  process.on('exit', () => {
    for (const fd of [0, 1, 2]) {
      if (isatty(fd) || !fstatSync(fd).isCharacterDevice()) continue;
      closeSync(fd);
      // The lowest that is free: the same one.
      openSync('/dev/null', 'r+');
    }
  });
}
