/**
 * Typed or pasted input, let through to the line editor as far as it may act on it: up to the end of a line, whose command is to be
 * executed first, or up to a Tab, whose completion asks the VM. The rest waits. So a command's output follows its line even if ten lines
 * were pasted at once, and the line does not change during a completion.
 *
 * In a paste that the terminal has marked as one, a Tab is a blank, and other control characters are dropped.
 */
const CTRL_C = 0x03;
const TAB = 0x09;
const LF = 0x0a;
const CR = 0x0d;
const ESCAPE = 0x1b;
const DELETE = 0x7f;
const BLANK = 0x20;
const PASTE_BEGINS = Buffer.from('\x1b[200~');
const PASTE_ENDS = Buffer.from('\x1b[201~');
/** A piece of a mark that may be one, where a chunk ends: a lone Escape is more likely a key, but not in a paste. */
const LIKELY_MARK = 2;

export class KeyGate {
  /** Called for Ctrl-C while the gate is shut; waiting input is dropped. */
  onInterrupt: () => void = () => {};
  readonly #pass: (keys: Buffer) => void;
  #waiting = Buffer.alloc(0);
  #isOpen = false;
  #isPaste = false;
  #afterReturn = false;

  constructor(pass: (keys: Buffer) => void) {
    this.#pass = pass;
  }

  /** Whether keys wait behind those that were let through. */
  get hasMore(): boolean {
    return this.#waiting.length > 0;
  }

  /** Takes input from the terminal. */
  push(chunk: Buffer): void {
    this.#waiting = Buffer.concat([this.#waiting, chunk]);
    if (this.#isOpen) this.#flush();
    if (!this.#isOpen && !this.#isPaste) this.#interrupt();
  }

  /** Lets keys through, up to the next that shuts the gate. */
  open(): void {
    this.#isOpen = true;
    this.#flush();
  }

  #interrupt(): void {
    const at = this.#waiting.lastIndexOf(CTRL_C);
    if (at < 0 || this.#waiting.includes(PASTE_BEGINS)) return;
    this.#waiting = this.#waiting.subarray(at + 1);
    this.onInterrupt();
  }

  #flush(): void {
    const waiting = this.#waiting;
    const keys: number[] = [];
    let at = 0;
    while (this.#isOpen && at < waiting.length) {
      const key = waiting[at] ?? 0;
      if (key === ESCAPE) {
        const rest = waiting.subarray(at, at + PASTE_BEGINS.length);
        if (rest.equals(PASTE_BEGINS) || rest.equals(PASTE_ENDS)) {
          this.#isPaste = rest.equals(PASTE_BEGINS);
          at += rest.length;
          continue;
        }
        if ((this.#isPaste || rest.length >= LIKELY_MARK) && (begins(PASTE_BEGINS, rest) || begins(PASTE_ENDS, rest)))
          break;
      }
      at++;
      const isSecondHalf = key === LF && this.#afterReturn;
      this.#afterReturn = key === CR;
      if (isSecondHalf) continue;
      if (key === CR || key === LF || (!this.#isPaste && (key === TAB || key === CTRL_C))) this.#isOpen = false;
      if (!this.#isPaste || key === CR || key === LF) keys.push(key);
      else if (key === TAB) keys.push(BLANK);
      else if (key >= BLANK && key !== DELETE) keys.push(key);
    }
    this.#waiting = waiting.subarray(at);
    if (keys.length > 0) this.#pass(Buffer.from(keys));
  }
}

function begins(mark: Buffer, piece: Buffer): boolean {
  return mark.subarray(0, piece.length).equals(piece);
}
