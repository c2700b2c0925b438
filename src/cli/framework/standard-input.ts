/** Commands on standard input, for `exec -` and for a shell behind a pipe: cuts input into commands, and does nothing else with it. */
import type { Readable } from 'node:stream';
import { CommandInput, type InputPiece } from '../../shell/language/command-input.js';
import { UsageError } from './subcommand.js';

/** @returns the commands on a stream, piece by piece. @throws UsageError where the stream cannot be read */
export async function* pieces(stream: Readable): AsyncGenerator<InputPiece> {
  const input = new CommandInput();
  for await (const chunk of chunks(stream)) {
    input.push(String(chunk));
    for (let piece = input.next(false); piece !== null; piece = input.next(false)) yield piece;
  }
  for (let piece = input.next(true); piece !== null; piece = input.next(true)) yield piece;
}

/** A terminal that is gone ends the input as Ctrl-D does. @throws UsageError */
async function* chunks(stream: Readable): AsyncGenerator {
  try {
    yield* stream;
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    if (code === 'EIO') return;
    if (/^E[A-Z]+$/.test(code)) throw new UsageError(`standard input cannot be read: ${code}`, { cause: error });
    throw error;
  }
}
