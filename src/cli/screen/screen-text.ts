/**
 * Texts of others on their way to a person: safe where a terminal shows them, unchanged where a program reads them. This room owns all
 * output for people: tables, colours, quantities, JSON laid out, replies of QEMU, and the whole screen of `top`. It trusts no text from a
 * server: whatever it shows on a terminal goes through `printable` first.
 */
import type { WriteStream } from 'node:tty';
import { printable, printableLines } from '../../shared/printable.js';

/** The longest message shown whole, and the part shown of a longer one. */
const LONG_MESSAGE = 2000;
const BEGINNING = 200;

/** @returns a text of one line, or of several with tabs, for this stream */
export function textFor(stream: WriteStream, text: string, isOneLine = false): string {
  if (!stream.isTTY) return text;
  return isOneLine ? printable(text) : printableLines(text);
}

/** Reports a problem on standard error, after our name. */
export function writeProblem(text: string): void {
  process.stderr.write(`qmpmux: ${textFor(process.stderr, text)}\n`);
}

/** A message on the wire, for people. */
export function wireText(direction: 'sent' | 'received', bytes: Buffer): string {
  const arrow = direction === 'sent' ? '->' : '<-';
  if (bytes.length <= LONG_MESSAGE) return `${arrow} ${bytes.toString()}`;
  return `${arrow} ${bytes.toString('utf8', 0, BEGINNING)}… (${bytes.length} bytes)`;
}
