/**
 * The bytes of a message that QEMU's parser accepts, scanned without tokens: for messages too large for them.
 *
 * What must hold: a byte is looked at once, and no token costs more than its bytes.
 */

/** Up to this length a loop finds a string's end faster than a native search. */
const SEARCHED_HERE_BYTES = 64;

const COMMA = 0x2c;
const BACKSLASH = 0x5c;
const DOUBLE = 0x22;
const SINGLE = 0x27;
/** The classes of bytes outside strings. */
const Kind = { Other: 0, Quote: 1, Open: 2, Close: 3, End: 4 } as const;
const kinds = new Uint8Array(256);
for (const [characters, kind] of [
  ['"\'', Kind.Quote],
  ['{[', Kind.Open],
  ['}]', Kind.Close],
  [', \t\r\n', Kind.End],
] as const) {
  for (const character of characters) kinds[character.charCodeAt(0)] = kind;
}

/** Bytes that say nothing within an object or a list. */
const isWithin = kinds.map((kind) => (kind === Kind.Other || kind === Kind.End ? 1 : 0));

/** @returns whether a string begins with this byte; QEMU takes both quotes */
export function isQuote(byte: number | undefined): boolean {
  return byte === DOUBLE || byte === SINGLE;
}

/** @returns the place of the first byte from `from` on that is no blank */
export function skipBlanks(raw: Buffer, from: number): number {
  let at = from;
  while (at < raw.length && (raw[at] ?? 0) <= 0x20) at++;
  return at;
}

/** @returns where the string ends that begins at `start`, its quote included */
export function stringEnd(raw: Buffer, start: number): number {
  const quote = raw[start] ?? DOUBLE;
  let at = start + 1;
  for (const near = at + SEARCHED_HERE_BYTES; at < near && raw[at] !== quote; ) at += raw[at] === BACKSLASH ? 2 : 1;
  // A long text without escapes is passed over natively.
  const first = raw[at] === quote ? at : raw.indexOf(quote, at);
  if (first < 0) return raw.length;
  if (first === at || raw[first - 1] !== BACKSLASH) return first + 1;
  while (at < raw.length && raw[at] !== quote) at += raw[at] === BACKSLASH ? 2 : 1;
  return Math.min(at + 1, raw.length);
}

/** @returns where the value ends that begins at `start` */
export function valueEnd(raw: Buffer, start: number): number {
  let depth = 0;
  let at = start;
  while (at < raw.length) {
    const kind = kinds[raw[at] ?? 0];
    if (kind === Kind.Quote) {
      at = stringEnd(raw, at);
      if (depth === 0) return at;
      continue;
    }
    if (kind === Kind.Open) depth++;
    else if (kind === Kind.Close) {
      // The end of the list or object around a number or a word.
      if (depth === 0) return at;
      if (--depth === 0) return at + 1;
    } else if (kind === Kind.End && depth === 0) return at;
    at++;
    if (depth > 0) while (at < raw.length && isWithin[raw[at] ?? 0] === 1) at++;
  }
  return at;
}

/**
 * @param comma the comma between two elements of a list, or two members of an object
 * @returns the place of the bracket or brace that closes it, and the number of elements or members up to it
 */
export function restOf(raw: Buffer, comma: number): { readonly close: number; readonly count: number } {
  let depth = 0;
  let count = 0;
  let at = comma;
  while (at < raw.length) {
    const byte = raw[at] ?? 0;
    const kind = kinds[byte];
    if (kind === Kind.Quote) {
      at = stringEnd(raw, at);
      continue;
    }
    if (kind === Kind.Open) depth++;
    else if (kind === Kind.Close) {
      if (depth === 0) break;
      depth--;
    } else if (depth > 0) while (at + 1 < raw.length && isWithin[raw[at + 1] ?? 0] === 1) at++;
    else if (byte === COMMA) count++;
    at++;
  }
  return { close: at, count };
}

/** @returns a member's name, written without quotes, as QEMU decodes it, so far as it may be one that QEMU knows */
export function decodedName(spelled: string): string {
  if (!spelled.includes('\\')) return spelled;
  return spelled.replace(/\\u([0-9a-f]{4})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}
