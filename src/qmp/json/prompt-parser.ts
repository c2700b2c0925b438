/**
 * QEMU's JSON parser since 11.1 (qobject/json-parser.c, a push parser): each token is judged when it comes, so an error is known at
 * the token that causes it, not at the end of the message. It accepts the same messages as `Parser`; its errors differ.
 *
 * All transitions are in `push`. Open values are on an explicit stack, as deep as `Scanner` lets it grow.
 */
import { ObjectKeys } from './object-keys.js';
import { invalidKeyword, isKeyword } from './parser.js';
import { checkString, stringError } from './string-token.js';
import { Token, type TokenList } from './tokens.js';

/** The tokens that may come next. */
const State = {
  Value: 0,
  /** After `[`. */
  ValueOrEnd: 1,
  ItemSeparator: 2,
  Key: 3,
  /** After `{`. */
  KeyOrEnd: 4,
  Colon: 5,
  MemberSeparator: 6,
} as const;
type StateName = (typeof State)[keyof typeof State];

const Inside = { Array: 0, Object: 1 } as const;

/** The results of `push`. */
export const Pushed = { More: 0, Done: 1, Error: 2 } as const;
export type PushResult = (typeof Pushed)[keyof typeof Pushed];

export class PromptParser {
  /** QEMU's text after `JSON parse error, `, for `Error`. */
  error = '';

  #state: StateName = State.Value;
  #depth = 0;
  readonly #inside: number[] = [];
  /** Of each open object: the token of the key at hand. */
  readonly #key: number[] = [];
  readonly #keys = new ObjectKeys();

  /** Forgets open values: the next token begins a message. */
  reset(): void {
    this.#state = State.Value;
    this.#depth = 0;
    this.#keys.clear();
  }

  /**
   * @param at the token, the last of `tokens`
   * @param judged up to where `checkString` has found the token's characters right already
   */
  push(bytes: Uint8Array, tokens: TokenList, at: number, judged: number): PushResult {
    const kind = tokens.kind(at);
    switch (this.#state) {
      case State.ValueOrEnd:
        if (kind === Token.RightBracket) return this.#close(bytes, tokens);
        return this.#value(kind, bytes, tokens, at, judged);
      case State.Value:
        return this.#value(kind, bytes, tokens, at, judged);
      case State.ItemSeparator:
        if (kind === Token.RightBracket) return this.#close(bytes, tokens);
        return kind === Token.Comma ? this.#expect(State.Value) : this.#fail("expected ',' or ']'");
      case State.KeyOrEnd:
      case State.Key:
        if (kind === Token.PlainString || kind === Token.RichString) {
          if (!this.#isText(kind, bytes, tokens, at, judged)) return Pushed.Error;
          this.#key[this.#depth - 1] = at;
          return this.#expect(State.Colon);
        }
        if (kind === Token.RightBrace && this.#state === State.KeyOrEnd) return this.#close(bytes, tokens);
        return this.#fail('expecting key');
      case State.Colon:
        return kind === Token.Colon ? this.#expect(State.Value) : this.#fail("expecting ':'");
      case State.MemberSeparator:
        if (kind === Token.RightBrace) return this.#close(bytes, tokens);
        return kind === Token.Comma ? this.#expect(State.Key) : this.#fail("expected ',' or '}'");
    }
  }

  #expect(state: StateName): PushResult {
    this.#state = state;
    return Pushed.More;
  }

  #fail(error: string): PushResult {
    this.error = error;
    return Pushed.Error;
  }

  #value(kind: number, bytes: Uint8Array, tokens: TokenList, at: number, judged: number): PushResult {
    switch (kind) {
      case Token.LeftBrace:
        this.#inside[this.#depth++] = Inside.Object;
        this.#keys.open();
        return this.#expect(State.KeyOrEnd);
      case Token.LeftBracket:
        this.#inside[this.#depth++] = Inside.Array;
        return this.#expect(State.ValueOrEnd);
      case Token.PlainString:
      case Token.RichString:
        if (!this.#isText(kind, bytes, tokens, at, judged)) return Pushed.Error;
        break;
      case Token.Keyword: {
        const start = tokens.start(at);
        const end = tokens.end(at);
        if (isKeyword(bytes, start, end)) break;
        return this.#fail(invalidKeyword(bytes, start, end));
      }
      case Token.Integer:
      case Token.Float:
        break;
      default:
        return this.#fail('expecting value');
    }
    return this.#complete(bytes, tokens);
  }

  /** The innermost bracket is closed. */
  #close(bytes: Uint8Array, tokens: TokenList): PushResult {
    this.#depth--;
    if (this.#inside[this.#depth] === Inside.Object) this.#keys.close();
    return this.#complete(bytes, tokens);
  }

  /** A value is complete. Its key is looked up now, as QEMU does. */
  #complete(bytes: Uint8Array, tokens: TokenList): PushResult {
    const top = this.#depth - 1;
    if (top < 0) return Pushed.Done;
    if (this.#inside[top] === Inside.Array) return this.#expect(State.ItemSeparator);
    this.#keys.use(bytes, tokens);
    if (this.#keys.isDuplicate(this.#key[top] ?? 0, null)) return this.#fail('duplicate key');
    return this.#expect(State.MemberSeparator);
  }

  #isText(kind: number, bytes: Uint8Array, tokens: TokenList, at: number, judged: number): boolean {
    if (kind === Token.PlainString) return true;
    const end = tokens.end(at);
    checkString(bytes, Math.max(judged, tokens.start(at) + 1), end);
    if (stringError === null) return true;
    this.error = stringError;
    return false;
  }
}
