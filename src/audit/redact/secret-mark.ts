/**
 * The log's replacement for a secret: its length and a keyed hash, as in `[redacted 12 bytes #a1b2c3d4]`. Equal secrets have
 * equal marks as long as the key is the same, so the log answers whether a password was the one used last time; without the key nobody
 * can try passwords against it.
 *
 * The key of a log file lies beside it (`.NAME.key`, mode 0600) and is kept across restarts and rotations. A log without a file, or in a
 * folder that cannot hold the key, gets a new key at each start: the `start` record names the key by its fingerprint.
 */
import { createHmac, randomBytes } from 'node:crypto';
import * as fs from 'node:fs';
import { basename, dirname, join } from 'node:path';

/** Bytes of a key. */
const KEY_LENGTH = 32;
/** Hexadecimal digits of a mark's hash. */
const HASH_DIGITS = 8;
/** The most bytes hashed: longer values are distinguished by their beginning and their length. */
const MOST_HASHED = 1024 * 1024;

/** @returns the replacement for a secret, a text decoded as QEMU decodes it. */
export type Mark = (secret: string) => string;

export class SecretMarks {
  readonly #key: Uint8Array;

  /** @param key of a log; without one, a key that is used only here */
  constructor(key: Uint8Array = randomBytes(KEY_LENGTH)) {
    this.#key = key;
  }

  /** Tells two keys apart without showing them. */
  get fingerprint(): string {
    return this.#hash(Buffer.from('qmpmux'));
  }

  readonly mark: Mark = (secret) => `[redacted ${this.#describe(Buffer.from(secret))}]`;

  /** @returns the replacement for a value that is not a text: `bytes` as they were sent. */
  markOf(bytes: Uint8Array): string {
    return `[redacted ${this.#describe(bytes)}]`;
  }

  /** @returns the replacement for a secret among very many: without a hash. @param length in bytes, or nearly */
  short(length: number): string {
    return `[redacted ${bytesOf(length)}]`;
  }

  /** @returns the replacement for a whole message or text, in one or more pieces, that cannot be searched. */
  withheld(...pieces: readonly Uint8Array[]): string {
    return `[withheld ${this.#describe(...pieces)}]`;
  }

  #describe(...pieces: readonly Uint8Array[]): string {
    const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
    return `${bytesOf(length)} #${this.#hash(...pieces)}`;
  }

  #hash(...pieces: readonly Uint8Array[]): string {
    const hash = createHmac('sha256', this.#key);
    let left = MOST_HASHED;
    for (const piece of pieces) {
      if (left <= 0) break;
      hash.update(piece.subarray(0, left));
      left -= piece.length;
    }
    return hash.digest('hex').slice(0, HASH_DIGITS);
  }
}

function bytesOf(length: number): string {
  return length === 1 ? '1 byte' : `${length} bytes`;
}

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = fs.constants;

/** @returns the name of the key's file for the log at `path`. */
export function keyPath(path: string): string {
  return join(dirname(path), `.${basename(path)}.key`);
}

/**
 * @param path of a log file
 * @returns its key, created where there is none
 * @throws Error of the system, or one that names the file's fault
 */
export function keyOfLog(path: string): Uint8Array {
  const name = keyPath(path);
  for (;;) {
    const key = readKey(name) ?? makeKey(name);
    // Null: somebody else has made it in between.
    if (key !== null) return key;
  }
}

function readKey(name: string): Uint8Array | null {
  let fd: number;
  try {
    fd = fs.openSync(name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null;
    throw error;
  }
  try {
    const stat = fs.fstatSync(fd);
    if (!stat.isFile()) throw new Error(`${name} is not a regular file`);
    if (stat.uid !== process.geteuid?.()) throw new Error(`${name} belongs to another user`);
    if ((stat.mode & 0o077) !== 0) throw new Error(`${name} can be read by others; remove it, or set its mode to 0600`);
    const bytes = Buffer.alloc(KEY_LENGTH + 1);
    if (fs.readSync(fd, bytes) !== KEY_LENGTH) throw new Error(`${name} does not hold ${KEY_LENGTH} bytes; remove it`);
    return bytes.subarray(0, KEY_LENGTH);
  } finally {
    fs.closeSync(fd);
  }
}

function makeKey(name: string): Uint8Array | null {
  const key = randomBytes(KEY_LENGTH);
  let fd: number;
  try {
    fd = fs.openSync(name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return null;
    throw error;
  }
  try {
    fs.writeSync(fd, key);
  } finally {
    fs.closeSync(fd);
  }
  return key;
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : null;
}
