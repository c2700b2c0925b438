/** docs/reference/limits.md promises of each limit a line in the log, a record in the audit log and a count: each is driven into here. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { Counters } from '../../../dist/mux/ports/counters.js';
import { startDaemon } from '../../support/daemon/daemon.js';
import { missing, startQemu } from '../../support/qemu/qemu.js';
import { assertValid, type LooseRecord } from '../../support/text/audit.js';
import { RawClient } from '../../support/world/raw-client.js';

const root = new URL('../../../', import.meta.url);
const NEGOTIATE = '{"execute":"qmp_capabilities"}';

interface Reached {
  readonly target: string;
  /** Clients that have negotiated. */
  readonly open: () => Promise<RawClient>;
  readonly qemu: number;
}

interface Case {
  /** As in docs/reference/limits.md. */
  readonly limit: string;
  readonly flags?: readonly string[];
  /** Behind the listener's address. */
  readonly options?: string;
  readonly reach: (reached: Reached) => Promise<unknown>;
  readonly counter: keyof Counters;
  readonly log: string;
  /** The record that tells it, and what is in it. */
  readonly record: string;
  readonly reason: RegExp;
}

const DISCONNECTED = 'disconnected a client that reached a limit';
const NOT_LET_IN = 'refused a connection';
const SLOWER = 'client paused: too many unanswered commands';

async function deaf({ open }: Reached): Promise<RawClient> {
  const client = await open();
  client.pause();
  await client.write('{"execute":"query-qmp-schema"}'.repeat(40));
  return client;
}

/** It asks for more when answers for it wait already. */
async function deafAndAsking(reached: Reached): Promise<void> {
  const other = await reached.open();
  const client = await deaf(reached);
  for (let round = 0; round < 50; round++) {
    await other.write('{"execute":"query-status"}');
    await other.readLine();
    await client.write('{"execute":"query-name"}');
  }
}

/** QEMU does not answer while it is stopped, so commands pile up. */
async function pileUp({ open, qemu }: Reached, commands: string): Promise<void> {
  const client = await open();
  process.kill(qemu, 'SIGSTOP');
  await client.write(commands);
}

const cases: readonly Case[] = [
  {
    limit: 'command-bytes',
    flags: ['--limit=command-bytes=1k'],
    reach: async ({ open }) => {
      const client = await open();
      await client.write(`{"execute":"stop","arguments":{"a":"${'x'.repeat(600)}","b":"${'x'.repeat(600)}"}}`);
      assert.match(await client.readLine(), /JSON token size limit exceeded/);
    },
    counter: 'oversized',
    log: 'refused a command that is too large',
    record: 'malformed',
    reason: /token size limit exceeded/,
  },
  {
    limit: 'queued-commands',
    flags: ['--limit=queued-commands=20'],
    reach: (reached) => pileUp(reached, '{"execute":"query-name"}'.repeat(50)),
    counter: 'paused',
    log: SLOWER,
    record: 'paused',
    reason: /has 20 commands of \d+ bytes without an answer/,
  },
  {
    limit: 'queued-bytes',
    flags: ['--limit=queued-bytes=2k'],
    reach: (reached) => pileUp(reached, `{"execute":"stop","arguments":{"a":"${'x'.repeat(3000)}"}}`.repeat(3)),
    counter: 'paused',
    log: SLOWER,
    record: 'paused',
    reason: /has \d commands of \d{4,5} bytes without an answer/,
  },
  {
    limit: 'output-high-water',
    flags: ['--limit=output-high-water=64k'],
    reach: deafAndAsking,
    counter: 'paused',
    log: SLOWER,
    record: 'paused',
    reason: /has \d+ bytes of answers left to read/,
  },
  {
    limit: 'output-grace',
    flags: ['--limit=output-high-water=64k', '--limit=output-grace=300ms'],
    reach: deaf,
    counter: 'slow',
    log: DISCONNECTED,
    record: 'disconnect',
    reason: /MiB unread, above 65536 bytes, none read for 0\.3 s/,
  },
  {
    limit: 'output-cap',
    flags: ['--limit=output-high-water=0', '--limit=output-cap=1M'],
    reach: deaf,
    counter: 'overfull',
    log: DISCONNECTED,
    record: 'disconnect',
    reason: /^\d\.\d MiB unread$/,
  },
  {
    limit: 'negotiation-time',
    flags: ['--limit=negotiation-time=300ms'],
    reach: async ({ target }) => {
      await (await RawClient.connect(target)).readToEnd();
    },
    counter: 'unnegotiated',
    log: DISCONNECTED,
    record: 'disconnect',
    reason: /no capabilities negotiation within 0\.3 s/,
  },
  {
    limit: 'listener-clients',
    flags: ['--limit=listener-clients=1'],
    reach: oneTooMany,
    counter: 'refusedByListener',
    log: NOT_LET_IN,
    record: 'refused',
    reason: /1 clients on this socket/,
  },
  {
    limit: 'max-clients',
    options: ',max-clients=1',
    reach: oneTooMany,
    counter: 'refusedByListener',
    log: NOT_LET_IN,
    record: 'refused',
    reason: /1 clients on this socket/,
  },
  {
    limit: 'max-clients-per-uid',
    options: ',max-clients-per-uid=1',
    reach: oneTooMany,
    counter: 'refusedByListener',
    log: NOT_LET_IN,
    record: 'refused',
    reason: /uid \d+ has 1 connection on this socket already \(limit 1\)/,
  },
  {
    limit: 'clients',
    flags: ['--limit=clients=1'],
    reach: oneTooMany,
    counter: 'refusedByMonitor',
    log: NOT_LET_IN,
    record: 'refused',
    reason: /1 clients/,
  },
  {
    limit: 'connection-rate',
    options: ',connection-rate=1',
    reach: async ({ target }) => {
      const all = await Promise.all(Array.from({ length: 5 }, () => RawClient.connect(target)));
      await Promise.all(all.map((client) => client.readLine()));
    },
    counter: 'refusedByRate',
    log: NOT_LET_IN,
    record: 'refused',
    reason: /more than 1 connections a second/,
  },
  {
    limit: 'memory',
    flags: ['--limit=memory=256k'],
    reach: deaf,
    counter: 'memory',
    log: DISCONNECTED,
    record: 'disconnect',
    reason: /holds \d+ bytes, the most of all clients, which together hold more than 262144/,
  },
  {
    limit: 'command-timeout',
    options: ',command-timeout=300ms',
    reach: (reached) => pileUp(reached, '{"execute":"query-name"}'),
    counter: 'timedOut',
    log: 'a command timed out; its client got an error',
    record: 'error',
    reason: /no answer from QEMU within 0\.3 s/,
  },
];

async function oneTooMany({ target, open }: Reached): Promise<void> {
  await open();
  assert.match(await (await RawClient.connect(target)).readLine(), /^\{"error": /);
}

function metrics(socketPath: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, path: '/metrics' }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => resolve(text));
    });
    asked.once('error', reject);
    asked.end();
  });
}

async function drive(context: TestContext, { flags = [], options = '', reach, ...wanted }: Case): Promise<void> {
  const qemu = await startQemu(context);
  const [target, audit, socket] = ['mux', 'audit', 'metrics'].map((name) => join(qemu.folder, name)) as [
    string,
    string,
    string,
  ];
  const daemon = startDaemon(context, [
    '--upstream',
    qemu.monitor,
    '--listen',
    target + options,
    '--audit',
    audit,
    '--metrics',
    socket,
    '--drain-timeout=300ms',
    ...flags,
  ]);
  await daemon.ready();
  const open = async (): Promise<RawClient> => {
    const client = await RawClient.connect(target);
    await client.readLine();
    await client.write(NEGOTIATE);
    await client.readLine();
    return client;
  };
  await reach({ target, open, qemu: qemu.pid });
  const line = await daemon.logged(({ msg }) => msg === wanted.log);
  // a command that takes too long is told with the command, and nothing else can be meant
  if (wanted.counter !== 'timedOut') assert.equal(line['limit'], wanted.counter);
  const count = new RegExp(`^qmpmux_limits_total\\{monitor="[^"]*",limit="${wanted.counter}"\\} [1-9]`, 'm');
  assert.match(await metrics(socket), count);
  process.kill(qemu.pid, 'SIGCONT');
  await daemon.stop();
  const records = readFileSync(audit, 'utf8')
    .trimEnd()
    .split('\n')
    .map((text): LooseRecord => JSON.parse(text));
  for (const record of records) assertValid(record);
  const told = records.filter(({ kind }) => kind === wanted.record);
  assert.ok(
    told.some(({ reason, reply, message }) =>
      wanted.reason.test(JSON.stringify(reason ?? reply ?? message).slice(1, -1)),
    ),
    JSON.stringify(told),
  );
}

describe('a client that reaches the limit', { skip: missing('qemu') }, () => {
  for (const each of cases) {
    it(`${each.limit} is told in the log, in the audit log and in the metrics`, (context) => drive(context, each));
  }
});

describe('the tables of limits', () => {
  it('name for each limit the counter that it is told by, and each has its test', () => {
    const lines = readFileSync(new URL('docs/reference/limits.md', root), 'utf8').split('\n');
    const named = lines.flatMap((line) => {
      const cells = line.split('|').map((cell) => cell.trim());
      const [, name = ''] = /^`([a-z-]+)(?:=[A-Z]+)?`$/.exec(cells[1] ?? '') ?? [];
      const counter = /^`(\w+)`$/.exec(cells.at(-2) ?? '')?.[1];
      return name === '' || counter === undefined ? [] : [`${name}: ${counter}`];
    });
    const tested = cases.map(({ limit, counter }) => `${limit}: ${counter}`);
    assert.deepEqual(named.sort(), tested.sort());
    for (const { counter } of cases) assert.equal(new Counters()[counter], 0);
  });
});
