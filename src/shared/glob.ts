/**
 * Globs over command and event names and argument values: `*` is any run of characters, `?` any one, everything else itself.
 *
 * The text comes from a peer and may be many megabytes, so the time grows with its length alone. A glob falls into the parts between
 * its stars: the first and the last match at the ends of the text, the others are looked for from left to right, each once. A part
 * without `?` is looked for by Knuth, Morris and Pratt's way; one with `?` is tried at each place, which is why it has a bound.
 */

/** A part between two stars that holds `?` may have this many characters: at most as many steps for a character of the text. */
export const LONGEST_SEARCHED = 64;

export class Glob {
  readonly #parts: readonly string[];
  /** For each part that is looked for, where to go on in it after a mismatch; null for one with `?`. Made when first needed. */
  readonly #tables: (readonly number[] | null | undefined)[] = [];

  constructor(glob: string) {
    this.#parts = glob.split('*');
  }

  /** Whether a part that has to be looked for is longer than is good for waiting clients. */
  get isTooLong(): boolean {
    return this.#parts.slice(1, -1).some((part) => part.length > LONGEST_SEARCHED && part.includes('?'));
  }

  /** Whether it takes any text. */
  get isAnything(): boolean {
    return this.#parts.length > 1 && this.#parts.every((part) => part === '');
  }

  /** @returns whether the whole of `text` matches */
  matches(text: string): boolean {
    const parts = this.#parts;
    const first = parts[0] ?? '';
    if (parts.length === 1) return text.length === first.length && isAt(first, text, 0);
    const last = parts[parts.length - 1] ?? '';
    const end = text.length - last.length;
    if (end < first.length || !isAt(first, text, 0) || !isAt(last, text, end)) return false;
    let at = first.length;
    for (let index = 1; index < parts.length - 1; index++) {
      const part = parts[index] ?? '';
      const found = this.#find(index, part, text, at, end);
      if (found < 0) return false;
      at = found + part.length;
    }
    return true;
  }

  /** @returns where `part` begins, at `from` or after it, so that it ends at `end` or before it; -1 if it does not */
  #find(index: number, part: string, text: string, from: number, end: number): number {
    if (part === '') return from;
    let table = this.#tables[index];
    if (table === undefined) this.#tables[index] = table = part.includes('?') ? null : borders(part);
    if (table === null) {
      for (let at = from; at + part.length <= end; at++) if (isAt(part, text, at)) return at;
      return -1;
    }
    let matched = 0;
    for (let at = from; at < end; at++) {
      while (matched > 0 && part[matched] !== text[at]) matched = table[matched - 1] ?? 0;
      if (part[matched] === text[at]) matched++;
      if (matched === part.length) return at + 1 - matched;
    }
    return -1;
  }
}

/** @returns whether `part`, in which `?` is any character, is in `text` at `at`; the text is long enough */
function isAt(part: string, text: string, at: number): boolean {
  for (let i = 0; i < part.length; i++) if (part[i] !== '?' && part[i] !== text[at + i]) return false;
  return true;
}

/** @returns for each length of a beginning of `part`, less one: how long the longest one is that it also ends with */
function borders(part: string): number[] {
  const table = [0];
  let matched = 0;
  for (let i = 1; i < part.length; i++) {
    while (matched > 0 && part[matched] !== part[i]) matched = table[matched - 1] ?? 0;
    if (part[matched] === part[i]) matched++;
    table.push(matched);
  }
  return table;
}

/** @returns whether the whole of `text` matches `glob`. For one that is asked often, keep a `Glob`. */
export function matchesGlob(glob: string, text: string): boolean {
  return new Glob(glob).matches(text);
}

/** A path of globs, outermost first; `**` is any number of parts. */
export class PathGlob {
  readonly #parts: readonly (Glob | null)[];
  /** The last part, if it is a name and no pattern. */
  readonly lastName: string | null;

  constructor(parts: readonly string[]) {
    this.#parts = parts.map((part) => (part === '**' ? null : new Glob(part)));
    const last = parts[parts.length - 1] ?? '*';
    this.lastName = /[*?]/.test(last) ? null : last;
  }

  /**
   * Goes back to the last `**` alone, so that the work is at most the product of both lengths, of which one is the rule's.
   * @returns whether the whole of `path` matches
   */
  matches(path: readonly string[]): boolean {
    const wanted = this.#parts;
    let at = 0;
    let inWanted = 0;
    let star = -1;
    let starPath = 0;
    while (at < path.length) {
      const part = wanted[inWanted];
      if (part === null) {
        star = inWanted++;
        starPath = at;
      } else if (part?.matches(path[at] ?? '') === true) {
        inWanted++;
        at++;
      } else if (star >= 0) {
        inWanted = star + 1;
        at = ++starPath;
      } else return false;
    }
    while (wanted[inWanted] === null) inWanted++;
    return inWanted === wanted.length;
  }
}
