/** The tokens of one message, as offsets into its bytes. Reused from message to message: nothing is allocated per token. */

/** Kinds of token (QEMU's JSONTokenType, with its string split in two). */
export const Token = {
  LeftBrace: 1,
  RightBrace: 2,
  LeftBracket: 3,
  RightBracket: 4,
  Colon: 5,
  Comma: 6,
  Integer: 7,
  Float: 8,
  Keyword: 9,
  /** In double quotes, of printable ASCII without a backslash: its bytes are its value, and QEMU's spelling of it too. */
  PlainString: 10,
  /** Any other string: it must be decoded to be judged. */
  RichString: 11,
  /** A piece of a token that outgrew QEMU's limit; no grammar accepts it. */
  Oversized: 12,
} as const;
export type TokenKind = (typeof Token)[keyof typeof Token];

const INITIAL_CAPACITY = 64;
const BYTES_PER_TOKEN = 9;
const LARGEST_UNCOUNTED = 4096;

export class TokenList {
  count = 0;
  /** Kind, start and end (exclusive) of token i. Only the first `count` entries mean anything. */
  kinds: Uint8Array = new Uint8Array(INITIAL_CAPACITY);
  starts: Int32Array = new Int32Array(INITIAL_CAPACITY);
  ends: Int32Array = new Int32Array(INITIAL_CAPACITY);

  /** Bytes of memory, if they are many. */
  get largeBytes(): number {
    return this.kinds.length > LARGEST_UNCOUNTED ? this.kinds.length * BYTES_PER_TOKEN : 0;
  }

  push(kind: TokenKind, start: number, end: number): void {
    const at = this.count++;
    if (at === this.kinds.length) this.#grow();
    this.kinds[at] = kind;
    this.starts[at] = start;
    this.ends[at] = end;
  }

  /** @returns the kind of token `at`, or 0 past the last. */
  kind(at: number): number {
    return at < this.count ? (this.kinds[at] ?? 0) : 0;
  }

  start(at: number): number {
    return this.starts[at] ?? 0;
  }

  end(at: number): number {
    return this.ends[at] ?? 0;
  }

  /** Moves all offsets down by `distance` bytes: the message moved to the front of its buffer. */
  rebase(distance: number): void {
    for (let i = 0; i < this.count; i++) {
      this.starts[i] = this.start(i) - distance;
      this.ends[i] = this.end(i) - distance;
    }
  }

  #grow(): void {
    const capacity = this.kinds.length * 2;
    const kinds = new Uint8Array(capacity);
    const starts = new Int32Array(capacity);
    const ends = new Int32Array(capacity);
    kinds.set(this.kinds);
    starts.set(this.starts);
    ends.set(this.ends);
    this.kinds = kinds;
    this.starts = starts;
    this.ends = ends;
  }
}

/** Lists not in use. A scanner holds one only while it is inside a message, so that an idle client costs none. */
const spare: TokenList[] = [];
const MOST_SPARE = 8;
/** A list that one huge message has grown is not kept. */
const LARGEST_SPARE = LARGEST_UNCOUNTED;

export function takeTokenList(): TokenList {
  return spare.pop() ?? new TokenList();
}

export function returnTokenList(list: TokenList): void {
  list.count = 0;
  if (spare.length < MOST_SPARE && list.kinds.length <= LARGEST_SPARE) spare.push(list);
}
