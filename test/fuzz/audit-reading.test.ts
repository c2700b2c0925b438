/**
 * What must hold for any bytes in a file that is read as an audit log: no reader of it ever fails but by an error that says so; what is
 * shown can move no terminal's cursor and is a line for each occurrence; and the work grows with the length alone.
 */

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import * as fc from 'fast-check';
import { KINDS } from '../../dist/audit/log/kinds.js';
import { LineGate } from '../../dist/audit/log/line-gate.js';
import { unwrapped } from '../../dist/audit/log/log-lines.js';
import { parseRecord } from '../../dist/audit/log/record.js';
import { feed } from '../../dist/audit/read/feed.js';
import { type Filter, matches, spellingsOf } from '../../dist/audit/read/filter.js';
import { type Entry, Joiner } from '../../dist/audit/read/join-replies.js';
import { findLogs } from '../../dist/audit/read/log-files.js';
import { Replay } from '../../dist/audit/read/replay.js';
import { Stats } from '../../dist/audit/read/stats.js';
import { Verifier } from '../../dist/audit/read/verify.js';
import { csvRow } from '../../dist/cli/commands/audit/csv.js';
import { LineLayout, type LineStyle } from '../../dist/cli/commands/audit/lines.js';
import { plain } from '../../dist/cli/screen/colour.js';
import { scratch } from '../support/files/scratch.js';
import { fuzz } from '../support/text/fuzz.js';
import { EVERYTHING, eachLine } from '../support/text/log-reading.js';
import { assertLinear } from '../support/text/work.js';

const STYLE: LineStyle = { colour: plain, width: 80, most: 2048, zone: 'local', isPrecise: false, hasLogs: true };
const FILTERS: readonly Filter[] = [
  EVERYTHING,
  { ...EVERYTHING, command: '*a*b*c', monitor: '*v*', client: 'vm1#3' },
  { ...EVERYTHING, match: spellingsOf('aab"ü'), errors: true, since: 0, until: 4e12, uid: 0, slow: 1 },
];

/** Everything that reads records, in one go. @returns how many lines were shown */
function readEverything(lines: readonly string[]): number {
  const problems: string[] = [];
  const verifier = new Verifier(({ what }) => problems.push(what));
  const stats = new Stats(EVERYTHING);
  let shown = 0;
  const entries: Entry[] = [];
  const layout = new LineLayout(STYLE);
  const wide = new LineLayout({ ...STYLE, width: 0, most: 0 });
  const joiner = new Joiner((entry) => {
    entries.push(entry);
    for (const filter of FILTERS) matches(filter, entry);
    stats.add(entry);
    const texts = [...layout.format(entry), ...wide.format(entry), csvRow(entry, 'utc', 2048).slice(0, -2)];
    shown += texts.length;
    // oxlint-disable-next-line no-control-regex
    for (const text of texts) assert.doesNotMatch(text, /[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/);
  });
  for (const [index, line] of lines.entries()) {
    const text = unwrapped(line) ?? line;
    verifier.line({ file: 'f', number: index + 1, text, isWhole: true, isUtf8: true, longLine: null });
    const record = parseRecord(text);
    if (record !== null) joiner.push(record, text, index % 7 === 0 ? 'other' : '');
  }
  joiner.flush();
  verifier.finish();
  for (const what of problems) assert.match(what, /^[\x20-\x7e]*$/);
  JSON.stringify([stats.clients, stats.commands, stats.pairs, stats.monitors]);
  return shown;
}

const evil = fc.constantFrom(
  '\u001b[8m',
  '\n',
  '\r\nwhole, records 5, all chained, problems 0',
  '\u009b31m',
  '\u202e',
  '"',
  '\\',
  '',
  '=cmd|calc',
  '備',
  'x'.repeat(300),
  '__proto__',
  'constructor',
);
const value: fc.Arbitrary<unknown> = fc.oneof(
  evil,
  fc.integer(),
  fc.constantFrom(null, true, 1e300, -1, 0.5, [], {}, [[[[]]]], { a: { b: [1] } }),
  fc.jsonValue({ maxDepth: 3 }),
);
const MEMBERS =
  'monitor listener client peer command id of latency message text latin1 cut redacted rule reason event receivers action pid previous settings hash reply descriptors count capabilities state version length sha256 source oob __proto__'.split(
    ' ',
  );
/** A record, more or less: members of the right names, some with the right values. */
const record = fc
  .record({
    seq: fc.oneof(fc.nat(20), value),
    time: fc.oneof(
      fc.constantFrom('2026-01-31T12:00:00.000001Z', '2026-01-31T12:00:00+99:99', '9999-12-31T23:59:59Z'),
      value,
    ),
    mono: fc.oneof(fc.nat(), value),
    kind: fc.oneof(fc.constantFrom(...KINDS), value),
    members: fc.dictionary(
      fc.constantFrom(...MEMBERS),
      fc.oneof(
        value,
        fc.constantFrom<unknown>(
          'human-monitor-command',
          'transaction',
          'start',
          'stop',
          'torn',
          { execute: 'x', arguments: { 'command-line': ' info\u001b[2J block' } },
          { execute: 'x', arguments: { actions: [{ type: 'a' }, 1, { type: {} }] } },
          { uid: 0, pid: 1, program: '\u001b[2J' },
          { address: 'a', port: {} },
          { error: { desc: 'no' } },
          { return: 1 },
          [{ path: 'p' }, {}],
          { hash: 'a'.repeat(64) },
          "{'execute':'human-monitor-command','arguments':{'command-line':'q'}}",
        ),
      ),
    ),
  })
  .map(({ seq, time, mono, kind, members }) => JSON.stringify({ v: 1, seq, time, mono, kind, ...members }));
/** A line: a record, perhaps cut, doubled, wrapped or spoilt. */
const line = fc.oneof(
  record,
  record.map((text) => `{"level":30,"audit":${text}}`),
  fc
    .tuple(record, fc.nat(), fc.constantFrom('', '"', '\\', '}', ',"hash":"', '\0', '{"v":'))
    .map(([text, at, by]) => text.slice(0, at % text.length) + by + text.slice((at % text.length) + 1)),
  fc.tuple(record, fc.nat()).map(([text, at]) => text.slice(0, at % text.length)),
  fc.string(),
);

describe('a log that anyone may have written', () => {
  test('is read to its end', () => {
    fuzz(
      'audit logs that anyone wrote',
      fc.property(fc.array(line, { maxLength: 12 }), (lines) => {
        readEverything(lines);
      }),
    );
  });

  test('is replayed as far as that goes', async () => {
    const lines = fc.sample(line, { numRuns: 300, seed: 1 });
    const target = { executeRaw: () => Promise.resolve({ bytes: Buffer.from('{"return": [[[1]]]}') }) };
    const told: string[] = [];
    const replay = new Replay(target, {
      filter: EVERYTHING,
      speed: Number.POSITIVE_INFINITY,
      ignore: ['*.*'],
      tell: ({ where }) => told.push(...where),
    });
    for (const each of lines) await replay.line(each);
    const { sent, same, different, incomparable } = await replay.finish();
    assert.equal(sent, same + different + incomparable);
  });

  test('is a log or none, whatever its bytes', async (t) => {
    const folder = scratch(t);
    const contents = fc.sample(
      fc.oneof(
        fc.uint8Array({ maxLength: 2000 }),
        fc.array(line).map((lines) => Buffer.from(lines.join('\n'))),
      ),
      { numRuns: 100, seed: 2 },
    );
    for (const [index, bytes] of contents.entries()) {
      const path = join(folder, `log${index}`);
      writeFileSync(path, bytes);
      const { logs, faults } = await findLogs([path]);
      assert.equal(logs.length + faults.length, 1);
      try {
        for await (const items of feed(logs, { since: 0, until: 1 }))
          readEverything(items.map(({ line: { text } }) => text));
      } catch (error) {
        // What begins as gzip does may be none.
        assert.ok(error instanceof Error && 'code' in error && error.code === 'QMPMUX_AUDIT_READ', String(error));
      }
      await eachLine(path, () => undefined).catch((error: unknown) => {
        assert.match(String(error), /cannot be read/);
      });
    }
  });
});

describe('the work that a log makes grows with its length alone', () => {
  const head =
    '{"v":1,"seq":1,"time":"2026-01-31T12:00:00.000001Z","mono":1,"kind":"command","monitor":"vm1","client":1';
  const message = (text: string) => `${head},"command":"x","message":${text}}`;
  const hmp = (text: string) =>
    `${head},"command":"human-monitor-command","message":{"execute":"human-monitor-command","arguments":{"command-line":${JSON.stringify(text)}}}}`;
  const shapes: Readonly<Record<string, (size: number) => string>> = {
    'deep arrays': (size) => message(`{"arguments":{"a":${'['.repeat(size / 2)}${']'.repeat(size / 2)}}}`),
    'deep objects': (size) => message(`${'{"arguments":'.repeat(size / 14)}1${'}'.repeat(size / 14)}`),
    'many members': (size) =>
      message(`{"arguments":{${Array.from({ length: size / 10 }, (_, i) => `"k${i}":1`).join(',')}}}`),
    'many values': (size) => message(`{"return":[${'1,'.repeat(size / 2)}1]}`),
    'long digits': (size) => message(`{"arguments":{"n":${'9'.repeat(size)}}}`),
    'many long numbers': (size) => message(`{"arguments":{"n":[${'12345678901234567890,'.repeat(size / 21)}1]}}`),
    'many escapes': (size) => message(`{"arguments":{"s":"${'\\u001b'.repeat(size / 6)}"}}`),
    'many backslashes': (size) => message(`{"arguments":{"s":"${'\\\\'.repeat(size / 2)}"}}`),
    'blanks in HMP': (size) => hmp(' '.repeat(size)),
    'a long verb': (size) => hmp('a'.repeat(size)),
    'a long command': (size) => `${head},"command":"${'a'.repeat(size)}","message":{}}`,
    'a long monitor': (size) => head.replace('vm1', 'v'.repeat(size)) + '}',
    'a long program': (size) => `${head},"peer":{"program":"${'\\u202e'.repeat(size / 6)}"}}`,
    'other scripts': (size) => `${head},"command":"${'備'.repeat(size / 3)}","message":{}}`,
    'marks upon marks': (size) => `${head},"command":"a${'\u0301'.repeat(size / 2)}","message":{}}`,
    'single quotes': (size) =>
      `${head},"command":"x","text":"{'execute':'x','arguments':{'a':[${"'b',".repeat(size / 4)}1]}}"}`,
    'what looks wrapped': (size) => `{"level":30${',"a":{"audit":{'.repeat(size / 15)}`,
    'what looks like hashes': (size) => `${head}${',"hash":"a"'.repeat(size / 11)}}`,
    'open quotes': (size) => `${head},"${'\\"'.repeat(size / 2)}`,
    'many actions': (size) =>
      `${head},"command":"transaction","message":{"arguments":{"actions":[${'{"type":"a"},'.repeat(size / 13)}{}]}}}`,
  };
  for (const [what, make] of Object.entries(shapes)) {
    test(`of ${what}`, () => {
      assertLinear(100_000, (size) => {
        const text = make(size);
        return () => {
          readEverything([text]);
        };
      });
    });
  }

  test('of many lines, each a command without an answer', () => {
    assertLinear(1000, (size) => {
      const lines = Array.from({ length: size }, (_, i) => message('{}').replace('"seq":1', `"seq":${i + 1}`));
      return () => {
        readEverything(lines);
      };
    });
  });

  test('of a line that comes in small pieces', () => {
    assertLinear(200_000, (size) => {
      const chunk = Buffer.alloc(1000, 'a');
      return () => {
        const gate = new LineGate(300_000);
        for (let at = 0; at < size; at += chunk.length) gate.push(chunk);
        gate.end();
      };
    });
  });
});
