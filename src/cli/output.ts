/**
 * Standard output, for all subcommands: what cannot be written (a full disk, a terminal that is gone) is an error, and never silent. A
 * reader that has had enough is none.
 */
import { fstatSync, writeSync } from 'node:fs';
import { isatty } from 'node:tty';
import { QmpmuxError } from '../errors.js';

const STDOUT = 1;

/** Standard output could not be written. */
export class OutputError extends QmpmuxError {
  readonly code = 'QMPMUX_OUTPUT';
}

let isTakenCareOf = false;
let settle: (error: OutputError) => void = () => undefined;
const lost = new Promise<OutputError>((resolve) => {
  settle = resolve;
});

/** To be called once, before anything is written. @param end is called when output is lost, unless the subcommand asked to be told */
export function guardOutput(end: (error: OutputError) => void): void {
  const { stdout, stderr } = process;
  if (isFile(STDOUT)) {
    // Node's own write leaves it at what a disk that is almost full takes of it.
    // The name is that of Node's streams.
    // oxlint-disable-next-line eslint/no-underscore-dangle
    stdout._write = (chunk: Uint8Array, _encoding, done) => {
      try {
        for (let rest = chunk; rest.length > 0; rest = rest.subarray(writeSync(STDOUT, rest)));
        done();
      } catch (error) {
        done(error instanceof Error ? error : new Error(String(error)));
      }
    };
  }
  let isFirst = true;
  stdout.on('error', (cause: NodeJS.ErrnoException) => {
    if (!isFirst) return;
    isFirst = false;
    if (cause.code === 'EPIPE') return;
    const error = new OutputError(`standard output cannot be written: ${cause.message}`, { cause });
    settle(error);
    if (!isTakenCareOf) end(error);
  });
  // Nothing can be said of what goes wrong there.
  stderr.on('error', () => undefined);
}

/** For a subcommand that has things to end in order. @returns when output is lost, with what is to be thrown then */
export function untilOutputIsLost(): Promise<OutputError> {
  isTakenCareOf = true;
  return lost;
}

/** Ends what only makes output, when nobody reads it any more. */
export function whenReaderLeaves(action: () => void): void {
  process.stdout.once('error', action);
}

function isFile(fd: number): boolean {
  const kind = fstatSync(fd);
  return kind.isFile() || (kind.isCharacterDevice() && !isatty(fd));
}
