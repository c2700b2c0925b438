/**
 * A message as part of a record: as JSON where it is JSON, its bytes untouched; as a string that holds its bytes where it is not.
 *
 *     "message": {…}                       one JSON value on one line
 *     "message": {…}, "text": "…"          JSON with line ends between its tokens: blanks in `message`, exact in `text`
 *     "text": "…"                          not JSON: the bytes are the UTF-8 of this text
 *     "latin1": "…"                        nor UTF-8: each character, U+0000 to U+00FF, is one byte
 *     "text": "…", "cut": {"length", "sha256"}     longer than wanted: its beginning, and length and hash of the whole
 */
import { isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';
import type { LineBuffer } from './line-buffer.js';
import { checkJson, Json } from './strict-json.js';

/** The names of the members that hold a message, with their commas and colons. */
export interface MessageNames {
  readonly json: Uint8Array;
  readonly text: Uint8Array;
  readonly latin1: Uint8Array;
  readonly cut: Uint8Array;
}

function named(json: string, prefix: string): MessageNames {
  const member = (name: string) => Buffer.from(`,"${name}":`);
  return {
    json: member(json),
    text: member(`${prefix}text`),
    latin1: member(`${prefix}latin1`),
    cut: member(`${prefix}cut`),
  };
}

export const MESSAGE = named('message', '');
/** An answer by qmpmux itself, beside the message it answers. */
export const REPLY = named('reply', 'reply_');
/** The client's own id. */
export const ID = named('id', 'id_');

/**
 * Puts a message: the bytes of `bytes` from `from` to `to`.
 * @param limit the most bytes of it that are kept, or 0 for all
 */
export function putMessage(
  line: LineBuffer,
  names: MessageNames,
  bytes: Uint8Array,
  from: number,
  to: number,
  limit: number,
): void {
  const before = line.end;
  line.putText(names.json);
  const start = line.end;
  line.putBytes(bytes, from, to);
  if (limit > 0 && line.end - start > limit) {
    putCut(line, names, before, start, limit);
    return;
  }
  const verdict = checkJson(line.bytes, start, line.end);
  if (verdict === Json.Line) return;
  const exact = Buffer.from(line.bytes.subarray(start, line.end));
  if (verdict === Json.No) {
    line.end = before;
    putText(line, names, exact);
    return;
  }
  const put = line.bytes;
  for (let i = start; i < line.end; i++) if (put[i] === 0x0a || put[i] === 0x0d) put[i] = 0x20;
  line.putText(names.text);
  line.putUtf8(exact);
}

function putText(line: LineBuffer, names: MessageNames, exact: Uint8Array): void {
  if (isUtf8(exact)) {
    line.putText(names.text);
    line.putUtf8(exact);
  } else {
    line.putText(names.latin1);
    line.putLatin1(exact);
  }
}

/** Replaces the message from `start` on by its beginning, its length and its hash. */
function putCut(line: LineBuffer, names: MessageNames, before: number, start: number, limit: number): void {
  const whole = line.bytes.subarray(start, line.end);
  const sha256 = createHash('sha256').update(whole).digest('hex');
  // Not within a character, if these are characters.
  let kept = limit;
  while (kept > 0 && kept > limit - 4 && ((whole[kept] ?? 0) & 0xc0) === 0x80) kept--;
  const beginning = Buffer.from(whole.subarray(0, isUtf8(whole.subarray(0, kept)) ? kept : limit));
  line.end = before;
  putText(line, names, beginning);
  line.putText(names.cut);
  line.putAscii(`{"length":${whole.length},"sha256":"${sha256}"}`);
}

/** @returns how many bytes a message of QEMU's, or of ours, has without the line end after it. */
export function lengthWithoutLineEnd(bytes: Uint8Array): number {
  let length = bytes.length;
  while (length > 0 && (bytes[length - 1] === 0x0a || bytes[length - 1] === 0x0d)) length--;
  return length;
}
