/** Many commands from standard input, answered on standard output in their order. */
import { addAbortSignal } from 'node:stream';
import type { CommandOptions } from '../../../client/options.js';
import type { QmpClient } from '../../../client/qmp-client.js';
import type { RawReply } from '../../../client/raw-command.js';
import { whenReaderLeaves } from '../../framework/output.js';
import { pieces } from '../../framework/standard-input.js';
import { UsageError } from '../../framework/subcommand.js';
import { FieldCheck } from '../../screen/field-check.js';
import { describeError, type OutputForm, writeReply } from '../../screen/reply-output.js';
import { writeProblem } from '../../screen/screen-text.js';
import type { ExecSyntax } from './syntax.js';

/** The most commands sent without waiting for the first of them; those that QEMU does not take yet wait in the socket. */
const WINDOW = 32;

/**
 * Sends commands as they come. An error is reported with the line of its command, and later commands are executed all the same. At a
 * command that cannot be read no more are sent, but those before it are answered.
 * @returns whether all of them returned, with all the fields that were asked for. @throws UsageError and the errors of QmpClient
 */
export async function executeAll(
  client: QmpClient,
  syntax: ExecSyntax,
  form: OutputForm,
  waiting: CommandOptions,
): Promise<boolean> {
  const failure = new AbortController();
  const input = addAbortSignal(failure.signal, process.stdin.setEncoding('utf8'));
  // A server that goes away while nothing is in flight ends the waiting for input.
  void client.closed.then((error) => failure.abort(error));
  whenReaderLeaves(() => failure.abort(new ReaderLeft()));
  const fields = new FieldCheck(client, waiting);
  const inFlight: Promise<void>[] = [];
  let allReturned = true;
  let told = Promise.resolve();
  let trouble: unknown = null;
  const answer = async (
    command: string,
    reply: Promise<RawReply>,
    turn: Promise<void>,
    line: number,
  ): Promise<void> => {
    const outcome = await reply.catch((error: unknown) => withLine(error, line));
    await turn;
    if ('bytes' in outcome) {
      const { error, missing } = writeReply(outcome, form);
      if (await fields.tell(command, missing)) allReturned = false;
      if (error === null) return;
      allReturned = false;
      writeProblem(`standard input, line ${line}: ${describeError(error)}`);
    } else {
      trouble ??= outcome;
      failure.abort();
    }
  };
  try {
    for await (const { text, line } of pieces(input)) {
      let command: string | null;
      try {
        command = syntax.line(text);
      } catch (error) {
        trouble ??= withLine(error, line);
        break;
      }
      if (command !== null) {
        told = answer(command, client.executeRaw(command, waiting), told, line);
        inFlight.push(told);
      }
      if (inFlight.length >= WINDOW) await inFlight.shift();
      if (trouble !== null) break;
    }
    if (trouble === null && !syntax.isComplete) syntax.complete(null);
  } catch (error) {
    trouble ??= failure.signal.aborted ? failure.signal.reason : error;
  }
  await told;
  input.destroy();
  if (trouble instanceof ReaderLeft) return allReturned;
  if (trouble !== null) throw trouble;
  return allReturned;
}

/** Nobody reads the answers any more. */
class ReaderLeft extends Error {}

/** @returns the error to report. */
function withLine(error: unknown, line: number): Error {
  if (!(error instanceof Error)) return new Error(String(error), { cause: error });
  return error instanceof UsageError
    ? new UsageError(`standard input, line ${line}: ${error.message}`, { cause: error })
    : error;
}
