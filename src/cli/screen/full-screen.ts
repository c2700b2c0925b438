/**
 * The whole terminal for a program that draws and takes single keys. It is given back as it was found, however the program ends:
 * by a key, a signal, an error, or Ctrl-Z, after which it is taken again.
 */
import type { ReadStream, WriteStream } from 'node:tty';

const TAKE = '\x1b[?1049h\x1b[?25l';
const GIVE_BACK = '\x1b[?25h\x1b[?1049l';
const HOME = '\x1b[H';
const CLEAR_LINE = '\x1b[K';
const CLEAR_BELOW = '\x1b[J';
const SUSPEND = '\x1a';

export class FullScreen {
  readonly #display: WriteStream;
  readonly #keyboard: ReadStream;
  readonly #onKey: (key: string) => void;
  readonly #onResize: () => void;
  readonly #giveBack = () => {
    this.close();
  };
  #isTaken = false;

  /**
   * @param onKey called with each key, as the bytes it sends
   * @param onResize called when the size changes, or the screen has to be redrawn
   * @param onGone called when the terminal is gone
   */
  constructor(
    keyboard: ReadStream,
    display: WriteStream,
    onKey: (key: string) => void,
    onResize: () => void,
    onGone: () => void,
  ) {
    this.#keyboard = keyboard;
    this.#display = display;
    this.#onKey = onKey;
    this.#onResize = onResize;
    keyboard.on('end', onGone).on('error', onGone);
  }

  get columns(): number {
    return Math.max(1, this.#display.columns);
  }

  get rows(): number {
    return Math.max(1, this.#display.rows);
  }

  open(): void {
    this.#take();
    this.#display.on('resize', this.#onResize);
    this.#keyboard.setEncoding('utf8').on('data', this.#pressed);
    process.once('exit', this.#giveBack);
    process.on('SIGCONT', this.#taken);
  }

  /** Shows these lines, which must fit; the last one stays without a line feed. */
  draw(lines: readonly string[]): void {
    if (!this.#isTaken) return;
    const text = lines.slice(0, this.rows).map((line) => `${line}${CLEAR_LINE}`);
    this.#display.write(`${HOME}${text.join('\r\n')}${CLEAR_BELOW}`);
  }

  close(): void {
    this.#release();
    this.#display.off('resize', this.#onResize);
    this.#keyboard.off('data', this.#pressed).pause();
    process.off('exit', this.#giveBack);
    process.off('SIGCONT', this.#taken);
  }

  #take(): void {
    if (this.#isTaken) return;
    this.#isTaken = true;
    if (this.#keyboard.isTTY) this.#keyboard.setRawMode(true);
    this.#display.write(TAKE);
  }

  #release(): void {
    if (!this.#isTaken) return;
    this.#isTaken = false;
    this.#display.write(GIVE_BACK);
    if (this.#keyboard.isTTY) this.#keyboard.setRawMode(false);
  }

  readonly #pressed = (keys: Buffer | string): void => {
    for (const key of String(keys)) {
      if (key !== SUSPEND) this.#onKey(key);
      else {
        this.#release();
        process.kill(process.pid, 'SIGTSTP');
      }
    }
  };

  /** It goes on after Ctrl-Z. */
  readonly #taken = (): void => {
    this.#take();
    this.#onResize();
  };
}
