/**
 * The keys of a message's open objects, to find one that is there twice. Few short keys are compared with each other; many, or
 * long ones, are looked up in a table.
 */
import { KeyHash, KeyTable } from './key-table.js';
import { characterEnd, readCharacter } from './string-token.js';
import { Token, type TokenList } from './tokens.js';

/** From this many members on, or with a key longer than this, an object's keys are looked up in the table. */
const MANY_KEYS = 24;
const SHORT_KEY = 64;

const NOTHING = new Uint8Array(0);

export class ObjectKeys {
  #bytes: Uint8Array = NOTHING;
  #tokens: TokenList | null = null;
  /** Key tokens of the open objects whose keys are compared with each other, innermost last. */
  readonly #keys: number[] = [];
  /** Of each open object: the first of its keys in `#keys`, and its number if they are in `#table`; otherwise 0. */
  readonly #firstKey: number[] = [];
  readonly #object: number[] = [];
  #depth = 0;
  #objectCount = 0;
  readonly #table = new KeyTable();
  readonly #hash = new KeyHash();

  /** Bytes of memory held by the table. */
  get bytes(): number {
    return this.#objectCount === 0 ? 0 : this.#table.bytes;
  }

  /** Forgets all keys. */
  clear(): void {
    this.#bytes = NOTHING;
    this.#tokens = null;
    this.#depth = 0;
    if (this.#keys.length > 0) this.#keys.length = 0;
    if (this.#objectCount > 0) this.#table.clear();
    this.#objectCount = 0;
  }

  /** Says where the message is now. Tokens keep their numbers, though the message may move as it grows. */
  use(bytes: Uint8Array, tokens: TokenList): void {
    this.#bytes = bytes;
    this.#tokens = tokens;
  }

  /** An object begins, inside the one that began last. */
  open(): void {
    this.#firstKey[this.#depth] = this.#keys.length;
    this.#object[this.#depth] = 0;
    this.#depth++;
  }

  /** The innermost object ends. */
  close(): void {
    this.#depth--;
    const firstKey = this.#firstKey[this.#depth] ?? 0;
    if (this.#keys.length > firstKey) this.#keys.length = firstKey;
  }

  /** Whether `take` needs the hash of a key of the innermost object. */
  needsHash(key: number): boolean {
    const tokens = this.#tokens;
    if (tokens === null) return false;
    return (this.#object[this.#depth - 1] ?? 0) > 0 || tokens.end(key) - tokens.start(key) > SHORT_KEY;
  }

  /** @returns the hash of a key token. */
  hashOf(key: number): number {
    const tokens = this.#tokens;
    if (tokens === null) return 0;
    this.#hash.begin();
    this.#hash.take(this.#bytes, tokens.start(key) + 1, tokens.end(key) - 1, tokens.end(key));
    return this.#hash.finish();
  }

  /**
   * Takes a key of the innermost object.
   * @param hash of the key, if it has one already
   * @returns whether the object has it already
   */
  isDuplicate(key: number, hash: number | null): boolean {
    const top = this.#depth - 1;
    const keys = this.#keys;
    const firstKey = this.#firstKey[top] ?? 0;
    let object = this.#object[top] ?? 0;
    if (object === 0) {
      if (keys.length - firstKey < MANY_KEYS && !this.needsHash(key)) {
        for (let i = firstKey; i < keys.length; i++) if (this.#isSame(keys[i] ?? 0, key)) return true;
        keys.push(key);
        return false;
      }
      object = this.#object[top] = ++this.#objectCount;
      for (let i = firstKey; i < keys.length; i++) {
        const each = keys[i] ?? 0;
        this.#table.has(object, each, this.hashOf(each), this.#isSame);
      }
      keys.length = firstKey;
    }
    return this.#table.has(object, key, hash ?? this.hashOf(key), this.#isSame);
  }

  /** Whether two string tokens say the same. */
  readonly #isSame = (one: number, other: number): boolean => {
    const tokens = this.#tokens;
    if (tokens === null) return false;
    const bytes = this.#bytes;
    let at = tokens.start(one) + 1;
    let otherAt = tokens.start(other) + 1;
    const last = tokens.end(one) - 1;
    const otherLast = tokens.end(other) - 1;
    if (tokens.kind(one) === Token.PlainString && tokens.kind(other) === Token.PlainString) {
      if (last - at !== otherLast - otherAt) return false;
      while (at < last) if (bytes[at++] !== bytes[otherAt++]) return false;
      return true;
    }
    while (at < last && otherAt < otherLast) {
      const codePoint = readCharacter(bytes, at, last + 1);
      at = characterEnd;
      if (readCharacter(bytes, otherAt, otherLast + 1) !== codePoint) return false;
      otherAt = characterEnd;
    }
    return at >= last && otherAt >= otherLast;
  };
}
