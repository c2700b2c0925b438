/**
 * Commands too large to be searched for secrets in one go. Its name and its short arguments are kept; everything else is withheld, each
 * value by itself, so that much other text cannot hide an action. Where that is not enough, blanks and long texts are taken out, or of each
 * list and object all but the beginning.
 *
 * What must hold: a byte is looked at a few times at most, and no token costs more than its bytes.
 */
import { abridgedValue } from './abridged-value.js';
import { decodedName, isQuote, skipBlanks, stringEnd, valueEnd } from './json-bytes.js';
import type { SecretMarks } from './secret-mark.js';

/** A longer command is not searched as it is. In bytes. */
export const LONGEST_SEARCHED = 256 * 1024;
/** A longer one is withheld as a whole: QEMU takes minutes to read it. In bytes. */
const LONGEST_TAKEN_APART = 8 * 1024 * 1024;
/** The most that is kept of one, which then is searched. In bytes. */
const LARGEST_OUTLINE = 128 * 1024;
/** Longer names and values of a large command are withheld. In bytes. */
const LONGEST_KEPT = 4096;
/** Of more arguments, or more values to be withheld among them, none is kept. */
const MOST_ARGUMENTS = 1024;
const MOST_WITHHELD = 16;

/** Pieces of a command between which there are blanks, and long texts that are taken out of it. */
const MOST_PIECES = 16 * 1024;
const MOST_WITHHELD_TEXTS = 64;
/** Linux's MAX_ARG_STRLEN, each byte written as `\u0078`. In bytes. */
const LONGEST_EXECUTED = 6 * 128 * 1024;
const BLANK = 0x20;
/** As many blanks in a line of HMP, in bytes, are kept as one. */
const SHORTEST_RUN = 64;
const ONE_BLANK = Buffer.from(' ');
const BACKSLASH = 0x5c;
const LOWER_U = 0x75;
const ZERO = 0x30;
const TWO = 0x32;
const NINE = 0x39;
/** The bit that makes a letter a small one. */
const LOWER = 0x20;
const LOWER_A = 0x61;
const LOWER_D = 0x64;
const ESCAPED_BLANKS = Buffer.from('trnf');
const NOTHING_TAKEN: readonly string[] = [];

const BRACE = 0x7b;
const COMMA = 0x2c;
interface Member {
  /** Its name as it is written, without quotes. */
  readonly name: string;
  readonly start: number;
  readonly end: number;
}

interface Outline {
  readonly bytes: Uint8Array;
  /** The values withheld. */
  readonly paths: readonly string[];
}

/**
 * @param command its name, decoded
 * @param message a command as QEMU's parser accepts it
 * @returns the command with large values withheld, and without members other than its name and its arguments; null where it is too large
 * for that, or the rest still is
 */
export function outlineOf(command: string, message: Uint8Array, marks: SecretMarks): Outline | null {
  const short = command === 'human-monitor-command' ? withoutRuns(message) : message;
  const found = outlineOfLarge(command, short, marks);
  return found === null || short === message ? found : { bytes: found.bytes, paths: [...found.paths, 'blanks'] };
}

/** HMP passes over any number of blanks between words. @returns the message with one in place of many, or as it is where that is still large */
function withoutRuns(message: Uint8Array): Uint8Array {
  const raw = Buffer.from(message.buffer, message.byteOffset, message.length);
  const pieces: Uint8Array[] = [];
  let from = 0;
  let dropped = 0;
  for (let at = 0; at < raw.length && at - dropped <= LONGEST_SEARCHED; ) {
    const start = at;
    for (let length = blankAt(raw, at); length > 0; length = blankAt(raw, at)) at += length;
    if (at - start >= SHORTEST_RUN) {
      pieces.push(raw.subarray(from, start), ONE_BLANK);
      dropped += at - start;
      from = at;
    } else if (at === start) at += raw[at] === BACKSLASH ? 2 : 1;
  }
  if (raw.length - dropped > LONGEST_SEARCHED) return message;
  return Buffer.concat([...pieces, raw.subarray(from)]);
}

/** @returns how many bytes the blank at `at` has, as HMP takes it, as it is or escaped; 0 where there is none */
function blankAt(raw: Buffer, at: number): number {
  const byte = raw[at];
  if (byte !== BACKSLASH) return byte !== undefined && byte <= BLANK ? 1 : 0;
  const letter = raw[at + 1] ?? 0;
  if (letter !== LOWER_U) return ESCAPED_BLANKS.includes(letter) ? 2 : 0;
  if (raw[at + 2] !== ZERO || raw[at + 3] !== ZERO) return 0;
  const high = raw[at + 4];
  const low = raw[at + 5] ?? 0;
  if (high === ZERO) return low === NINE || ((low | LOWER) >= LOWER_A && (low | LOWER) <= LOWER_D) ? 6 : 0;
  return high === TWO && low === ZERO ? 6 : 0;
}

function outlineOfLarge(command: string, message: Uint8Array, marks: SecretMarks): Outline | null {
  const raw = Buffer.from(message.buffer, message.byteOffset, message.length);
  if (raw.length <= LONGEST_SEARCHED) return outlineWith(raw, membersOf(raw, raw.indexOf('{')), marks, NOTHING_TAKEN);
  const members = raw.length <= LONGEST_TAKEN_APART ? membersOf(raw, raw.indexOf('{')) : null;
  const plain = outlineWith(raw, members, marks, null);
  if (plain !== null && !plain.hidesDeed) return plain;
  const compact = compactOf(raw, marks);
  const shown = compact && outlineWith(compact.bytes, membersOf(compact.bytes, 0), marks, compact.paths);
  return shown ?? abridgedOf(command, raw, members, marks) ?? plain;
}

/** @returns the command with the beginning of each list and object in its arguments; null where it has too many members */
function abridgedOf(
  command: string,
  raw: Buffer,
  members: readonly Member[] | null,
  marks: SecretMarks,
): Outline | null {
  if (members === null) return null;
  const pieces: Uint8Array[] = [];
  const paths: string[] = [];
  let from = 0;
  for (const member of members) {
    if (isCommandName(member)) continue;
    pieces.push(raw.subarray(from, member.start));
    from = member.end;
    if (isArguments(member)) {
      const found = abridgedValue(raw, member.start, { command, path: 'arguments', marks });
      if (found === null) return null;
      pieces.push(found.bytes);
      paths.push(...found.paths);
    } else {
      pieces.push(Buffer.from(JSON.stringify(marks.withheld(raw.subarray(member.start, member.end)))));
      paths.push(member.name);
    }
  }
  pieces.push(raw.subarray(from));
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
  return length > LONGEST_SEARCHED ? null : { bytes: Buffer.concat(pieces), paths };
}

/**
 * @param members of the command, or null where it has too many
 * @param taken the parts taken out already; null where all large values are to be withheld
 */
function outlineWith(
  raw: Buffer,
  members: readonly Member[] | null,
  marks: SecretMarks,
  taken: readonly string[] | null,
): (Outline & { readonly hidesDeed: boolean }) | null {
  if (members === null) return null;
  const withheld: Member[] = [];
  let hidesDeed = false;
  for (const member of members) {
    if (isArguments(member)) {
      const large = taken === null ? largeArguments(raw, member) : [];
      // No text is executed that is longer than the kernel takes; in a list or an object a short one may be.
      hidesDeed = large.some(({ start, end }) => !isQuote(raw[start]) || end - start <= LONGEST_EXECUTED);
      withheld.push(...large);
    } else if (!isCommandName(member)) withheld.push(member);
  }
  const pieces: Uint8Array[] = [];
  let from = 0;
  for (const { start, end } of withheld) {
    pieces.push(raw.subarray(from, start), Buffer.from(JSON.stringify(marks.withheld(raw.subarray(start, end)))));
    from = end;
  }
  pieces.push(raw.subarray(from));
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
  if (length > (taken === null ? LARGEST_OUTLINE : LONGEST_SEARCHED)) return null;
  const paths = [...withheld.map(({ name }) => name), ...(taken ?? [])];
  return { bytes: Buffer.concat(pieces), paths, hidesDeed };
}

/**
 * Takes out of a command the parts that could hide an action: blanks between its tokens, and texts, the longest first. The rest is shown,
 * so `exec:` with a short command is shown, whatever surrounds it.
 * @returns null where that makes it no smaller than can be searched
 */
function compactOf(
  raw: Buffer,
  marks: SecretMarks,
): { readonly bytes: Buffer; readonly paths: readonly string[] } | null {
  const pieces: Piece[] = [];
  const long: Piece[] = [];
  let length = 0;
  for (let at = skipBlanks(raw, 0); at < raw.length; at = skipBlanks(raw, at)) {
    const start = at;
    const isText = isQuote(raw[at]);
    if (isText) at = stringEnd(raw, at);
    else while (at < raw.length && (raw[at] ?? 0) > BLANK && !isQuote(raw[at])) at++;
    const piece = { start, end: at };
    const last = pieces.at(-1);
    // Tokens without a blank between them are one piece, except for texts that may have to go.
    const isLong = isText && at - start > LONGEST_KEPT;
    if (last !== undefined && last.end === start && !isLong && last !== long.at(-1)) last.end = at;
    else pieces.push(piece);
    if (isLong) long.push(piece);
    else length += at - start;
    if (length > LONGEST_SEARCHED / 2 || pieces.length > MOST_PIECES) return null;
  }
  const goes = new Set<Piece>();
  long.sort((a, b) => a.end - a.start - (b.end - b.start));
  for (const piece of long) {
    length += piece.end - piece.start;
    if (length > LONGEST_SEARCHED - MOST_PIECES) goes.add(piece);
  }
  if (goes.size > MOST_WITHHELD_TEXTS) return null;
  // A text that may be executed has to be shown from its beginning on.
  for (const { start, end } of goes) if (end - start <= LONGEST_EXECUTED) return null;
  const bytes = pieces.map((piece) => {
    const part = raw.subarray(piece.start, piece.end);
    return goes.has(piece) ? Buffer.from(JSON.stringify(marks.withheld(part))) : part;
  });
  return { bytes: Buffer.concat(bytes), paths: [goes.size > 0 ? `blanks, texts: ${goes.size}` : 'blanks'] };
}

interface Piece {
  readonly start: number;
  end: number;
}

function isCommandName({ name, start, end }: Member): boolean {
  const decoded = decodedName(name);
  return (decoded === 'execute' || decoded === 'exec-oob') && end - start <= LONGEST_KEPT;
}

function isArguments({ name }: Member): boolean {
  return decodedName(name) === 'arguments';
}

/** @returns those of a command's arguments that are large, or all of them as one where these are too many. */
function largeArguments(raw: Buffer, all: Member): readonly Member[] {
  const members = raw[all.start] === BRACE ? membersOf(raw, all.start) : null;
  if (members === null) return [all];
  const large = members.filter(({ start, end }) => end - start > LONGEST_KEPT);
  const kept = members.reduce((sum, { start, end }) => sum + Math.min(end - start, LONGEST_KEPT), 0);
  if (large.length > MOST_WITHHELD || kept > LARGEST_OUTLINE / 2) return [all];
  return large.map((member) => ({ ...member, name: `arguments.${member.name}` }));
}

/** @param open where an object begins. @returns its members, or null when they are too many or have too long names */
function membersOf(raw: Buffer, open: number): Member[] | null {
  const members: Member[] = [];
  for (let at = skipBlanks(raw, open + 1); isQuote(raw[at]); ) {
    const nameEnd = stringEnd(raw, at);
    const start = skipBlanks(raw, skipBlanks(raw, nameEnd) + 1);
    const end = valueEnd(raw, start);
    if (members.length === MOST_ARGUMENTS || nameEnd - at > LONGEST_KEPT) return null;
    members.push({ name: raw.toString('utf8', at + 1, nameEnd - 1), start, end });
    at = skipBlanks(raw, end);
    if (raw[at] !== COMMA) break;
    at = skipBlanks(raw, at + 1);
  }
  return members;
}
