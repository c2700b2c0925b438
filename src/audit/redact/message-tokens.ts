/** One message as its tokens: which belong together, and their text. No recursion, whatever the nesting. */
import { Parser } from '../../qmp/json/parser.js';
import { Scan, Scanner } from '../../qmp/json/scanner.js';
import { MAX_NESTING } from '../../qmp/json/stream-limits.js';
import { Token, type TokenList } from '../../qmp/json/tokens.js';

/** A string with escapes that is longer is not decoded. */
const MOST_DECODED = 1024 * 1024;
const LONGEST_NAME = 1024;

/** One for each level of texts within texts, for there is one search on each at a time. */
const parsers: Parser[] = [];

function parserOf(level: number): Parser {
  const parser = parsers[level] ?? new Parser();
  parsers[level] = parser;
  return parser;
}

export class MessageTokens {
  raw: Buffer = Buffer.alloc(0);
  /** The depth of the texts around this message. */
  readonly #outerDepth: number;
  readonly #scanner = new Scanner();
  readonly #parser: Parser;
  #tokens: TokenList;
  #isRead = false;
  /** For each token that opens an object or a list, the token that closes it. */
  #close = new Int32Array(0);

  /** @param level of texts within texts; one message of each level is in use at a time */
  constructor(level: number, outerDepth: number) {
    this.#parser = parserOf(level);
    this.#outerDepth = outerDepth;
    this.#tokens = this.#scanner.tokens;
  }

  /** @returns whether `raw` is one message that is not nested too deep. */
  read(raw: Uint8Array): boolean {
    this.#scanner.push(raw);
    if (this.#scanner.next() !== Scan.Message || this.#scanner.bytes !== raw) return false;
    for (let i = this.#scanner.end; i < raw.length; i++) if ((raw[i] ?? 0) > 0x20) return false;
    this.#tokens = this.#scanner.tokens;
    this.#parser.parse(raw, this.#tokens);
    if (this.#parser.error !== null) return false;
    this.raw = Buffer.from(raw.buffer, raw.byteOffset, raw.length);
    this.#isRead = true;
    return this.#pair();
  }

  /** Lets go of the message: no method may be called any more. */
  release(): void {
    // At the end of its input the scanner returns its tokens to the pool. Only it may: a list returned twice would have two owners.
    if (this.#isRead) this.#scanner.next();
    this.#isRead = false;
    this.#parser.forget();
  }

  kind(token: number): number {
    return this.#tokens.kind(token);
  }

  /** @returns where the token begins, in bytes of `raw`. */
  start(token: number): number {
    return this.#tokens.start(token);
  }

  /** @returns where it ends (exclusive). */
  end(token: number): number {
    return this.#tokens.end(token);
  }

  /** @returns the text at a path of members, or null. */
  textAt(...path: readonly string[]): string | null {
    let at = 0;
    for (const name of path) {
      at = this.member(at, name);
      if (at < 0) return null;
    }
    return this.text(at);
  }

  /** Finds out where each object and list ends. @returns false when the message is nested too deep, counting the texts around it */
  #pair(): boolean {
    const tokens = this.#tokens;
    const open: number[] = [];
    this.#close = new Int32Array(tokens.count);
    for (let i = 0; i < tokens.count; i++) {
      const kind = tokens.kind(i);
      this.#close[i] = i;
      if (kind === Token.LeftBrace || kind === Token.LeftBracket) {
        open.push(i);
        if (open.length + this.#outerDepth > MAX_NESTING) return false;
      } else if (kind === Token.RightBrace || kind === Token.RightBracket) this.#close[open.pop() ?? 0] = i;
    }
    return true;
  }

  /** @returns the token that closes the object or list that `token` opens; of another, itself. */
  closeOf(token: number): number {
    return this.#close[token] ?? token;
  }

  isText(token: number): boolean {
    const kind = this.#tokens.kind(token);
    return kind === Token.PlainString || kind === Token.RichString;
  }

  /** @returns whether a token is true, false or null. */
  isWord(token: number): boolean {
    return this.#tokens.kind(token) === Token.Keyword;
  }

  isTooLong(token: number): boolean {
    return (
      this.#tokens.kind(token) === Token.RichString &&
      this.#tokens.end(token) - this.#tokens.start(token) > MOST_DECODED
    );
  }

  /** @returns the decoded text of a string token; null for another one, and for one that is too long to be decoded. */
  text(token: number): string | null {
    if (!this.isText(token) || this.isTooLong(token)) return null;
    return this.decoded(token);
  }

  /** @returns the text of a string token. A plain one has nothing to decode. */
  decoded(token: number): string {
    if (this.#tokens.kind(token) !== Token.PlainString) return this.#parser.text(token);
    return this.raw.toString('latin1', this.#tokens.start(token) + 1, this.#tokens.end(token) - 1);
  }

  /** @returns a member's name; of one that is very long, its end: that decides. */
  name(key: number): string {
    const name = this.text(key) ?? '';
    return name.length > LONGEST_NAME ? name.slice(-LONGEST_NAME) : name;
  }

  /** @returns the value of an object's member, or -1. */
  member(object: number, name: string): number {
    if (this.#tokens.kind(object) !== Token.LeftBrace) return -1;
    const end = this.closeOf(object);
    for (let key = object + 1; key < end; key = this.closeOf(key + 2) + 2) {
      if (this.name(key) === name) return key + 2;
    }
    return -1;
  }

  /** @returns a token as it is written */
  spelling(token: number): string {
    return this.raw.toString('latin1', this.#tokens.start(token), this.#tokens.end(token));
  }
}
