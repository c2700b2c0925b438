/**
 * Descriptors that come with commands: what QEMU 7.2 was recorded to say, said by a QEMU directly and by one behind qmpmux.
 * Each part of a case is one sendmsg; the parts are sent one behind the other, so that qmpmux finds them glued as the kernel pleases.
 */
import assert from 'node:assert/strict';
import { closeSync, openSync } from 'node:fs';
import { before, describe, test } from 'node:test';
import { fewerOpenFiles, openFiles, sendWith } from '../support/daemon/descriptors.js';
import { suiteScope } from '../support/files/scratch.js';
import { missing, type Qemu, startQemu } from '../support/qemu/qemu.js';
import { type SharedVm, shareVm } from '../support/qemu/shared-vm.js';
import { RawClient, type Target } from '../support/world/raw-client.js';
import { Random } from './generator.js';

const STREAMS = Number(process.env['QMPMUX_STREAMS'] ?? '300');
const seed = Number(process.env['QMPMUX_SEED'] ?? Math.floor(Math.random() * 2 ** 31));

/** Bytes, and how many descriptors come with them. */
type Part = readonly [bytes: string, descriptors: number];

interface Case {
  readonly name: string;
  readonly parts: readonly Part[];
  /** What QEMU 7.2 says; N stands for the number of a descriptor. */
  readonly says: readonly string[];
}

const NONE = (id: number) =>
  `{"id": ${id}, "error": {"class": "GenericError", "desc": "No file descriptor supplied via SCM_RIGHTS"}}`;
const OK = (id: number) => `{"return": {}, "id": ${id}}`;
const NAME = '{"return": {"name": "vm"}, "id": 0}';
const getfd = (id: number, name = `fd${id}`) => `{"execute":"getfd","arguments":{"fdname":"${name}"},"id":${id}}`;
const query = '{"execute":"query-name","id":0}';
const wrong = (id: number, desc: string) => `{"id": ${id}, "error": {"class": "GenericError", "desc": "${desc}"}}`;

const cases: readonly Case[] = [
  // As recorded.
  { name: 'with the command', parts: [[getfd(1), 1]], says: [OK(1)] },
  {
    name: 'on a lone blank before the command',
    parts: [
      [' ', 1],
      [getfd(1), 0],
    ],
    says: [OK(1)],
  },
  { name: 'getfd without any', parts: [[getfd(1), 0]], says: [NONE(1)] },
  {
    name: 'on a blank, another command between, then getfd',
    parts: [
      [' ', 1],
      [query, 0],
      [getfd(1), 0],
    ],
    says: [NAME, OK(1)],
  },
  {
    name: 'with query-name, then getfd',
    parts: [
      [query, 1],
      [getfd(1), 0],
    ],
    says: [NAME, OK(1)],
  },
  {
    name: 'two with one getfd, then a second getfd without',
    parts: [
      [getfd(1), 2],
      [getfd(2), 0],
    ],
    says: [OK(1), NONE(2)],
  },
  { name: 'two getfd in one write with two', parts: [[getfd(1) + getfd(2), 2]], says: [OK(1), NONE(2)] },
  {
    name: 'with the first half of the command',
    parts: [
      [getfd(1).slice(0, 20), 1],
      [getfd(1).slice(20), 0],
    ],
    says: [OK(1)],
  },
  {
    name: 'with the second half of the command',
    parts: [
      [getfd(1).slice(0, 20), 0],
      [getfd(1).slice(20), 1],
    ],
    says: [OK(1)],
  },
  { name: '17 with one command', parts: [[getfd(1), 17]], says: [OK(1)] },
  {
    name: 'add-fd',
    parts: [
      ['{"execute":"add-fd","arguments":{"fdset-id":99},"id":1}', 1],
      ['{"execute":"query-fdsets","id":2}', 0],
    ],
    says: [
      '{"return": {"fd": N, "fdset-id": 99}, "id": 1}',
      '{"return": [{"fds": [{"fd": N}], "fdset-id": 99}], "id": 2}',
    ],
  },
  // What follows from these, and from how QEMU reads.
  {
    name: 'two getfd pipelined, each with its own',
    parts: [
      [getfd(1), 1],
      [getfd(2), 1],
    ],
    says: [OK(1), OK(2)],
  },
  {
    name: 'one without before one with',
    parts: [
      [getfd(1), 0],
      [getfd(2), 1],
    ],
    says: [NONE(1), OK(2)],
  },
  {
    name: 'the first of two takes what came on a blank, the second its own',
    parts: [
      [' ', 1],
      [getfd(1), 0],
      [getfd(2), 1],
    ],
    says: [OK(1), OK(2)],
  },
  {
    name: 'a later one takes the place of an earlier one',
    parts: [
      [' ', 1],
      [' ', 1],
      [getfd(1) + getfd(2), 0],
    ],
    says: [OK(1), NONE(2)],
  },
  {
    name: 'with the last byte of the command',
    parts: [
      [getfd(1).slice(0, -1), 0],
      ['}', 1],
    ],
    says: [OK(1)],
  },
  {
    name: 'behind the command that wants it',
    parts: [
      [getfd(1), 0],
      ['\n', 1],
      [getfd(2), 0],
    ],
    says: [NONE(1), OK(2)],
  },
  {
    name: 'with what cannot be read, then getfd',
    parts: [
      ['{"a":}', 1],
      [getfd(1), 0],
    ],
    says: ['{"error": {"class": "GenericError", "desc": "JSON parse error, expecting value"}}', OK(1)],
  },
  {
    name: 'a getfd with wrong arguments takes none',
    parts: [
      ['{"execute":"getfd","id":1}', 1],
      ['{"execute":"getfd","arguments":{"fdname":"x","y":1},"id":2}', 0],
      ['{"execute":"getfd","arguments":{"fdname":5},"id":3}', 0],
      [getfd(4), 0],
    ],
    says: [
      wrong(1, "Parameter 'fdname' is missing"),
      wrong(2, "Parameter 'y' is unexpected"),
      wrong(3, "Invalid parameter type for 'fdname', expected: string"),
      OK(4),
    ],
  },
  {
    name: 'a getfd with a name that it may not have takes it',
    parts: [
      [getfd(1, '1st'), 1],
      [getfd(2), 0],
    ],
    says: [wrong(1, "Parameter 'fdname' expects a name not starting with a digit"), NONE(2)],
  },
  {
    name: 'an add-fd with wrong arguments takes none, one with a wrong number does',
    parts: [
      ['{"execute":"add-fd","arguments":{"fdset-id":"1"},"id":1}', 1],
      ['{"execute":"add-fd","arguments":{"fdset-id":1.5},"id":2}', 0],
      ['{"execute":"add-fd","arguments":{"opaque":5},"id":3}', 0],
      ['{"execute":"add-fd","arguments":{"fdset-id":-1},"id":4}', 0],
      ['{"execute":"add-fd","arguments":{"fdset-id":99},"id":5}', 0],
    ],
    says: [
      wrong(1, "Invalid parameter type for 'fdset-id', expected: integer"),
      wrong(2, "Invalid parameter type for 'fdset-id', expected: integer"),
      wrong(3, "Invalid parameter type for 'opaque', expected: string"),
      wrong(4, "Parameter 'fdset-id' expects a non-negative value"),
      NONE(5),
    ],
  },
  {
    name: 'a name is replaced by its own client',
    parts: [
      [getfd(1, 'same'), 1],
      [getfd(2, 'same'), 1],
    ],
    says: [OK(1), OK(2)],
  },
  {
    name: 'a name that is closed is closed',
    parts: [
      [getfd(1, 'gone'), 1],
      ['{"execute":"closefd","arguments":{"fdname":"gone"},"id":2}', 0],
      ['{"execute":"closefd","arguments":{"fdname":"gone"},"id":3}', 0],
    ],
    says: [OK(1), OK(2), wrong(3, "File descriptor named 'gone' not found")],
  },
  {
    name: 'a name that is used is used up, and errors say it as it was given',
    parts: [
      [getfd(1, 'out'), 1],
      [
        '{"execute":"chardev-add","arguments":{"id":"c","backend":{"type":"socket","data":{"addr":{"type":"fd","data":{"str":"out"}},"server":false}}},"id":2}',
        0,
      ],
      ['{"execute":"closefd","arguments":{"fdname":"out"},"id":3}', 0],
    ],
    says: [
      OK(1),
      wrong(2, "Failed to add chardev 'c': File descriptor 'out' is not a socket"),
      wrong(3, "File descriptor named 'out' not found"),
    ],
  },
];

/** @returns the lines that a target says to a case, with numbers of descriptors as N; leaves none of the case's descriptors in it. */
async function play(target: Target, { parts }: Case, fd: number, fdset: number): Promise<string[]> {
  const client = await RawClient.connect(target);
  await client.readLine();
  await client.write('{"execute":"qmp_capabilities"}');
  await client.readLine();
  for (const [bytes, count] of parts) {
    sendWith(
      client.socket,
      bytes.replace('"fdset-id":99', `"fdset-id":${fdset}`),
      Array.from({ length: count }, () => fd),
    );
  }
  await client.write('{"execute":"end-of-case"}');
  const lines = await client.readLinesUntil((line) => line.includes('end-of-case'));
  await client.close();
  // QEMU empties a set only while its guest runs, so those of earlier rounds are there still.
  const isOther = new RegExp(`(, )?\\{"fds": [^}]*\\}\\], "fdset-id": (?!${fdset}\\b)\\d+\\}`, 'g');
  return lines.slice(0, -1).map((line) =>
    line
      .replace(isOther, '')
      .replace('[, ', '[')
      .replace(/"fd": \d+/g, '"fd": N')
      .replace(`"fdset-id": ${fdset}`, '"fdset-id": 99'),
  );
}

/** What random streams are made of. */
const COMMANDS = [
  ...['a', 'b', 'c'].flatMap((name) => [
    getfd(1, name),
    getfd(2, name),
    `{"execute":"closefd","arguments":{"fdname":"${name}"},"id":3}`,
  ]),
  getfd(4, '1'),
  '{"execute":"getfd","id":5}',
  '{"execute":"getfd","arguments":{"fdname":"a","x":{}},"id":6}',
  '{"execute":"add-fd","arguments":{"fdset-id":-1},"id":7}',
  '{"execute":"add-fd","arguments":{"fdset-id":1e0},"id":8}',
  '{"execute":"\\u0067etfd","arguments":{"fdname":"\\u0061"},"id":9}',
  '{"execute":"query-status","id":10}',
  '{"a":}',
  '{}',
  ' ',
  '\n',
];

/** @returns commands, cut into parts of which some bring descriptors */
function randomParts(random: Random): Part[] {
  const text = Array.from({ length: 1 + random.below(8) }, () => COMMANDS[random.below(COMMANDS.length)] ?? '').join(
    '',
  );
  const parts: Part[] = [];
  for (let at = 0; at < text.length; ) {
    // Often where a command ends, as clients do.
    const brace = text.indexOf('}{', at) + 1;
    const end = random.below(2) === 0 && brace > at ? brace : at + 1 + random.below(text.length - at);
    parts.push([text.slice(at, end), random.below(3) === 0 ? 1 + random.below(3) : 0]);
    at = end;
  }
  return parts;
}

describe('descriptors', { skip: missing('qemu'), concurrency: 1 }, () => {
  const scope = suiteScope();
  let direct: Qemu;
  let shared: SharedVm;
  let file = -1;
  before(async () => {
    file = openSync('/etc/passwd', 'r');
    scope.after(() => {
      closeSync(file);
    });
    [direct, shared] = await Promise.all([startQemu(scope, { name: 'vm' }), shareVm(scope, { name: 'vm' })]);
  });

  for (const one of cases) {
    test(one.name, async () => {
      const atFirst = openFiles(shared.daemon.pid);
      for (let round = 0; round < 3; round++) {
        const fdset = 99 - round;
        const expected = await play(direct.monitor, one, file, fdset);
        if (direct.version.startsWith('7.2.')) assert.deepEqual(expected, one.says);
        assert.deepEqual(await play(shared.target, one, file, fdset), expected);
      }
      await fewerOpenFiles(shared.daemon.pid, atFirst);
    });
  }

  test('survives a reconnect', async () => {
    for (const target of [direct.monitor, shared.target]) {
      assert.deepEqual(await play(target, { name: '', parts: [[getfd(1, 'kept'), 1]], says: [] }, file, 0), [OK(1)]);
      const later: Part = ['{"execute":"closefd","arguments":{"fdname":"kept"},"id":"later"}', 0];
      assert.deepEqual(await play(target, { name: '', parts: [later], says: [] }, file, 0), [
        '{"return": {}, "id": "later"}',
      ]);
    }
  });

  test(`random commands and descriptors, cut anywhere, from seed ${seed}`, async () => {
    for (let index = 0; index < STREAMS; index++) {
      const parts = randomParts(new Random(seed + index));
      const one: Case = { name: '', parts, says: [] };
      const expected = await play(direct.monitor, one, file, 99);
      assert.deepEqual(
        await play(shared.target, one, file, 99),
        expected,
        `seed ${seed + index}: ${JSON.stringify(parts)}`,
      );
    }
  });
});
