/**
 * A client's input through Scanner, Parser and CommandReader, as the multiplexer uses them, and through the reference
 * reader, both reported in the same form, so that they can be compared.
 */

import { CommandReader, ID_MEMBER } from '../../../dist/qmp/command.js';
import { canonicalValue } from '../../../dist/qmp/json/canonical.js';
import { Parser } from '../../../dist/qmp/json/parser.js';
import type { Dialect } from '../../../dist/qmp/json/prompt-stream.js';
import { Scan, Scanner } from '../../../dist/qmp/json/scanner.js';
import { quote } from '../../../dist/qmp/json/unicode.js';
import { ReferencePromptReader } from './reference-prompt-reader.js';
import { judged, type Limits, quoted, ReferenceReader } from './reference-reader.js';
import { bytesOf, textOf } from './world.js';

/** The outcome of one message. Texts are as QEMU writes them, in quotes. */
export type Told =
  | { readonly error: string; readonly id: string | null; readonly oob: boolean }
  | {
      readonly name: string;
      readonly id: string | null;
      readonly oob: boolean;
      readonly args: string;
      /** The message as the client wrote it. */
      readonly raw: string;
    };

export interface Read {
  readonly told: Told[];
  /** The bytes that would go upstream for each command, without its id and its closing brace. */
  readonly wires: string[];
}

const parser = new Parser();
const reader = new CommandReader();

/** Cuts `input` (latin1) into pieces of these sizes, the last of which is used for the rest. */
export function pieces(input: string, sizes: readonly number[]): string[] {
  const all: string[] = [];
  let at = 0;
  for (let i = 0; at < input.length; i++) {
    const size = sizes[Math.min(i, sizes.length - 1)] ?? input.length;
    all.push(input.slice(at, at + size));
    at += Math.max(size, 0);
    if (size <= 0 && i >= sizes.length - 1) throw new Error('the last size must be positive');
  }
  return all;
}

/** @param sizes of the chunks; one chunk by default */
export function readInput(
  input: string,
  options: { sizes?: readonly number[]; allowOob?: boolean; scanner?: Scanner } = {},
): Read {
  const scanner = options.scanner ?? new Scanner();
  const read: Read = { told: [], wires: [] };
  for (const piece of pieces(input, options.sizes ?? [Math.max(input.length, 1)])) {
    scanner.push(bytesOf(piece));
    for (;;) {
      const found = scanner.next();
      if (found === Scan.NeedMore) break;
      take(read, scanner, found === Scan.Malformed, options.allowOob ?? true);
    }
  }
  return read;
}

function take(read: Read, scanner: Scanner, isMalformed: boolean, allowOob: boolean): void {
  const { told } = read;
  if (isMalformed) {
    told.push({ error: quote(scanner.error), id: null, oob: false });
    return;
  }
  // In steps of many sizes, which make no difference.
  parser.begin(scanner.bytes, scanner.tokens);
  for (let budget = 1; !parser.step(budget); budget = (budget % 60) + 7);
  if (parser.error !== null || !parser.isObject) {
    told.push({ error: quote(parser.error ?? 'QMP input must be a JSON object'), id: null, oob: false });
    return;
  }
  reader.read(scanner, parser, allowOob);
  const written = reader.id(scanner);
  const id = written === null ? null : textOf(written);
  const oob = reader.isOutOfBand;
  if (reader.shapeError !== null) {
    told.push({ error: quote(reader.shapeError), id, oob });
    return;
  }
  const hasArguments = reader.argumentsToken >= 0;
  const args = hasArguments ? textOf(canonicalValue(scanner.bytes, scanner.tokens, reader.argumentsToken)) : '{}';
  told.push({
    name: quote(reader.name),
    id,
    oob,
    args,
    raw: textOf(scanner.bytes.subarray(scanner.start, scanner.end)),
  });
  // Room before and after, to see that only its own is written to.
  const room = scanner.end - scanner.start + ID_MEMBER.length;
  const out = new Uint8Array(room + 8).fill(0xee);
  const end = reader.writeWire(scanner, parser, out, 4);
  if (end > 4 + room || out[3] !== 0xee || out[end] !== 0xee)
    throw new Error('the wire form is longer than the message');
  read.wires.push(withoutIdMember(textOf(out.subarray(4, end))));
}

function withoutIdMember(wire: string): string {
  const member = textOf(ID_MEMBER);
  if (!wire.endsWith(member)) throw new Error('the wire form does not end where the id is to stand');
  return wire.slice(0, -member.length);
}

/** A scanner for one of QEMU's dialects. */
export function scannerOf(dialect: Dialect, maxBytes?: number): Scanner {
  const scanner = new Scanner(maxBytes);
  scanner.dialect = dialect;
  return scanner;
}

/** The same by the reference reader, which knows nothing of wire forms. */
export function referenceInput(
  input: string,
  options: { allowOob?: boolean; limits?: Limits; dialect?: Dialect } = {},
): Told[] {
  const reference =
    options.dialect === 'prompt' ? new ReferencePromptReader(options.limits) : new ReferenceReader(options.limits);
  return reference.read(input).map((outcome) => {
    const said = judged(outcome, options.allowOob ?? true);
    if ('error' in said) return { ...said, error: quoted(said.error) };
    return { ...said, name: quoted(said.name), raw: 'source' in outcome ? outcome.source : '' };
  });
}
