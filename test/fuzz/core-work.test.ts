/**
 * The readers of src/qmp and src/mux do no more work than in proportion to what they read: for texts grown from random grammars of
 * nesting and repetition, eight times the length takes about eight times the CPU time. QMPMUX_WORK_BYTES is the length of the
 * longest text (256 KiB when nothing else is asked for; 16M is a good one for an hour's run).
 */
import { test } from 'node:test';
import * as fc from 'fast-check';
import { ArgumentList } from '../../dist/mux/policy/arguments.js';
import { readOnlyPolicy } from '../../dist/mux/policy/policy.js';
import { CommandReader } from '../../dist/qmp/command.js';
import { canonicalValue } from '../../dist/qmp/json/canonical.js';
import { Parser } from '../../dist/qmp/json/parser.js';
import { Scan, Scanner } from '../../dist/qmp/json/scanner.js';
import { parseJson } from '../../dist/qmp/json/value.js';
import { Schema } from '../../dist/qmp/schema.js';
import { Envelope } from '../../dist/qmp/stream/envelope.js';
import { LineReader } from '../../dist/qmp/stream/lines.js';
import { PrettyFolder } from '../../dist/qmp/stream/pretty.js';
import { qemuReply, qemuValue, strictCommand } from '../../dist/qmp/stream/respelling.js';
import { fuzz } from '../support/text/fuzz.js';
import { assertLinear } from '../support/text/work.js';
import { bytesOf, World } from '../support/world/world.js';

const longest = Number(process.env['QMPMUX_WORK_BYTES'] ?? 256 * 1024);
const CHUNK = 64 * 1024;
/** A session answers each token beyond QEMU's limit of 2 Mi of them with an error, so twice the text may be a thousand times the answers. */
const LONGEST_OF_SESSION = 2 * 1024 * 1024;

/** Makes a text of about so many bytes. */
type Grown = (bytes: number) => string;

const pieces = [
  ['{', '}', '[', ']', ':', ',', ' ', '\n', '\r\n', '"', "'", '"a":', '"a",', '{"a":', '[1,', '[]', '{}'],
  ['\\n', '\\u0041', '\\ud83d\\ude00', '\\\\', 'x', '\xc3\xa9', '\xf0\x9f\x98\x80', '\xff', '\0', '.', '*', '@'],
  ['1', '0', '-', '0.1', '1e9', '9'.repeat(20), 'null', 'true', 'nul', '"execute"', '"id"', '"return"', '"event"'],
].flat();
const unit = fc.array(fc.constantFrom(...pieces), { minLength: 1, maxLength: 5 }).map((all) => all.join(''));

function times(text: string, bytes: number): string {
  return text.repeat(Math.ceil(bytes / text.length));
}

const repeated: fc.Arbitrary<Grown> = unit.map((text) => (bytes) => times(text, bytes));
const inString: fc.Arbitrary<Grown> = fc
  .constantFrom('\\n', '\\u00e9', '\xc3\xa9', 'x', 'a.', '\\\\', '7', '0')
  .map((text) => (bytes) => `"${times(text, bytes)}"`);
const members: fc.Arbitrary<Grown> = fc
  .tuple(
    fc.constantFrom('k', '\\u006b', 'x'.repeat(100), 'a.b.', '\xc3\xa9'),
    fc.constantFrom('1', '0.1', '"\\n"', '{"a":1}', '[[]]'),
  )
  .map(([key, value]) => (bytes) => {
    const all: string[] = [];
    for (let at = 0, length = 0; length < bytes; at++) {
      const member = `"${key}${at}":${value}`;
      all.push(member);
      length += member.length + 1;
    }
    return `{${all.join(',')}}`;
  });
const items: fc.Arbitrary<Grown> = fc
  .constantFrom(
    '1',
    '0.1',
    '1e400',
    '"\\n"',
    '{}',
    '[]',
    '{"a":{"b":1}}',
    `"${'x'.repeat(300)}"`,
    '18446744073709551616',
  )
  .map((item) => (bytes) => `[${times(`${item},`, bytes)}${item}]`);
const number: fc.Arbitrary<Grown> = fc.constantFrom(['', ''], ['0.', ''], ['-', 'e5'], ['1e', ''], ['1.5e-', '']).map(
  ([head = '', tail = '']) =>
    (bytes) =>
      `${head}${times('7', bytes)}${tail}`,
);
const flat = fc.oneof(repeated, inString, members, items, number);
/** Levels of one kind around it, as deep as may be, or deeper. */
const nested: fc.Arbitrary<Grown> = fc
  .tuple(
    flat,
    fc.constantFrom(['[', ']'], ['[1,', ']'], ['{"a":1,"b":', '}'], ['[{"a":', '}]']),
    fc.constantFrom(3, 500, 1000, 1e9),
  )
  .map(([inner, [open = '', close = ''], depth]) => (bytes) => {
    const levels = Math.min(depth, Math.floor(bytes / 2 / (open.length + close.length)));
    return open.repeat(levels) + inner(bytes / 2) + close.repeat(levels);
  });
/** Where it stands. */
const place = fc.constantFrom<(text: string) => string>(
  (text) => text,
  (text) => `{"execute":"a","id":${text}}`,
  (text) => `{"execute":"__org.qmpmux_query-events","arguments":{"x":${text}}}`,
  (text) => `{"execute":"a","arguments":{"x":${text}}}`,
  (text) => `{"execute":"qmp_capabilities","arguments":{"enable":${text}}}`,
  (text) => `{"execute":${text}}`,
  (text) => `{${text}:1,"x":2,${text}:3}`,
  (text) => text.slice(1),
);
const grown = fc.tuple(fc.oneof(flat, nested), place).map(
  ([text, put]): Grown =>
    (bytes) =>
      put(text(bytes)),
);

function chunks(text: string): Uint8Array[] {
  const bytes = bytesOf(text);
  const all: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += CHUNK) all.push(bytes.slice(at, at + CHUNK));
  return all;
}

const parser = new Parser();
const reader = new CommandReader();

function readMessages(text: string, use: (scanner: Scanner) => void): () => void {
  const input = chunks(text);
  return () => {
    const scanner = new Scanner();
    for (const chunk of input) {
      scanner.push(chunk);
      for (let found = scanner.next(); found !== Scan.NeedMore; found = scanner.next()) {
        if (found === Scan.Malformed) continue;
        parser.parse(scanner.bytes, scanner.tokens);
        if (parser.error === null) use(scanner);
      }
    }
  };
}

function judge(scanner: Scanner): void {
  canonicalValue(scanner.bytes, scanner.tokens, 0);
  if (!parser.isObject) return;
  reader.read(scanner, parser, true);
  reader.id(scanner);
  const list = new ArgumentList(scanner.bytes, scanner.tokens, parser, reader.argumentsToken);
  if (reader.shapeError !== null) return;
  list.leaves();
  list.string('x');
  list.integer('x');
}

function respell(scanner: Scanner): void {
  qemuValue(scanner.bytes, scanner.tokens);
  if (!parser.isObject) return;
  strictCommand(scanner.bytes, scanner.tokens, parser);
  qemuReply(scanner.bytes, scanner.tokens, parser, null);
}

/** What reads it; each makes ready what it needs, and returns what is measured. */
const readers: Readonly<Record<string, (text: string) => () => void>> = {
  'a command, its id and its arguments': (text) => readMessages(text, judge),
  'a message that is spelt anew': (text) => readMessages(text, respell),
  'a session': (text) => {
    const input = chunks(text);
    return () => {
      const world = World.running({ observer: false });
      const client = world.client(undefined, undefined, { policy: readOnlyPolicy(), extensions: true });
      for (const chunk of input) {
        client.write(chunk);
        world.settle();
        client.link.writes.length = 0;
      }
    };
  },
  'what QEMU says': (text) => {
    const input = chunks(`{"return": ${text}\r\n{"timestamp": {}, "event": ${text}\r\n${text}\r\n`);
    return () => {
      const lines = new LineReader();
      const envelope = new Envelope();
      for (const chunk of input) {
        lines.push(chunk);
        while (lines.next()) {
          envelope.read(lines);
          envelope.readThoroughly();
        }
      }
    };
  },
  'what a pretty-printing QEMU says': (text) => {
    const input = chunks(text);
    return () => {
      const folder = new PrettyFolder();
      for (const chunk of input) folder.fold(chunk);
    };
  },
  'JSON of our own ends': (text) => () => {
    const parsed = parseJson(text);
    if (parsed.ok) Schema.read(parsed.value);
  },
};

test('eight times the text takes no reader far more than eight times the work', () => {
  fuzz(
    'work of readers',
    fc.property(grown, fc.constantFrom(...Object.keys(readers)), (text, name) => {
      try {
        const most = name === 'a session' ? Math.min(longest, LONGEST_OF_SESSION) : longest;
        assertLinear(Math.ceil(most / 8), (bytes) => readers[name]?.(text(bytes)) ?? (() => undefined));
      } catch (error) {
        throw new Error(`${name}, made of such as ${JSON.stringify(text(80))}`, { cause: error });
      }
    }),
  );
});
