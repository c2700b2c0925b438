/**
 * The command line: finds the subcommand, loads it and nothing else, and turns what goes wrong into one line and an exit code.
 */
import { QmpmuxError } from '../errors.js';
import { exitCodeOf } from './exit-code.js';
import { type Subcommand, UsageError } from './subcommand.js';
import { findSubcommand } from './subcommands.js';
import { DEFAULT_ADDRESS, protectCommand, readWords } from './words.js';

/** The subcommand of this command line, once it is loaded. */
let loaded: Subcommand | null = null;

/** @returns the exit code. */
async function main(given: readonly string[]): Promise<number> {
  // `qmpmux help serve` is asked of many programs.
  const words = given[0] === 'help' && given.length > 1 ? [...given.slice(1), '--help'] : given;
  const found = findSubcommand(words);
  if (found === null) return runWithYargs(words);
  loaded = await found.entry.load();
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
    process.stderr.write(`qmpmux: a fault of qmpmux itself: ${error instanceof Error ? error.stack : String(error)}\n`);
    return;
  }
  const hint = error instanceof UsageError ? ` (see qmpmux${loaded === null ? '' : ` ${loaded.name}`} --help)` : '';
  process.stderr.write(`qmpmux: ${error.message}${hint}\n`);
}

/** Carries out a command line, and sets the process's exit code. @param words what stands behind the program's name */
export async function run(words: readonly string[]): Promise<void> {
  // A reader of our output that goes away is no reason to fail.
  process.stdout.on('error', () => undefined);
  try {
    process.exitCode = await main(words);
  } catch (error) {
    tell(error);
    process.exitCode = exitCodeOf(error);
    // What a fault has left open would keep the process for ever.
    if (!(error instanceof QmpmuxError)) process.exit();
  }
}
