/**
 * The parts of every subcommand: a subcommand is data for its help, its manual page and its completion (the one source of them), and the
 * function that runs it. This room owns how a command line is read and answered, exit codes, standard input and output, and the way to the
 * monitor that a subcommand is for. It knows no subcommand. It trusts the user who has typed the words, and no input from a server.
 */
import type { InferredOptionTypes, Options } from 'yargs';
import { QmpmuxError } from '../../shared/errors.js';

export type OptionTable = Readonly<Record<string, Options>>;

/**
 * A subcommand's operands, besides its options. `none`: nothing. `words`: words, options between them. `command`: an ADDRESS, unless
 * QMPMUX_SOCKET names one, and a command of the monitor's, to which everything after its first word belongs.
 */
export type Operands = 'none' | 'words' | 'command';

export interface Subcommand<O extends OptionTable = OptionTable> {
  readonly name: string;
  /** Behind `qmpmux`, as in the first line of the help: `serve --upstream ADDRESS --listen ADDRESS…`. */
  readonly usage: string;
  /** Default `none`. */
  readonly operands?: Operands;
  /** By their names without dashes. A description gives an option's values and its default. */
  readonly options: O;
  /** The words an option takes, where only some are valid; for completion. */
  readonly values?: Readonly<Record<string, readonly string[]>>;
  /** Command lines that work unchanged, each with its effect. */
  readonly examples: readonly (readonly [command: string, what: string])[];
  /** Further notes, below the options; a paragraph a line. */
  readonly notes: string;
  /**
   * @param operands the words that are neither options nor their values; empty unless `operands` says otherwise
   * @returns the exit code. @throws UsageError and other QmpmuxErrors, which program.ts writes out
   */
  run(flags: InferredOptionTypes<O>, operands: readonly string[]): Promise<number>;
}

/** A subcommand whose `run` gets the types of its options. */
export function subcommand<const O extends OptionTable>(definition: Subcommand<O>): Subcommand<O> {
  return definition;
}

/** The options of every subcommand. */
export const COMMON_OPTIONS: OptionTable = {
  help: { type: 'boolean', alias: 'h', describe: 'show help' },
  version: { type: 'boolean', alias: 'V', describe: 'show the version' },
};

/** An option as it is typed: `-H`, `--pretty`, and `VALUE` where it takes one. */
export interface OptionText {
  readonly spellings: readonly string[];
  readonly value: 'VALUE' | 'N' | null;
  readonly what: string;
  readonly values: readonly string[];
}

/** @returns all options of a subcommand, the common ones last */
export function optionsOf({ options, values }: Pick<Subcommand, 'options' | 'values'>): OptionText[] {
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

/** A command line that cannot be carried out. */
export class UsageError extends QmpmuxError {
  readonly code = 'QMPMUX_USAGE';
}
