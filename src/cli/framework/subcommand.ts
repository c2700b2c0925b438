/**
 * What a subcommand is: data for its help (the one source of it), and the function that runs it. One file a subcommand; main.ts loads
 * only the one that was asked for.
 */
import type { InferredOptionTypes, Options } from 'yargs';
import { QmpmuxError } from '../../shared/errors.js';

export type OptionTable = Readonly<Record<string, Options>>;

/**
 * What a subcommand takes besides its options. `none`: nothing. `words`: words, options between them. `command`: an ADDRESS, unless
 * QMPMUX_SOCKET names one, and a command of the monitor's, to which everything behind its first word belongs.
 */
export type Operands = 'none' | 'words' | 'command';

export interface Subcommand<O extends OptionTable = OptionTable> {
  readonly name: string;
  /** Behind `qmpmux`, as in the first line of the help: `serve --upstream ADDRESS --listen ADDRESS…`. */
  readonly usage: string;
  /** Default `none`. */
  readonly operands?: Operands;
  /** By their names without dashes. A description says what an option takes and what it is when not given. */
  readonly options: O;
  /** What options take, where only some words will do; for completion. */
  readonly values?: Readonly<Record<string, readonly string[]>>;
  /** Command lines that work as they stand, each with what it does. */
  readonly examples: readonly (readonly [command: string, what: string])[];
  /** What else there is to know, below the options. */
  readonly notes: string;
  /**
   * @param operands the words that are neither options nor their values; empty unless `operands` says otherwise
   * @returns the exit code. @throws UsageError and other QmpmuxErrors, which main.ts writes out
   */
  run(flags: InferredOptionTypes<O>, operands: readonly string[]): Promise<number>;
}

/** A subcommand whose `run` gets the types of its options. */
export function subcommand<const O extends OptionTable>(definition: Subcommand<O>): Subcommand<O> {
  return definition;
}

/** A command line that cannot be carried out. */
export class UsageError extends QmpmuxError {
  readonly code = 'QMPMUX_USAGE';
}
