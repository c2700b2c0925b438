/** The part of a reply for standard output, and the report of an error for standard error. */
import type { QmpError } from '../../client/errors.js';
import { readError } from '../../client/messages.js';
import type { RawReply } from '../../client/raw-command.js';
import { findMembers } from '../../client/reply-members.js';
import { isJsonObject, parseJson } from '../../qmp/json/value.js';
import { type FieldPath, type MissingField, pickFields } from './fields.js';
import { layOut } from './json-layout.js';
import { textFor } from './screen-text.js';

export interface OutputForm {
  /** The whole reply, the value of its `return`, members of that, or that as text of the human monitor. */
  readonly what: 'reply' | 'value' | 'text' | readonly FieldPath[];
  readonly pretty: boolean;
}

const WHOLE: Written = { error: null, missing: [] };

export interface Written {
  /** The error that the reply is, or null for a return, which was written. */
  readonly error: QmpError | null;
  /** Fields that no row of it has. */
  readonly missing: readonly MissingField[];
}

export function writeReply(reply: RawReply, { what, pretty }: OutputForm): Written {
  const { bytes, isError } = reply;
  // On a terminal the text that follows says it all.
  const isTold = isError && process.stdout.isTTY && process.stderr.isTTY;
  if (what === 'reply' && !isTold) writeJson(bytes, pretty);
  if (isError) return { error: errorIn(reply), missing: [] };
  if (what === 'reply') return WHOLE;
  const value = returnIn(reply);
  if (what === 'value') writeJson(value, pretty);
  else {
    const parsed = parseJson(value.toString());
    const content = parsed.ok ? parsed.value : null;
    if (what === 'text') writeText(typeof content === 'string' ? content : '');
    else {
      const { lines, missing } = pickFields(content, what);
      for (const line of lines) process.stdout.write(`${textFor(process.stdout, line)}\n`);
      return { error: null, missing };
    }
  }
  return WHOLE;
}

/** Writes text of the human monitor, whose lines end as on a terminal in raw mode. */
export function writeText(text: string): void {
  const lines = textFor(process.stdout, text.replaceAll('\r\n', '\n'));
  process.stdout.write(lines === '' || lines.endsWith('\n') ? lines : `${lines}\n`);
}

/** @returns the error in one line: QEMU's text, and its class where that says more. */
export function describeError({ class: name, desc }: QmpError): string {
  return name === 'GenericError' ? desc : `${desc} (${name})`;
}

/** Byte for byte as it came, unless it is laid out, or a terminal shows it. */
function writeJson(json: Buffer, pretty: boolean): void {
  if (!pretty && !process.stdout.isTTY) process.stdout.write(Buffer.concat([json, Buffer.from('\n')]));
  else {
    const text = textFor(process.stdout, json.toString());
    process.stdout.write(`${pretty ? layOut(text) : text}\n`);
  }
}

/** @returns the value of `return`, as it was written. */
export function returnIn({ bytes }: RawReply): Buffer {
  const member = findMembers(bytes)?.find(({ name }) => name === 'return');
  return bytes.subarray(member?.valueStart ?? 0, member?.end);
}

/** @returns the error of a reply that is one. */
export function errorIn({ bytes }: RawReply): QmpError {
  const parsed = parseJson(bytes.toString());
  return readError(parsed.ok && isJsonObject(parsed.value) ? parsed.value : {}, '');
}
