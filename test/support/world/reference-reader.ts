/**
 * A second reading of how QEMU takes its input apart, written for being plainly right and for nothing else: one byte at a
 * time, every token a separate object, values as trees, strings as bytes. It follows QEMU's json-lexer, json-streamer,
 * json-parser, unicode, qdict and qmp-dispatch rule by rule, and shares no line with src/qmp, so that the two can be
 * held against each other.
 *
 * Text is held as latin1 strings in here: one character is one byte of QEMU's modified UTF-8.
 */

export type Value =
  | { readonly kind: 'integer' | 'float' | 'keyword'; readonly text: string }
  | { readonly kind: 'string'; readonly bytes: string }
  | { readonly kind: 'list'; readonly items: readonly Value[] }
  | { readonly kind: 'object'; readonly members: readonly (readonly [string, Value])[] };

/** The outcome of a stretch of input: a value with the bytes it was read from, or QEMU's error text (as bytes). */
export type Outcome = { readonly value: Value; readonly source: string } | { readonly error: string };

/** QEMU's limits, which tests may lower to reach them sooner. */
export interface Limits {
  readonly bytes: number;
  readonly tokens: number;
  readonly nesting: number;
}

export const QEMU_LIMITS: Limits = { bytes: 64 * 1024 * 1024, tokens: 2 * 1024 * 1024, nesting: 1024 };

type TokenType = '{' | '}' | '[' | ']' | ':' | ',' | 'integer' | 'float' | 'keyword' | 'string' | 'fragment' | 'error';

export interface Token {
  readonly type: TokenType;
  readonly text: string;
}

export type State =
  | 'start'
  | 'recovery'
  | 'double'
  | 'double escape'
  | 'single'
  | 'single escape'
  | 'keyword'
  | 'sign'
  | 'zero'
  | 'digits'
  | 'point'
  | 'decimals'
  | 'e'
  | 'e sign'
  | 'e digits';

/** Where a byte leads: to a state, or to a finished token; `again` when the byte is not part of that token. */
type Step =
  | { readonly state: State; readonly again?: true }
  | { readonly token: TokenType; readonly again?: true }
  | 'error';

const isDigit = (c: string): boolean => c >= '0' && c <= '9';
const isLetter = (c: string): boolean => c >= 'a' && c <= 'z';
/** Bytes allowed in a string: all but control characters, FE and FF. */
const isText = (c: string): boolean => c >= '\x20' && c <= '\xfd';

/** QEMU's lexer, the same in all versions. */
export function step(state: State, c: string): Step {
  switch (state) {
    case 'start':
      if (c === ' ' || c === '\t' || c === '\r' || c === '\n') return { state: 'start' };
      if (c === '{' || c === '}' || c === '[' || c === ']' || c === ':' || c === ',') return { token: c };
      if (c === '"') return { state: 'double' };
      if (c === "'") return { state: 'single' };
      if (c === '-') return { state: 'sign' };
      if (c === '0') return { state: 'zero' };
      if (isDigit(c)) return { state: 'digits' };
      if (isLetter(c)) return { state: 'keyword' };
      return 'error';
    case 'recovery':
      if ('{}[]:,'.includes(c)) return { state: 'start', again: true };
      if (c !== '\t' && (c < ' ' || c > '\xfd')) return { state: 'start', again: true };
      return { state: 'recovery' };
    case 'double':
      if (c === '"') return { token: 'string' };
      if (c === '\\') return { state: 'double escape' };
      return isText(c) ? { state: 'double' } : 'error';
    case 'double escape':
      return isText(c) ? { state: 'double' } : 'error';
    case 'single':
      if (c === "'") return { token: 'string' };
      if (c === '\\') return { state: 'single escape' };
      return isText(c) ? { state: 'single' } : 'error';
    case 'single escape':
      return isText(c) ? { state: 'single' } : 'error';
    case 'keyword':
      return isLetter(c) ? { state: 'keyword' } : { token: 'keyword', again: true };
    case 'sign':
      if (c === '0') return { state: 'zero' };
      return isDigit(c) ? { state: 'digits' } : 'error';
    case 'zero':
      if (c === '.') return { state: 'point' };
      return isDigit(c) ? 'error' : { token: 'integer', again: true };
    case 'digits':
      if (isDigit(c)) return { state: 'digits' };
      if (c === '.') return { state: 'point' };
      return c === 'e' || c === 'E' ? { state: 'e' } : { token: 'integer', again: true };
    case 'point':
      return isDigit(c) ? { state: 'decimals' } : 'error';
    case 'decimals':
      if (isDigit(c)) return { state: 'decimals' };
      return c === 'e' || c === 'E' ? { state: 'e' } : { token: 'float', again: true };
    case 'e':
      if (c === '+' || c === '-') return { state: 'e sign' };
      return isDigit(c) ? { state: 'e digits' } : 'error';
    case 'e sign':
      return isDigit(c) ? { state: 'e digits' } : 'error';
    case 'e digits':
      return isDigit(c) ? { state: 'e digits' } : { token: 'float', again: true };
  }
}

export class ReferenceReader {
  readonly #limits: Limits;
  #state: State = 'start';
  #text = '';
  #tokens: Token[] = [];
  #size = 0;
  #braces = 0;
  #brackets = 0;
  /** The bytes since the first token of the message. */
  #source = '';
  #outcomes: Outcome[] = [];

  constructor(limits: Limits = QEMU_LIMITS) {
    this.#limits = limits;
  }

  /** @returns the outcomes that the bytes of `input` (latin1) completed. */
  read(input: string): Outcome[] {
    this.#outcomes = [];
    for (const c of input) this.#feed(c);
    return this.#outcomes;
  }

  #feed(c: string): void {
    for (;;) {
      const next = step(this.#state, c);
      if (next === 'error') {
        this.#text += c;
        this.#state = 'recovery';
        this.#take({ type: 'error', text: this.#text });
        this.#text = '';
        return;
      }
      const isOfNext = next.again === true;
      if (!isOfNext) {
        this.#text += c;
        this.#source += c;
      }
      if ('token' in next) {
        this.#state = 'start';
        this.#take({ type: next.token, text: this.#text });
        this.#text = '';
      } else {
        this.#state = next.state;
        if (next.state === 'start' || next.state === 'recovery') this.#text = '';
        if (next.state === 'start' && this.#tokens.length === 0) this.#source = '';
      }
      if (!isOfNext) break;
    }
    if (this.#text.length > this.#limits.bytes) {
      this.#state = 'start';
      this.#take({ type: 'fragment', text: this.#text });
      this.#text = '';
    }
  }

  #take(token: Token): void {
    if (token.type === 'error') return this.#emit({ error: `JSON parse error, stray '${cString(token.text)}'` });
    this.#tokens.push(token);
    this.#size += token.text.length;
    if (token.type === '{') this.#braces++;
    if (token.type === '}') this.#braces--;
    if (token.type === '[') this.#brackets++;
    if (token.type === ']') this.#brackets--;
    const isOver = this.#braces < 0 || this.#brackets < 0 || (this.#braces === 0 && this.#brackets === 0);
    if (this.#size >= this.#limits.bytes) this.#emit({ error: 'JSON token size limit exceeded' });
    else if (this.#tokens.length > this.#limits.tokens) this.#emit({ error: 'JSON token count limit exceeded' });
    else if (this.#braces + this.#brackets > this.#limits.nesting) {
      this.#emit({ error: 'JSON nesting depth limit exceeded' });
    } else if (isOver) this.#emit(parse(this.#tokens, this.#source));
  }

  #emit(outcome: Outcome): void {
    this.#outcomes.push(outcome);
    this.#tokens = [];
    this.#source = '';
    this.#size = 0;
    this.#braces = 0;
    this.#brackets = 0;
  }
}

/** Up to the first NUL, as `%s` prints it. */
export function cString(text: string): string {
  const end = text.indexOf('\0');
  return end < 0 ? text : text.slice(0, end);
}

export class ParseError extends Error {}

export function fail(what: string): never {
  throw new ParseError(`JSON parse error, ${what.slice(0, 1023)}`);
}

/** The grammar, by recursive descent; the first error is the one QEMU keeps. */
function parse(tokens: readonly Token[], source: string): Outcome {
  let at = 0;
  const pop = (): Token => tokens[at++] ?? fail('premature EOI');

  function value(): Value {
    const token = pop();
    switch (token.type) {
      case '{': {
        const members: [string, Value][] = [];
        if (tokens[at]?.type === '}') {
          at++;
          return { kind: 'object', members };
        }
        for (;;) {
          if (at >= tokens.length) fail('premature EOI');
          const key = value();
          if (key.kind !== 'string') return fail('key is not a string in object');
          if (pop().type !== ':') fail('missing : in object pair');
          const held = value();
          if (members.some(([each]) => each === key.bytes)) fail('duplicate key');
          members.push([key.bytes, held]);
          const separator = pop().type;
          if (separator === '}') return { kind: 'object', members };
          if (separator !== ',') fail('expected separator in dict');
        }
      }
      case '[': {
        const items: Value[] = [];
        if (tokens[at]?.type === ']') {
          at++;
          return { kind: 'list', items };
        }
        for (;;) {
          items.push(value());
          const separator = pop().type;
          if (separator === ']') return { kind: 'list', items };
          if (separator !== ',') fail('expected separator in list');
        }
      }
      case 'string':
        return { kind: 'string', bytes: unescaped(token.text) };
      case 'integer':
      case 'float':
        return { kind: token.type, text: token.text };
      case 'keyword':
        if (token.text !== 'true' && token.text !== 'false' && token.text !== 'null') {
          fail(`invalid keyword '${token.text}'`);
        }
        return { kind: 'keyword', text: token.text };
      case '}':
      case ']':
      case ':':
      case ',':
      case 'fragment':
      case 'error':
        return fail('expecting value');
    }
  }

  try {
    return { value: value(), source };
  } catch (error) {
    if (error instanceof ParseError) return { error: error.message };
    throw error;
  }
}

/** The value of a string token. */
export function unescaped(token: string): string {
  const quote = token[0];
  let bytes = '';
  let at = 1;
  while (token[at] !== quote) {
    if (token[at] !== '\\') {
      const read = readUtf8(token, at);
      if (read.codePoint === null) return fail('invalid UTF-8 sequence in string');
      bytes += token.slice(at, read.end);
      at = read.end;
      continue;
    }
    const begin = at;
    const letter = token[at + 1] ?? '';
    at += 2;
    const simple = { '"': '"', "'": "'", '\\': '\\', '/': '/', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' }[letter];
    if (simple !== undefined) {
      bytes += simple;
      continue;
    }
    if (letter !== 'u') return fail('invalid escape sequence in string');
    const hex = (from: number): number | null => {
      const digits = token.slice(from, from + 4);
      return /^[0-9a-fA-F]{4}$/.test(digits) ? Number.parseInt(digits, 16) : null;
    };
    let codePoint = hex(at);
    at += 4;
    if (codePoint !== null && codePoint >= 0xd800 && codePoint <= 0xdbff && token.slice(at, at + 2) === '\\u') {
      const trailing = hex(at + 2);
      if (trailing !== null && trailing >= 0xdc00 && trailing <= 0xdfff) {
        codePoint = 0x10000 + (codePoint - 0xd800) * 0x400 + (trailing - 0xdc00);
        at += 6;
      } else codePoint = null;
    }
    if (codePoint === null || !isCharacter(codePoint)) {
      return fail(`${cString(token.slice(begin, at))} is not a valid Unicode character`);
    }
    bytes += writeUtf8(codePoint);
  }
  return bytes;
}

/** @returns whether Unicode and QEMU call it a character: no surrogate, none of the 66 noncharacters, not beyond 10FFFF. */
export function isCharacter(codePoint: number): boolean {
  if (codePoint > 0x10ffff || (codePoint >= 0xd800 && codePoint <= 0xdfff)) return false;
  if (codePoint >= 0xfdd0 && codePoint <= 0xfdef) return false;
  return codePoint % 0x10000 < 0xfffe;
}

/** Modified UTF-8: a NUL takes two bytes. */
export function writeUtf8(codePoint: number): string {
  if (codePoint === 0) return '\xc0\x80';
  return Buffer.from(String.fromCodePoint(codePoint)).toString('latin1');
}

/** Reads one sequence as QEMU does; a bad one has the code point null, and ends where QEMU goes on. */
export function readUtf8(bytes: string, at: number): { codePoint: number | null; end: number } {
  const lead = bytes.charCodeAt(at);
  if (lead < 0x80) return { codePoint: lead, end: at + 1 };
  if (lead < 0xc0 || lead > 0xfd) return { codePoint: null, end: at + 1 };
  const length = lead >= 0xfc ? 6 : lead >= 0xf8 ? 5 : lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  let bits = lead.toString(2).slice(length + 1);
  let end = at + 1;
  while (end < at + length) {
    const next = bytes.charCodeAt(end);
    if (!(next >= 0x80 && next < 0xc0)) return { codePoint: null, end };
    bits += next.toString(2).slice(2);
    end++;
  }
  const codePoint = Number.parseInt(bits, 2);
  if (!isCharacter(codePoint)) return { codePoint: null, end };
  const isShortest = writeUtf8(codePoint).length === length;
  return { codePoint: isShortest ? codePoint : null, end };
}

/** @returns QEMU's JSON string for bytes, bad sequences as U+FFFD. */
export function quoted(bytes: string): string {
  let out = '"';
  for (let at = 0; at < bytes.length; ) {
    const { codePoint, end } = readUtf8(bytes, at);
    at = end;
    const character = String.fromCodePoint(codePoint ?? 0xfffd);
    const short = { '"': '\\"', '\\': '\\\\', '\b': '\\b', '\f': '\\f', '\n': '\\n', '\r': '\\r', '\t': '\\t' }[
      character
    ];
    if (short !== undefined) out += short;
    else if (character >= ' ' && character <= '~') out += character;
    else {
      for (const unit of character.split('')) {
        out += `\\u${unit.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}`;
      }
    }
  }
  return `${out}"`;
}

/** The members of an object in the order of QEMU's hash table: 512 chains, the newest first in each. */
export function walked<T>(members: readonly (readonly [string, T])[]): (readonly [string, T])[] {
  const chains: (readonly [string, T])[][] = Array.from({ length: 512 }, () => []);
  for (const member of members) chains[Number(tdbHash(member[0]) % 512n)]?.unshift(member);
  return chains.flat();
}

function tdbHash(key: string): bigint {
  const mask = 0xffffffffn;
  let value = (0x238f13afn * BigInt(key.length)) & mask;
  for (let i = 0; i < key.length; i++) {
    value = (value + (BigInt(key.charCodeAt(i)) << BigInt((i * 5) % 24))) & mask;
  }
  return (1103515243n * value + 12345n) & mask;
}

/** Without the zeros at the end of a fraction, nor a point with nothing after it. */
function trim(text: string): string {
  return text.includes('.') ? text.replace(/\.?0*$/, '') : text;
}

/** `%.17g`, from the exact binary value with integers alone. */
export function seventeenDigits(value: number): string {
  if (Number.isNaN(value)) throw new Error('JSON has no NaN');
  if (!Number.isFinite(value)) return value < 0 ? '-inf' : 'inf';
  if (value === 0) return Object.is(value, -0) ? '-0' : '0';
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, Math.abs(value));
  const bits = view.getBigUint64(0);
  const biased = Number(bits >> 52n);
  const fraction = bits & ((1n << 52n) - 1n);
  // value = mantissa × 2^power
  const mantissa = biased === 0 ? fraction : fraction | (1n << 52n);
  const power = Math.max(biased, 1) - 1075;
  // value = numerator / denominator; the decimal exponent is found by trying.
  const numerator = power > 0 ? mantissa << BigInt(power) : mantissa;
  const denominator = power < 0 ? 1n << BigInt(-power) : 1n;
  let exponent = -330;
  const scaled = (e: number): [bigint, bigint] =>
    e >= 0 ? [numerator, denominator * 10n ** BigInt(e)] : [numerator * 10n ** BigInt(-e), denominator];
  exponent = Math.floor(Math.log10(Math.abs(value))) + 1;
  // Log10 may be off by one: go down until value / 10^exponent is at least 1.
  for (let [n, d] = scaled(exponent); n < d; [n, d] = scaled(exponent)) exponent--;
  const [n, d] = scaled(exponent - 16);
  let digits = n / d;
  const rest = n % d;
  if (rest * 2n > d || (rest * 2n === d && digits % 2n === 1n)) digits++;
  if (digits === 10n ** 17n) {
    digits /= 10n;
    exponent++;
  }
  const all = digits.toString();
  const sign = value < 0 ? '-' : '';
  if (exponent < -4 || exponent >= 17) {
    const size = String(Math.abs(exponent)).padStart(2, '0');
    return `${sign}${trim(`${all[0]}.${all.slice(1)}`)}e${exponent < 0 ? '-' : '+'}${size}`;
  }
  if (exponent < 0) return sign + trim(`0.${'0'.repeat(-exponent - 1)}${all}`);
  return sign + trim(`${all.slice(0, exponent + 1)}.${all.slice(exponent + 1)}`);
}

/** @returns the value as QEMU's JSON writer puts it on one line. */
export function written(value: Value): string {
  switch (value.kind) {
    case 'keyword':
      return value.text;
    case 'string':
      return quoted(value.bytes);
    case 'float':
      return seventeenDigits(Number(value.text));
    case 'integer': {
      // Thousands of digits are a double in any case; BigInt would take long to say so.
      const exact = value.text.length < 40 ? BigInt(value.text) : null;
      const fits = exact !== null && exact >= -(1n << 63n) && exact < 1n << 64n;
      return fits ? exact.toString() : seventeenDigits(Number(value.text));
    }
    case 'list':
      return `[${value.items.map(written).join(', ')}]`;
    case 'object':
      return `{${walked(value.members)
        .map(([key, held]) => `${quoted(key)}: ${written(held)}`)
        .join(', ')}}`;
  }
}

/** QEMU's reading of a value: a command, or an error with the id that goes with it. `id` is null for none. */
export type Judged =
  | { readonly error: string; readonly id: string | null; readonly oob: boolean }
  | {
      readonly name: string;
      readonly id: string | null;
      readonly oob: boolean;
      /** The arguments as QEMU writes values; `{}` for none. */
      readonly args: string;
    };

/** @param allowOob whether the `oob` capability is enabled */
export function judged(outcome: Outcome, allowOob: boolean): Judged {
  if ('error' in outcome) return { error: outcome.error, id: null, oob: false };
  if (outcome.value.kind !== 'object') return { error: 'QMP input must be a JSON object', id: null, oob: false };
  const members = new Map(outcome.value.members);
  const held = members.get('id');
  const id = held === undefined ? null : written(held);
  const oob = members.has('exec-oob') && !members.has('execute');
  const fault = (error: string): Judged => ({ error, id, oob });
  let executeKey: string | null = null;
  for (const [key, value] of walked(outcome.value.members)) {
    if (key === 'execute' || (key === 'exec-oob' && allowOob)) {
      if (value.kind !== 'string') return fault(`QMP input member '${key}' must be a string`);
      if (executeKey !== null) return fault(`QMP input member '${key}' clashes with '${executeKey}'`);
      executeKey = key;
    } else if (key === 'arguments') {
      if (value.kind !== 'object') return fault("QMP input member 'arguments' must be an object");
    } else if (key !== 'id') return fault(`QMP input member '${key}' is unexpected`);
  }
  const name = members.get(executeKey ?? '');
  if (name?.kind !== 'string') return fault("QMP input lacks member 'execute'");
  return { name: name.bytes, id, oob, args: written(members.get('arguments') ?? { kind: 'object', members: [] }) };
}
