/**
 * The keys of the objects of one message, to find one that is there twice. An own hash table, since the engine's hashes can be
 * made to collide (strings beyond 16,383 characters by their length alone, decimal numbers by their value), and then a set of
 * them takes quadratic time.
 */
import { characterEnd, readCharacter } from './string-token.js';

/** Unpredictable to authors of keys, and the same for as long as the process lives. */
const SEED_LOW = Math.floor(Math.random() * 2 ** 32) | 0;
const SEED_HIGH = Math.floor(Math.random() * 2 ** 32) | 0;

/** Control characters, of which no string ends with these unless by escapes. */
const END = new Uint8Array([0x01, 0x02, 0x03, 0x04]);

function rotate(value: number, by: number): number {
  return (value << by) | (value >>> (32 - by));
}

/**
 * HalfSipHash-1-3 over the characters of a string token: without the seed nobody can make two texts collide but by chance.
 */
export class KeyHash {
  readonly #state = new Int32Array(4);

  begin(): void {
    const state = this.#state;
    state[0] = SEED_LOW;
    state[1] = SEED_HIGH;
    state[2] = 0x6c796765 ^ SEED_LOW;
    state[3] = 0x74656462 ^ SEED_HIGH;
  }

  /**
   * Takes the characters from `from` to before `until`.
   * @param end of the token, its closing quote included
   * @returns where it ended: at `until` or just after it; before it at the first invalid character
   */
  take(bytes: Uint8Array, from: number, until: number, end: number): number {
    const state = this.#state;
    let [v0 = 0, v1 = 0, v2 = 0, v3 = 0] = state;
    let at = from;
    while (at < until) {
      let word = bytes[at] ?? 0;
      if (word === 0x5c || word >= 0x80) {
        word = readCharacter(bytes, at, end);
        if (word < 0) break;
        at = characterEnd;
      } else at++;
      v3 ^= word;
      v0 = (v0 + v1) | 0;
      v1 = rotate(v1, 5) ^ v0;
      v0 = rotate(v0, 16);
      v2 = (v2 + v3) | 0;
      v3 = rotate(v3, 8) ^ v2;
      v0 = (v0 + v3) | 0;
      v3 = rotate(v3, 7) ^ v0;
      v2 = (v2 + v1) | 0;
      v1 = rotate(v1, 13) ^ v2;
      v2 = rotate(v2, 16);
      v0 ^= word;
    }
    state[0] = v0;
    state[1] = v1;
    state[2] = v2;
    state[3] = v3;
    return at;
  }

  /** @returns the hash of the characters taken since `begin` */
  finish(): number {
    // Rounds over control characters, instead of HalfSipHash's own end: they do as well, and the rounds are written once.
    this.take(END, 0, END.length, END.length + 1);
    const [, v1 = 0, , v3 = 0] = this.#state;
    return v1 ^ v3;
  }
}

const FIRST_SLOTS = 64;
const BYTES_PER_SLOT = 12;

/** Open addressing; at most half of the slots are in use. Keys of closed objects stay, distinguished by their object. */
export class KeyTable {
  /** Of each slot: the key's token plus one, or 0; its hash; its object. */
  #tokens = new Int32Array(FIRST_SLOTS);
  #hashes = new Int32Array(FIRST_SLOTS);
  #objects = new Int32Array(FIRST_SLOTS);
  #count = 0;

  /** Bytes of memory. */
  get bytes(): number {
    return this.#tokens.length * BYTES_PER_SLOT;
  }

  clear(): void {
    if (this.#count === 0) return;
    this.#count = 0;
    if (this.#tokens.length > FIRST_SLOTS) this.#resize(FIRST_SLOTS);
    else this.#tokens.fill(0);
  }

  /**
   * Takes a key, unless its object has it.
   * @param hash of its characters
   * @param isSame whether two key tokens say the same
   * @returns whether the object has it already
   */
  has(object: number, key: number, hash: number, isSame: (one: number, other: number) => boolean): boolean {
    const mask = this.#tokens.length - 1;
    let slot = spread(hash, object) & mask;
    for (let token = this.#tokens[slot] ?? 0; token !== 0; token = this.#tokens[slot] ?? 0) {
      if (this.#objects[slot] === object && this.#hashes[slot] === hash && isSame(token - 1, key)) return true;
      slot = (slot + 1) & mask;
    }
    this.#put(slot, key + 1, hash, object);
    if (++this.#count * 2 > this.#tokens.length) this.#double();
    return false;
  }

  #put(slot: number, token: number, hash: number, object: number): void {
    this.#tokens[slot] = token;
    this.#hashes[slot] = hash;
    this.#objects[slot] = object;
  }

  #resize(slots: number): void {
    this.#tokens = new Int32Array(slots);
    this.#hashes = new Int32Array(slots);
    this.#objects = new Int32Array(slots);
  }

  #double(): void {
    const tokens = this.#tokens;
    const hashes = this.#hashes;
    const objects = this.#objects;
    this.#resize(tokens.length * 2);
    const mask = this.#tokens.length - 1;
    for (let at = 0; at < tokens.length; at++) {
      const token = tokens[at] ?? 0;
      if (token === 0) continue;
      const hash = hashes[at] ?? 0;
      const object = objects[at] ?? 0;
      let slot = spread(hash, object) & mask;
      while (this.#tokens[slot] !== 0) slot = (slot + 1) & mask;
      this.#put(slot, token, hash, object);
    }
  }
}

/** The same key may be in each of many objects: those must not share a place. */
function spread(hash: number, object: number): number {
  const mixed = Math.imul(hash ^ Math.imul(object, 0x9e3779b1), 0x85ebca6b);
  return mixed ^ (mixed >>> 15);
}
