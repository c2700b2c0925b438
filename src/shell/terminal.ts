/** The shell for a person at a terminal. */

import { colourOf, paintWith } from '../cli/screen/colour.js';
import { layOut } from '../cli/screen/json-layout.js';
import { returnIn } from '../cli/screen/reply-output.js';
import { wireText } from '../cli/screen/screen-text.js';
import type { ConnectionError } from '../client/errors.js';
import type { Greeting, QmpEvent } from '../client/messages.js';
import type { RawReply } from '../client/raw-command.js';
import { findMembers } from '../client/reply-members.js';
import { isJsonObject, type JsonValue } from '../qmp/json/value.js';
import { printable, printableLines } from '../shared/printable.js';
import { historyFile, MOST_LINES, ShellHistory } from './history.js';
import { CommandInput } from './language/command-input.js';
import { type LinkObserver, ShellLink } from './link.js';
import { ShellScreen } from './screen.js';
import { isSecret } from './secrets.js';
import { ShellSession } from './session.js';

export interface ShellFlags {
  readonly hmp: boolean;
  readonly verbose: boolean;
  readonly pretty: boolean;
}

/** Makes the connection for an observer. */
export type Open = (
  observer: LinkObserver,
  onMessage: (direction: 'sent' | 'received', bytes: Buffer) => void,
) => Promise<ShellLink>;

/** @returns the exit code. @throws the errors of QmpClient.connect, before anything is shown */
export async function runAtTerminal(open: Open, { hmp, verbose }: ShellFlags): Promise<number> {
  const colour = colourOf(process.stdout);
  const paint = paintWith(colour);
  const early: string[] = [];
  let print = (text: string): void => {
    early.push(text);
  };
  let session: ShellSession | null = null;
  const observer: LinkObserver = {
    event: (event) => {
      if (session?.wants(event) === true) print(describeEvent(event));
    },
    lost: (error) => print(colour('yellow', printable(lostText(error)))),
    back: (greeting) => print(colour('yellow', printable(`${welcome(greeting)}, again`))),
  };
  const describeEvent = (event: QmpEvent): string => {
    const data = findMembers(event.bytes)?.find(({ name }) => name === 'data');
    const text = data === undefined ? '' : ` ${event.bytes.toString('utf8', data.valueStart, data.end)}`;
    return colour('yellow', `${timeOf(event)} ${printable(event.name)}`) + printable(text);
  };
  const link = await open(observer, (direction, bytes) => {
    if (verbose) print(colour('dim', printable(wireText(direction, bytes))));
  });
  const history = new ShellHistory(historyFile(hmp ? 'history-hmp' : 'history'), (problem) =>
    print(colour('yellow', printable(problem))),
  );
  const screen = new ShellScreen(process.stdin, process.stdout, history.lines, MOST_LINES, async (line) => {
    const completion = await session?.complete(line);
    const { from, candidates } = completion ?? { from: line.length, candidates: [] };
    const words = candidates.map(({ text, goesOn }) => (goesOn ? text : `${text} `));
    // Readline leaves a line blank for an empty word: it separates the required arguments from the rest.
    const needed = candidates.filter(({ isRequired }) => isRequired === true).length;
    if (needed > 0 && needed < words.length) words.splice(needed, 0, '');
    return [words, line.slice(from)];
  });
  session = new ShellSession(
    link,
    {
      get width() {
        return screen.width;
      },
      reply: (reply: RawReply) => screen.show(layOut(printableLines(returnIn(reply).toString()), paint)),
      text: (text) => screen.show(printableLines(text.replace(/\n$/, ''))),
      problem: (text) => screen.print(colour('red', printable(text))),
      note: (text) => screen.print(colour('dim', printable(text))),
    },
    { isHuman: hmp, events: true },
  );
  print = (text) => screen.print(text);
  screen.onInterrupt = () => session?.interrupt();
  const ending = new Promise<void>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGHUP'] as const) process.once(signal, () => resolve());
  });
  for (const text of early) print(text);
  print(`${printable(welcome(link.greeting))}\nTab completes, help lists the commands, Ctrl-D leaves.`);
  await Promise.race([loop(screen, session, history), ending, screen.gone]);
  link.close();
  screen.close();
  return 0;
}

async function loop(screen: ShellScreen, session: ShellSession, history: ShellHistory): Promise<void> {
  let input = new CommandInput();
  let typed: string[] = [];
  // One command is one entry of the history, whatever lines it was typed on.
  screen.onHistory = (lines) => {
    if (typed.length === 0) return;
    const last = lines.shift() ?? '';
    lines[0] = `${lines[0] ?? ''} ${last}`;
  };
  let isQuitting = false;
  for (;;) {
    const answer = await screen.ask(input.isInside ? '     > ' : session.prompt);
    if (answer.kind === 'end') return;
    if (answer.kind === 'cancelled') {
      input = new CommandInput();
      typed = [];
      session.abandon();
      continue;
    }
    typed.push(answer.text);
    input.push(`${answer.text}\n`);
    const line = typed.join(' ').trim();
    const isQuit = /^(?:quit|q)$/.test(line) && !session.isInside;
    if (isQuit && !isQuitting) {
      isQuitting = true;
      screen.print('quit ends QEMU and the VM; type it again to do that. To leave only this shell, press Ctrl-D.');
      input = new CommandInput();
      typed = [];
      continue;
    }
    isQuitting = false;
    for (let piece = input.next(false); piece !== null; piece = input.next(false)) await session.evaluate(piece.text);
    if (input.isInside) {
      // Nothing typed after it could mend it.
      if (input.fault === null) continue;
      screen.print(colourOf(process.stdout)('red', printable(`this is not JSON: ${input.fault}`)));
      input = new CommandInput();
      typed = [];
      continue;
    }
    if (line !== '' && !/^\s/.test(typed[0] ?? '') && !(await isSecret(session.sent, line))) history.append(line);
    typed = [];
  }
}

function lostText(error: ConnectionError): string {
  return `${error.message}; trying to reach it again`;
}

function welcome({ version }: Greeting): string {
  const qemu = version['qemu'];
  if (!isJsonObject(qemu)) return 'Connected';
  const name = typeof version['package'] === 'string' ? version['package'] : '';
  return `Connected to QEMU ${[qemu['major'], qemu['minor'], qemu['micro']].map(formatNumber).join('.')}${name === '' ? '' : ` (${name})`}`;
}

function formatNumber(value: JsonValue | undefined): string {
  return typeof value === 'number' ? String(value) : '?';
}

function timeOf({ timestamp: { seconds, microseconds } }: QmpEvent): string {
  const date = seconds < 0 ? new Date() : new Date(seconds * 1000 + Math.floor(microseconds / 1000));
  const two = (number: number) => String(number).padStart(2, '0');
  const milliseconds = String(date.getMilliseconds()).padStart(3, '0');
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${milliseconds}`;
}
