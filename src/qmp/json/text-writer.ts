/** A text that comes character by character. Joined in pieces: a string for every character would cost an object each. */

import { unitsText } from '../../shared/bytes.js';

const PIECE = 4096;

export class TextWriter {
  readonly #units: Uint16Array;
  #count = 0;
  #text = '';

  /** @param about how many UTF-16 units are expected; a longer text is no worse off */
  constructor(about: number = PIECE) {
    this.#units = new Uint16Array(Math.max(2, Math.min(about, PIECE)));
  }

  /** @param codePoint any of Unicode's */
  add(codePoint: number): void {
    if (this.#count + 2 > this.#units.length) this.#join();
    if (codePoint < 0x10000) this.#units[this.#count++] = codePoint;
    else {
      this.#units[this.#count++] = 0xd800 + ((codePoint - 0x10000) >> 10);
      this.#units[this.#count++] = 0xdc00 + ((codePoint - 0x10000) & 0x3ff);
    }
  }

  /** @returns all of it */
  finish(): string {
    this.#join();
    return this.#text;
  }

  #join(): void {
    this.#text += unitsText(this.#units.subarray(0, this.#count));
    this.#count = 0;
  }
}
