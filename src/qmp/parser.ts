/**
 * The tokens of a message → whether QEMU's parser accepts it, its error text if not, and where its top-level members lie
 * (qobject/json-parser.c). One pass over the tokens, in QEMU's order, since the first error found is the one reported.
 * Nothing is built: values stay where they are in the message's bytes.
 */
import { asciiText, equals } from './ascii.js';
import { Token, type TokenList } from './tokens.js';
import { decodeLossy, INVALID, isValidCodePoint, readCodePoint, sequenceEnd } from './unicode.js';

/** QEMU formats what it says of a parse error into a buffer of 1024 bytes, NUL included. */
const LONGEST_ERROR = 1023;
/** From this many members on, or with a key longer than this, an object's keys are compared through a set, not with each other. */
const MANY_KEYS = 24;
const SHORT_KEY = 64;

const TRUE = new Uint8Array([0x74, 0x72, 0x75, 0x65]);
const FALSE = new Uint8Array([0x66, 0x61, 0x6c, 0x73, 0x65]);
const NULL = new Uint8Array([0x6e, 0x75, 0x6c, 0x6c]);

function hexValue(bytes: Uint8Array, at: number, end: number): number {
  let value = 0;
  for (let i = at; i < at + 4; i++) {
    const byte = i < end ? (bytes[i] ?? 0) : 0;
    if (byte >= 0x30 && byte <= 0x39) value = value * 16 + byte - 0x30;
    else if ((byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x66) value = value * 16 + (byte | 0x20) - 0x57;
    else return -1;
  }
  return value;
}

const ESCAPES = new Map<number, string>([
  [0x22, '"'],
  [0x27, "'"],
  [0x5c, '\\'],
  [0x2f, '/'],
  [0x62, '\b'],
  [0x66, '\f'],
  [0x6e, '\n'],
  [0x72, '\r'],
  [0x74, '\t'],
]);

/** What `decodeString` found wrong, or null: a register beside its result. */
export let stringError: string | null = null;

/**
 * Decodes a string token, quotes included in `start` to `end`.
 * @returns its text; meaningless when `stringError` is set to what QEMU says of it.
 */
export function decodeString(bytes: Uint8Array, start: number, end: number): string {
  stringError = null;
  const last = end - 1;
  let text = '';
  let run = start + 1;
  let at = run;
  while (at < last) {
    const byte = bytes[at] ?? 0;
    if (byte !== 0x5c && byte < 0x80) {
      at++;
      continue;
    }
    text += asciiText(bytes, run, at);
    if (byte !== 0x5c) {
      const codePoint = readCodePoint(bytes, at, end);
      if (codePoint === INVALID) {
        stringError = 'invalid UTF-8 sequence in string';
        return '';
      }
      text += String.fromCodePoint(codePoint);
      at = sequenceEnd;
    } else {
      const kind = bytes[at + 1] ?? 0;
      const simple = ESCAPES.get(kind);
      if (simple !== undefined) {
        text += simple;
        at += 2;
      } else if (kind === 0x75) {
        const from = at;
        let codePoint = hexValue(bytes, at + 2, end);
        at += 6;
        if (codePoint >= 0xd800 && codePoint <= 0xdbff && bytes[at] === 0x5c && bytes[at + 1] === 0x75) {
          const trailing = hexValue(bytes, at + 2, end);
          if (trailing >= 0xdc00 && trailing <= 0xdfff) {
            codePoint = 0x10000 + ((codePoint & 0x3ff) << 10) + (trailing & 0x3ff);
            at += 6;
          } else codePoint = INVALID;
        }
        if (!isValidCodePoint(codePoint)) {
          stringError = `${decodeLossy(bytes, from, Math.min(at, end))} is not a valid Unicode character`;
          return '';
        }
        text += String.fromCodePoint(codePoint);
      } else {
        stringError = 'invalid escape sequence in string';
        return '';
      }
    }
    run = at;
  }
  return text + asciiText(bytes, run, last);
}

const NOTHING = new Uint8Array(0);

/** One parser serves a whole process: its registers hold what it found in the message parsed last. */
export class Parser {
  /** QEMU's text for the first error, or null. */
  error: string | null = null;
  /** Whether the message is an object; only then are there members. */
  isObject = false;
  /** Top-level members. */
  memberCount = 0;

  #bytes: Uint8Array = NOTHING;
  #tokens: TokenList | null = null;
  #at = 0;
  /** Of top-level members: the token of the key, the first token of the value, and the token after the value. */
  readonly #keyTokens: number[] = [];
  readonly #valueTokens: number[] = [];
  readonly #endTokens: number[] = [];
  /** Key tokens of the objects that are open, innermost last. */
  readonly #keys: number[] = [];

  /** Parses a message as `Scanner` reported it. */
  parse(bytes: Uint8Array, tokens: TokenList): void {
    this.#bytes = bytes;
    this.#tokens = tokens;
    this.#at = 0;
    this.#keys.length = 0;
    this.error = null;
    this.memberCount = 0;
    this.isObject = tokens.kind(0) === Token.LeftBrace;
    if (this.isObject) this.#object(tokens, true);
    else this.#value(tokens);
  }

  /** Lets go of the message parsed last, and of its bytes, which may be many: their client may be gone before there is another. */
  forget(): void {
    this.#bytes = NOTHING;
    this.#tokens = null;
    this.memberCount = 0;
  }

  /** @returns the token of the key of top-level member `index`. */
  keyToken(index: number): number {
    return this.#keyTokens[index] ?? 0;
  }

  /** @returns the first token of its value. */
  valueToken(index: number): number {
    return this.#valueTokens[index] ?? 0;
  }

  /** @returns the token after its value. */
  endToken(index: number): number {
    return this.#endTokens[index] ?? 0;
  }

  /** @returns the decoded key of top-level member `index`. */
  key(index: number): string {
    return this.text(this.keyToken(index));
  }

  /** @returns the decoded text of string token `at` of the message parsed last, which the parser has accepted. */
  text(at: number): string {
    const tokens = this.#tokens;
    if (tokens === null) return '';
    const start = tokens.start(at);
    const end = tokens.end(at);
    return tokens.kind(at) === Token.PlainString
      ? asciiText(this.#bytes, start + 1, end - 1)
      : decodeString(this.#bytes, start, end);
  }

  #fail(message: string): false {
    this.error ??= `JSON parse error, ${message.slice(0, LONGEST_ERROR)}`;
    return false;
  }

  #value(tokens: TokenList): boolean {
    const at = this.#at;
    switch (tokens.kind(at)) {
      case Token.PlainString:
      case Token.Integer:
      case Token.Float:
        this.#at = at + 1;
        return true;
      case Token.LeftBrace:
        return this.#object(tokens, false);
      case Token.LeftBracket:
        return this.#array(tokens);
      case Token.RichString:
        this.#at = at + 1;
        decodeString(this.#bytes, tokens.start(at), tokens.end(at));
        return stringError === null ? true : this.#fail(stringError);
      case Token.Keyword:
        this.#at = at + 1;
        return this.#keyword(tokens.start(at), tokens.end(at));
      case 0:
        return this.#fail('premature EOI');
      default:
        return this.#fail('expecting value');
    }
  }

  #keyword(start: number, end: number): boolean {
    const bytes = this.#bytes;
    if (equals(bytes, start, end, TRUE) || equals(bytes, start, end, FALSE) || equals(bytes, start, end, NULL)) {
      return true;
    }
    return this.#fail(`invalid keyword '${asciiText(bytes, start, Math.min(end, start + LONGEST_ERROR))}'`);
  }

  #array(tokens: TokenList): boolean {
    this.#at++;
    if (tokens.kind(this.#at) === Token.RightBracket) {
      this.#at++;
      return true;
    }
    for (;;) {
      if (!this.#value(tokens)) return false;
      const kind = tokens.kind(this.#at++);
      if (kind === Token.RightBracket) return true;
      if (kind === 0) return this.#fail('premature EOI');
      if (kind !== Token.Comma) return this.#fail('expected separator in list');
    }
  }

  #object(tokens: TokenList, isTop: boolean): boolean {
    this.#at++;
    if (tokens.kind(this.#at) === Token.RightBrace) {
      this.#at++;
      return true;
    }
    const keys = this.#keys;
    const firstKey = keys.length;
    let seen: Set<string> | null = null;
    for (;;) {
      const key = this.#at;
      const keyKind = tokens.kind(key);
      if (!this.#value(tokens)) return false;
      if (keyKind !== Token.PlainString && keyKind !== Token.RichString) {
        return this.#fail('key is not a string in object');
      }
      const colon = tokens.kind(this.#at++);
      if (colon === 0) return this.#fail('premature EOI');
      if (colon !== Token.Colon) return this.#fail('missing : in object pair');
      const value = this.#at;
      if (!this.#value(tokens)) return false;
      // Looked for only now: in QEMU an error inside the value comes first.
      if (seen === null && keys.length - firstKey < MANY_KEYS && tokens.end(key) - tokens.start(key) <= SHORT_KEY) {
        for (let i = firstKey; i < keys.length; i++) {
          if (this.#sameKey(tokens, keys[i] ?? 0, key)) return this.#fail('duplicate key');
        }
      } else {
        seen ??= new Set(keys.slice(firstKey).map((each) => this.text(each)));
        const text = this.text(key);
        if (seen.has(text)) return this.#fail('duplicate key');
        seen.add(text);
      }
      keys.push(key);
      if (isTop) {
        this.#keyTokens[this.memberCount] = key;
        this.#valueTokens[this.memberCount] = value;
        this.#endTokens[this.memberCount] = this.#at;
        this.memberCount++;
      }
      const kind = tokens.kind(this.#at++);
      if (kind === Token.RightBrace) {
        keys.length = firstKey;
        return true;
      }
      if (kind === 0) return this.#fail('premature EOI');
      if (kind !== Token.Comma) return this.#fail('expected separator in dict');
    }
  }

  #sameKey(tokens: TokenList, one: number, other: number): boolean {
    if (tokens.kind(one) === Token.RichString || tokens.kind(other) === Token.RichString) {
      return this.text(one) === this.text(other);
    }
    const bytes = this.#bytes;
    const start = tokens.start(one);
    const length = tokens.end(one) - start;
    const otherStart = tokens.start(other);
    if (tokens.end(other) - otherStart !== length) return false;
    for (let i = 1; i < length; i++) if (bytes[start + i] !== bytes[otherStart + i]) return false;
    return true;
  }
}
