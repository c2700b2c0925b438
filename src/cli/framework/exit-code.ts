/** Exit codes, from sysexits(3), and which error ends with which. */
import { QmpmuxError } from '../../shared/errors.js';

export const EXIT = {
  ok: 0,
  /** QEMU answered with an error, or the awaited event did not happen. */
  failed: 1,
  /** The command line is wrong. */
  usage: 64,
  /** A file to be read is not there, or cannot be read. */
  noInput: 66,
  /** Something that is needed is not there: a socket that cannot be made, a server that does not answer. */
  unavailable: 69,
  /** A fault of qmpmux. */
  software: 70,
  /** Standard output cannot be written. */
  output: 74,
  /** The config file is wrong. */
  config: 78,
} as const;

const BY_CODE: Readonly<Record<string, number>> = {
  QMPMUX_USAGE: EXIT.usage,
  QMPMUX_ADDRESS: EXIT.usage,
  QMPMUX_AUDIT_SETTING: EXIT.usage,
  QMPMUX_AUDIT_READ: EXIT.noInput,
  QMPMUX_OUTPUT: EXIT.output,
  QMPMUX_CONFIG: EXIT.config,
  QMPMUX_COMMAND_FAILED: EXIT.failed,
};

/** @returns the exit code for an error that ends a subcommand. */
export function exitCodeOf(error: unknown): number {
  return error instanceof QmpmuxError ? (BY_CODE[error.code] ?? EXIT.unavailable) : EXIT.software;
}
