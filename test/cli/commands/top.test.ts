import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { compare, type Sample } from '../../../dist/cli/commands/inspect/top-sample.js';
import { helpLines, rowsAboveKeys, topLines, withKeys } from '../../../dist/cli/commands/inspect/top-screen.js';
import { type Colour, plain } from '../../../dist/cli/screen/colour.js';
import { Report } from '../../../dist/cli/screen/json-view.js';
import { cutTo } from '../../../dist/cli/screen/table.js';

interface Client {
  readonly id: number;
  readonly commands?: number;
  readonly time?: number;
  readonly self?: boolean;
}

/** @param queue `client command age` of what has no answer; the first is what QEMU executes */
function sample(at: number, clients: readonly Client[], queue: readonly string[] = [], status: object = {}): Sample {
  const inFlight = queue.map((text, index) => {
    const [client, command = '', age] = text.split(' ');
    const peer = { type: 'unix', program: 'p', pid: 7 };
    return { client: Number(client), peer, command, age: Number(age), upstream: Number(age), running: index === 0 };
  });
  const total = (name: 'commands' | 'time') => clients.reduce((sum, client) => sum + (client[name] ?? 0), 0);
  return {
    at,
    status: new Report({
      monitor: 'vm',
      upstream: { state: 'running', version: '7.2.22', for: at, oob: true },
      clients: clients.length,
      waiting: 0,
      'in-flight': queue.length,
      held: 0,
      commands: total('commands'),
      errors: 0,
      time: total('time'),
      latency: [{ below: 0.001, count: total('commands') }],
      events: { instance: 'i', first: 1, last: 0 },
      ...status,
    }),
    clients: clients.map(
      ({ id, self = false, commands = 0, time = 0 }) =>
        new Report({
          client: id,
          peer: { type: 'unix', program: `p${id}` },
          listener: 'unix:/l',
          commands,
          time,
          self,
          waiting: 0,
          'in-flight': 0,
          held: 0,
        }),
    ),
    queue: new Report({ 'in-flight': inFlight, waiting: [], 'waiting-count': 0 }),
  };
}

const ids = ({ clients }: ReturnType<typeof compare>) => clients.map(({ client }) => client.at('client').number);

describe('the figures of top from two samples', () => {
  it('are rates and times of commands between them', () => {
    const frame = compare(
      sample(12, [{ id: 1, commands: 30, time: 3 }]),
      sample(10, [{ id: 1, commands: 10, time: 1 }]),
    );
    assert.equal(frame.rates?.commands, 10);
    assert.equal(frame.rates?.mean, 0.1);
    assert.equal(frame.rates?.high, 0.1); // of the class up to 0.001, but never below the mean
    assert.deepEqual([frame.clients[0]?.rate, frame.clients[0]?.latency], [10, 0.1]);
  });

  it('is unknown with the first one, and with the first one of another qmpmux', () => {
    const later = sample(2, [{ id: 1, commands: 5 }]);
    assert.equal(compare(later, null).rates, null);
    const before = sample(1, [{ id: 1, commands: 500 }], [], { events: { instance: 'other', last: 9 } });
    assert.equal(compare(later, before).rates, null);
  });

  it('counts a client that has come since from its beginning', () => {
    const frame = compare(sample(2, [{ id: 2, commands: 8 }]), sample(1, [{ id: 1, commands: 100 }]));
    assert.equal(frame.clients[0]?.rate, 8);
    assert.equal(frame.rates?.commands, 0);
  });

  it('lists clients that wait long first, then those that send most, then the oldest', () => {
    const before = sample(1, [{ id: 1 }, { id: 2 }, { id: 3 }, { id: 4 }, { id: 5 }]);
    const clients = [{ id: 1 }, { id: 2 }, { id: 3, commands: 9 }, { id: 4, commands: 1 }, { id: 5 }];
    const frame = compare(sample(2, clients, ['5 a 3', '2 b 5', '1 c 0.5']), before);
    assert.deepEqual(ids(frame), [2, 5, 3, 4, 1]);
    assert.equal(frame.running?.at('command').text, 'a');
  });
});

describe('the screen of top', () => {
  const marked: Colour = (style, text) => `<${String(style)}>${text}`;
  const many = Array.from({ length: 30 }, (_, at) => ({ id: at + 1, self: at === 0 }));

  it('names the blocking client, and marks that line and the client', () => {
    const frame = compare(sample(2, [{ id: 1 }, { id: 2, self: true }], ['1 blockdev-add 12.4']), sample(1, []));
    const lines = topLines(frame, '10:00:00', { columns: 120, rows: 20 }, marked);
    assert.equal(lines[0], '<bold>vm: QEMU 7.2.22, connected for 2.0s, 2 clients  10:00:00');
    assert.equal(lines[3], '<yellow>blocking  client 1, p (pid 7): blockdev-add for 12s, 0 behind it');
    assert.match(lines[6] ?? '', /^<yellow> +1 .*blockdev-add 12s/);
    assert.match(lines[7] ?? '', /^<dim> +2\* /);
  });

  it('says that nobody does while QEMU answers within a second', () => {
    const frame = compare(sample(2, [], ['1 query-block 0.9']), null);
    assert.equal(topLines(frame, '', { columns: 80, rows: 20 }, plain)[3], 'blocking  nobody');
  });

  it('fits into any size', () => {
    const frame = compare(sample(2, many, ['1 x 5']), sample(1, many));
    for (const columns of [1, 10, 40, 79, 80, 99, 100, 200]) {
      for (const rows of [1, 3, 6, 7, 8, 24, 60]) {
        const lines = topLines(frame, '10:00:00', { columns, rows }, plain);
        assert.ok(lines.length <= rows, `${lines.length} lines in ${rows} rows`);
        for (const line of lines) assert.ok(line.length <= columns, `${JSON.stringify(line)} in ${columns} columns`);
      }
    }
  });

  it('counts the clients for which there is no room', () => {
    const frame = compare(sample(2, many), null);
    const lines = topLines(frame, '', { columns: 80, rows: 16 }, plain);
    assert.equal(lines.length, 16);
    assert.equal(lines.at(-1), 'and 21 more clients');
    assert.equal(topLines(frame, '', { columns: null, rows: null }, plain).length, 36);
  });

  it('reports that QEMU is gone, and why', () => {
    const frame = compare(sample(2, [], [], { upstream: { state: 'lost', for: 3, reason: 'closed by QEMU' } }), null);
    assert.match(
      topLines(frame, '', { columns: 90, rows: 9 }, plain)[0] ?? '',
      /^vm: QEMU not there for 3\.0s \(closed by QEMU\)/,
    );
  });

  it('has the keys in its last row, and explains them and the columns, in any size', () => {
    for (const columns of [1, 20, 80]) {
      for (const rows of [1, 7, 8, 24]) {
        const size = { columns, rows };
        const room = rowsAboveKeys(rows);
        const lines = withKeys(helpLines({ columns, rows: room }), size, plain);
        assert.ok(lines.length <= rows);
        for (const line of lines) assert.ok(line.length <= columns);
        assert.equal(room, rows < 8 ? rows : rows - 1);
      }
    }
    const shown = withKeys(['a', 'b'], { columns: 80, rows: 10 }, plain);
    assert.equal(shown.length, 10);
    assert.equal(shown.at(-1), 'q quit   space refresh now   h help');
    const help = helpLines({ columns: 80, rows: 30 }).join('\n');
    for (const word of ['q, Ctrl-C', 'CMD/S', 'LATENCY', 'HELD']) assert.ok(help.includes(word), word);
  });

  it('cuts by the width of characters on a terminal', () => {
    assert.deepEqual(
      [cutTo('日本語', 6), cutTo('日本語', 5), cutTo('日本語', 4), cutTo('ab', 1)],
      ['日本語', '日本…', '日…', '…'],
    );
  });
});
