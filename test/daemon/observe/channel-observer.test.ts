import assert from 'node:assert/strict';
import { channel, subscribe, unsubscribe } from 'node:diagnostics_channel';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { ChannelObserver } from '../../../dist/daemon/observe/channel-observer.js';
import * as channels from '../../../dist/daemon/observe/channels.js';
import { LogObserver } from '../../../dist/daemon/observe/log-observer.js';
import type { ClientId, UpstreamId } from '../../../dist/mux/ports/link.js';
import type { ClientView, CommandView } from '../../../dist/mux/ports/observer.js';

// a number a multiplexer would have counted
const client = {
  id: 7 as number as ClientId,
  listener: 'unix:/run/mux',
  peer: { kind: 'stdio' },
  isConnected: true,
} satisfies ClientView;
const command: CommandView = {
  client,
  name: 'query-name',
  oob: false,
  raw: new Uint8Array(0),
  id: Buffer.from('"a"'),
  // the same
  upstreamId: 3 as number as UpstreamId,
  receivedAt: 1000,
  sentAt: 3000,
  auditSeq: 0,
};
const names = Object.values(channels).flatMap((one) =>
  typeof one === 'function' ? [] : [String(Reflect.get(one, 'name'))],
);
const ofClient = { monitor: 'vm', client: 7, listener: 'unix:/run/mux' };
const ofCommand = { ...ofClient, command: 'query-name', oob: false, id: '"a"' };
const reply = Buffer.from('{"return": {}}\r\n');

/** Every call that an observer takes, and the message that a subscriber gets. */
const told: readonly (readonly [call: (observer: ChannelObserver) => void, name: string, message: unknown])[] = [
  [(observer) => observer.connected(client), 'client:connected', { ...ofClient, peer: { kind: 'stdio' } }],
  [(observer) => observer.negotiated(client, ['oob']), 'client:negotiated', { ...ofClient, capabilities: ['oob'] }],
  [(observer) => observer.disconnected(client, 'why'), 'client:disconnected', { ...ofClient, reason: 'why' }],
  [
    (observer) => observer.descriptors(client, [], 'full'),
    'client:descriptors',
    { ...ofClient, count: 0, fault: 'full' },
  ],
  [(observer) => observer.malformed(client), 'client:malformed', ofClient],
  [
    (observer) => observer.limited(client, 'unix:/run/mux', 'slow', '3 MiB unread'),
    'client:limited',
    { ...ofClient, limit: 'slow', what: '3 MiB unread' },
  ],
  [
    (observer) => observer.limited(null, 'unix:/run/mux', 'refusedByRate', 'many'),
    'client:limited',
    { ...ofClient, client: null, limit: 'refusedByRate', what: 'many' },
  ],
  [(observer) => observer.command(command), 'command:sent', { ...ofCommand, waited: 9 }],
  [
    (observer) => observer.answered(command, [reply], true, 'upstream'),
    'command:answered',
    { ...ofCommand, isError: true, source: 'upstream', waited: 2, took: 7 },
  ],
  [
    (observer) => observer.answered({ ...command, id: null }, [reply], false, 'cached'),
    'command:answered',
    { ...ofCommand, id: null, isError: false, source: 'cached', waited: 0, took: 0 },
  ],
  [(observer) => observer.denied(command, 'rule 1'), 'command:denied', { ...ofCommand, rule: 'rule 1' }],
  [(observer) => observer.unanswered(command, 'gone'), 'command:unanswered', { ...ofCommand, reason: 'gone' }],
  [(observer) => observer.dropped(command, 'gone'), 'command:dropped', { ...ofCommand, reason: 'gone' }],
  [(observer) => observer.abandoned(command), 'command:timeout', ofCommand],
  [(observer) => observer.stuck(command, 12_000), 'command:stuck', { ...ofCommand, age: 12 }],
  [(observer) => observer.event('STOP', [reply], 2), 'event', { monitor: 'vm', event: 'STOP', receivers: 2 }],
  [(observer) => observer.stray([reply], 'no id'), 'stray', { monitor: 'vm', why: 'no id' }],
  [
    (observer) => observer.upstream({ name: 'lost', reason: 'EOF' }),
    'upstream',
    { monitor: 'vm', state: { name: 'lost', reason: 'EOF' } },
  ],
  [
    (observer) => observer.health({ name: 'silent', since: 7 }, { name: 'answering' }, 31_000),
    'upstream:health',
    { monitor: 'vm', health: 'silent', age: 31 },
  ],
];

describe('the channels of a monitor', () => {
  test('have a separate message for each report to an observer', () => {
    const observer = new ChannelObserver('vm', () => 10_000);
    const heard: unknown[] = [];
    const listen = (message: unknown, name: string | symbol) => void heard.push([name, message]);
    for (const name of names) subscribe(name, listen);
    for (const [call] of told) call(observer);
    for (const name of names) unsubscribe(name, listen);
    assert.deepEqual(
      heard,
      told.map(([, name, message]) => [`qmpmux:${name}`, message]),
    );
    const methods = Object.getOwnPropertyNames(LogObserver.prototype).filter((name) => name !== 'constructor');
    for (const method of methods) assert.ok(method in observer, `${method} is told to no channel`);
  });

  test('cost nothing if nobody listens: a report to an observer is not even looked at', () => {
    const observer = new ChannelObserver('vm', () => assert.fail('asked for the time'));
    const untouchable = new Proxy(
      {},
      {
        get: (_, member) => assert.fail(`looked at ${String(member)}`),
        ownKeys: () => assert.fail('looked at all'),
      },
    );
    assert.ok(names.every((name) => !channel(name).hasSubscribers));
    for (const method of Object.getOwnPropertyNames(ChannelObserver.prototype)) {
      if (method === 'constructor') continue;
      const call: unknown = Reflect.get(observer, method);
      assert.ok(typeof call === 'function');
      Reflect.apply(call, observer, [untouchable, untouchable, untouchable, untouchable]);
    }
  });

  test('are all in the documentation', () => {
    const page = readFileSync(new URL('../../../docs/reference/tracing.md', import.meta.url), 'utf8');
    const documented = [...page.matchAll(/^\| `(qmpmux:(?!qmp-client)[\w:]+)` \|/gm)].map((match) => match[1]);
    assert.deepEqual(new Set(documented), new Set(names));
    assert.equal(documented.length, names.length);
  });
});
