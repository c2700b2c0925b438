/**
 * The order in which QEMU walks an object's members: that of its hash table (qobject/qdict.c), 512 buckets, the newest
 * entry of a bucket first. It shows in an object sent back as an id, and in which of two shape errors is reported.
 */
import { characterEnd, readCharacter } from './string-token.js';

const BUCKETS = 512;

/** The bucket of a key whose characters come one by one; `tdb_hash` of qobject/qdict.c over the key's modified UTF-8. */
class BucketSum {
  #sum = 0;
  #length = 0;

  add(codePoint: number): void {
    if (codePoint !== 0 && codePoint < 0x80) this.#byte(codePoint);
    else if (codePoint < 0x800) {
      this.#byte(0xc0 | (codePoint >> 6));
      this.#byte(0x80 | (codePoint & 0x3f));
    } else {
      if (codePoint < 0x10000) this.#byte(0xe0 | (codePoint >> 12));
      else {
        this.#byte(0xf0 | (codePoint >> 18));
        this.#byte(0x80 | ((codePoint >> 12) & 0x3f));
      }
      this.#byte(0x80 | ((codePoint >> 6) & 0x3f));
      this.#byte(0x80 | (codePoint & 0x3f));
    }
  }

  get bucket(): number {
    const value = (Math.imul(0x238f13af, this.#length) + this.#sum) >>> 0;
    return ((Math.imul(1103515243, value) + 12345) >>> 0) % BUCKETS;
  }

  #byte(byte: number): void {
    this.#sum = (this.#sum + (byte << ((this.#length++ * 5) % 24))) | 0;
  }
}

/** @returns the bucket of `key`. */
export function bucketOf(key: string): number {
  const sum = new BucketSum();
  for (const character of key) sum.add(character.codePointAt(0) ?? 0);
  return sum.bucket;
}

/** @returns the bucket of the key that is the string token from `start` to `end`, which the parser has accepted. */
export function bucketOfToken(bytes: Uint8Array, start: number, end: number): number {
  const sum = new BucketSum();
  for (let at = start + 1; at < end - 1; at = characterEnd) sum.add(readCharacter(bytes, at, end));
  return sum.bucket;
}

/** @returns the indexes of `buckets` (given in the order of insertion) in the order QEMU walks them. */
export function orderByBucket(buckets: readonly number[]): number[] {
  return buckets.map((_, index) => index).sort((a, b) => (buckets[a] ?? 0) - (buckets[b] ?? 0) || b - a);
}

/** @returns the indexes of `keys` (given in the order of insertion, without duplicates) in the order QEMU walks them. */
export function walkOrder(keys: readonly string[]): number[] {
  return orderByBucket(keys.map(bucketOf));
}
