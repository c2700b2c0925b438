/**
 * Values as people write them in qmp-shell: JSON or Python literals, mixed freely. Strings in either kind of quotes with the escapes of
 * both languages; `true` and `True`, `null` and `None`; integers of any length, exact. Python values without a form in JSON (sets, bytes,
 * complex numbers, expressions) are refused.
 */
import type { JsonValue } from '../../qmp/json/value.js';

/** The meaning of a text. `at` is the offset of the fault, `reason` a phrase for people. */
type ParsedLiteral =
  | { readonly ok: true; readonly value: JsonValue }
  | { readonly ok: false; readonly at: number; readonly reason: string };

/** Nesting beyond this is refused; QEMU has the same limit. */
const DEEPEST = 1024;

/** Parses the whole of `text` as one value. Never throws. */
export function parseLiteral(text: string): ParsedLiteral {
  return new LiteralParser(text).parse();
}

/** Python's `int(text)`: a decimal number, with a sign, leading zeros and single underscores if liked. */
export function parseInteger(text: string): number | bigint | null {
  if (!/^[+-]?\d+(?:_\d+)*$/.test(text)) return null;
  return exactInteger(text.replaceAll('_', '').replace(/^\+/, ''));
}

/** @returns a number, or a bigint where that would lose digits. */
function exactInteger(text: string): number | bigint {
  const number = Number(text);
  if (Number.isSafeInteger(number)) return number === 0 ? 0 : number; // no negative zero
  return text.startsWith('-') ? -BigInt(text.slice(1)) : BigInt(text);
}

class Malformed {
  readonly at: number;
  readonly reason: string;

  constructor(at: number, reason: string) {
    this.at = at;
    this.reason = reason;
  }
}

const words = new Map<string, JsonValue>([
  ['true', true],
  ['True', true],
  ['false', false],
  ['False', false],
  ['null', null],
  ['None', null],
]);

const escapes: Readonly<Record<string, string>> = {
  '"': '"',
  "'": "'",
  '\\': '\\',
  '/': '/',
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
};

const number = /[+-]?(?:0[xX][\da-fA-F]+|(?:\d+(?:_\d+)*)?(?:\.\d*)?(?:[eE][+-]?\d+)?)/y;
const word = /[A-Za-z_]\w*/y;
const blanks = /\s*/y;
const codePoint = /x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})/y;

class LiteralParser {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  parse(): ParsedLiteral {
    const value = this.#value(0);
    if (value instanceof Malformed) return { ok: false, at: value.at, reason: value.reason };
    this.#skipBlanks();
    if (this.#at < this.#text.length) return { ok: false, at: this.#at, reason: 'something follows the value' };
    return { ok: true, value };
  }

  #value(depth: number): JsonValue | Malformed {
    this.#skipBlanks();
    const first = this.#text[this.#at];
    if (first === undefined) return this.#malformed('a value is missing');
    if (depth > DEEPEST) return this.#malformed('too deeply nested');
    if (first === '{') return this.#object(depth);
    if (first === '[') return this.#array(depth);
    if (first === '"' || first === "'") return this.#string(first);
    const name = this.#match(word);
    if (name !== null) {
      const value = words.get(name);
      return value === undefined
        ? new Malformed(this.#at - name.length, `${name} is not a value: put text in quotes`)
        : value;
    }
    return this.#number();
  }

  #object(depth: number): JsonValue | Malformed {
    const members = new Map<string, JsonValue>();
    this.#at++;
    while (!this.#take('}')) {
      if (members.size > 0 && !this.#take(',')) return this.#malformed('a comma or } is missing');
      // Python allows a comma after the last.
      if (members.size > 0 && this.#take('}')) break;
      this.#skipBlanks();
      const quote = this.#text[this.#at];
      if (quote !== '"' && quote !== "'") return this.#malformed('the name of a member, in quotes, is missing');
      const name = this.#string(quote);
      if (name instanceof Malformed) return name;
      if (!this.#take(':')) return this.#malformed('a colon is missing');
      const value = this.#value(depth + 1);
      if (value instanceof Malformed) return value;
      members.set(name, value);
    }
    return Object.fromEntries(members);
  }

  #array(depth: number): JsonValue | Malformed {
    const items: JsonValue[] = [];
    this.#at++;
    while (!this.#take(']')) {
      if (items.length > 0 && !this.#take(',')) return this.#malformed('a comma or ] is missing');
      if (items.length > 0 && this.#take(']')) break;
      const value = this.#value(depth + 1);
      if (value instanceof Malformed) return value;
      items.push(value);
    }
    return items;
  }

  #string(quote: string): string | Malformed {
    const open = this.#at++;
    let text = '';
    for (;;) {
      const character = this.#text[this.#at];
      if (character === undefined) return new Malformed(open, 'the closing quote is missing');
      this.#at++;
      if (character === quote) return text;
      if (character !== '\\') {
        text += character;
        continue;
      }
      const code = this.#match(codePoint);
      if (code !== null) {
        const value = Number.parseInt(code.slice(1), 16);
        if (value > 0x10ffff) return new Malformed(this.#at - code.length - 1, `\\${code} is not a character`);
        text += code.startsWith('U') ? String.fromCodePoint(value) : String.fromCharCode(value);
        continue;
      }
      const escaped = this.#text[this.#at] ?? '';
      const meaning = escapes[escaped];
      if (meaning === undefined) return new Malformed(this.#at - 1, `unknown escape \\${escaped}`);
      text += meaning;
      this.#at++;
    }
  }

  #number(): JsonValue | Malformed {
    const start = this.#at;
    const text = this.#match(number) ?? '';
    if (!/\d/.test(text)) {
      this.#at = start;
      return this.#malformed('a value is missing');
    }
    const unsigned = text.replace(/^[+-]/, '');
    const negative = text.startsWith('-');
    if (/^0[xX]/.test(unsigned)) return exactInteger((negative ? -BigInt(unsigned) : BigInt(unsigned)).toString());
    const integer = parseInteger(text);
    if (integer !== null) return integer;
    const value = Number(text.replaceAll('_', ''));
    return Number.isFinite(value) ? value : new Malformed(start, `${text} is too large`);
  }

  #take(character: string): boolean {
    this.#skipBlanks();
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  #match(pattern: RegExp): string | null {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0] ?? null;
    if (found !== null) this.#at += found.length;
    return found === '' ? null : found;
  }

  #skipBlanks(): void {
    this.#match(blanks);
  }

  #malformed(reason: string): Malformed {
    return new Malformed(this.#at, reason);
  }
}
