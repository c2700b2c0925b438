/** `qmpmux top`: clients, commands a second, latencies and blocking clients, refreshed until the user quits. */
import { ConnectionError } from '../../../client/errors.js';
import { printable } from '../../../shared/printable.js';
import type { Target } from '../../framework/address-operand.js';
import { parseTime } from '../../framework/deadline.js';
import { EXIT } from '../../framework/exit-code.js';
import { whenReaderLeaves } from '../../framework/output.js';
import { subcommand, UsageError } from '../../framework/subcommand.js';
import { colourOf, plain } from '../../screen/colour.js';
import { FullScreen } from '../../screen/full-screen.js';
import { cutTo } from '../../screen/table.js';
import { OWN_COMMANDS_NOTE, type OwnCommands, onlyTarget, withOwnCommands } from './extension-client.js';
import { compare, type Frame, type Sample, takeSample } from './top-sample.js';
import { helpLines, rowsAboveKeys, topLines, withKeys } from './top-screen.js';

/** More often than this would measure qmpmux answering, in milliseconds. */
const SHORTEST = 100;
const CTRL_C = '\x03';

export const top = subcommand({
  name: 'top',
  usage: 'top [OPTIONS] [ADDRESS]',
  operands: 'words',
  options: {
    interval: { type: 'string', describe: 'refresh this often (default 1s)' },
    count: { type: 'string', describe: 'exit after N refreshes' },
  },
  examples: [
    ['$0 top /run/vm.ctl', 'watch; q quits'],
    ['$0 top /run/vm.ctl --interval 10 >> vm.log', 'append a report every ten seconds to a file'],
    ['$0 top /run/vm.ctl --count 1', 'one report, over a second'],
  ],
  notes: [
    'On a terminal it takes the whole screen: q or Ctrl-C quits, the space bar refreshes at once, h explains keys and columns. If qmpmux goes away, top waits for it to come back. ' +
      'Without a terminal, it prints one report after another.',
    'Clients that have waited for a second or more come first, then those that send the most. LATENCY is the mean time from a command to its answer, ' +
      'since the last refresh; * marks top itself. Medians are estimates.',
    OWN_COMMANDS_NOTE,
    'Exit codes: 0, 1 qmpmux refused it, 64 wrong command line, 69 no answer.',
  ].join('\n'),

  async run({ interval, count }, operands) {
    const target = onlyTarget(operands);
    const pause = interval === undefined ? 1000 : parseTime('interval', interval);
    if (pause < SHORTEST) throw new UsageError(`--interval: ${interval} is too short; the minimum is ${SHORTEST} ms`);
    if (count !== undefined && !/^[1-9]\d{0,14}$/.test(count)) {
      throw new UsageError(`--count must be a number from 1, not ${JSON.stringify(count)}`);
    }
    const most = count === undefined ? Number.POSITIVE_INFINITY : Number(count);
    const isTerminal = process.stdout.isTTY && process.env['TERM'] !== 'dumb';
    return isTerminal ? new Watch(target, pause, most).run() : printFrames(target, pause, most);
  },
});

function now(): number {
  return performance.now() / 1000;
}

function clock(): string {
  return new Date().toTimeString().slice(0, 8);
}

async function printFrames(target: Target, pause: number, most: number): Promise<number> {
  let isRead = true;
  whenReaderLeaves(() => {
    isRead = false;
  });
  return withOwnCommands(target, undefined, async (commands) => {
    let before = await takeSample(commands, now);
    for (let printed = 0; printed < most; printed++) {
      await new Promise((resolve) => {
        setTimeout(resolve, pause);
      });
      if (!isRead) return EXIT.ok;
      const sample = await takeSample(commands, now);
      const lines = topLines(compare(sample, before), clock(), { columns: null, rows: null }, plain);
      process.stdout.write(`${printed === 0 ? '' : '\n'}${lines.join('\n')}\n`);
      before = sample;
    }
    return EXIT.ok;
  });
}

/** The terminal's way. */
class Watch {
  readonly #target: Target;
  readonly #pause: number;
  #left: number;
  readonly #colour = colourOf(process.stdout);
  readonly #screen: FullScreen;
  readonly #quit = new AbortController();
  #frame: Frame | null = null;
  #before: Sample | null = null;
  /** Why there is nothing new to be shown. */
  #trouble: string | null = null;
  #refresh: () => void = () => {};
  /** Whether the keys and columns are explained instead. */
  #isHelp = false;

  constructor(target: Target, pause: number, most: number) {
    this.#target = target;
    this.#pause = pause;
    this.#left = most;
    this.#screen = new FullScreen(
      process.stdin,
      process.stdout,
      (key) => this.#pressed(key),
      () => this.#draw(),
      () => this.#end(),
    );
  }

  async run(): Promise<number> {
    // Report a server that cannot be asked before taking the screen.
    await withOwnCommands(this.#target, undefined, async (commands) => {
      this.#take(await takeSample(commands, now));
    });
    const quit = () => this.#end();
    process.once('SIGINT', quit).once('SIGTERM', quit).once('SIGHUP', quit);
    this.#screen.open();
    this.#draw();
    try {
      const over = new Promise<void>((resolve) => {
        this.#quit.signal.addEventListener('abort', () => resolve(), { once: true });
      });
      await Promise.race([over, this.#follow()]);
      return EXIT.ok;
    } finally {
      this.#end();
      this.#screen.close();
    }
  }

  async #follow(): Promise<void> {
    const { signal } = this.#quit;
    while (!signal.aborted && this.#left > 0) {
      try {
        await withOwnCommands(this.#target, undefined, (commands) => this.#sample(commands), signal);
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof ConnectionError)) throw error;
        this.#trouble = error.message;
        this.#before = null;
        this.#draw();
        await this.#wait();
      }
    }
  }

  async #sample(commands: OwnCommands): Promise<void> {
    while (this.#left > 0) {
      await this.#wait();
      if (this.#quit.signal.aborted) return;
      this.#take(await takeSample(commands, now));
      this.#left--;
      this.#draw();
    }
  }

  #take(sample: Sample): void {
    this.#frame = compare(sample, this.#before);
    this.#before = sample;
    this.#trouble = null;
  }

  #wait(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, this.#pause);
      this.#refresh = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #end(): void {
    this.#quit.abort();
    this.#refresh();
  }

  #pressed(key: string): void {
    if (key === 'q' || key === 'Q' || key === CTRL_C) this.#end();
    else if (key === ' ') this.#refresh();
    else if (key === 'h' || key === 'H' || key === '?') {
      this.#isHelp = !this.#isHelp;
      this.#draw();
    }
  }

  #draw(): void {
    const { columns, rows } = this.#screen;
    if (this.#frame === null) return;
    const above = rowsAboveKeys(rows);
    const trouble = this.#trouble;
    let lines: string[];
    if (this.#isHelp) lines = helpLines({ columns, rows: above });
    else if (trouble === null) lines = topLines(this.#frame, clock(), { columns, rows: above }, this.#colour);
    else {
      // The lines below are out of date.
      const old = topLines(this.#frame, clock(), { columns, rows: above - 1 }, plain);
      const text = cutTo(printable(`${trouble}; trying again`), columns);
      lines = [this.#colour('red', text), ...old.map((line) => this.#colour('dim', line))];
    }
    this.#screen.draw(withKeys(lines, { columns, rows }, this.#colour));
  }
}
