/** How `qmpmux exec` reads the commands to send. */

import { MalformedCommandError } from '../../../client/errors.js';
import { prepareCommand } from '../../../client/raw-command.js';
import {
  commandText,
  type ParsedLine,
  type ReadValue,
  ShellLineReader,
} from '../../../shell/language/command-syntax.js';
import { UsageError } from '../../framework/subcommand.js';

/** How the words and lines of this call are to be read. */
export class ExecSyntax {
  readonly #isHuman: boolean;
  readonly #oob: boolean;
  readonly #reader: ShellLineReader;

  /** @param readValue for values `@FILE`; null where they are text */
  constructor(isHuman: boolean, oob: boolean, readValue: ReadValue | null = null) {
    this.#reader = new ShellLineReader(null, readValue);
    if (isHuman && oob)
      throw new UsageError('--hmp and --oob cannot be combined: the human monitor is never out-of-band');
    this.#isHuman = isHuman;
    this.#oob = oob;
  }

  /** @returns the command, or null for a line that is only a part of one. @throws UsageError */
  words(words: readonly string[]): string | null {
    if (this.#isHuman) return humanCommand(words.join(' '));
    if (words[0] === 'info') throw new UsageError('info is a command of the human monitor: qmpmux hmp ADDRESS info …');
    return this.#text(this.#reader.readWords(words));
  }

  /** As `words`, for one line, or one object. @throws UsageError */
  line(line: string): string | null {
    return this.#isHuman ? humanCommand(line) : this.#text(this.#reader.readLine(line));
  }

  /** @returns `command`, which is the last. @throws UsageError when it is not whole */
  complete(command: string | null): string {
    if (command === null) throw new UsageError('the transaction is not closed: a word ) is missing at its end');
    return command;
  }

  /** Whether nothing has begun that has no end yet. */
  get isComplete(): boolean {
    return !this.#reader.inTransaction;
  }

  #text(parsed: ParsedLine): string | null {
    switch (parsed.kind) {
      case 'malformed':
        throw new UsageError(parsed.message);
      case 'empty':
        throw new UsageError('the command is empty');
      case 'action':
        return null;
      case 'command':
        return commandText(parsed.name, parsed.arguments, this.#oob);
      case 'json':
        if (this.#oob && !parsed.text.includes('exec-oob')) {
          throw new UsageError('--oob contradicts "execute" in the command: write "exec-oob" instead');
        }
        return checked(parsed.text);
    }
  }
}

/** @returns the JSON of a command. @throws UsageError where it is not one, before it and later commands are sent */
function checked(json: string): string {
  try {
    prepareCommand(json, 0);
  } catch (error) {
    if (error instanceof MalformedCommandError) throw new UsageError(error.message, { cause: error });
    throw error;
  }
  return json;
}

/** @returns the QMP command that runs one of the human monitor. @throws UsageError */
function humanCommand(line: string): string {
  if (line.trim() === '') throw new UsageError('the command is empty');
  return commandText('human-monitor-command', { 'command-line': line });
}
