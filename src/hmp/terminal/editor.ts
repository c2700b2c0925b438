/**
 * The line that is being typed at a text monitor, and its echo: QEMU's own line editing (util/readline.c), byte for
 * byte. It echoes by going back to the start of the line, writing it again and erasing the rest, at every byte.
 *
 * Text is held as one character for a byte, as QEMU does: it knows no encoding.
 */

import { isAtLeast } from '../../qmp/qemu-version.js';
import { HmpHistory } from './history.js';

/** Bytes of a line at most; further input is ignored. */
export const LONGEST_LINE = 4095;
/** Words that a completion lists at most. */
const MOST_WORDS = 256;
const SCREEN = 80;

const PROMPT = '(qemu) ';
export const PASSWORD_PROMPT = 'Password: ';

/** A byte's request to the owner of the editor, who calls `completed` or `prompt` when it is done. */
export type HmpRequest =
  | { readonly kind: 'enter'; readonly line: string }
  /** `text` is the text before the cursor. */
  | { readonly kind: 'complete'; readonly text: string };

type Escape = 'none' | 'escape' | 'csi' | 'ss3';

/** C's isspace in the POSIX locale. */
function isBlank(char: string | undefined): boolean {
  return char !== undefined && ' \t\n\v\f\r'.includes(char);
}

export class HmpEditor {
  readonly history: HmpHistory = new HmpHistory();
  readonly #print: (text: string) => void;
  /** Whether ^N, ^P and ^U are keys. */
  readonly #hasLineKeys: boolean;
  #line = '';
  #cursor = 0;
  /** The terminal's present content, and its cursor's place. */
  #shown = '';
  #shownCursor = 0;
  #escape: Escape = 'none';
  #parameter = 0;
  #prompt = PROMPT;

  /**
   * @param print takes the echo; a newline is CR LF
   * @param version of QEMU, as its greeting has it: 9.1 and later know three more keys
   */
  constructor(print: (text: string) => void, version: string) {
    this.#print = print;
    this.#hasLineKeys = isAtLeast(version, 9, 1);
  }

  /** Whether a password is being typed. */
  get isSecret(): boolean {
    return this.#prompt === PASSWORD_PROMPT;
  }

  /** Begins a new line. */
  prompt(prompt: string = PROMPT): void {
    this.#prompt = prompt;
    this.#set('', 0);
    this.#showPrompt();
  }

  /** One byte of input. @returns its request; nothing more is to be typed until that is done */
  type(byte: number): HmpRequest | null {
    const request = this.#take(byte);
    if (request === null) this.#update();
    return request;
  }

  /** Goes on after a request to complete. @param words possible completions @param length of the part already typed */
  completed(words: readonly string[], length: number): void {
    const found = words.slice(0, MOST_WORDS).sort((a, b) => (a < b ? -1 : Number(a > b)));
    const [first = ''] = found;
    if (found.length === 1) {
      this.#insert(first.slice(length));
      if (first !== '' && !first.endsWith('/')) this.#insert(' ');
    } else if (found.length > 1) {
      this.#print('\r\n');
      this.#insert(first.slice(length, commonLength(found)));
      this.#list(found);
      this.#showPrompt();
    }
    this.#update();
  }

  #take(byte: number): HmpRequest | null {
    switch (this.#escape) {
      case 'none':
        return this.#plain(byte);
      case 'escape':
        this.#parameter = 0;
        this.#escape = byte === 0x5b ? 'csi' : byte === 0x4f ? 'ss3' : 'none';
        return null;
      case 'csi':
        if (byte >= 0x30 && byte <= 0x39) {
          this.#parameter = (this.#parameter * 10 + (byte - 0x30)) | 0;
          return null;
        }
        this.#escape = 'none';
        this.#control(byte);
        return null;
      case 'ss3':
        this.#escape = 'none';
        if (byte === 0x46) this.#cursor = this.#line.length;
        else if (byte === 0x48) this.#cursor = 0;
        return null;
    }
  }

  #plain(byte: number): HmpRequest | null {
    switch (byte) {
      case 0x01:
        this.#cursor = 0;
        break;
      case 0x04:
        this.#delete();
        break;
      case 0x05:
        this.#cursor = this.#line.length;
        break;
      case 0x09:
        return { kind: 'complete', text: this.#line.slice(0, this.#cursor) };
      case 0x0a:
      case 0x0d:
        return this.#enter();
      case 0x0c:
        this.#print('\x1b[2J\x1b[1;1H');
        this.#showPrompt();
        break;
      case 0x17:
        this.#deleteWord();
        break;
      case 0x1b:
        this.#escape = 'escape';
        break;
      case 0x08:
      case 0x7f:
        if (this.#cursor === 0) break;
        this.#cursor--;
        this.#delete();
        break;
      case 0x9b:
        this.#escape = 'csi';
        break;
      case 0x0e:
        if (this.#hasLineKeys) this.#recall(this.history.down());
        break;
      case 0x10:
        if (this.#hasLineKeys) this.#recall(this.history.up());
        break;
      case 0x15:
        if (this.#hasLineKeys) this.#set(this.#line.slice(this.#cursor), 0);
        break;
      default:
        if (byte >= 0x20) this.#insert(String.fromCharCode(byte));
    }
    return null;
  }

  /** The end of a control sequence: cursor keys, Home, Delete, End. */
  #control(byte: number): void {
    switch (String.fromCharCode(byte)) {
      case 'A':
      case 'F':
        this.#recall(this.history.up());
        break;
      case 'B':
      case 'E':
        this.#recall(this.history.down());
        break;
      case 'C':
        if (this.#cursor < this.#line.length) this.#cursor++;
        break;
      case 'D':
        if (this.#cursor > 0) this.#cursor--;
        break;
      case '~':
        if (this.#parameter === 1) this.#cursor = 0;
        else if (this.#parameter === 3) this.#delete();
        else if (this.#parameter === 4) this.#cursor = this.#line.length;
        break;
      default:
    }
  }

  #enter(): HmpRequest {
    const line = this.#line;
    if (!this.isSecret) this.history.add(line);
    this.#print('\r\n');
    this.#set('', 0);
    this.#shown = '';
    this.#shownCursor = 0;
    return { kind: 'enter', line };
  }

  #set(line: string, cursor: number): void {
    this.#line = line;
    this.#cursor = cursor;
  }

  #recall(line: string | null): void {
    if (line !== null) this.#set(line, line.length);
  }

  #insert(text: string): void {
    const line = this.#line;
    const part = text.slice(0, LONGEST_LINE - line.length);
    this.#set(line.slice(0, this.#cursor) + part + line.slice(this.#cursor), this.#cursor + part.length);
  }

  #delete(): void {
    const line = this.#line;
    this.#line = line.slice(0, this.#cursor) + line.slice(this.#cursor + 1);
  }

  #deleteWord(): void {
    const line = this.#line;
    if (this.#cursor === 0) return;
    let start = this.#cursor - 1;
    while (start > 0 && isBlank(line[start])) start--;
    while (start > 0 && !isBlank(line[start])) start--;
    // A blank at the very start is taken for part of the word.
    if (start > 0) start++;
    this.#set(line.slice(0, start) + line.slice(this.#cursor), start);
  }

  #showPrompt(): void {
    this.#print(this.#prompt);
    this.#shown = '';
    this.#shownCursor = 0;
    this.#escape = 'none';
  }

  /** Words in columns. */
  #list(words: readonly string[]): void {
    const widest = Math.max(...words.map(({ length }) => length)) + 2;
    const width = Math.min(Math.max(widest, 10), SCREEN);
    const columns = Math.floor(SCREEN / width);
    for (const [index, word] of words.entries()) {
      const isLast = (index + 1) % columns === 0 || index === words.length - 1;
      this.#print(word.padEnd(width) + (isLast ? '\r\n' : ''));
    }
  }

  /** Brings the terminal up to date. */
  #update(): void {
    if (this.#line !== this.#shown) {
      const text = this.isSecret ? '*'.repeat(this.#line.length) : this.#line;
      this.#print(`${'\x1b[D'.repeat(this.#shownCursor)}${text}\x1b[K`);
      this.#shown = this.#line;
      this.#shownCursor = this.#line.length;
    }
    const move = this.#cursor - this.#shownCursor;
    if (move !== 0) this.#print((move > 0 ? '\x1b[C' : '\x1b[D').repeat(Math.abs(move)));
    this.#shownCursor = this.#cursor;
  }
}

/** @returns how many characters all of `words`, which are sorted, have in common. */
function commonLength(words: readonly string[]): number {
  const first = words[0] ?? '';
  const last = words.at(-1) ?? '';
  let length = 0;
  while (length < first.length && first[length] === last[length]) length++;
  return length;
}
