/**
 * How QEMU since 11.1 handles its tokens (qobject/json-streamer.c, json-lexer.c): an error is reported at once, with the line and column of
 * its token; then nothing, until the message is over. Before 11.1 a message is judged when it is complete: see `Scanner`.
 *
 * Invariants: positions count over all bytes of the connection. A column is a byte, and only a line feed ends a line. A token
 * that begins with the byte that ended a number, a keyword or a recovery is reported one column further right than it is.
 */
import { LONGEST_ERROR } from './parser.js';
import { PromptParser, Pushed, type PushResult } from './prompt-parser.js';
import { MAX_NESTING, MAX_TOKEN_COUNT, OVERSIZED, TOO_DEEP, TOO_MANY_TOKENS } from './stream-limits.js';
import { Token, type TokenKind, type TokenList } from './tokens.js';
import { decodeLossy } from './unicode.js';

/** How QEMU judges its input: `classic` until 11.0, `prompt` since 11.1. */
export type Dialect = 'classic' | 'prompt';

const LINE_FEED = 0x0a;
const STRAY = "stray '";

export class PromptStream {
  /** QEMU's words for the finding of `take` or `stray`. */
  error = '';

  readonly #maxBytes: number;
  readonly #parser = new PromptParser();
  #isSilent = false;
  #braces = 0;
  #brackets = 0;
  #tokenCount = 0;
  #tokenBytes = 0;
  #line = 1;
  /** Where the line begins, as an offset like those of the tokens; it may lie far before the bytes at hand. */
  #lineStart: number;
  /** Whether the next token, or the token at hand, begins with a byte that ended something else. */
  #isNextLate = false;
  #isLate = false;

  /**
   * @param at where the first byte of the connection lies
   * @param maxBytes the most bytes that all tokens of one message may have
   */
  constructor(at: number, maxBytes: number) {
    this.#lineStart = at;
    this.#maxBytes = maxBytes;
  }

  /** Whether an error of the current message was reported; the rest of it is silent. */
  get isSilent(): boolean {
    return this.#isSilent;
  }

  /** All offsets are less by `distance` from now on. */
  rebase(distance: number): void {
    this.#lineStart -= distance;
  }

  /** A blank between tokens, at `at`. */
  passBlank(byte: number, at: number): void {
    this.#isNextLate = false;
    if (byte === LINE_FEED) this.#beginLine(at + 1);
  }

  beginToken(): void {
    this.#isLate = this.#isNextLate;
    this.#isNextLate = false;
  }

  /** The faulty input is over; the byte that ended it begins the next token. */
  recover(): void {
    this.#isNextLate = true;
  }

  /**
   * A token has ended.
   * @param tokens with it as the last one, unless the stream is silent
   * @param judged up to where its characters are known to be right
   */
  take(kind: TokenKind, bytes: Uint8Array, tokens: TokenList, start: number, end: number, judged: number): PushResult {
    this.#isNextLate = kind === Token.Integer || kind === Token.Float || kind === Token.Keyword;
    this.#count(kind);
    let result: PushResult = Pushed.More;
    if (!this.#isSilent) {
      result = this.#judge(bytes, tokens, start, end, judged);
      this.#isSilent = result === Pushed.Error;
    }
    this.#endIfBalanced();
    return result;
  }

  /** Bytes that are no token. @returns whether that is to be reported */
  stray(bytes: Uint8Array, start: number, end: number): boolean {
    const isSaid = !this.#isSilent;
    this.#braces = 0;
    this.#brackets = 0;
    if (isSaid) this.error = this.#excess(end - start) ?? this.#placed(start, strayText(bytes, start, end));
    if (bytes[end - 1] === LINE_FEED) this.#beginLine(end);
    this.#endIfBalanced();
    return isSaid;
  }

  #beginLine(at: number): void {
    this.#line++;
    this.#lineStart = at;
  }

  /** Counts a token of this length. @returns the limit that the message exceeds with it, or null */
  #excess(length: number): string | null {
    this.#tokenBytes += length;
    this.#tokenCount++;
    if (this.#tokenBytes >= this.#maxBytes) return OVERSIZED;
    if (this.#tokenCount > MAX_TOKEN_COUNT) return TOO_MANY_TOKENS;
    return this.#braces + this.#brackets > MAX_NESTING ? TOO_DEEP : null;
  }

  #judge(bytes: Uint8Array, tokens: TokenList, start: number, end: number, judged: number): PushResult {
    const excess = this.#excess(end - start);
    if (excess !== null) return this.#fail(excess);
    const result = this.#parser.push(bytes, tokens, tokens.count - 1, judged);
    return result === Pushed.Error ? this.#fail(this.#placed(start, this.#parser.error)) : result;
  }

  #fail(error: string): PushResult {
    this.error = error;
    return Pushed.Error;
  }

  #placed(start: number, text: string): string {
    const column = start - this.#lineStart + (this.#isLate ? 2 : 1);
    return `${this.#line}:${column}: JSON parse error, ${text}`;
  }

  /** Two separate counts: `{"a" [}]` balances. A closing one too many makes both nothing. */
  #count(kind: TokenKind): void {
    if (kind === Token.LeftBrace) this.#braces++;
    else if (kind === Token.LeftBracket) this.#brackets++;
    else if (kind === Token.RightBrace && this.#braces > 0) this.#braces--;
    else if (kind === Token.RightBracket && this.#brackets > 0) this.#brackets--;
    else if (kind === Token.RightBrace || kind === Token.RightBracket) {
      this.#braces = 0;
      this.#brackets = 0;
    }
  }

  #endIfBalanced(): void {
    if (this.#braces > 0 || this.#brackets > 0) return;
    this.#isSilent = false;
    this.#tokenCount = 0;
    this.#tokenBytes = 0;
    this.#parser.reset();
  }
}

/** QEMU formats the token as a C string, which a NUL ends, and cuts the whole, though it be within a character. */
function strayText(bytes: Uint8Array, start: number, end: number): string {
  const nul = bytes.subarray(start, end).indexOf(0);
  const textEnd = nul < 0 ? end : start + nul;
  const room = LONGEST_ERROR - STRAY.length;
  const isCut = textEnd - start >= room;
  return `${STRAY}${decodeLossy(bytes, start, isCut ? start + room : textEnd)}${isCut ? '' : "'"}`;
}
