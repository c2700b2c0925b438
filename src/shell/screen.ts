/**
 * The terminal: node:readline edits the line; this shows other output above it meanwhile, and keeps the two apart.
 *
 * While a line is edited, the cursor is `rows` below the first row of the prompt, by readline's own account. A text goes over the
 * prompt, is followed by as many line feeds, and readline draws its line again from there.
 */
import { clearScreenDown, cursorTo, moveCursor } from 'node:readline';
import { createInterface, type Interface } from 'node:readline/promises';
import { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import { setImmediate } from 'node:timers/promises';
import type { ReadStream, WriteStream } from 'node:tty';
import { CTRL_R, HistorySearch } from './history-search.js';
import { KeyGate } from './key-gate.js';
import { page, pagerCommand } from './pager.js';

type Answer =
  | { readonly kind: 'line'; readonly text: string }
  /** Ctrl-C. */
  | { readonly kind: 'cancelled' }
  /** Ctrl-D, or the terminal was closed. */
  | { readonly kind: 'end' };

/** The end of the line up to the cursor is replaced by one of the candidates. */
type Completer = (line: string) => Promise<readonly [candidates: string[], replaced: string]>;

const PASTE_MARKS_ON = '\x1b[?2004h';
const PASTE_MARKS_OFF = '\x1b[?2004l';

const SINGLE_KEYS = /[^]/gu;
const TEXT_OR_KEY = /\P{Control}+|[^]/gu;
// oxlint-disable-next-line no-control-regex
const UNFINISHED_KEY = /\u{1b}(?:\[[\d;]*|O)?$/u;

export class ShellScreen {
  /** Told of Ctrl-C while no line is edited. */
  onInterrupt: () => void = () => {};
  /** Told of every line that goes into the history; may change it. The newest is the first. */
  onHistory: (history: string[]) => void = () => {};
  /** Resolves when the terminal was closed. */
  readonly gone: Promise<void>;
  readonly #keyboard: ReadStream;
  readonly #display: WriteStream;
  readonly #gate: KeyGate;
  readonly #input: Keys;
  readonly #readline: Interface;
  readonly #decoder = new StringDecoder('utf8');
  /** Whether the last key may be the beginning of a longer one. */
  #isInsideKey = false;
  #answer: ((answer: Answer) => void) | null = null;
  #prompt = '';
  /** The newest is the first. */
  #history: readonly string[];
  /** Under way while a line is edited; null when there is none. */
  #search: HistorySearch | null = null;
  #isOver = false;
  /** Rows from the first of the prompt to the cursor, as the terminal had them before it was resized. */
  #rows = 0;
  /** Output held while a pager has the terminal; null when none has. */
  #held: string[] | null = null;

  constructor(
    keyboard: ReadStream,
    display: WriteStream,
    history: readonly string[],
    size: number,
    completer: Completer,
  ) {
    this.#keyboard = keyboard;
    this.#display = display;
    this.#history = history;
    const input = new Keys(keyboard);
    this.#input = input;
    this.#gate = new KeyGate((keys) => this.#pass(keys));
    // The line before it may just be on its way to be executed.
    this.#gate.onInterrupt = () => void setImmediate().then(() => this.onInterrupt());
    keyboard.on('data', (chunk: Buffer | string) => this.#gate.push(Buffer.from(chunk)));
    this.gone = new Promise((resolve) => {
      let isGone = false;
      const end = () => {
        // Giving the terminal back fails as well, and comes here again.
        if (isGone) return;
        isGone = true;
        input.emit('end');
        resolve();
      };
      keyboard.on('end', end).on('error', end);
    });
    // Before readline's own, which draws the line again.
    display.on('resize', () => this.#resized());
    this.#readline = createInterface({
      input,
      output: display,
      terminal: true,
      history: [...history],
      historySize: size,
      removeHistoryDuplicates: true,
      completer: async (line: string): Promise<[string[], string]> => {
        try {
          const [candidates, replaced] = await completer(line);
          return [[...candidates], replaced];
        } catch {
          return [[], ''];
        } finally {
          // Readline acts on it some microtasks later.
          void setImmediate().then(() => this.#gate.open());
        }
      },
    });
    const readline = this.#readline;
    readline.on('line', (text) => this.#settle({ kind: 'line', text }));
    readline.on('close', () => {
      // The next output on this terminal begins a new line.
      if (!this.#isOver) this.#display.write('\n');
      this.#isOver = true;
      this.#settle({ kind: 'end' });
    });
    readline.on('SIGINT', () => this.#cancel());
    readline.on('SIGCONT', () => {
      this.#display.write(PASTE_MARKS_ON);
      readline.prompt(true);
    });
    readline.on('history', (lines) => {
      this.onHistory(lines);
      this.#history = lines;
    });
    input.on('keypress', () => {
      this.#rows = readline.getCursorPos().rows;
    });
    display.write(PASTE_MARKS_ON);
    keyboard.resume();
  }

  get width(): number {
    return this.#display.columns;
  }

  /** Lets a line be edited. */
  ask(prompt: string): Promise<Answer> {
    if (this.#isOver) return Promise.resolve({ kind: 'end' });
    return new Promise((resolve) => {
      this.#answer = resolve;
      this.#prompt = prompt;
      this.#readline.setPrompt(prompt);
      this.#readline.prompt();
      this.#rows = 0;
      this.#gate.open();
    });
  }

  /** Shows a text, above the line that is edited. */
  print(text: string): void {
    if (this.#held !== null) {
      this.#held.push(text);
      return;
    }
    if (this.#answer === null) {
      this.#display.write(`${text}\n`);
      return;
    }
    const { rows } = this.#readline.getCursorPos();
    moveCursor(this.#display, 0, -rows);
    cursorTo(this.#display, 0);
    clearScreenDown(this.#display);
    this.#display.write(`${text}\n${'\n'.repeat(rows)}`);
    this.#readline.prompt(true);
  }

  /** Shows a text in the pager, if it is long, and nobody has typed ahead. Not while a line is edited. */
  async show(text: string): Promise<void> {
    const pager = pagerCommand();
    if (pager === null || this.#gate.hasMore || this.#isOver || this.#height(text) < this.#display.rows) {
      this.print(text);
      return;
    }
    this.#held = [];
    // A stream paused while it hands out its last input reads on.
    await setImmediate();
    this.#keyboard.pause();
    this.#keyboard.setRawMode(false);
    this.#display.write(PASTE_MARKS_OFF);
    const isShown = await page(pager, `${text}\n`);
    this.#display.write(PASTE_MARKS_ON);
    this.#keyboard.setRawMode(true);
    this.#keyboard.resume();
    const held = this.#held;
    this.#held = null;
    if (!isShown) this.print(text);
    for (const late of held) this.print(late);
  }

  close(): void {
    this.#isOver = true;
    this.#display.write(PASTE_MARKS_OFF);
    this.#readline.close();
    this.#keyboard.setRawMode(false);
    this.#keyboard.destroy();
  }

  /**
   * Hands keys to readline. Text goes in as a whole, other keys one by one: readline takes several keys in one piece for a paste, and puts
   * them at the end of the line wherever the cursor is, without counting rows (Node 20).
   */
  #pass(keys: Buffer): void {
    const text = this.#decoder.write(keys);
    const isSearch = this.#search !== null || text.includes(CTRL_R);
    const runs = text.match(isSearch || text.includes('\x1b') || this.#isInsideKey ? SINGLE_KEYS : TEXT_OR_KEY);
    this.#isInsideKey = UNFINISHED_KEY.test(text);
    for (const run of runs ?? []) {
      if (this.#searches(run)) continue;
      if (run.length > 1) this.#readline.write(run);
      else this.#input.emit('data', Buffer.from(run));
    }
  }

  /** @returns whether the key is one of a search, and was acted on. */
  #searches(key: string): boolean {
    if (this.#search === null) {
      if (key !== CTRL_R || this.#answer === null) return false;
      this.#search = new HistorySearch(this.#history, this.#readline.line);
      this.#edit(this.#search.prompt, this.#search.line);
      return true;
    }
    const then = this.#search.press(key);
    const isOver = then !== 'go on';
    this.#edit(isOver ? this.#prompt : this.#search.prompt, this.#search.line);
    if (isOver) this.#search = null;
    return then !== 'end and act';
  }

  /** Puts another prompt and another line in place of those that are edited. */
  #edit(prompt: string, line: string): void {
    const readline = this.#readline;
    readline.setPrompt(prompt);
    readline.write(null, { ctrl: true, name: 'e' });
    readline.write(null, { ctrl: true, name: 'u' });
    if (line !== '') readline.write(line);
    this.#rows = readline.getCursorPos().rows;
  }

  #settle(answer: Answer): void {
    const settle = this.#answer;
    this.#answer = null;
    settle?.(answer);
  }

  #cancel(): void {
    const readline = this.#readline;
    readline.write(null, { ctrl: true, name: 'e' });
    const { rows } = readline.getCursorPos();
    // The typed text stays visible.
    this.#display.write(`^C\r\n${'\n'.repeat(rows)}`);
    readline.setPrompt('');
    readline.write(null, { ctrl: true, name: 'u' });
    this.#settle({ kind: 'cancelled' });
  }

  /** The terminal has wrapped the line again, but readline goes up as many rows as there were. */
  #resized(): void {
    if (this.#answer === null || this.#held !== null) return;
    const { rows } = this.#readline.getCursorPos();
    moveCursor(this.#display, 0, this.#rows - rows);
    this.#rows = rows;
  }

  #height(text: string): number {
    const width = Math.max(1, this.#display.columns);
    // Colours count as columns here, and a line that is taken for too long costs a page.
    return text.split('\n').reduce((rows, line) => rows + Math.max(1, Math.ceil(line.length / width)), 0);
  }
}

/** Readline's input in place of the terminal: it gets keys when the gate lets them through. */
class Keys extends Readable {
  readonly #keyboard: ReadStream;

  constructor(keyboard: ReadStream) {
    super({ read: () => {} });
    this.#keyboard = keyboard;
  }

  get isRaw(): boolean {
    return this.#keyboard.isRaw;
  }

  setRawMode(mode: boolean): this {
    this.#keyboard.setRawMode(mode);
    return this;
  }
}
