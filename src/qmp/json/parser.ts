/**
 * The tokens of a message → whether QEMU's parser accepts it, its error text if not, and where its top-level members lie
 * (qobject/json-parser.c). One pass over the tokens, in QEMU's order, since the first error found is the one reported.
 * Nothing is built: values stay where they are in the message's bytes.
 *
 * Open values are on an explicit stack, so nesting takes nothing of the engine's; and a large message can be parsed in steps
 * (`begin`, then `step` until it is done), between which others are served.
 */
import { asciiText, equals } from '../../shared/bytes.js';
import { KeyHash } from './key-table.js';
import { ObjectKeys } from './object-keys.js';
import { checkString, decodeString, stringError } from './string-token.js';
import { Token, type TokenList } from './tokens.js';

/** QEMU formats its text about a parse error into a buffer of 1024 bytes, NUL included. */
export const LONGEST_ERROR = 1023;
/** A token's cost in a step's budget, besides the bytes of a string that has to be looked at. */
const TOKEN_COST = 8;
/** More levels than `Scanner` lets through. */
const MOST_OPEN = 1100;
/** Registers for more members than this are not kept for the next message. */
const MOST_KEPT = 1024;

const TRUE = new Uint8Array([0x74, 0x72, 0x75, 0x65]);
const FALSE = new Uint8Array([0x66, 0x61, 0x6c, 0x73, 0x65]);
const NULL = new Uint8Array([0x6e, 0x75, 0x6c, 0x6c]);
const NOTHING = new Uint8Array(0);

/** @returns whether a keyword is one of JSON's. */
export function isKeyword(bytes: Uint8Array, start: number, end: number): boolean {
  return equals(bytes, start, end, TRUE) || equals(bytes, start, end, FALSE) || equals(bytes, start, end, NULL);
}

/** @returns QEMU's error about any other. */
export function invalidKeyword(bytes: Uint8Array, start: number, end: number): string {
  return `invalid keyword '${asciiText(bytes, start, Math.min(end, start + LONGEST_ERROR))}'`.slice(0, LONGEST_ERROR);
}

/** The part of an open value that is being read. QEMU reads a value in place of a key, and judges it then. */
const Inside = { Array: 0, Key: 1, Value: 2 } as const;

/** One parser serves a whole process: its registers hold its findings about the message parsed last. */
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
  /** Where to go on in the string token at `#at`; 0 at its beginning. */
  #within = 0;
  /** Of top-level members: the token of the key, the first token of the value, and the token after the value. */
  #keyTokens: number[] = [];
  #valueTokens: number[] = [];
  #endTokens: number[] = [];
  readonly #objects = new ObjectKeys();
  /** Open brackets, and for each: the part being read; for objects also the current key, and its hash, if it has one. */
  #depth = 0;
  readonly #inside = new Uint8Array(MOST_OPEN);
  readonly #key = new Int32Array(MOST_OPEN);
  readonly #hash = new Int32Array(MOST_OPEN);
  readonly #keyHash = new KeyHash();
  /** The first token of the value of the top-level member at hand. */
  #value = 0;

  /** Parses a message as `Scanner` reported it. */
  parse(bytes: Uint8Array, tokens: TokenList): void {
    this.begin(bytes, tokens);
    this.step(Number.POSITIVE_INFINITY);
  }

  /** Begins with a message as `Scanner` reported it; `step` does the rest. */
  begin(bytes: Uint8Array, tokens: TokenList): void {
    this.#bytes = bytes;
    this.#tokens = tokens;
    this.#at = 0;
    this.#within = 0;
    this.#depth = 0;
    this.#objects.clear();
    this.#objects.use(bytes, tokens);
    this.error = null;
    this.memberCount = 0;
    this.isObject = tokens.kind(0) === Token.LeftBrace;
  }

  /**
   * Parses on.
   * @param budget how much to do at most, about: bytes of strings, and 8 for each token
   * @returns whether the message is parsed, or `error` set
   */
  step(budget: number): boolean {
    const tokens = this.#tokens;
    if (tokens === null) return true;
    let left = budget;
    for (;;) {
      if (left <= 0) return false;
      left -= TOKEN_COST;
      const at = this.#at;
      switch (tokens.kind(at)) {
        case Token.PlainString:
          if (this.#isHashed(at)) {
            left = this.#readString(tokens, at, left, true);
            if (left < 0) return this.error !== null;
          }
          break;
        case Token.RichString:
          left = this.#readString(tokens, at, left, this.#isHashed(at));
          if (left < 0) return this.error !== null;
          break;
        case Token.Integer:
        case Token.Float:
          break;
        case Token.LeftBrace:
          if (tokens.kind(at + 1) !== Token.RightBrace) {
            if (!this.#open(Inside.Key)) return true;
            this.#key[this.#depth - 1] = at + 1;
            continue;
          }
          this.#at = at + 1;
          break;
        case Token.LeftBracket:
          if (tokens.kind(at + 1) !== Token.RightBracket) {
            if (!this.#open(Inside.Array)) return true;
            continue;
          }
          this.#at = at + 1;
          break;
        case Token.Keyword:
          if (!this.#isKeyword(tokens.start(at), tokens.end(at))) return true;
          break;
        case 0:
          return this.#fail('premature EOI');
        default:
          return this.#fail('expecting value');
      }
      this.#at++;
      if (this.#goOn(tokens)) return true;
    }
  }

  /** Takes over all registers of a parser that is done with a message, which takes this one's in exchange. */
  exchange(other: Parser): void {
    this.error = other.error;
    this.isObject = other.isObject;
    [this.memberCount, other.memberCount] = [other.memberCount, this.memberCount];
    [this.#bytes, other.#bytes] = [other.#bytes, this.#bytes];
    [this.#tokens, other.#tokens] = [other.#tokens, this.#tokens];
    [this.#keyTokens, other.#keyTokens] = [other.#keyTokens, this.#keyTokens];
    [this.#valueTokens, other.#valueTokens] = [other.#valueTokens, this.#valueTokens];
    [this.#endTokens, other.#endTokens] = [other.#endTokens, this.#endTokens];
    this.#objects.clear();
    other.#objects.clear();
  }

  /** Releases the message parsed last, and its bytes, which may be many: their client may be gone before there is another. */
  forget(): void {
    this.#bytes = NOTHING;
    this.#tokens = null;
    this.memberCount = 0;
    if (this.#keyTokens.length > MOST_KEPT) {
      this.#keyTokens = [];
      this.#valueTokens = [];
      this.#endTokens = [];
    }
    this.#objects.clear();
  }

  /** Bytes of memory that are held besides the message, if it has many members. */
  get heldBytes(): number {
    const { bytes } = this.#objects;
    return bytes === 0 ? 0 : bytes + this.memberCount * 12;
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

  /** @returns the decoded key of top-level member `index`. @param most as for `text` */
  key(index: number, most?: number): string {
    return this.text(this.keyToken(index), most);
  }

  /**
   * @param most the text is cut after about this many bytes of the token
   * @returns the decoded text of string token `at` of the message parsed last, which the parser has accepted.
   */
  text(at: number, most: number = Number.POSITIVE_INFINITY): string {
    const tokens = this.#tokens;
    if (tokens === null) return '';
    const start = tokens.start(at);
    const end = tokens.end(at);
    return tokens.kind(at) === Token.PlainString
      ? asciiText(this.#bytes, start + 1, Math.min(end - 1, start + 1 + most))
      : decodeString(this.#bytes, start, end, most);
  }

  #fail(message: string): true {
    this.error ??= `JSON parse error, ${message.slice(0, LONGEST_ERROR)}`;
    return true;
  }

  /** @returns false when `error` is set. */
  #open(inside: number): boolean {
    const depth = this.#depth;
    // Not reached after a Scanner, which counts them.
    if (depth === MOST_OPEN) return !this.#fail('too many brackets');
    this.#inside[depth] = inside;
    if (inside === Inside.Key) this.#objects.open();
    this.#depth = depth + 1;
    this.#at++;
    return true;
  }

  #isKeyword(start: number, end: number): boolean {
    if (isKeyword(this.#bytes, start, end)) return true;
    return !this.#fail(invalidKeyword(this.#bytes, start, end));
  }

  /** Whether the string is a key that will be looked up in the table. */
  #isHashed(at: number): boolean {
    const top = this.#depth - 1;
    if (top < 0 || this.#inside[top] !== Inside.Key || this.#key[top] !== at) return false;
    return this.#objects.needsHash(at);
  }

  /**
   * Judges the string at hand, from where the last step ended in it, and hashes it if it `isHashed`.
   * @returns the rest of the budget; below 0 if the string is not finished, or `error` set
   */
  #readString(tokens: TokenList, at: number, budget: number, isHashed: boolean): number {
    const bytes = this.#bytes;
    const start = tokens.start(at);
    const end = tokens.end(at);
    const from = start + Math.max(1, this.#within);
    let until = budget < end - from ? from + Math.max(1, budget) : end;
    let next = from;
    if (isHashed) {
      if (this.#within === 0) this.#keyHash.begin();
      const stop = Math.min(until, end - 1);
      next = this.#keyHash.take(bytes, from, stop, end);
      // Finds the error there.
      until = next < stop ? end : next;
    }
    next = checkString(bytes, next, end, until);
    if (stringError !== null) {
      this.#fail(stringError);
      return -1;
    }
    if (next < end - 1) {
      this.#within = next - start;
      return -1;
    }
    this.#within = 0;
    if (isHashed) this.#hash[this.#depth - 1] = this.#keyHash.finish();
    return Math.max(0, budget - (next - from));
  }

  /** After a value: goes to the start of the next one. @returns whether there is none, or `error` is set */
  #goOn(tokens: TokenList): boolean {
    while (this.#depth > 0) {
      const top = this.#depth - 1;
      const kind = tokens.kind(this.#at++);
      const inside = this.#inside[top];
      if (inside === Inside.Key) {
        const keyKind = tokens.kind(this.#key[top] ?? 0);
        if (keyKind !== Token.PlainString && keyKind !== Token.RichString) {
          return this.#fail('key is not a string in object');
        }
        if (kind === 0) return this.#fail('premature EOI');
        if (kind !== Token.Colon) return this.#fail('missing : in object pair');
        this.#inside[top] = Inside.Value;
        if (top === 0) this.#value = this.#at;
        return false;
      }
      if (inside === Inside.Array) {
        if (kind === Token.Comma) return false;
        if (kind === 0) return this.#fail('premature EOI');
        if (kind !== Token.RightBracket) return this.#fail('expected separator in list');
      } else {
        // Looked for only now: in QEMU an error inside the value comes first.
        if (this.#isDuplicate(top)) return this.#fail('duplicate key');
        if (top === 0) this.#takeMember(this.#at - 1);
        if (kind === Token.Comma) {
          this.#inside[top] = Inside.Key;
          this.#key[top] = this.#at;
          return false;
        }
        if (kind === 0) return this.#fail('premature EOI');
        if (kind !== Token.RightBrace) return this.#fail('expected separator in dict');
        this.#objects.close();
      }
      this.#depth = top;
    }
    return true;
  }

  #takeMember(end: number): void {
    const index = this.memberCount++;
    this.#keyTokens[index] = this.#key[0] ?? 0;
    this.#valueTokens[index] = this.#value;
    this.#endTokens[index] = end;
  }

  /** Whether the object has the key at hand; if not, it has it now. */
  #isDuplicate(top: number): boolean {
    const key = this.#key[top] ?? 0;
    return this.#objects.isDuplicate(key, this.#objects.needsHash(key) ? (this.#hash[top] ?? 0) : null);
  }
}
