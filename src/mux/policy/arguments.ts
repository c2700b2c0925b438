/**
 * A command's arguments, prepared for judging: decoded, one path after the other, straight from the tokens.
 */

import { canonicalValue, isCanonical } from '../../qmp/json/canonical.js';
import type { Parser } from '../../qmp/json/parser.js';
import { Token, type TokenList } from '../../qmp/json/tokens.js';
import { asciiText } from '../../shared/bytes.js';

/** Arguments with more values than this, each counted with the parts of its path, are not taken apart: no real command has them. */
const MOST_PARTS = 65_536;

/** Nor are longer ones, in bytes: to decode them takes time and memory in which nobody else is served. */
const MOST_BYTES = 4 * 1024 * 1024;
/** At most this much of a single argument that is asked for by its name is looked at, in bytes. */
const LONGEST_TEXT = 64 * 1024;

/** One value that is no object and no list. An empty object or list counts as one, with `{}` or `[]` as its text. */
export interface Leaf {
  /** Members and list indexes, outermost first. A key that holds dots counts as several members. */
  readonly path: readonly string[];
  /** A string decoded; another value in QEMU's spelling. */
  readonly text: string;
}

/** The arguments of the command that `parser` read last. Valid until it reads another. */
export class ArgumentList {
  readonly #bytes: Uint8Array;
  readonly #tokens: TokenList;
  readonly #parser: Parser;
  readonly #first: number;

  /** @param first token of the arguments' value, an object; -1 for no arguments */
  constructor(bytes: Uint8Array, tokens: TokenList, parser: Parser, first: number) {
    this.#bytes = bytes;
    this.#tokens = tokens;
    this.#parser = parser;
    this.#first = first;
  }

  /** @returns the text of top-level argument `name` if it is a string, otherwise null. */
  string(name: string): string | null {
    let found: string | null = null;
    this.#each((path, token) => {
      if (path.length !== 1 || path[0] !== name) return true;
      const kind = this.#tokens.kind(token);
      if (kind === Token.PlainString || kind === Token.RichString) found = this.#parser.text(token, LONGEST_TEXT);
      return false;
    });
    return found;
  }

  /** @returns the text of top-level argument `name` if it is a number without a fraction or an exponent, otherwise null. */
  integer(name: string): string | null {
    let found: string | null = null;
    this.#each((path, token) => {
      if (path.length !== 1 || path[0] !== name) return true;
      if (this.#tokens.kind(token) === Token.Integer && this.#isShort(token)) found = this.#text(token);
      return false;
    });
    return found;
  }

  /** @returns all values, in the order written; null when there are too many to be judged, or too long ones. */
  leaves(): Leaf[] | null {
    if (this.#length > MOST_BYTES) return null;
    const leaves: Leaf[] = [];
    /** The keys on the way in parts: a key with dots is several, and is split once for all values below it. */
    const split = new SplitPath();
    let parts = 0;
    const isWhole = this.#each((path, token) => {
      const length = split.lengthOf(path, MOST_PARTS - parts);
      if (length < 0) return false;
      parts += length;
      leaves.push({ path: split.parts, text: this.#text(token) });
      return true;
    });
    return isWhole ? leaves : null;
  }

  #isShort(token: number): boolean {
    return this.#tokens.end(token) - this.#tokens.start(token) <= LONGEST_TEXT;
  }

  /** Bytes from the first argument to the end of the command. */
  get #length(): number {
    return this.#first < 0 ? 0 : this.#tokens.end(this.#tokens.count - 1) - this.#tokens.start(this.#first);
  }

  #text(token: number): string {
    switch (this.#tokens.kind(token)) {
      case Token.PlainString:
      case Token.RichString:
        return this.#parser.text(token);
      case Token.LeftBrace:
        return '{}';
      case Token.LeftBracket:
        return '[]';
      default:
        return isCanonical(this.#bytes, this.#tokens, token)
          ? asciiText(this.#bytes, this.#tokens.start(token), this.#tokens.end(token))
          : asciiText(canonicalValue(this.#bytes, this.#tokens, token));
    }
  }

  /**
   * Walks without recursion: arguments may be nested a thousand deep.
   * @param visit receives each value and its path, valid during the call only; false ends the walk
   * @returns whether the walk was not ended
   */
  #each(visit: (path: readonly string[], token: number) => boolean): boolean {
    if (this.#first < 0) return true;
    const tokens = this.#tokens;
    const path: string[] = [];
    /** For each open bracket: the index of the next list item, or -1 in an object. */
    const open: number[] = [];
    let token = this.#first;
    do {
      const kind = tokens.kind(token);
      if (kind === Token.LeftBrace || kind === Token.LeftBracket) {
        const isObject = kind === Token.LeftBrace;
        const isEmpty = tokens.kind(token + 1) === (isObject ? Token.RightBrace : Token.RightBracket);
        if (!isEmpty) {
          open.push(isObject ? -1 : 0);
          path.push('');
          token = this.#enter(path, open, token + 1);
          continue;
        }
        if (path.length > 0 && !visit(path, token)) return false;
        token += 2;
      } else {
        if (!visit(path, token)) return false;
        token++;
      }
      // After a value: a comma and the next one, or the ends of the enclosing brackets.
      while (open.length > 0 && tokens.kind(token) !== Token.Comma) {
        open.pop();
        path.pop();
        token++;
      }
      if (open.length > 0) token = this.#enter(path, open, token + 1);
    } while (open.length > 0);
    return true;
  }

  /** Names the value that begins at `token`, an item of the innermost bracket. @returns the value's own first token */
  #enter(path: string[], open: number[], token: number): number {
    const last = open.length - 1;
    const index = open[last] ?? -1;
    if (index < 0) {
      path[last] = this.#parser.text(token);
      return token + 2;
    }
    path[last] = String(index);
    open[last] = index + 1;
    return token;
  }
}

/** The path of one value after the other, with keys taken apart at their dots. */
class SplitPath {
  /** The keys of the last path, as they were written, and in parts; and how many parts are before each. */
  #keys: string[] = [];
  #split: (readonly string[])[] = [];
  #before: number[] = [0];

  get #hasDots(): boolean {
    return (this.#before.at(-1) ?? 0) > this.#keys.length;
  }

  /** The parts of the path that was asked about last. */
  get parts(): readonly string[] {
    return this.#hasDots ? this.#split.flat() : this.#keys.slice();
  }

  /** @returns of how many parts a path is, its keys among them that it has in common with the last one; -1 for more than `most` */
  lengthOf(path: readonly string[], most: number): number {
    let same = 0;
    while (same < path.length && same < this.#keys.length && path[same] === this.#keys[same]) same++;
    this.#keys.length = this.#split.length = same;
    this.#before.length = same + 1;
    for (let at = same; at < path.length; at++) {
      const key = path[at] ?? '';
      const before = this.#before[at] ?? 0;
      const dots = countDots(key, most - before);
      if (dots < 0) return -1;
      this.#keys.push(key);
      this.#split.push(dots === 0 ? [key] : key.split('.'));
      this.#before.push(before + dots + 1);
    }
    const length = this.#before[path.length] ?? 0;
    return length > most ? -1 : length;
  }
}

/** @returns how many dots are in `text`; -1 for `most` or more */
function countDots(text: string, most: number): number {
  let dots = 0;
  for (let at = text.indexOf('.'); at >= 0; at = text.indexOf('.', at + 1)) if (++dots >= most) return -1;
  return dots < most ? dots : -1;
}
