/** Where in a TOML text a key is set: the parser gives values only, and a message without a line is half a message. */

/** Keys from the root; a number is an index of an array. */
export type KeyPath = readonly (string | number)[];

/** The construct that the reader is inside of, besides tables that have a header. */
type Frame =
  | { readonly kind: 'array'; index: number }
  /** An inline table; how many keys lead to it, and whether a key comes next. */
  | { readonly kind: 'table'; readonly depth: number };

/**
 * @param toml a text that the parser has taken
 * @returns the line (from 1) of the longest beginning of `path` that has one, or null
 */
export function lineOf(toml: string, path: KeyPath): number | null {
  return new LineFinder(toml, path).find();
}

/** One pass over the text, with the keys that lead to the present place; nesting costs memory by its depth, and no recursion. */
class LineFinder {
  readonly #toml: string;
  readonly #path: KeyPath;
  #at = 0;
  #line = 1;
  #best: number | null = null;
  #bestLength = 0;
  /** The keys of the last header. */
  #table: KeyPath = [];
  /** The keys, and indexes, that lead to where we are. */
  #here: (string | number)[] = [];
  readonly #frames: Frame[] = [];
  /** How often `[[name]]` was there. */
  readonly #counts = new Map<string, number>();

  constructor(toml: string, path: KeyPath) {
    this.#toml = toml;
    this.#path = path;
  }

  find(): number | null {
    while (this.#at < this.#toml.length) {
      const before = this.#at;
      const frame = this.#frames.at(-1);
      this.#skipBlank(frame !== undefined);
      if (this.#at >= this.#toml.length) break;
      const char = this.#toml.charAt(this.#at);
      if (frame === undefined) this.#statement(char);
      else if (frame.kind === 'array') this.#element(char, frame);
      else this.#member(char, frame);
      // Text that the parser would not have taken is passed over.
      if (this.#at === before) this.#step();
    }
    return this.#best;
  }

  /** A separate line: a header, or a key with its value. */
  #statement(char: string): void {
    if (char === '\n') {
      this.#step();
      return;
    }
    if (char !== '[') {
      this.#here = [...this.#table, ...this.#keys()];
      this.#note(false);
      this.#value();
      return;
    }
    const isArray = this.#toml.charAt(this.#at + 1) === '[';
    this.#at += isArray ? 2 : 1;
    const keys = this.#keys();
    const name = JSON.stringify(keys);
    const count = this.#counts.get(name) ?? 0;
    if (isArray) this.#counts.set(name, count + 1);
    this.#table = isArray ? [...keys, count] : this.#within(keys);
    this.#here = [...this.#table];
    this.#note(true);
    this.#at += isArray ? 2 : 1;
  }

  /** The keys of a table inside an element of an array of tables have its index in them. */
  #within(keys: readonly string[]): KeyPath {
    const path: (string | number)[] = [];
    for (const [index, key] of keys.entries()) {
      path.push(key);
      if (this.#counts.size === 0 || index === keys.length - 1) continue;
      const count = this.#counts.get(JSON.stringify(keys.slice(0, index + 1)));
      if (count !== undefined) path.push(count - 1);
    }
    return path;
  }

  #element(char: string, frame: { index: number }): void {
    if (char === ']') this.#leave();
    else if (char === ',') {
      this.#step();
      frame.index++;
    } else {
      this.#here.push(frame.index);
      this.#note(false);
      this.#value();
    }
  }

  #member(char: string, frame: { readonly depth: number }): void {
    if (char === '}') this.#leave();
    else if (char === ',') this.#step();
    else {
      this.#here.length = frame.depth;
      this.#here.push(...this.#keys().slice(0, this.#path.length + 1));
      this.#note(false);
      this.#value();
    }
  }

  /** Reads a value, or enters one that has others in it. */
  #value(): void {
    this.#skipBlank(true);
    const char = this.#toml.charAt(this.#at);
    if (char === '[') {
      this.#step();
      this.#frames.push({ kind: 'array', index: 0 });
    } else if (char === '{') {
      this.#step();
      this.#frames.push({ kind: 'table', depth: this.#here.length });
    } else {
      if (char === '"' || char === "'") this.#text(char);
      else while (this.#at < this.#toml.length && !',]}#\n'.includes(this.#toml.charAt(this.#at))) this.#at++;
      this.#ended();
    }
  }

  /** At the end of an array or an inline table. */
  #leave(): void {
    this.#step();
    const frame = this.#frames.pop();
    if (frame?.kind === 'table') this.#here.length = frame.depth;
    this.#ended();
  }

  /** A value is over: drops the part of the path that led to it alone. */
  #ended(): void {
    if (this.#frames.at(-1)?.kind === 'array') this.#here.pop();
  }

  /** Reads keys with dots between them, up to the sign after them: `=` (which is read as well) or `]`. */
  #keys(): string[] {
    const keys: string[] = [];
    while (this.#at < this.#toml.length) {
      this.#skipBlank(false);
      const char = this.#toml.charAt(this.#at);
      const from = this.#at;
      if (char === '"' || char === "'") {
        this.#text(char);
        keys.push(unquoted(this.#toml.slice(from, this.#at)));
      } else if (char === '.') this.#at++;
      else if (char === '=') {
        this.#at++;
        return keys;
      } else if (char === ']' || char === '\n') return keys;
      else {
        while (this.#at < this.#toml.length && !' \t\r\n.=]"\''.includes(this.#toml.charAt(this.#at))) this.#at++;
        keys.push(this.#toml.slice(from, this.#at));
      }
    }
    return keys;
  }

  /** Steps over a string in its quotes, of one line or several. */
  #text(quote: string): void {
    const isLong = this.#toml.startsWith(quote.repeat(3), this.#at);
    const end = isLong ? quote.repeat(3) : quote;
    this.#at += end.length;
    while (this.#at < this.#toml.length && !this.#toml.startsWith(end, this.#at)) {
      if (quote === '"' && this.#toml.charAt(this.#at) === '\\') this.#step();
      this.#step();
    }
    this.#at += end.length;
    // Up to two more quotes belong to the string before its end.
    if (!isLong) return;
    for (let more = 0; more < 2 && this.#toml.charAt(this.#at) === quote; more++) this.#at++;
  }

  #skipBlank(overLines: boolean): void {
    for (;;) {
      const char = this.#toml.charAt(this.#at);
      if (char === '#') while (this.#at < this.#toml.length && this.#toml.charAt(this.#at) !== '\n') this.#at++;
      else if (char === ' ' || char === '\t' || char === '\r' || (overLines && char === '\n')) this.#step();
      else return;
    }
  }

  #step(): void {
    if (this.#toml.charAt(this.#at) === '\n') this.#line++;
    this.#at++;
  }

  /** Takes this line if it is nearer to the wanted path. */
  #note(isHeader: boolean): void {
    const shared = commonLength(this.#here, this.#path);
    // A key that leads elsewhere says nothing, but the header of a table says where its keys would be.
    if (shared <= this.#bestLength || (shared !== this.#here.length && !isHeader)) return;
    this.#best = this.#line;
    this.#bestLength = shared;
  }
}

function commonLength(a: KeyPath, b: KeyPath): number {
  let length = 0;
  while (length < a.length && length < b.length && a[length] === b[length]) length++;
  return length;
}

function unquoted(text: string): string {
  if (text.startsWith("'")) return text.slice(1, -1);
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'string' ? value : text.slice(1, -1);
  } catch {
    // An escape that TOML has and JSON has not.
    return text.slice(1, -1);
  }
}
