/**
 * JSON as our own code holds it: parsed values in which every integer is exact.
 *
 * QMP integers go up to 2^64-1, and `JSON.parse` rounds what lies beyond 2^53. Here an integer that a JavaScript number
 * cannot hold is a `bigint`, every other number a `number`. Nothing that a client wrote passes through here on its way to
 * QEMU: the multiplexer forwards bytes. This is for the ends: our own commands, the client library, the simulated monitor.
 */

/** A JSON value. A `bigint` occurs only if a `number` would lose digits. */
export type JsonValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | readonly JsonValue[]
  | { readonly [name: string]: JsonValue };

export type JsonObject = { readonly [name: string]: JsonValue };

/** The result of `parseJson`. `reason` is a phrase for people; the text was not JSON. */
export type ParsedJson =
  | { readonly ok: true; readonly value: JsonValue }
  | { readonly ok: false; readonly reason: string };

export function isJsonObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function isJsonArray(value: JsonValue | undefined): value is readonly JsonValue[] {
  return Array.isArray(value);
}

const sixteenDigits = /\d{16}/;
/** Integers with more digits are refused: making one takes time in proportion to the square of its digits. */
const MOST_DIGITS = 4096;

/**
 * Parses strict JSON. Integers beyond ±(2^53 - 1) become bigints.
 * Never throws: text that is not JSON, or nested too deep for the engine, or with an integer of more than 4096 digits, is the
 * value `{ ok: false }`.
 */
export function parseJson(text: string): ParsedJson {
  try {
    // A long run of digits is rare; without one, the engine's own parser is exact. It makes nothing but JSON values.
    const value: JsonValue = sixteenDigits.test(text) ? new ExactParser(text).parse() : JSON.parse(text);
    return { ok: true, value };
  } catch (error) {
    return { ok: false, reason: error instanceof Error ? error.message : String(error) };
  }
}

/** The slow way, for texts with long numbers: recursive descent that leaves strings to the engine. Throws SyntaxError. */
class ExactParser {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  parse(): JsonValue {
    const value = this.#value();
    this.#skipBlanks();
    if (this.#at < this.#text.length) this.#fail();
    return value;
  }

  #value(): JsonValue {
    this.#skipBlanks();
    const first = this.#text[this.#at];
    if (first === '{') return this.#object();
    if (first === '[') return this.#array();
    if (first === '"') return this.#string();
    if (first === 't') return this.#keyword('true', true);
    if (first === 'f') return this.#keyword('false', false);
    if (first === 'n') return this.#keyword('null', null);
    return this.#number();
  }

  #object(): JsonObject {
    const members: [string, JsonValue][] = [];
    this.#at++;
    if (this.#next('}')) return {};
    do {
      this.#skipBlanks();
      const name = this.#string();
      if (!this.#next(':')) this.#fail();
      members.push([name, this.#value()]);
    } while (this.#next(','));
    if (!this.#next('}')) this.#fail();
    return Object.fromEntries(members); // unlike assignment, this makes "__proto__" a member like any other
  }

  #array(): JsonValue[] {
    const items: JsonValue[] = [];
    this.#at++;
    if (this.#next(']')) return items;
    do items.push(this.#value());
    while (this.#next(','));
    if (!this.#next(']')) this.#fail();
    return items;
  }

  #string(): string {
    const open = this.#at;
    const close = this.#text[open] === '"' ? closingQuote(this.#text, open) : -1;
    if (close < 0) return this.#fail();
    this.#at = close + 1;
    const value: string = JSON.parse(this.#text.slice(open, this.#at)); // from quote to quote: a string, or a SyntaxError
    return value;
  }

  /** By hand: on a long run of digits the engine's regular expressions overflow their stack. */
  #number(): number | bigint {
    const start = this.#at;
    if (this.#text[this.#at] === '-') this.#at++;
    const digits = this.#at;
    if (this.#text[this.#at] === '0') this.#at++;
    else this.#digits();
    let isInteger = true;
    if (this.#text[this.#at] === '.') {
      isInteger = false;
      this.#at++;
      this.#digits();
    }
    if (this.#text[this.#at] === 'e' || this.#text[this.#at] === 'E') {
      isInteger = false;
      this.#at++;
      if (this.#text[this.#at] === '-' || this.#text[this.#at] === '+') this.#at++;
      this.#digits();
    }
    const written = this.#text.slice(start, this.#at);
    const number = Number(written);
    if (!isInteger || Number.isSafeInteger(number)) return number;
    if (this.#at - digits > MOST_DIGITS) throw new SyntaxError(`an integer of ${this.#at - digits} digits`);
    return BigInt(written);
  }

  #digits(): void {
    const start = this.#at;
    while (isDigit(this.#text.charCodeAt(this.#at))) this.#at++;
    if (this.#at === start) this.#fail();
  }

  #keyword<T extends JsonValue>(word: string, value: T): T {
    if (!this.#text.startsWith(word, this.#at)) this.#fail();
    this.#at += word.length;
    return value;
  }

  /** Skips blanks, and takes `character` if it comes next. */
  #next(character: string): boolean {
    this.#skipBlanks();
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  #skipBlanks(): void {
    while (isBlank(this.#text.charCodeAt(this.#at))) this.#at++;
  }

  #fail(): never {
    const found = this.#text[this.#at];
    throw new SyntaxError(
      found === undefined
        ? 'Unexpected end of JSON input'
        : `Unexpected token ${found} in JSON at position ${this.#at}`,
    );
  }
}

function isDigit(unit: number): boolean {
  return unit >= 0x30 && unit <= 0x39;
}

function isBlank(unit: number): boolean {
  return unit === 0x20 || unit === 0x0a || unit === 0x0d || unit === 0x09;
}

/** @returns where the string of JSON that opens at `open` closes, or -1 */
export function closingQuote(text: string, open: number): number {
  let close = open;
  for (;;) {
    close = text.indexOf('"', close + 1);
    if (close < 0) return -1;
    let backslashes = 0;
    while (text.charCodeAt(close - 1 - backslashes) === 0x5c) backslashes++;
    if (backslashes % 2 === 0) return close;
  }
}

/** How `formatJson` writes: `compact` without blanks; `qemu` with QEMU's `": "` and `", "`. */
export type JsonStyle = 'compact' | 'qemu';

/**
 * Writes a value as JSON on one line, in ASCII, non-ASCII characters as `\uXXXX` in capitals as QEMU does.
 * Members that are `undefined` are left out.
 * @throws TypeError for values that JSON cannot express and QEMU would refuse: NaN, infinities, functions,
 * half surrogate pairs, noncharacters such as U+FFFF.
 */
export function formatJson(value: JsonValue, style: JsonStyle = 'compact'): string {
  const colon = style === 'qemu' ? ': ' : ':';
  const comma = style === 'qemu' ? ', ' : ',';
  const write = (item: JsonValue): string => {
    if (typeof item === 'string') return formatString(item);
    if (typeof item === 'object' && item !== null) {
      if (isJsonArray(item)) return `[${item.map(write).join(comma)}]`;
      const members: string[] = [];
      for (const [name, member] of Object.entries(item))
        if (member !== undefined) members.push(formatString(name) + colon + write(member));
      return `{${members.join(comma)}}`;
    }
    // Callers in plain JavaScript can hand over anything.
    const writable = item === null || typeof item === 'bigint' || typeof item === 'boolean' || Number.isFinite(item);
    if (!writable) throw new TypeError(`${String(item)} cannot be written as JSON`);
    return String(item);
  };
  return write(value);
}

/** Surrogates without their other half, and the code points that QEMU's mod_utf8_encode refuses as well. */
const refusedByQemu = /[\p{Surrogate}\p{Noncharacter_Code_Point}]/u;

function formatString(text: string): string {
  if (refusedByQemu.test(text))
    throw new TypeError('a string with a character that is none in Unicode: QEMU refuses it');
  return JSON.stringify(text).replace(
    /[\u007f-\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}`,
  );
}
