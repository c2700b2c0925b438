/** Input made to be slow to read: the work grows with its length, not with its square, and little is copied. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CommandReader } from '../../dist/qmp/command.js';
import { Parser } from '../../dist/qmp/json/parser.js';
import { Scan, Scanner } from '../../dist/qmp/json/scanner.js';
import { Envelope, FOREIGN_ID } from '../../dist/qmp/stream/envelope.js';
import { LineReader } from '../../dist/qmp/stream/lines.js';
import { PrettyFolder } from '../../dist/qmp/stream/pretty.js';
import { assertLinear, movedBytes } from '../support/text/work.js';
import { bytesOf } from '../support/world/world.js';

const MEGABYTE = 1024 * 1024;
const parser = new Parser();
const reader = new CommandReader();

/** Chunks of `size` bytes. */
function chunks(input: string, size: number): Uint8Array[] {
  const all = bytesOf(input);
  const cut: Uint8Array[] = [];
  for (let at = 0; at < all.length; at += size) cut.push(all.slice(at, at + size));
  return cut;
}

/** Reads all of it, as a session does. @returns the number of messages and errors */
function readAll(input: readonly Uint8Array[], scanner = new Scanner()): number {
  let count = 0;
  for (const chunk of input) {
    scanner.push(chunk);
    for (let found = scanner.next(); found !== Scan.NeedMore; found = scanner.next()) {
      count++;
      if (found === Scan.Malformed) continue;
      parser.parse(scanner.bytes, scanner.tokens);
      if (parser.error !== null || !parser.isObject) continue;
      reader.read(scanner, parser, true);
      reader.id(scanner);
    }
  }
  return count;
}

describe('a client that means to be slow to read', () => {
  const inputs: readonly (readonly [string, number, (size: number) => string])[] = [
    ['many tiny messages', 10_000, (size) => '{}'.repeat(size)],
    ['many commands', 3000, (size) => '{"execute":"a","id":1}'.repeat(size)],
    ['a long string', 100_000, (size) => `{"id":"${'x'.repeat(size)}"}`],
    ['a long string of escapes', 20_000, (size) => `{"id":"${'\\u00e9'.repeat(size)}"}`],
    ['a long string of UTF-8', 30_000, (size) => `{"id":"${'\xc3\xa9'.repeat(size)}"}`],
    ['a long string that is stray', 50_000, (size) => `"${'\xc3\xa9'.repeat(size)}\n`],
    ['a long keyword', 50_000, (size) => `[${'x'.repeat(size)}]`],
    ['a long number', 20_000, (size) => `{"id":${'7'.repeat(size)}}`],
    ['a long fraction', 20_000, (size) => `{"id":0.${'7'.repeat(size)}e-7}`],
    ['many numbers', 3000, (size) => `{"id":[${'0.1,'.repeat(size)}1]}`],
    ['an id of many lists', 5000, (size) => `{"id":[${'[],'.repeat(size)}1]}`],
    ['an id that is as deep as may be', 30, (size) => `{"id":${'['.repeat(1000)}${']'.repeat(1000)}}`.repeat(size)],
    ['a flood of opening brackets', 50_000, (size) => '['.repeat(size)],
    ['a flood of opening braces and keys', 10_000, (size) => '{"a":'.repeat(size)],
    ['a flood of closing brackets', 10_000, (size) => ']'.repeat(size)],
    ['a flood of brackets of both kinds', 20_000, (size) => '[{'.repeat(size)],
    ['a flood of stray bytes', 10_000, (size) => '\xff'.repeat(size)],
    ['blanks between messages', 200_000, (size) => ' '.repeat(size)],
    ['blanks inside a message', 200_000, (size) => `[1,${' '.repeat(size)}2]`],
    ['many keys', 5000, (size) => `{"id":{${keys(size, (at) => `"k${at}"`)}}}`],
    ['many keys at top level', 5000, (size) => `{${keys(size, (at) => `"k${at}"`)}}`],
    ['many keys with escapes', 5000, (size) => `{"id":{${keys(size, (at) => `"\\u006b${at}"`)}}}`],
    ['keys of one length that is beyond what the engine hashes', 60, (size) => `{"id":{${keys(size, longKey)}}}`],
    ['keys that are decimal numbers', 5000, (size) => `{"id":{${keys(size, (at) => `"${at * 1024}"`)}}}`],
    ['many objects with the same many keys', 50, (size) => `{"id":[${objects(size)}]}`],
    ['objects nested deep in the last of many keys', 300, (size) => `{"id":${nested(size)}}`],
    ['many members of a wrong shape', 5000, (size) => `{${keys(size, (at) => `"e${at}"`)},"execute":1}`],
    [
      'a long text in an id that is deep',
      50_000,
      (size) => `{"id":${'[1,'.repeat(1000)}"${'\\n'.repeat(size)}"${']'.repeat(1000)}}`,
    ],
    ['many keys of one chain of the hash table', 1000, (size) => `{"id":{${keys(size, collidingKey)}}}`],
  ];
  for (const [what, size, make] of inputs) {
    it(`by ${what} costs no more than in proportion, in one chunk and in single bytes`, () => {
      assertLinear(size, (each) => {
        const input = [bytesOf(make(each))];
        return () => readAll(input);
      });
      assertLinear(Math.ceil(size / 4), (each) => {
        const input = chunks(make(each), 1);
        return () => readAll(input);
      });
    });
  }

  it('by a few long keys costs no more than by one that is as long as all of them', () => {
    for (const spelling of ['x', '\\u0078', '\xc3\xa9']) {
      const cost = (count: number): (() => void) => {
        const key = spelling.repeat(100_000 / count);
        const input = chunks(`{"id":{${keys(count, (at) => `"${key}${at}"`)}}}`, 65_536);
        return () => readAll(input);
      };
      const [one, many] = [cost(1), cost(20)];
      one();
      many();
      const time = (run: () => void): number => {
        let least = Number.POSITIVE_INFINITY;
        for (let i = 0; i < 5; i++) {
          const before = process.cpuUsage().user;
          for (let again = 0; again < 5; again++) run();
          least = Math.min(least, process.cpuUsage().user - before);
        }
        return least;
      };
      const ratio = time(many) / Math.max(500, time(one));
      assert.ok(ratio < 6, `twenty keys took ${ratio.toFixed(1)} times as long as one`);
    }
  });

  it('has its bytes copied a few times at most, whatever the chunks', () => {
    const cases: readonly (readonly [string, number, number])[] = [
      [`{"id":"${'x'.repeat(MEGABYTE)}"}`, 1, 5],
      [`{"id":"${'x'.repeat(MEGABYTE)}"}`, 100, 5],
      [`{"id":"${'x'.repeat(8 * MEGABYTE)}"}`, 65_536, 5],
      [`[${'1,'.repeat(MEGABYTE / 2)}1]`, 1, 5],
      [`{"a":1}${' '.repeat(MEGABYTE)}{"b":2}`, 1, 5],
      [`[1,${' '.repeat(MEGABYTE)}2]`, 1, 5],
      ['{"execute":"a","id":1}'.repeat(50_000), 65_536, 1.5],
      ['{"execute":"a","id":1}'.repeat(50_000), 1, 3],
      ['{"execute":"a","id":1}'.repeat(50_000), 30, 3],
      [']'.repeat(MEGABYTE), 1000, 0.1],
    ];
    for (const [input, size, most] of cases) {
      const cut = chunks(input, size);
      const moved = movedBytes(() => readAll(cut));
      assert.ok(
        moved <= most * input.length + 10_000,
        `${moved} bytes were moved for ${input.length} in pieces of ${size}`,
      );
    }
  });

  it('has blanks taken out of a long message with few copies, under a small limit as well', () => {
    for (const limit of [1000, 100_000]) {
      for (const input of [
        `[${' 1 ,'.repeat(limit / 8)}`,
        `[1,${' '.repeat(limit * 20)}`,
        `["${'x'.repeat(limit - 100)}", ${' 1 ,'.repeat(40)}${' '.repeat(limit * 20)}`,
      ]) {
        const scanner = new Scanner(limit);
        const cut = chunks(input, 1);
        const moved = movedBytes(() => readAll(cut, scanner));
        assert.ok(
          moved < 8 * input.length + 10 * limit,
          `${moved} bytes were moved for ${input.length}, with a limit of ${limit}`,
        );
        assert.ok(scanner.heldBytes < 8 * limit);
      }
    }
  });
});

/** Of 17,000 characters, of which the last differ. */
function longKey(at: number): string {
  return `"${'x'.repeat(17_000)}${String(at).padStart(6, '0')}"`;
}

function objects(count: number): string {
  return Array.from({ length: count }, () => `{${keys(30, (at) => `"k${at}"`)}}`).join(',');
}

/** Objects of a few members, one in the other, 500 deep; `count` strings in the innermost. */
function nested(count: number): string {
  return `${'{"a":1,"b":'.repeat(500)}[${'"x",'.repeat(count)}1]${'}'.repeat(500)}`;
}

function keys(count: number, key: (at: number) => string): string {
  return Array.from({ length: count }, (_, at) => `${key(at)}:0`).join(',');
}

/** Keys that QEMU's hash puts into few chains: of one length, with the same sum at every shift. */
function collidingKey(at: number): string {
  // The shift of byte i is i × 5 modulo 24: bytes 24 apart weigh the same, so one more here and one less there cancel out.
  const high = Math.floor(at / 90);
  const low = at % 90;
  const body = Array.from({ length: 74 }, () => 'M');
  const put = (place: number, by: number): void => {
    body[place] = String.fromCharCode(0x23 + by);
    body[place + 24] = String.fromCharCode(0x7e - by);
  };
  put(0, low);
  put(1, high % 90);
  put(2, Math.floor(high / 90) % 90);
  return `"${body.join('').replaceAll('\\', 'Z')}${at}"`;
}

describe('an upstream that is slow to read', () => {
  const inputs: readonly (readonly [string, number, (size: number) => string])[] = [
    ['many tiny lines', 20_000, (size) => '{}\r\n'.repeat(size)],
    ['blank lines', 5_000, (size) => '\n'.repeat(size)],
    ['a long reply', 300_000, (size) => `{"return": "${'x'.repeat(size)}", "id": 1}\r\n`],
    ['a long error', 300_000, (size) => `{"id": 1, "error": "${'x'.repeat(size)}"}\r\n`],
    ['an event with an endless name', 100_000, (size) => `{"timestamp": {}, "event": "${'x'.repeat(size)}\r\n`],
    ['many events without the end of their name', 3000, (size) => '{"timestamp": {}, "event": \n'.repeat(size)],
    ['replies with a foreign id', 2000, (size) => '{"return": {}, "id": "x"}\r\n'.repeat(size)],
    ['garbage', 2000, (size) => '%[[[{"\n'.repeat(size)],
  ];
  for (const [what, size, make] of inputs) {
    it(`by ${what} costs no more than in proportion`, () => {
      for (const chunkSize of [Number.POSITIVE_INFINITY, 10]) {
        assertLinear(chunkSize === 10 ? Math.ceil(size / 4) : size, (each) => {
          const input = chunkSize === 10 ? chunks(make(each), 10) : [bytesOf(make(each))];
          return () => {
            const lines = new LineReader();
            const envelope = new Envelope();
            for (const chunk of input) {
              lines.push(chunk);
              while (lines.next()) {
                envelope.read(lines);
                if (envelope.id === FOREIGN_ID) envelope.readThoroughly();
              }
            }
          };
        });
      }
    });
  }

  it('has the bytes of a large message copied a few times at most when they come one by one', () => {
    const input = chunks(`{"return": "${'x'.repeat(MEGABYTE)}", "id": 1}\r\n`, 1);
    const moved = movedBytes(() => {
      const lines = new LineReader();
      for (const chunk of input) {
        lines.push(chunk);
        lines.next();
      }
    });
    assert.ok(moved < 4 * MEGABYTE, `${moved} bytes were moved`);
  });

  it('by pretty-printing costs no more than in proportion', () => {
    assertLinear(100_000, (size) => {
      const input = chunks(`{\n    "return": [\n${'        1,\n'.repeat(size / 10)}        1\n    ]\n}\n`, 1000);
      return () => {
        const folder = new PrettyFolder();
        for (const chunk of input) folder.fold(chunk);
      };
    });
  });
});
