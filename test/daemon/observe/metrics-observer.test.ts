import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MetricsObserver } from '../../../dist/daemon/observe/metrics-observer.js';
import type { ClientId } from '../../../dist/mux/ports/link.js';
import type { ClientView, CommandView } from '../../../dist/mux/ports/observer.js';

const ids: readonly number[] = [1, 2];
// a number a multiplexer would have counted
const client: ClientView = {
  id: ids[0] as ClientId,
  listener: 'unix:/run/mux',
  peer: { kind: 'stdio' },
  isConnected: true,
};
const ok = [Buffer.from('{"return": {}}\r\n')];
const unknown = [
  Buffer.from('{"id": 1, "error": {"class": "CommandNotFound", "desc": "The command x has not been found"}}\r\n'),
];
const failed = [Buffer.from('{"id": 1, "error": {"class": "GenericError", "desc": "no"}}\r\n')];

function command(name: string): CommandView {
  const none = new Uint8Array(0);
  const id = { id: null };
  return { client, name, oob: false, raw: none, ...id, upstreamId: -1, receivedAt: 1000, sentAt: 3000, auditSeq: 0 };
}

interface Setup {
  readonly observer: MetricsObserver;
  readonly waited: number[];
  readonly took: number[];
}

function setup(): Setup {
  const waited: number[] = [];
  const took: number[] = [];
  const into = (list: number[]) => ({ observe: (seconds: number) => void list.push(seconds) });
  return { observer: new MetricsObserver(() => 10_000, into(waited), into(took)), waited, took };
}

function outcomes(observer: MetricsObserver): unknown {
  return Object.fromEntries(
    [...observer.commands].map(([name, figures]) => [name, Object.fromEntries(figures.outcomes)]),
  );
}

describe('the numbers of a monitor', () => {
  it('name commands that QEMU knows, and call inventions of clients "other"', () => {
    const { observer } = setup();
    for (let i = 0; i < 10_000; i++) observer.answered(command(`invented-${i}`), unknown, true, 'upstream');
    observer.denied(command('not-seen-yet'), 'default deny');
    observer.answered(command('stop'), ok, false, 'upstream');
    observer.answered(command('device_del'), failed, true, 'upstream');
    observer.denied(command('stop'), 'a rule');
    observer.answered(command('x'.repeat(65)), ok, false, 'upstream');
    observer.answered(command('other'), ok, false, 'upstream');
    assert.deepEqual(outcomes(observer), {
      other: { error: 10_000, denied: 1, ok: 2 },
      stop: { ok: 1, denied: 1 },
      device_del: { error: 1 },
    });
  });

  it('stay few when a peer that is no QEMU knows everything', () => {
    const { observer } = setup();
    for (let i = 0; i < 5000; i++) {
      observer.answered(command(`c${i}`), ok, false, 'upstream');
      observer.event(`E${i}`);
    }
    assert.ok(observer.commands.size <= 601 && observer.events.size <= 601);
  });

  it('keep the time in qmpmux apart from the time at QEMU, and count an answer from memory in neither', () => {
    const { observer, waited, took } = setup();
    observer.answered(command('query-name'), ok, false, 'cached');
    observer.answered(command('query-name'), ok, false, 'upstream');
    assert.deepEqual([waited, took], [[0.002], [0.007]]);
    assert.deepEqual(
      [...observer.replies],
      [
        ['cached', 1],
        ['upstream', 1],
      ],
    );
  });

  it('count a command whose client was given an error once, though its answer comes later', () => {
    const { observer } = setup();
    observer.answered(command('stop'), ok, false, 'upstream');
    observer.abandoned(command('stop'));
    observer.answered(command('stop'), ok, false, 'late');
    assert.deepEqual(outcomes(observer), { stop: { ok: 1, timeout: 1 } });
    assert.equal(observer.replies.get('late'), 1);
  });

  it('know how many clients a listener has and why others are gone', () => {
    const { observer } = setup();
    for (let i = 0; i < 5; i++) observer.connected(client);
    observer.disconnected(client, 'closed by the peer');
    observer.disconnected(client, 'client closed');
    observer.disconnected(client, '4.5 MiB unread');
    observer.limited(client, client.listener, 'overfull');
    observer.limited(null, client.listener, 'refusedByListener');
    observer.disconnected(client, 'what nobody has thought of');
    assert.deepEqual(observer.listeners.get('unix:/run/mux'), { clients: 1, connections: 5, denials: 0 });
    assert.deepEqual(Object.fromEntries(observer.disconnects), { client: 2, overfull: 1, other: 1 });
  });

  it('count the loss of a QEMU that had been there, not each attempt to reach one', () => {
    const { observer } = setup();
    const running = { name: 'running', oob: true, pretty: false, version: '7.2.0' } as const;
    for (const state of [
      { name: 'lost', reason: 'x' },
      running,
      { name: 'lost', reason: 'x' },
      { name: 'lost', reason: 'y' },
    ] as const) {
      observer.upstream(state);
    }
    assert.equal(observer.losses, 1);
  });
});
