import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { Envelope, FOREIGN_ID, MessageKind, NO_ID } from '../../dist/qmp/stream/envelope.js';
import { LineReader } from '../../dist/qmp/stream/lines.js';
import { anySizes, anyValue } from '../support/text/json-text.js';
import { pieces, readInput } from '../support/world/client-input.js';
import { bytesOf, textOf } from '../support/world/world.js';

interface Seen {
  readonly kind: string;
  readonly id: number;
  readonly event: string;
  readonly text: string;
  /** With another id, and with none; only of replies with an id. */
  readonly spliced: readonly [string, string] | null;
  readonly isContiguous: boolean;
}

const kinds = new Map<number, string>(Object.entries(MessageKind).map(([name, kind]) => [kind, name]));
const ID = '"other"';

/** An envelope's reading of each message in `input`, thorough if the message is foreign, as in the multiplexer. */
function seen(input: string, sizes: readonly number[] = [input.length]): Seen[] {
  const lines = new LineReader();
  const envelope = new Envelope();
  const all: Seen[] = [];
  for (const piece of pieces(input, sizes)) {
    lines.push(bytesOf(piece));
    for (;;) {
      if (!lines.next()) break;
      envelope.read(lines);
      if (envelope.isBlank) continue;
      if (envelope.kind === MessageKind.Unknown || envelope.id === FOREIGN_ID) envelope.readThoroughly();
      all.push(look(envelope));
    }
  }
  return all;
}

function look(envelope: Envelope): Seen {
  const kind = kinds.get(envelope.kind) ?? '';
  const isReply = envelope.kind === MessageKind.Return || envelope.kind === MessageKind.Error;
  const { isContiguous } = envelope;
  let spliced: [string, string] | null = null;
  if (isReply && (envelope.id >= 0 || envelope.kind === MessageKind.Error)) {
    spliced = [textOf(envelope.withId(bytesOf(ID))), textOf(envelope.withId(null))];
  }
  return { kind, id: envelope.id, event: envelope.eventName, text: textOf(envelope.chunks()), spliced, isContiguous };
}

describe('an envelope', () => {
  const cases: readonly (readonly [string, string, number, string?])[] = [
    ['{"return": {}, "id": 0}', 'Return', 0],
    ['{"return": {}, "id": 123456789}', 'Return', 123_456_789],
    ['{"return": {}, "id": 12345678901}', 'Return', FOREIGN_ID],
    ['{"return": {}, "id": -1}', 'Return', FOREIGN_ID],
    ['{"return": {}, "id": 1.0}', 'Return', FOREIGN_ID],
    ['{"return": {}, "id": "7"}', 'Return', FOREIGN_ID],
    ['{"return": {}, "id": null}', 'Return', FOREIGN_ID],
    ['{"return": {}, "id": [7]}', 'Return', FOREIGN_ID],
    ['{"return": {}, "id": {"id": 7}}', 'Return', FOREIGN_ID],
    ['{"return": {}}', 'Return', NO_ID],
    ['{"return": 7}', 'Return', NO_ID],
    ['{"return": "x, \\"id\\": 7"}', 'Return', NO_ID],
    ['{"return": {"a": 1, "id": 7}}', 'Return', NO_ID],
    ['{"return": [{"a": 1, "id": 7}]}', 'Return', NO_ID],
    ['{"id": 7, "error": {"class": "GenericError", "desc": "no"}}', 'Error', 7],
    ['{"id": 7777777777777, "error": {"class": "GenericError", "desc": "no"}}', 'Error', FOREIGN_ID],
    ['{"id": "7", "error": {"class": "GenericError", "desc": "no"}}', 'Error', FOREIGN_ID],
    ['{"id": {"id": 7}, "error": {"class": "GenericError", "desc": "no"}}', 'Error', FOREIGN_ID],
    ['{"error": {"class": "GenericError", "desc": "no"}}', 'Error', NO_ID],
    ['{"error": {"class": "GenericError", "desc": ", \\"id\\": 7"}}', 'Error', NO_ID],
    ['{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP"}', 'Event', NO_ID, 'STOP'],
    ['{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "X", "data": {"event": "Y"}}', 'Event', NO_ID, 'X'],
    ['{"event": "S\\u0054OP"}', 'Event', NO_ID, 'STOP'],
    ['{"QMP": {"version": {}, "capabilities": []}}', 'Greeting', NO_ID],
    ['{ "QMP" : {} }', 'Greeting', NO_ID],
    ['{"event": 7}', 'Unknown', NO_ID],
    ['{"timestamp": {}}', 'Unknown', NO_ID],
    ['{"timestamp": {}, "event": "STOP', 'Unknown', NO_ID],
    ['{}', 'Unknown', NO_ID],
    ['[]', 'Unknown', NO_ID],
    ['7', 'Unknown', NO_ID],
    ['x', 'Unknown', NO_ID],
    ['{"return": {}, "id": 7', 'Unknown', FOREIGN_ID],
    ['{"return": {}, "id": 7}}', 'Unknown', FOREIGN_ID],
    ['{"return": {}, "id": 7} {}', 'Unknown', FOREIGN_ID],
    ['{"return": {}, "id": 7, "id": 8}', 'Return', 8],
    ['{"id": 7, "id": 8, "return": 1}', 'Unknown', FOREIGN_ID],
    ['{"error": "\xff"}', 'Unknown', FOREIGN_ID],
  ];
  for (const [line, kind, id, event] of cases) {
    it(`classifies ${JSON.stringify(line)}`, () => {
      for (const end of ['\r\n', '\n']) {
        const [found] = seen(`\n${line}${end}`);
        assert.deepEqual([found?.kind, found?.id, found?.event], [kind, id, event ?? '']);
        assert.equal(found?.text, `${line}\r\n`);
      }
    });
  }

  it('reads a short reply the same wherever it is cut', () => {
    const replies = [
      '{"return": {}, "id": 0}\r\n',
      '{"return": {}, "id": 12}\r\n',
      '{"return": {}, "id": 123456789}\r\n',
      '{"return": {}, "id": 1234567890}\r\n',
      '{"return": {}, "id": }\r\n',
      '{"return": {}, "id": 7}\n',
      '{"return": {}, "id": 7} \r\n',
      '{"return": {}, "id": 7, "id": 8}\r\n',
      '{"return": {}}\r\n',
      '{"return": {"a": 1}, "id": 3}\r\n',
      '{"id": 7, "error": {"class": "GenericError", "desc": "no"}}\r\n',
      '\r\n',
    ];
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...replies), { maxLength: 12 }), anySizes, (chosen, sizes) => {
        const input = chosen.join('');
        assert.deepEqual(seen(input, sizes), seen(input));
      }),
      { numRuns: 1000 },
    );
  });

  /** The parts of a reply around its id: before it, the id's own member unchanged, and after it. */
  const spellings: readonly (readonly [string, string, string])[] = [
    ['{"return": VALUE', ', "id": 7', '}'],
    ['{"return":VALUE', ',"id":7', '}'],
    ['{"return": VALUE ', ', "id" : 7', ' }'],
    ['{', '"id": 7, ', '"return": VALUE}'],
    ['{', '"id":7,', '"return":VALUE}'],
    ['{', '"id": 7, ', '"error": {"class": "GenericError", "desc": VALUE}}'],
    ['{"error": {"class": "GenericError", "desc": VALUE}', ', "id": 7', '}'],
    ['{"return": VALUE, ', '"id": 7, ', '"more": VALUE}'],
  ];
  it('puts another id, or none, in the place of the one that was there, in any position and chunking', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...spellings),
        anyValue,
        anySizes,
        fc.constantFrom(0, 300, 5000, 70_000),
        ([head, member, tail], text, sizes, size) => {
          // The value as QEMU writes it, larger now and then.
          const value = `["${'x'.repeat(size)}", ${(readInput(`{"id":${text}}`).told[0]?.id ?? '0').replaceAll('inf', '1')}]`;
          const fill = (part: string): string => part.replace('VALUE', () => value);
          const input = `${fill(head)}${member}${fill(tail)}\r\n`;
          const cut = size < 70_000 ? sizes : [...sizes.slice(0, 3), 5000];
          const [found] = seen(input, cut);
          assert.equal(found?.id, 7);
          assert.equal(found.text, input);
          const isFirst = tail !== '}' && tail !== ' }';
          const withOther = `${fill(head)}${isFirst ? `"id": ${ID}, ` : `, "id": ${ID}`}${fill(tail)}\r\n`;
          assert.deepEqual(found.spliced, [withOther, `${fill(head)}${fill(tail)}\r\n`]);
        },
      ),
      { numRuns: 500 },
    );
  });

  it('gives an id to an error that had none', () => {
    const [found] = seen('{"error": {"class": "GenericError", "desc": "no"}}\r\n');
    assert.deepEqual(found?.spliced, [
      `{"id": ${ID}, "error": {"class": "GenericError", "desc": "no"}}\r\n`,
      '{"error": {"class": "GenericError", "desc": "no"}}\r\n',
    ]);
  });

  it('of a large message is read at its edges, in pieces', () => {
    const value = `[${'1, '.repeat(100_000)}1]`;
    for (const lead of [1, 5, 64, 127, 128, 5000]) {
      const [returned] = seen(`{"return": ${value}, "id": 7}\r\n`, [lead, 65_536]);
      assert.deepEqual([returned?.kind, returned?.id, returned?.isContiguous], ['Return', 7, false]);
      assert.deepEqual(returned?.spliced, [`{"return": ${value}, "id": ${ID}}\r\n`, `{"return": ${value}}\r\n`]);
      const [failed] = seen(`{"id": 7, "error": {"class": "GenericError", "desc": ${value}}}\r\n`, [lead, 65_536]);
      assert.deepEqual([failed?.kind, failed?.id, failed?.isContiguous], ['Error', 7, false]);
      assert.equal(failed?.spliced?.[0], `{"id": ${ID}, "error": {"class": "GenericError", "desc": ${value}}}\r\n`);
    }
  });

  it('of a large message ended by LF alone ends in CRLF', () => {
    const line = `{"return": "${'x'.repeat(200_000)}", "id": 7}`;
    const [found] = seen(`${line}\n`, [65_536]);
    assert.deepEqual([found?.text, found?.isContiguous], [`${line}\r\n`, false]);
  });

  it('knows thousands of event names apart', () => {
    for (let round = 0; round < 2; round++) {
      for (let i = 0; i < 2000; i++) {
        const [found] = seen(`{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "E${i}"}\r\n`);
        assert.equal(found?.event, `E${i}`);
      }
    }
  });

  it('gives the body of a return up to its id, for replies that are kept', () => {
    const lines = new LineReader();
    const envelope = new Envelope();
    const body = (input: string): string => {
      for (const piece of pieces(input, [65_536])) {
        lines.push(bytesOf(piece));
        lines.next();
      }
      envelope.read(lines);
      if (envelope.kind === MessageKind.Unknown || envelope.id === FOREIGN_ID) envelope.readThoroughly();
      return textOf(envelope.body());
    };
    assert.equal(body('{"return": {"a": 1}, "id": 7}\r\n'), '{"return": {"a": 1}');
    assert.equal(body('{"return":1,"id":7}\n'), '{"return":1');
    assert.equal(body('{"id": 7, "return": 1}\r\n'), '', 'there is no body where the id stands first');
    assert.equal(body('{"id": 7, "error": {}}\r\n'), '');
    const large = `{"return": "${'x'.repeat(200_000)}"`;
    assert.equal(body(`${large}, "id": 7}\r\n`), large);
  });
});

describe('a long reply', () => {
  it('is passed on without a copy, unless that would keep much more alive than itself', () => {
    const reply = `{"return": "${'x'.repeat(9000)}", "id": 1}\r\n`;
    for (const [others, isCopied] of [
      [0, false],
      [3, false],
      [30, true],
    ] as const) {
      const chunk = bytesOf(reply.repeat(others + 1));
      const lines = new LineReader();
      const envelope = new Envelope();
      lines.push(chunk);
      assert.ok(lines.next());
      envelope.read(lines);
      const chunks = envelope.withId(bytesOf('7'));
      assert.equal(textOf(chunks), reply.replace('"id": 1', '"id": 7'));
      assert.equal(!chunks.some(({ buffer }) => buffer === chunk.buffer), isCopied, `${others} others`);
    }
  });
});
