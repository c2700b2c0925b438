/**
 * Commands from a stream, for `-`: JSON, which ends where its braces balance, over several lines if it likes; and lines in
 * qmp-shell's syntax. Lines that begin with `#` are comments. Which of both comes next is seen by its first character.
 */
import { JsonBeginning } from '../../shared/json-beginning.js';

/** A piece of the input that is one command, or a line of one. */
export interface InputPiece {
  readonly text: string;
  readonly isJson: boolean;
  /** Where it begins, from 1. */
  readonly line: number;
}

export class CommandInput {
  #text = '';
  #line = 1;
  /** Where to go on searching for the end of a piece of JSON, and the brackets open there. */
  #at = 0;
  #depth = 0;
  #quote = '';
  #isEscaped = false;
  #json = new JsonBeginning();

  /** Why the JSON that has begun can never become whole, for people; null while it can. */
  get fault(): string | null {
    return this.#json.fault;
  }

  /** Whether a piece has begun that has no end yet. */
  get isInside(): boolean {
    return this.#text.trim() !== '';
  }

  push(text: string): void {
    this.#text += text;
  }

  /** @returns the next piece; null when more is needed. @param isLast whether nothing can follow */
  next(isLast: boolean): InputPiece | null {
    for (;;) {
      if (this.#at === 0) this.#take(/^\s*/.exec(this.#text)?.[0].length ?? 0);
      const isJson = this.#text.startsWith('{');
      const end = isJson ? this.#jsonEnd() : this.#text.indexOf('\n');
      if (end < 0 && !(isLast && this.#text !== '')) return null;
      const { piece, line } = this.#take(end < 0 ? this.#text.length : end);
      if (!piece.startsWith('#')) return { text: piece.trimEnd(), isJson, line };
    }
  }

  #take(length: number): { readonly piece: string; readonly line: number } {
    const piece = this.#text.slice(0, length);
    const line = this.#line;
    this.#text = this.#text.slice(length);
    this.#line += piece.split('\n').length - 1;
    this.#at = 0;
    this.#depth = 0;
    this.#quote = '';
    this.#isEscaped = false;
    this.#json = new JsonBeginning();
    return { piece, line };
  }

  /** @returns where the object ends that the text begins with, or -1. No character is looked at twice. */
  #jsonEnd(): number {
    for (; this.#at < this.#text.length; this.#at++) {
      const character = this.#text.charAt(this.#at);
      this.#json.take(character);
      if (this.#isEscaped) this.#isEscaped = false;
      else if (this.#quote !== '') {
        if (character === '\\') this.#isEscaped = true;
        else if (character === this.#quote) this.#quote = '';
      } else if (character === '"' || character === "'") this.#quote = character;
      else if (character === '{' || character === '[') this.#depth++;
      else if ((character === '}' || character === ']') && --this.#depth === 0) return this.#at + 1;
    }
    return -1;
  }
}
