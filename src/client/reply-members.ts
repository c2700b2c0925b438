/**
 * Where the top-level members of a reply lie, found without parsing it, so that a reply can be handed on with its id
 * replaced and every other byte as the server wrote it.
 */

/** Offsets into the message: where the quoted name begins, where the value does, and where that ends (exclusive). */
export interface Member {
  readonly name: string;
  readonly start: number;
  readonly valueStart: number;
  readonly end: number;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** @returns the members in order, or null where the bytes are no JSON object in outline. */
export function findMembers(bytes: Buffer): Member[] | null {
  const members: Member[] = [];
  let at = skipBlanks(bytes, 1);
  if (bytes[at] === 0x7d) return members;
  for (;;) {
    const start = at;
    const nameEnd = bytes[at] === QUOTE ? stringEnd(bytes, at) : -1;
    if (nameEnd < 0) return null;
    at = skipBlanks(bytes, nameEnd);
    if (bytes[at] !== 0x3a) return null;
    const valueStart = skipBlanks(bytes, at + 1);
    const end = endOfValue(bytes, valueStart);
    if (end < 0) return null;
    members.push({ name: bytes.toString('utf8', start + 1, nameEnd - 1), start, valueStart, end });
    at = skipBlanks(bytes, end);
    if (bytes[at] === 0x7d) return members;
    if (bytes[at] !== 0x2c) return null;
    at = skipBlanks(bytes, at + 1);
  }
}

/** @returns where the items of a list begin and end, or null where the bytes are no JSON list in outline. */
export function findItems(bytes: Buffer): { readonly start: number; readonly end: number }[] | null {
  const items: { start: number; end: number }[] = [];
  let at = skipBlanks(bytes, 1);
  if (bytes[0] !== 0x5b) return null;
  if (bytes[at] === 0x5d) return items;
  for (;;) {
    const end = endOfValue(bytes, at);
    if (end < 0) return null;
    items.push({ start: at, end });
    at = skipBlanks(bytes, end);
    if (bytes[at] === 0x5d) return items;
    if (bytes[at] !== 0x2c) return null;
    at = skipBlanks(bytes, at + 1);
  }
}

/** @returns the message without member `index` and without the comma that set it off. */
export function withoutMember(bytes: Buffer, members: readonly Member[], index: number): Buffer {
  const member = members[index];
  if (member === undefined) return bytes;
  const before = members[index - 1];
  const after = members[index + 1];
  if (before !== undefined) return Buffer.concat([bytes.subarray(0, before.end), bytes.subarray(member.end)]);
  return Buffer.concat([
    bytes.subarray(0, member.start),
    bytes.subarray(after === undefined ? member.end : after.start),
  ]);
}

function skipBlanks(bytes: Buffer, from: number): number {
  let at = from;
  while (bytes[at] === 0x20 || bytes[at] === 0x0a || bytes[at] === 0x0d || bytes[at] === 0x09) at++;
  return at;
}

/** @returns the offset after the closing quote of the string that begins at `from`, or -1. */
function stringEnd(bytes: Buffer, from: number): number {
  for (let at = from + 1; at < bytes.length; at++) {
    const byte = bytes[at];
    if (byte === BACKSLASH) at++;
    else if (byte === QUOTE) return at + 1;
  }
  return -1;
}

function endOfValue(bytes: Buffer, from: number): number {
  const first = bytes[from];
  if (first === QUOTE) return stringEnd(bytes, from);
  let at = from;
  if (first !== 0x7b && first !== 0x5b) {
    while (at < bytes.length && !endsScalar(bytes[at])) at++;
    return at > from && at < bytes.length ? at : -1;
  }
  for (let depth = 0; at < bytes.length; at++) {
    const byte = bytes[at];
    if (byte === QUOTE) {
      const end = stringEnd(bytes, at);
      if (end < 0) return -1;
      at = end - 1;
    } else if (byte === 0x7b || byte === 0x5b) depth++;
    else if ((byte === 0x7d || byte === 0x5d) && --depth === 0) return at + 1;
  }
  return -1;
}

/** A comma, a closing brace or bracket, or a blank. */
function endsScalar(byte: number | undefined): boolean {
  return byte === undefined || byte === 0x2c || byte === 0x7d || byte === 0x5d || byte <= 0x20;
}
