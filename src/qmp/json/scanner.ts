/**
 * Bytes from a client → messages, exactly as QEMU cuts them (qobject/json-lexer.c and json-streamer.c).
 *
 * Messages end where their braces and brackets balance, not at a newline. The lexer is QEMU's state machine, so it refuses the same input,
 * and goes on at the same place, for any bytes in any chunking. The consequence of a token depends on the
 * dialect: `#accept` is QEMU's until 11.0, prompt-stream.ts that since 11.1. No byte is read twice: all
 * state survives between chunks. Text inside tokens is not judged here: that is the parser's.
 *
 * Memory: nothing is kept between messages. Inside one, its bytes so far and its tokens, both bounded by QEMU's limits
 * (blanks count for nothing there, so they are squeezed out before they can pile up).
 */
import { Begin, beginTable, Inside, insideTable, isDigit, resyncTable, State, type StateName } from './lexer-tables.js';
import { Pushed } from './prompt-parser.js';
import { type Dialect, PromptStream } from './prompt-stream.js';
import {
  MAX_NESTING,
  MAX_TOKEN_BYTES,
  MAX_TOKEN_COUNT,
  OVERSIZED,
  TOO_DEEP,
  TOO_MANY_TOKENS,
} from './stream-limits.js';
import { checkString } from './string-token.js';
import { returnTokenList, Token, type TokenKind, type TokenList, takeTokenList } from './tokens.js';
import { decodeLossy } from './unicode.js';

/** An error quotes this many bytes of a stray token. QEMU quotes all of it. */
const LONGEST_QUOTED = 64 * 1024;

/** The findings of `Scanner.next`. */
export const Scan = {
  /** All bytes are used up. */
  NeedMore: 0,
  /** A whole value in `bytes` from `start` to `end`, its tokens in `tokens`. */
  Message: 1,
  /** Input that cannot become a message; `error` is QEMU's text for it, `start` to `end` the part of the message read so far. */
  Malformed: 2,
} as const;
export type ScanResult = (typeof Scan)[keyof typeof Scan];

const NOTHING = new Uint8Array(0);
const FIRST_HOLD = 256;

/** A string is judged ahead when this many bytes of it are there. */
const JUDGED_AHEAD = 64 * 1024;
/** Two escapes that make one character, in bytes. */
const LONGEST_CHARACTER = 12;

export class Scanner {
  /** Where the message that `next` reported lies; valid until the next call of `next` or `push`. */
  bytes: Uint8Array = NOTHING;
  start = 0;
  end = 0;
  error = '';

  readonly #maxBytes: number;
  /**
   * With more than this in an unfinished message, blanks are squeezed out of it. That leaves at most `maxBytes` and a blank
   * a token, so half of `maxBytes` must come before it is done again, and no byte is moved more than a few times.
   */
  readonly #mostHeld: number;
  #tokens: TokenList | null = null;
  #position = 0;
  #limit = 0;
  #state: StateName = State.Start;
  #rich = false;
  #tokenStart = 0;
  #messageStart = -1;
  #tokenBytes = 0;
  #braces = 0;
  #brackets = 0;
  #reported = false;
  /** For the dialect of QEMU 11.1; null for the one before it. */
  #prompt: PromptStream | null = null;
  /** The dialect to change to when no message is under way, or null. */
  #nextDialect: Dialect | null = null;
  /** Up to where the characters of the string at hand were found right, in the dialect of QEMU 11.1. */
  #judged = 0;
  /** Whether `bytes` is our own growing copy of an unfinished message, not a chunk. */
  #holding = false;

  /** @param maxBytes the most bytes all tokens of one message may have: QEMU's own limit, or a smaller one. */
  constructor(maxBytes: number = MAX_TOKEN_BYTES) {
    this.#maxBytes = Math.min(maxBytes, MAX_TOKEN_BYTES);
    this.#mostHeld = this.#maxBytes * 1.5 + Math.min(this.#maxBytes, MAX_TOKEN_COUNT);
  }

  /** Changes to QEMU's other dialect, at the end of a message that is under way. Positions are counted from there on. */
  set dialect(dialect: Dialect) {
    this.#nextDialect = dialect === (this.#prompt === null ? 'classic' : 'prompt') ? null : dialect;
  }

  /** The tokens of the reported message. */
  get tokens(): TokenList {
    this.#tokens ??= takeTokenList();
    return this.#tokens;
  }

  /** Whether a message has begun and not ended. */
  get isInsideMessage(): boolean {
    return this.#messageStart >= 0 && !this.#reported;
  }

  /** Bytes kept for an unfinished message or not yet scanned, and for the registers of a large one. */
  get heldBytes(): number {
    const bytes = this.#holding ? this.bytes.length : this.#limit - this.#position;
    return bytes + (this.#tokens?.largeBytes ?? 0);
  }

  /** Bytes taken that come after the message that `next` reported last. */
  get unscannedBytes(): number {
    return this.#limit - this.#position;
  }

  /** Takes the next bytes from the client. The chunk is not changed, and not kept longer than until it is scanned. */
  push(chunk: Uint8Array): void {
    if (this.#reported) this.#forget();
    const from = this.#messageStart >= 0 ? this.#messageStart : this.#position;
    if (from >= this.#limit) {
      this.#rebase(this.#position);
      this.bytes = chunk;
      this.#holding = false;
      this.#position = 0;
      this.#limit = chunk.length;
      return;
    }
    this.#hold(from, chunk.length);
    this.bytes.set(chunk, this.#limit);
    this.#limit += chunk.length;
    if (this.#limit > this.#mostHeld) this.#squeeze();
  }

  /** @returns what comes next in the stream; call again until it is `NeedMore`. */
  next(): ScanResult {
    if (this.#reported) this.#forget();
    if (this.#nextDialect !== null) this.#changeDialect();
    const bytes = this.bytes;
    const limit = this.#limit;
    const prompt = this.#prompt;
    let at = this.#position;
    while (at < limit) {
      const byte = bytes[at] ?? 0;
      let found: TokenKind | 0 = 0;
      let bad = false;
      switch (this.#state) {
        case State.Start: {
          const begins = beginTable[byte] ?? 0;
          if (begins === Begin.Blank) {
            if (prompt !== null) prompt.passBlank(byte, at);
            at++;
            continue;
          }
          this.#tokenStart = at;
          if (prompt !== null) {
            prompt.beginToken();
            this.#judged = at + 1;
          }
          if (this.#messageStart < 0 && prompt?.isSilent !== true) this.#messageStart = at;
          at++;
          if (begins > Begin.Structure) {
            // The table holds Begin.Structure plus one of TokenList's kinds here, and nothing else is above it.
            found = (begins - Begin.Structure) as TokenKind;
          } else if (begins === Begin.Double) {
            this.#rich = false;
            this.#state = State.DoubleQuoted;
          } else if (begins === Begin.Single) this.#state = State.SingleQuoted;
          else if (begins === Begin.Letter) this.#state = State.Keyword;
          else if (begins === Begin.Digit) this.#state = State.Digits;
          else if (begins === Begin.Zero) this.#state = State.Zero;
          else if (begins === Begin.Minus) this.#state = State.Sign;
          else bad = true;
          break;
        }
        case State.Recovery:
          while (at < limit && resyncTable[bytes[at] ?? 0] === 0) at++;
          if (at < limit) {
            this.#state = State.Start;
            prompt?.recover();
          }
          continue;
        case State.DoubleQuoted: {
          const stop = Math.min(limit, this.#tokenStart + this.#maxBytes + 1);
          let inside = Inside.Plain;
          while (at < stop) {
            inside = insideTable[bytes[at] ?? 0] ?? 0;
            if (inside === Inside.Plain || inside === Inside.Single) at++;
            else if (inside === Inside.High) {
              this.#rich = true;
              at++;
            } else if (
              inside === Inside.Backslash &&
              at + 1 < stop &&
              insideTable[bytes[at + 1] ?? 0] !== Inside.Forbidden
            ) {
              this.#rich = true;
              at += 2;
            } else break;
          }
          if (at === stop) break;
          at++;
          if (inside === Inside.Double) found = this.#rich ? Token.RichString : Token.PlainString;
          else if (inside === Inside.Backslash) {
            this.#rich = true;
            this.#state = State.DoubleQuotedEscape;
          } else bad = true;
          break;
        }
        case State.SingleQuoted: {
          const stop = Math.min(limit, this.#tokenStart + this.#maxBytes + 1);
          let inside = Inside.Plain;
          while (at < stop) {
            inside = insideTable[bytes[at] ?? 0] ?? 0;
            if (inside === Inside.Plain || inside === Inside.Double || inside === Inside.High) at++;
            else break;
          }
          if (at === stop) break;
          at++;
          if (inside === Inside.Single) found = Token.RichString;
          else if (inside === Inside.Backslash) this.#state = State.SingleQuotedEscape;
          else bad = true;
          break;
        }
        case State.DoubleQuotedEscape:
        case State.SingleQuotedEscape:
          at++;
          if (insideTable[byte] === Inside.Forbidden) bad = true;
          else this.#state = this.#state === State.DoubleQuotedEscape ? State.DoubleQuoted : State.SingleQuoted;
          break;
        case State.Keyword:
          if (byte >= 0x61 && byte <= 0x7a) at++;
          else found = Token.Keyword;
          break;
        case State.Sign:
          at++;
          if (byte === 0x30) this.#state = State.Zero;
          else if (isDigit(byte)) this.#state = State.Digits;
          else bad = true;
          break;
        case State.Zero:
          if (byte === 0x2e) {
            at++;
            this.#state = State.Mantissa;
          } else if (isDigit(byte)) {
            at++;
            bad = true;
          } else found = Token.Integer;
          break;
        case State.Digits:
          if (isDigit(byte)) at++;
          else if (byte === 0x2e) {
            at++;
            this.#state = State.Mantissa;
          } else if (byte === 0x65 || byte === 0x45) {
            at++;
            this.#state = State.Exponent;
          } else found = Token.Integer;
          break;
        case State.Mantissa:
          at++;
          if (isDigit(byte)) this.#state = State.MantissaDigits;
          else bad = true;
          break;
        case State.MantissaDigits:
          if (isDigit(byte)) at++;
          else if (byte === 0x65 || byte === 0x45) {
            at++;
            this.#state = State.Exponent;
          } else found = Token.Float;
          break;
        case State.Exponent:
        case State.ExponentSign:
          at++;
          if (isDigit(byte)) this.#state = State.ExponentDigits;
          else if (this.#state === State.Exponent && (byte === 0x2b || byte === 0x2d)) this.#state = State.ExponentSign;
          else bad = true;
          break;
        case State.ExponentDigits:
          if (isDigit(byte)) at++;
          else found = Token.Float;
          break;
      }
      if (found === 0 && !bad && at - this.#tokenStart > this.#maxBytes) found = Token.Oversized;
      if (found !== 0) {
        this.#state = State.Start;
        const result =
          prompt === null
            ? this.#accept(found, this.#tokenStart, at)
            : this.#acceptPromptly(prompt, found, this.#tokenStart, at);
        if (result !== Scan.NeedMore) {
          this.#position = at;
          return result;
        }
      } else if (bad) {
        this.#state = State.Recovery;
        this.#position = at;
        if (prompt !== null) {
          if (prompt.stray(bytes, this.#tokenStart, at)) return this.#malformed(prompt.error, at);
          continue;
        }
        // A NUL ends the text: QEMU formats the token as a C string.
        const stray = decodeLossy(bytes, this.#tokenStart, at, LONGEST_QUOTED);
        return this.#malformed(`JSON parse error, stray '${stray}'`, at);
      }
    }
    this.#position = at;
    if (prompt !== null && this.#messageStart >= 0) this.#judgeAhead();
    if (this.#messageStart < 0) this.#release();
    else if (!this.#holding) this.#hold(this.#messageStart, 0);
    return Scan.NeedMore;
  }

  /**
   * Takes a token into the message. QEMU looks at the limits before it looks whether the message is complete; it once did
   * the opposite, and 7.2 does not.
   */
  #accept(kind: TokenKind, start: number, end: number): ScanResult {
    const tokens = this.tokens;
    tokens.push(kind, start, end);
    this.#tokenBytes += end - start;
    if (kind === Token.LeftBrace) this.#braces++;
    else if (kind === Token.RightBrace) this.#braces--;
    else if (kind === Token.LeftBracket) this.#brackets++;
    else if (kind === Token.RightBracket) this.#brackets--;
    if (this.#tokenBytes >= this.#maxBytes) return this.#malformed(OVERSIZED, end);
    if (tokens.count > MAX_TOKEN_COUNT) return this.#malformed(TOO_MANY_TOKENS, end);
    if (this.#braces + this.#brackets > MAX_NESTING) return this.#malformed(TOO_DEEP, end);
    if (this.#braces < 0 || this.#brackets < 0 || (this.#braces === 0 && this.#brackets === 0)) {
      this.start = this.#messageStart;
      this.end = end;
      this.#reported = true;
      return Scan.Message;
    }
    return Scan.NeedMore;
  }

  #acceptPromptly(prompt: PromptStream, kind: TokenKind, start: number, end: number): ScanResult {
    const { tokens } = this;
    if (!prompt.isSilent) tokens.push(kind, start, end);
    switch (prompt.take(kind, this.bytes, tokens, start, end, this.#judged)) {
      case Pushed.More:
        return Scan.NeedMore;
      case Pushed.Done:
        this.start = this.#messageStart;
        this.end = end;
        this.#reported = true;
        return Scan.Message;
      case Pushed.Error:
        return this.#malformed(prompt.error, end);
    }
  }

  /** Judges the characters of a long string as they come, so that the work does not all fall on its end. */
  #judgeAhead(): void {
    const isString = this.#state >= State.DoubleQuoted && this.#state <= State.SingleQuotedEscape;
    if (!isString || this.#limit - this.#judged < JUDGED_AHEAD) return;
    this.#judged = checkString(this.bytes, this.#judged, this.#limit, this.#limit - LONGEST_CHARACTER);
  }

  #changeDialect(): void {
    if (this.#messageStart >= 0 || this.#state !== State.Start || this.#prompt?.isSilent === true) return;
    this.#prompt = this.#nextDialect === 'prompt' ? new PromptStream(this.#position, this.#maxBytes) : null;
    this.#nextDialect = null;
  }

  #malformed(error: string, end: number): ScanResult {
    this.error = error;
    this.start = this.#messageStart;
    this.end = end;
    this.#reported = true;
    return Scan.Malformed;
  }

  /** The reported message has been dealt with. */
  #forget(): void {
    this.#reported = false;
    this.#messageStart = -1;
    this.#tokenBytes = 0;
    this.#braces = 0;
    this.#brackets = 0;
    if (this.#tokens !== null) this.#tokens.count = 0;
  }

  /** Nothing is unfinished: keeps neither bytes nor tokens. */
  #release(): void {
    this.#rebase(this.#position);
    this.bytes = NOTHING;
    this.#holding = false;
    this.#position = 0;
    this.#limit = 0;
    if (this.#tokens !== null) {
      returnTokenList(this.#tokens);
      this.#tokens = null;
    }
  }

  /** Moves the bytes kept, from offset `from`, to the front of a buffer of our own with room for `more` bytes. */
  #hold(from: number, more: number): void {
    const kept = this.#limit - from;
    const needed = kept + more;
    if (this.#holding && from === 0 && needed <= this.bytes.length) return;
    // A first, small hold takes only the room needed; one that goes on growing doubles.
    const capacity = this.#holding ? Math.max(needed, this.bytes.length * 2) : Math.max(needed, FIRST_HOLD);
    const held = this.#holding && needed <= this.bytes.length ? this.bytes : new Uint8Array(capacity);
    if (held === this.bytes) held.copyWithin(0, from, this.#limit);
    else held.set(this.bytes.subarray(from, this.#limit));
    this.bytes = held;
    this.#holding = true;
    this.#limit = kept;
    this.#position -= from;
    this.#rebase(from);
    if (this.#messageStart >= 0) this.#messageStart -= from;
    if (this.#tokens !== null && from > 0) this.#tokens.rebase(from);
  }

  /** Leaves at most one blank between the tokens read so far: a message may hold any number, and QEMU counts none. */
  #squeeze(): void {
    const tokens = this.#tokens;
    // Not reached without tokens, or with anything before the message: `push` has moved it to the front.
    if (tokens === null || this.#messageStart !== 0) return;
    let to = 0;
    let previousEnd = 0;
    for (let i = 0; i < tokens.count; i++) {
      const start = tokens.start(i);
      const end = tokens.end(i);
      if (start > previousEnd) this.bytes[to++] = 0x20;
      previousEnd = end;
      this.bytes.copyWithin(to, start, end);
      tokens.starts[i] = to;
      to += end - start;
      tokens.ends[i] = to;
    }
    const rest = this.#state === State.Start ? this.#position : this.#tokenStart;
    const removed = rest - to - 1;
    if (removed < 0) return;
    this.bytes[to++] = 0x20;
    this.bytes.copyWithin(to, rest, this.#limit);
    this.#rebase(removed);
    this.#position -= removed;
    this.#limit -= removed;
  }

  /** Offsets shrink: the byte at `distance` is at 0 from now on. */
  #rebase(distance: number): void {
    this.#tokenStart -= distance;
    this.#judged -= distance;
    this.#prompt?.rebase(distance);
  }
}
