/**
 * The program behind the command line: it finds the subcommand, loads it and nothing else, and turns an error into one line and an exit code.
 * This room owns the list of subcommands (subcommands.ts) and the start of the process: the bundle, and V8's cache of it. Rooms below never
 * import from here.
 */
import { closeSync, fstatSync, openSync, writeFileSync } from 'node:fs';
import { isatty } from 'node:tty';
import { LineSink } from '../daemon/observe/line-sink.js';
import { QmpmuxError } from '../shared/errors.js';
import { packageVersion } from '../system/version.js';
import { readCommandLine } from './framework/command-line.js';
import { findCommand, type Group } from './framework/command-tree.js';
import { EXIT, exitCodeOf } from './framework/exit-code.js';
import { guardOutput, watchTerminal } from './framework/output.js';
import { UsageError } from './framework/subcommand.js';
import { textFor, writeProblem as writeToErrors } from './screen/screen-text.js';
import { PROGRAM } from './subcommands.js';

const STDERR = 2;

/** The name of the subcommand, or the group of them, that the command line leads to; empty until it is known. */
let place = '';

/** @returns the exit code. */
async function main(given: readonly string[]): Promise<number> {
  // `qmpmux help serve` is asked of many programs.
  const words = given[0] === 'help' ? [...given.filter((word) => word !== 'help'), '--help'] : given;
  const { name, found, rest } = findCommand(PROGRAM, words);
  place = name;
  if ('commands' in found) return answerGroup(found, rest);
  nameProcess(name);
  const command = await found.load();
  // The daemon serves clients, whoever looks at it.
  if (name !== 'serve') watchTerminal();
  const line = readCommandLine(command, rest);
  if (line.kind === 'run') return command.run(line.flags, line.operands);
  return line.kind === 'version' ? printVersion() : print((await loadHelp()).commandHelp(found.summary, command));
}

/** Words that name no subcommand: help and version are all there is. @returns the exit code. @throws UsageError */
async function answerGroup(group: Group, words: readonly string[]): Promise<number> {
  const line = readCommandLine({ options: {} }, words);
  if (line.kind === 'version') return printVersion();
  const isBare = place === '' && words.length === 0;
  if (line.kind === 'run' && !isBare) throw new UsageError(`name a command: ${Object.keys(group.commands).join(', ')}`);
  await print((await loadHelp()).groupHelp(place, group));
  return isBare ? EXIT.usage : EXIT.ok;
}

const loadHelp = () => import('./framework/help.js');

async function print(text: string | Promise<string>): Promise<number> {
  process.stdout.write(`${await text}\n`);
  return EXIT.ok;
}

function printVersion(): Promise<number> {
  return print(`qmpmux ${packageVersion()}`);
}

function tell(error: unknown): void {
  if (!(error instanceof QmpmuxError)) {
    writeProblem(`internal error, please report it: ${error instanceof Error ? error.stack : String(error)}`);
    return;
  }
  const hint = error instanceof UsageError ? ` (see qmpmux${place === '' ? '' : ` ${place}`} --help)` : '';
  writeProblem(`${error.message}${hint}`);
}

/** For `ps`, and for lists of connected clients. The daemon's arguments stay visible. */
function nameProcess(command: string): void {
  if (command === 'serve') writeFileSync('/proc/self/comm', 'qmpmux serve');
  else process.title = `qmpmux ${command}`;
}

/** The daemon's own standard error may be one that takes nothing, and it ends all the same. */
function writeProblem(text: string): void {
  if (place === 'serve') new LineSink(STDERR).write(`qmpmux: ${textFor(process.stderr, text)}\n`);
  else writeToErrors(text);
}

/** Carries out a command line, and sets the process's exit code. @param words those after the program's name */
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
    // Handles left open by a fault would keep the process alive for ever.
    if (!(error instanceof QmpmuxError)) process.exit();
  }
}

/**
 * At its end Node restores the terminals it found, and aborts where that fails, as for a terminal closed by then. A descriptor that is
 * another file by then it leaves alone.
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
