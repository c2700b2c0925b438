/** The shell where no terminal is: lines from standard input, answers on standard output, and nothing else there. */

import { EXIT } from '../cli/framework/exit-code.js';
import { whenReaderLeaves } from '../cli/framework/output.js';
import { pieces } from '../cli/framework/standard-input.js';
import { writeReply, writeText } from '../cli/screen/reply-output.js';
import { textFor, wireText, writeProblem } from '../cli/screen/screen-text.js';
import type { RawReply } from '../client/raw-command.js';
import { type Outcome, ShellSession } from './session.js';
import type { Open, ShellFlags } from './terminal.js';

const CODES: Readonly<Record<Outcome, number>> = {
  done: EXIT.ok,
  failed: EXIT.failed,
  refused: EXIT.usage,
  unanswered: EXIT.unavailable,
};

const WIDTH = 100;

/**
 * Executes one line after the other; a mistake is reported with the line's number, and the next line is executed all the same.
 * @returns the exit code: the gravest. @throws the errors of QmpClient.connect
 */
export async function runPiped(open: Open, { hmp, pretty, verbose }: ShellFlags): Promise<number> {
  let line = 0;
  const lost = new AbortController();
  let session: ShellSession | null = null;
  const link = await open(
    {
      event: (event) => {
        if (session?.wants(event) === true) {
          process.stdout.write(`${textFor(process.stdout, event.bytes.toString())}\n`);
        }
      },
      lost: (error) => lost.abort(error),
      back: () => {},
    },
    (direction, bytes) => {
      if (verbose) process.stderr.write(`${textFor(process.stderr, wireText(direction, bytes))}\n`);
    },
  );
  session = new ShellSession(
    link,
    {
      width: WIDTH,
      reply: (reply: RawReply) => void writeReply(reply, { what: 'reply', pretty }),
      text: writeText,
      note: () => undefined,
      problem: (text) => writeProblem(`standard input, line ${line}: ${text}`),
    },
    { isHuman: hmp, events: false },
  );
  let code: number = EXIT.ok;
  let isRead = true;
  whenReaderLeaves(() => {
    isRead = false;
    lost.abort();
  });
  try {
    const { addAbortSignal } = await import('node:stream');
    for await (const piece of pieces(addAbortSignal(lost.signal, process.stdin.setEncoding('utf8')))) {
      line = piece.line;
      code = Math.max(code, CODES[await session.evaluate(piece.text)]);
      if (!link.isConnected || !isRead) break;
    }
    if (session.isInside) {
      writeProblem('the transaction is not closed: a line ) is missing at its end');
      code = Math.max(code, EXIT.usage);
    }
  } catch (error) {
    if (!lost.signal.aborted) throw error;
    if (!isRead) return code;
    throw lost.signal.reason;
  } finally {
    link.close();
    process.stdin.destroy();
  }
  return code;
}
