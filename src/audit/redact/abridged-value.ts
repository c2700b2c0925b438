/**
 * The beginning of a value that is too large to be searched for secrets: of each list the first elements, of each object the first
 * members, and of each text that is executed the first bytes. The parts left out are described by length, hash and number.
 *
 * What must hold: a byte is looked at a few times at most, there is no recursion, and the kept part has a bound.
 */
import { decodedName, isQuote, restOf, skipBlanks, stringEnd, valueEnd } from './json-bytes.js';
import { isDeed } from './opened-places.js';
import type { SecretMarks } from './secret-mark.js';

/** The elements or members kept of each list or object; more while the kept part is small. */
const FEWEST_ITEMS_KEPT = 64;
const MOST_ITEMS_KEPT = 1024;
/** The longest kept text, while the kept part of the message is small and afterwards. In bytes. */
const LONGEST_TEXT_BYTES = 4096;
const SHORT_TEXT_BYTES = 1024;
/** Up to here, the kept part of the message is small. In bytes. */
const SMALL_SUM_BYTES = 64 * 1024;
/** No element is begun when so much is kept. In bytes. */
const MOST_KEPT = 160 * 1024;
/** A longer name of a member is withheld, with its value. In bytes. */
const LONGEST_NAME = 256;
/** The most listed paths of parts left out, and the characters of each path. */
const MOST_PATHS = 32;
const LONGEST_PATH = 256;
/** The beginning of a text, enough to see whether it is executed. In bytes. */
const TELLING_BYTES = 64;

const BRACE = 0x7b;
const BRACKET = 0x5b;
const CLOSING_BRACE = 0x7d;
const CLOSING_BRACKET = 0x5d;
const COMMA = 0x2c;
const BACKSLASH = 0x5c;
const LOWER_U = 0x75;
const COMMA_ALONE = Buffer.from(',');
const COLON_ALONE = Buffer.from(':');
/**
 * Parts of names whose members define the others, or may hide their meaning: if such a member is left out, nothing is kept. No object that
 * QEMU accepts has this many members.
 */
const TELLING_NAMES = ['qom', 'prop', '\\'];

interface AbridgedValue {
  readonly bytes: Uint8Array;
  /** The parts left out or withheld, and their places. */
  readonly paths: readonly string[];
}

interface Context {
  /** The command's name, decoded. */
  readonly command: string;
  /** The value's place in the message. */
  readonly path: string;
  readonly marks: SecretMarks;
}

/** An object or a list that is being walked over. */
interface Frame {
  readonly isObject: boolean;
  /** The element or the member at which the walk is. */
  count: number;
  name: string;
}

/**
 * @param raw a message as QEMU's parser accepts it
 * @param start where the value begins
 * @returns null where a part left out might define the rest as secret
 */
export function abridgedValue(raw: Buffer, start: number, context: Context): AbridgedValue | null {
  return new Abridgement(raw, context).of(start);
}

class Abridgement {
  readonly #raw: Buffer;
  readonly #context: Context;
  readonly #pieces: Uint8Array[] = [];
  readonly #frames: Frame[] = [];
  readonly #paths: string[] = [];
  #length = 0;
  #unlisted = 0;
  #isSuspect = false;
  /** Whether the next value is a member's whose name is too long. */
  #isUnnamed = false;

  constructor(raw: Buffer, context: Context) {
    this.#raw = raw;
    this.#context = context;
  }

  of(start: number): AbridgedValue | null {
    const raw = this.#raw;
    let at: number | null = start;
    while (at !== null && at < raw.length) {
      const byte = raw[at];
      if (this.#isUnnamed) {
        this.#isUnnamed = false;
        at = this.#next(this.#withhold(at, valueEnd(raw, at)));
      } else if (byte === BRACE || byte === BRACKET) {
        const first = skipBlanks(raw, at + 1);
        if (raw[first] !== CLOSING_BRACE && raw[first] !== CLOSING_BRACKET) {
          this.#frames.push({ isObject: byte === BRACE, count: 0, name: '' });
          this.#keep(raw.subarray(at, at + 1));
          at = this.#begin(first);
          continue;
        }
        this.#keep(raw.subarray(at, at + 1), raw.subarray(first, first + 1));
        at = this.#next(first + 1);
      } else at = this.#next(isQuote(byte) ? this.#text(at) : this.#word(at));
    }
    if (this.#isSuspect) return null;
    if (this.#unlisted > 0) this.#paths.push(`…and ${this.#unlisted} more`);
    return { bytes: Buffer.concat(this.#pieces), paths: this.#paths };
  }

  #keep(...pieces: readonly Uint8Array[]): void {
    for (const piece of pieces) {
      this.#pieces.push(piece);
      this.#length += piece.length;
    }
  }

  /** Begins with an element or a member. @returns where its value begins */
  #begin(at: number): number {
    const frame = this.#frames.at(-1);
    if (frame === undefined) return at;
    frame.name = String(frame.count);
    if (!frame.isObject) return at;
    const raw = this.#raw;
    const end = stringEnd(raw, at);
    const value = skipBlanks(raw, skipBlanks(raw, end) + 1);
    if (end - at <= LONGEST_NAME) {
      frame.name = raw.toString('utf8', at + 1, end - 1);
      this.#keep(raw.subarray(at, end), COLON_ALONE);
      return value;
    }
    this.#keep(this.#mark(at, end), COLON_ALONE);
    this.#isUnnamed = true;
    return value;
  }

  /** @param after a value. @returns where the next value begins that is kept, or null at the end of all */
  #next(after: number): number | null {
    const raw = this.#raw;
    let at = after;
    for (let frame = this.#frames.at(-1); frame !== undefined; frame = this.#frames.at(-1)) {
      at = skipBlanks(raw, at);
      if (raw[at] === COMMA) {
        frame.count++;
        if (this.#keepsMoreOf(frame)) {
          this.#keep(COMMA_ALONE);
          return this.#begin(skipBlanks(raw, at + 1));
        }
        at = this.#leaveOut(frame, at);
        if (this.#isSuspect) return null;
      }
      this.#keep(raw.subarray(at, at + 1));
      this.#frames.pop();
      at++;
    }
    return null;
  }

  #keepsMoreOf({ count }: Frame): boolean {
    return this.#length < SMALL_SUM_BYTES
      ? count < MOST_ITEMS_KEPT
      : count < FEWEST_ITEMS_KEPT && this.#length < MOST_KEPT;
  }

  /** Leaves out the rest of a list or an object. @returns the place of its closing bracket */
  #leaveOut(frame: Frame, comma: number): number {
    const raw = this.#raw;
    const { close, count } = restOf(raw, comma);
    const rest = raw.subarray(comma + 1, close);
    if (frame.isObject && TELLING_NAMES.some((name) => rest.includes(name))) this.#isSuspect = true;
    frame.name = '';
    this.#note(`: ${count} ${frame.isObject ? 'members' : 'elements'}`);
    this.#keep(COMMA_ALONE);
    if (frame.isObject) this.#keep(Buffer.from('"…":'));
    this.#keep(this.#mark(comma + 1, close));
    return close;
  }

  #text(start: number): number {
    const raw = this.#raw;
    const end = stringEnd(raw, start);
    const longest = this.#length < SMALL_SUM_BYTES ? LONGEST_TEXT_BYTES : SHORT_TEXT_BYTES;
    if (end - start <= longest) {
      this.#keep(raw.subarray(start, end));
      return end;
    }
    const beginning = decodedName(raw.toString('latin1', start + 1, start + TELLING_BYTES));
    if (!isDeed(this.#context.command, this.#member(), beginning)) return this.#withhold(start, end);
    const cut = textCut(raw, start + 1, start + longest);
    this.#note('');
    const mark = Buffer.from(` ${this.#context.marks.withheld(raw.subarray(cut, end - 1))}`);
    this.#keep(raw.subarray(start, cut), mark, raw.subarray(end - 1, end));
    return end;
  }

  /** A number, or `true` and the like. */
  #word(start: number): number {
    const end = valueEnd(this.#raw, start);
    if (end - start > SHORT_TEXT_BYTES) return this.#withhold(start, end);
    this.#keep(this.#raw.subarray(start, end));
    return end;
  }

  #withhold(start: number, end: number): number {
    this.#note('');
    this.#keep(this.#mark(start, end));
    return end;
  }

  #mark(start: number, end: number): Uint8Array {
    return Buffer.from(JSON.stringify(this.#context.marks.withheld(this.#raw.subarray(start, end))));
  }

  /** @returns the name of the member in which the walk is, decoded. */
  #member(): string {
    const frame = this.#frames.findLast(({ isObject }) => isObject);
    return frame === undefined ? '' : decodedName(frame.name);
  }

  #note(what: string): void {
    if (this.#paths.length >= MOST_PATHS) {
      this.#unlisted++;
      return;
    }
    let path = this.#context.path;
    for (const { name } of this.#frames) {
      if (name !== '') path += `.${name}`;
      if (path.length > LONGEST_PATH) break;
    }
    this.#paths.push(`${path.length > LONGEST_PATH ? `${path.slice(0, LONGEST_PATH - 1)}…` : path}${what}`);
  }
}

/** @returns where a text can be cut, at `limit` or shortly before it: not within a character or an escape. @param from where it begins */
function textCut(raw: Buffer, from: number, limit: number): number {
  let cut = from;
  for (let at = from; at <= limit; ) {
    cut = at;
    const isEscape = raw[at] === BACKSLASH;
    const isUnicode = isEscape && raw[at + 1] === LOWER_U;
    at += isUnicode ? 6 : isEscape ? 2 : 1;
    // The second half of a pair goes with the first.
    if (isUnicode && /^d[89ab]/i.test(raw.toString('latin1', at - 4, at)) && raw[at] === BACKSLASH) at += 6;
    while (((raw[at] ?? 0) & 0xc0) === 0x80) at++;
  }
  return cut;
}
