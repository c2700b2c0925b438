/**
 * The order in which QEMU walks an object's members: that of its hash table (qobject/qdict.c), 512 buckets, the newest
 * entry of a bucket first. It shows in an object sent back as an id, and in which of two shape errors is reported.
 */
import { encode } from './unicode.js';

const BUCKETS = 512;

/** @returns the bucket of `key`; `tdb_hash` of qobject/qdict.c over the key's modified UTF-8. */
export function bucketOf(key: string): number {
  const bytes: number[] = [];
  encode(key, bytes);
  let value = Math.imul(0x238f13af, bytes.length) >>> 0;
  for (const [i, byte] of bytes.entries()) value = (value + (byte << ((i * 5) % 24))) >>> 0;
  return ((Math.imul(1103515243, value) + 12345) >>> 0) % BUCKETS;
}

/** @returns the indexes of `keys` (given in the order of insertion, without duplicates) in the order QEMU walks them. */
export function walkOrder(keys: readonly string[]): number[] {
  const buckets = keys.map(bucketOf);
  return keys.map((_, index) => index).sort((a, b) => (buckets[a] ?? 0) - (buckets[b] ?? 0) || b - a);
}
