import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { EXTENSION_COMMANDS, type ExtensionServices } from '../../../dist/mux/admin/extension.js';
import { MOST_LISTED_OF_ONE } from '../../../dist/mux/admin/extension-report.js';
import { EventFilter } from '../../../dist/mux/events/filter.js';
import { readOnlyPolicy } from '../../../dist/mux/policy/policy.js';
import type { Peer } from '../../../dist/mux/ports/link.js';
import { type TestClient, World, type WorldOptions } from '../../support/world/world.js';

const SERVICES: ExtensionServices = {
  version: '1.2.3',
  upstream: 'unix:/run/vm.qmp',
  instance: 'abc',
  listeners: () => [{ address: 'unix:/run/vm.mux', clients: 1, policy: 'full', extensions: true }],
  reload: null,
};

function worldWith(services: Partial<ExtensionServices> = {}, options: WorldOptions = {}): World {
  return World.running({ ...options, mux: { services: { ...SERVICES, ...services }, ...options.mux } });
}

function operator(world: World, capabilities: 'plain' | 'oob' = 'plain'): TestClient {
  return world
    .client('unix:/run/vm.ctl', { kind: 'unix', pid: 7, uid: 0, gid: 0, program: 'qmpmux' }, { extensions: true })
    .negotiate(capabilities);
}

function message(name: string, args?: object, more: object = {}): string {
  return JSON.stringify({
    execute: `__org.qmpmux_${name}`,
    ...(args === undefined ? {} : { arguments: args }),
    ...more,
  });
}

/** The return value of one command. */
// oxlint-disable-next-line typescript/no-explicit-any -- the shape is what the tests look at
function returned(lines: readonly string[]): any {
  assert.equal(lines.length, 1, `one reply is expected: ${lines.join(' ')}`);
  // oxlint-disable-next-line typescript/no-explicit-any
  const reply: any = JSON.parse(lines[0] ?? '');
  assert.ok('return' in reply, lines[0]);
  return reply.return;
}

function errorLine(desc: string): string {
  return `{"error": {"class": "GenericError", "desc": ${JSON.stringify(desc)}}}`;
}

/** A world whose reload goes on until the test ends it. */
function reloading() {
  let finish: (changes: readonly string[]) => void = () => {};
  const world = worldWith({
    reload: () =>
      new Promise((resolve) => {
        finish = resolve;
      }),
  });
  return { world, finish: (changes: readonly string[]) => finish(changes) };
}

/** Lets promises that are settled be heard. */
async function heard(world: World): Promise<void> {
  await new Promise((resolve) => {
    setImmediate(resolve);
  });
  world.settle();
}

describe('extension commands', () => {
  it('go to QEMU like any other name if the listener does not allow them', () => {
    const world = worldWith();
    const client = world.client().negotiate();
    for (const name of EXTENSION_COMMANDS) {
      client.send(JSON.stringify({ execute: name }));
      assert.deepEqual(world.qemu.waitingNames, [name]);
      world.qemu.returns();
      world.settle();
      assert.deepEqual(client.take(), ['{"return": {}}']);
    }
  });

  it('that do not exist go to QEMU too, even if they are allowed', () => {
    const world = worldWith();
    const client = operator(world);
    client.send(message('query-nothing'));
    client.send('{"execute":"__org.qmpmux_"}');
    assert.deepEqual(world.qemu.waitingNames, ['__org.qmpmux_query-nothing', '__org.qmpmux_']);
  });

  it('are refused before negotiation as any other command', () => {
    const world = worldWith();
    const client = world.client('unix:/run/vm.ctl', { kind: 'unix' }, { extensions: true });
    assert.match(client.send(message('query-status'))[0] ?? '', /Expecting capabilities negotiation/);
  });

  it('are known by their decoded names, and get the id of their client back', () => {
    const world = worldWith();
    const client = operator(world);
    const [line] = client.send('{"execute":"\\u005f_org.qmpmux_query-status","id":{"a":1.0}}');
    assert.match(line ?? '', /^\{"return": \{"qmpmux": "1\.2\.3", .*\}, "id": \{"a": 1\}\}$/);
    assert.deepEqual(world.qemu.waitingNames, []);
  });

  it('take their turn: earlier commands are answered first, and later ones are not sent on until then', () => {
    const world = worldWith();
    const client = operator(world);
    client.send(`{"execute":"stop","id":1}${message('query-queue', undefined, { id: 2 })}{"execute":"cont","id":3}`);
    assert.deepEqual(world.qemu.waitingNames, ['stop']);
    assert.deepEqual(client.take(), []);
    world.qemu.returns();
    world.settle();
    const [first, second, ...more] = client.take();
    assert.deepEqual([first, more], ['{"return": {}, "id": 1}', []]);
    // It was the only one there was then: its client's earlier command was done, the later one is behind it.
    const queue = returned([second ?? '']);
    assert.deepEqual([queue['in-flight'], queue.waiting.length, queue['waiting-count']], [[], 1, 1]);
    assert.equal(queue.waiting[0].command, 'cont');
    assert.deepEqual(world.qemu.waitingNames, ['cont']);
    world.qemu.returns();
    world.settle();
    assert.deepEqual(client.take(), ['{"return": {}, "id": 3}']);
  });

  it('wait for out-of-band commands that were sent before them', () => {
    const world = worldWith();
    const client = operator(world, 'oob');
    client.send(`{"exec-oob":"migrate-pause","id":1}${message('query-events', undefined, { id: 2 })}`);
    assert.deepEqual(client.take(), []);
    world.qemu.returnsOob('{}');
    world.settle();
    assert.equal(client.take().length, 2);
  });

  it('that only ask can be executed out-of-band, so that a client whose command is stuck can ask why', () => {
    const world = worldWith();
    const client = operator(world, 'oob');
    client.send('{"execute":"blocked"}');
    const queue = returned(client.send('{"exec-oob":"__org.qmpmux_query-queue"}'));
    assert.equal(queue['in-flight'][0].command, 'blocked');
    assert.equal(queue['in-flight'][0].running, true);
    const [refused] = client.send('{"exec-oob":"__org.qmpmux_reload"}');
    assert.equal(refused, errorLine('The command __org.qmpmux_reload does not support OOB'));
  });

  it("have their arguments judged in QEMU's words", () => {
    const world = worldWith();
    const client = operator(world);
    const refusal = (name: string, args: object) => client.send(message(name, args));
    assert.deepEqual(refusal('disconnect-client', {}), [errorLine("Parameter 'client' is missing")]);
    for (const wrong of ['1', null, 1.5, {}, [1], true]) {
      assert.deepEqual(refusal('disconnect-client', { client: wrong }), [
        errorLine("Invalid parameter type for 'client', expected: integer"),
      ]);
    }
    assert.deepEqual(refusal('query-events', { instance: 1 }), [
      errorLine("Invalid parameter type for 'instance', expected: string"),
    ]);
    assert.deepEqual(refusal('query-status', { foo: 1 }), [errorLine("Parameter 'foo' is unexpected")]);
    assert.deepEqual(refusal('query-status', { __proto__: { a: 1 }, toString: 1 }), [
      errorLine("Parameter 'toString' is unexpected"),
    ]);
    const [huge] = client.send(
      '{"execute":"__org.qmpmux_disconnect-client","arguments":{"client":99999999999999999999}}',
    );
    assert.equal(huge, errorLine("Invalid parameter type for 'client', expected: integer"));
  });

  it('are under the policy: a read-only client may ask, and change nothing', () => {
    const world = worldWith();
    const client = world
      .client('unix:/run/vm.ro', { kind: 'unix' }, { extensions: true, policy: readOnlyPolicy() })
      .negotiate();
    for (const name of ['query-status', 'query-clients', 'query-queue', 'query-events']) {
      returned(client.send(message(name)));
    }
    for (const name of ['disconnect-client', 'reload']) {
      assert.match(client.send(message(name))[0] ?? '', /is not allowed here \(policy read-only\)/);
    }
    assert.equal(world.mux.counters.denied, 2);
  });

  it('are recorded before they are carried out, and their answers after', () => {
    const world = worldWith();
    const victim = world.client();
    const client = operator(world);
    world.log.length = 0;
    client.send(message('disconnect-client', { client: victim.port.id }));
    assert.deepEqual(
      world.log.map((line) => line.split(' ').slice(0, 3).join(' ')),
      [
        'command 2 __org.qmpmux_disconnect-client',
        'flush',
        'disconnected 1 disconnected',
        'limited 1 unix:/run/vm.mux',
        'return 2 __org.qmpmux_disconnect-client',
      ],
    );
  });

  it('that cannot be recorded are not carried out', () => {
    const world = worldWith();
    const victim = world.client();
    const client = operator(world);
    world.observer.troubles.push('the disk is full');
    assert.deepEqual(client.send(message('disconnect-client', { client: victim.port.id })), [
      errorLine('qmpmux cannot record this command, so it was not run: the disk is full'),
    ]);
    assert.equal(victim.link.isDestroyed, false);
    assert.equal(world.logged('denied').length, 1);
  });

  it('are answered while QEMU is gone, by a multiplexer that keeps its clients', () => {
    const world = worldWith({}, { mux: { keepClients: true } });
    const client = operator(world);
    client.send(`{"execute":"slow","id":1}${message('query-status', undefined, { id: 2 })}{"execute":"next","id":3}`);
    world.mux.upstreamClosed('QEMU has ended');
    world.settle();
    const lines = client.take();
    assert.match(lines[0] ?? '', /"id": 1, "error".*may have been executed/);
    assert.equal(JSON.parse(lines[1] ?? '').return.upstream.state, 'lost');
    assert.equal(JSON.parse(lines[1] ?? '').return.upstream.reason, 'QEMU has ended');
    assert.match(lines[2] ?? '', /"id": 3, "error".*not executed/);
    assert.equal(
      returned(client.send(message('query-status')).filter((line) => line.includes('return'))).monitor,
      'vm',
    );
  });

  it('wait while their client does not read, so that their answers cannot pile up', () => {
    const world = worldWith({}, { mux: { limits: { outputHighWater: 1000 } } });
    const client = operator(world);
    client.link.backlog = 2000;
    client.send(message('query-status'));
    client.take();
    client.send(message('query-status').repeat(50));
    assert.ok(client.take().length < 5);
    client.link.backlog = 0;
    client.port.drained();
    world.settle();
    assert.ok(client.take().length >= 46);
  });
});

describe('query-status', () => {
  it('reports the state of everything', () => {
    const world = worldWith();
    const client = operator(world);
    client.send('{"execute":"a"}');
    world.qemu.returns();
    world.settle();
    client.take();
    world.client().negotiate().send('{"execute":"b"}{"execute":"c"}{"execute":"d"}');
    world.pass(2_000_000);
    const status = returned(client.send(message('query-status')));
    assert.equal(status.qmpmux, '1.2.3');
    assert.equal(status.monitor, 'vm');
    assert.ok(status.uptime >= 2);
    assert.equal(status.upstream.address, 'unix:/run/vm.qmp');
    assert.equal(status.upstream.state, 'running');
    assert.equal(status.upstream.version, '7.2.22 (fake)'.slice(0, status.upstream.version.length));
    assert.equal(status.upstream.oob, true);
    assert.deepEqual(status.listeners, SERVICES.listeners());
    assert.equal(status.clients, 2);
    assert.equal(status['in-flight'], 2);
    assert.equal(status.waiting, 1);
    assert.ok(status.oldest >= 2 && status.oldest < 3);
    assert.equal(status.commands, 1);
    assert.equal(status.errors, 0);
    assert.deepEqual(status.events, { instance: 'abc', first: 1, last: 0 });
    assert.equal(status.counters['refused-by-listener'], 0);
    assert.ok(status.traffic['from-clients'] > 0);
    const counted = status.latency.reduce((sum: number, { count }: { count: number }) => sum + count, 0);
    assert.equal(counted, 1);
  });
});

describe('a multiplexer on its own, without a daemon', () => {
  it('reports all it knows itself, even while it is connecting again', () => {
    const world = World.running({ observer: false, mux: { keepClients: true } });
    const client = operator(world);
    world.mux.upstreamClosed('gone');
    world.settle();
    world.connectUpstream();
    client.take();
    const status = returned(client.send(message('query-status')));
    assert.deepEqual([status.qmpmux, status.upstream.address, status.listeners], ['', '', []]);
    assert.equal(status.upstream.state, 'greeting');
    assert.equal(returned(client.send(message('query-events'))).instance, 'vm');
    assert.match(client.send(message('reload'))[0] ?? '', /without a config file/);
  });
});

describe('query-clients', () => {
  it('lists the connected clients, their numbers, and the one that asks', () => {
    const world = worldWith();
    const other = world.client('tcp:127.0.0.1:4444', { kind: 'tcp', address: '127.0.0.1', port: 5 });
    const client = operator(world, 'oob');
    const left = world.client();
    left.port.closed('gone');
    other.negotiate().send('{"execute":"a"}{"execute":"b"}');
    world.qemu.fails('no');
    world.settle();
    const clients = returned(client.send(message('query-clients')));
    assert.equal(clients.length, 2);
    const [first, second] = clients;
    assert.deepEqual(first.peer, { type: 'tcp', address: '127.0.0.1', port: 5 });
    assert.deepEqual([first.client, first.listener, first.self], [1, 'tcp:127.0.0.1:4444', false]);
    assert.deepEqual([first.negotiated, first.oob, first.policy], [true, false, 'full']);
    assert.deepEqual([first.commands, first.errors, first['in-flight'], first.waiting], [1, 1, 1, 0]);
    assert.ok(first.time > 0 && first.longest <= first.time);
    assert.deepEqual(second.peer, { type: 'unix', pid: 7, uid: 0, gid: 0, program: 'qmpmux' });
    assert.deepEqual([second.client, second.self, second.oob], [2, true, true]);
  });

  it('are kept for a moment if the crowd is large, and new otherwise', () => {
    for (const [others, isKept] of [
      [10, false],
      [150, true],
    ] as const) {
      const world = worldWith();
      const crowd = Array.from({ length: others }, () => world.client());
      const client = operator(world);
      const count = () => returned(client.send(message('query-clients'))).length;
      const before = count();
      crowd[0]?.port.closed('gone');
      assert.equal(count(), isKept ? before : before - 1);
      world.pass(200_000);
      assert.equal(count(), before - 1);
      const fresh = operator(world);
      const clients = returned(fresh.send(message('query-clients')));
      assert.equal(clients.at(-1).self, true, 'who asks is there at once');
      assert.equal(clients.filter(({ self }: { self: boolean }) => self).length, 1);
    }
  });

  it('takes any name that a program gives itself', () => {
    const world = worldWith();
    world.client('unix:/run/vm.mux', { kind: 'unix', program: '\uffff"\\\ud800\u0000é\r\n' });
    const clients = returned(operator(world).send(message('query-clients')));
    assert.equal(clients[0].peer.program, '\uffff"\\\ufffd\u0000é\r\n');
  });
});

describe('query-queue', () => {
  it('lists the command QEMU is busy with, and those that wait for it, the oldest first', () => {
    const world = worldWith();
    const [one, two] = [world.client().negotiate(), world.client().negotiate()];
    const client = operator(world);
    one.send('{"execute":"slow"}');
    world.pass(1_000_000);
    two.send('{"execute":"a"}{"execute":"b"}{"execute":"c"}');
    world.pass(500_000);
    const queue = returned(client.send(message('query-queue')));
    const shown = (list: { client: number; command: string }[]) => list.map((each) => `${each.client} ${each.command}`);
    assert.deepEqual(shown(queue['in-flight']), ['1 slow', '2 a', '2 b']);
    assert.deepEqual(shown(queue.waiting), ['2 c']);
    assert.equal(queue['waiting-count'], 1);
    assert.deepEqual(
      queue['in-flight'].map(({ running }: { running: boolean }) => running),
      [true, false, false],
    );
    assert.ok(queue['in-flight'][0].upstream >= 1.5 && queue['in-flight'][0].age >= queue['in-flight'][0].upstream);
    assert.ok(queue.waiting[0].age >= 0.5 && queue.waiting[0].age < 1);
  });

  it('shows clients that share an answer, and a command whose client had to be given an error', () => {
    const world = worldWith();
    const impatient = world.client('unix:/run/vm.mux', { kind: 'unix' }, { commandTime: 1000 }).negotiate();
    const [one, two] = [world.client().negotiate(), world.client().negotiate()];
    impatient.send('{"execute":"stuck"}');
    one.write('{"execute":"query-status"}');
    two.write('{"execute":"query-status"}');
    world.settle();
    world.wait(2000);
    const queue = returned(operator(world).send(message('query-queue')));
    assert.deepEqual(
      queue['in-flight'].map(({ client, shared, abandoned }: Record<string, unknown>) => [client, shared, abandoned]),
      [
        [1, undefined, true],
        [2, undefined, undefined],
        [3, true, undefined],
      ],
    );
  });

  it('names the owners of commands, even a client that has left', () => {
    const world = worldWith();
    const left = world.client('unix:/run/vm.mux', { kind: 'unix', pid: 5, program: 'backup' }).negotiate();
    left.send('{"execute":"slow"}');
    left.port.closed('gone');
    const [slow] = returned(operator(world).send(message('query-queue')))['in-flight'];
    assert.deepEqual([slow.peer, slow.gone], [{ type: 'unix', pid: 5, program: 'backup' }, true]);
  });

  it(`lists ${MOST_LISTED_OF_ONE} waiting commands of one client, and counts the rest`, () => {
    const world = worldWith();
    world.client().negotiate().send('{"execute":"slow"}'.repeat(500));
    const queue = returned(operator(world).send(message('query-queue')));
    assert.equal(queue.waiting.length, MOST_LISTED_OF_ONE);
    assert.equal(queue['waiting-count'] + queue['in-flight'].length, 500);
  });
});

describe('query-events', () => {
  it('gives the events after a number, byte for byte, each with its own', () => {
    const world = worldWith();
    const client = operator(world);
    const lines = ['STOP', 'RESUME', 'STOP'].map((name) =>
      world.qemu.event(name, '{"n": 18446744073709551615, "f": 1.0}'),
    );
    world.settle();
    assert.deepEqual(client.take(), lines);
    assert.deepEqual(client.send(message('query-events', { since: 1 }, { id: 1 })), [
      `{"return": {"instance": "abc", "last": 3, "restarted": false, "events": [{"seq": 2, "event": ${lines[1]}}, {"seq": 3, "event": ${lines[2]}}]}, "id": 1}`,
    ]);
    assert.deepEqual(returned(client.send(message('query-events', { since: 3 }))).events, []);
    assert.equal(returned(client.send(message('query-events'))).events.length, 3);
    assert.equal(returned(client.send(message('query-events', { since: -5 }))).events.length, 3);
  });

  it('has the events before its answer, and none that come after it', () => {
    const world = worldWith();
    const client = operator(world);
    client.write(`{"execute":"slow"}${message('query-events')}`);
    world.settle();
    const before = world.qemu.event('BEFORE');
    world.qemu.returns();
    const after = world.qemu.event('AFTER');
    world.settle();
    const [event, slow, events, later] = client.take();
    assert.deepEqual([event, slow, later], [before, '{"return": {}}', after]);
    assert.deepEqual(returned([events ?? '']).events, [{ seq: 1, event: JSON.parse(before) }]);
  });

  it('marks events that are gone as a gap', () => {
    const world = worldWith();
    const client = operator(world);
    world.qemu.event('HUGE', `"${'x'.repeat(1024 * 1024)}"`);
    world.qemu.event('SMALL');
    world.settle();
    client.take();
    const { events } = returned(client.send(message('query-events', { since: 0 })));
    assert.deepEqual(events[0], { gap: { first: 1, last: 1 } });
    assert.equal(events[1].seq, 2);
  });

  it('says so when the numbers are those of a multiplexer before this one', () => {
    const world = worldWith();
    const client = operator(world);
    world.qemu.event('STOP');
    world.settle();
    client.take();
    const restarted = (args: object) => returned(client.send(message('query-events', args)));
    assert.equal(restarted({ since: 1, instance: 'abc' }).restarted, false);
    for (const args of [{ since: 1, instance: 'old' }, { since: 2 }]) {
      const answer = restarted(args);
      assert.equal(answer.restarted, true);
      assert.equal(answer.events.length, 1);
    }
  });

  it("keeps to the events that the client's listener lets through", () => {
    const world = worldWith();
    const options = { extensions: true, events: new EventFilter(['BLOCK_*']) };
    const client = world.client('unix:/run/vm.ctl', { kind: 'unix' }, options).negotiate();
    world.qemu.event('STOP');
    world.qemu.event('BLOCK_IO_ERROR');
    world.settle();
    client.take();
    const { events, last } = returned(client.send(message('query-events')));
    assert.deepEqual([events.length, events[0].seq, last], [1, 2, 2]);
  });

  it('has qmpmux’s own events, and goes on over a restart of QEMU', () => {
    const world = worldWith({}, { mux: { keepClients: true } });
    const client = operator(world);
    world.qemu.event('SHUTDOWN');
    world.mux.upstreamClosed('QEMU has ended');
    world.settle();
    client.take();
    const names = returned(client.send(message('query-events'))).events.map(
      ({ seq, event }: { seq: number; event: { event: string } }) => `${seq} ${event.event}`,
    );
    assert.deepEqual(names, ['1 SHUTDOWN', '2 __org.qmpmux_UPSTREAM_LOST']);
  });
});

describe('disconnect-client', () => {
  it('ends a connection at once, and drops its waiting commands', () => {
    const world = worldWith();
    const victim = world.client().negotiate();
    const client = operator(world);
    victim.send('{"execute":"a"}{"execute":"b"}{"execute":"c"}');
    assert.deepEqual(client.send(message('disconnect-client', { client: 1 }, { id: 9 })), ['{"return": {}, "id": 9}']);
    assert.equal(victim.link.isDestroyed, true);
    assert.equal(world.mux.counters.killed, 1);
    assert.deepEqual(world.logged('disconnected'), ['disconnected 1 disconnected by client 2, qmpmux (pid 7, uid 0)']);
    assert.deepEqual(world.qemu.waitingNames, ['a', 'b']);
    world.qemu.returns();
    world.qemu.returns();
    world.settle();
    assert.deepEqual(world.qemu.waitingNames, []);
    assert.equal(world.mux.sessionCount, 1);
    assert.equal(world.mux.heldBytes, 0);
  });

  it('reports to the observer who asked for it, as far as that is known', () => {
    const actors: [Peer, string][] = [
      [{ kind: 'tcp', address: '::1', port: 5 }, 'client 2, [::1]:5'],
      [{ kind: 'stdio' }, 'client 2, standard input'],
      [{ kind: 'unix' }, 'client 2'],
      [{ kind: 'unix', uid: 7 }, 'client 2, uid 7'],
    ];
    for (const [peer, text] of actors) {
      const world = worldWith();
      world.client();
      const client = world.client('unix:/run/vm.ctl', peer, { extensions: true }).negotiate();
      returned(client.send(message('disconnect-client', { client: 1 })));
      assert.deepEqual(world.logged('disconnected'), [`disconnected 1 disconnected by ${text}`]);
    }
  });

  it('knows no client that is not connected, and does not end the connection it came on', () => {
    const world = worldWith();
    const gone = world.client();
    const client = operator(world);
    gone.port.closed('gone');
    for (const id of [1, 3, 0, -1]) {
      assert.deepEqual(client.send(message('disconnect-client', { client: id })), [
        errorLine(`there is no client ${id}; __org.qmpmux_query-clients lists them`),
      ]);
    }
    assert.deepEqual(client.send(message('disconnect-client', { client: 2 })), [
      errorLine('client 2 is this connection itself: close it'),
    ]);
  });
});

describe('reload', () => {
  it('answers when it is done, with the changes; later commands of its client wait', async () => {
    const { world, finish } = reloading();
    const client = operator(world);
    assert.deepEqual(client.send(`${message('reload', {}, { id: 1 })}{"execute":"stop"}`), []);
    await heard(world);
    assert.deepEqual(world.qemu.waitingNames, []);
    finish(['added: web2']);
    await heard(world);
    assert.deepEqual(client.take(), ['{"return": {"changes": ["added: web2"]}, "id": 1}']);
    assert.deepEqual(world.qemu.waitingNames, ['stop']);
  });

  it('says why nothing has changed', async () => {
    const world = worldWith({ reload: () => Promise.reject(new Error('a.toml:3: no such key')) });
    const client = operator(world);
    client.send(message('reload'));
    await heard(world);
    assert.deepEqual(client.take(), [errorLine('a.toml:3: no such key')]);
    assert.equal(client.port.id, 1);
  });

  it('is an error if there is no config', () => {
    const world = worldWith();
    assert.deepEqual(operator(world).send(message('reload')), [
      errorLine('qmpmux was started without a config file: there is nothing to reload'),
    ]);
  });

  it('is recorded again by an observer that takes over meanwhile', async () => {
    const { world, finish } = reloading();
    const client = operator(world);
    client.send(message('reload'));
    const marks: number[] = [];
    const next = world.observer;
    next.answered = (command) => {
      marks.push(command.auditSeq);
    };
    world.mux.replaceObserver(next);
    finish([]);
    await heard(world);
    assert.deepEqual(marks, [0]);
  });

  it('names any failure', async () => {
    const world = worldWith({ reload: () => Promise.reject('no reason') });
    const client = operator(world);
    client.send(message('reload'));
    await heard(world);
    assert.deepEqual(client.take(), [errorLine('no reason')]);
  });

  it('is answered early when the monitor ends by it, so that the end does not wait for itself', async () => {
    const world = worldWith({ reload: () => new Promise(() => {}) });
    const client = operator(world);
    client.send(message('reload') + message('reload'));
    world.mux.drain('the config was changed');
    world.settle();
    const [first, second] = client.take();
    assert.match(first ?? '', /stopped before the command was done; the log has its outcome: the config was changed/);
    assert.match(second ?? '', /this monitor is ending: the config was changed/);
    assert.equal(world.mux.sessionCount, 0);
  });

  it('harms nobody when its client has gone meanwhile', async () => {
    const { world, finish } = reloading();
    const client = operator(world);
    client.send(message('reload'));
    world.mux.close('ended');
    const next = world.log.filter((line) => line.startsWith('unanswered'));
    assert.deepEqual(next, ['unanswered 1 __org.qmpmux_reload its client is gone']);
    finish([]);
    await heard(world);
    assert.deepEqual(world.logged('return'), []);
  });
});

describe('a report that many ask for at once, during a command that takes long', () => {
  it('is made for a few of them in a turn', () => {
    const world = worldWith();
    for (let at = 0; at < 300; at++) world.client();
    const polite = world.client().negotiate();
    const client = operator(world);
    client.send('{"execute":"slow"}');
    client.send(message('query-clients').repeat(50));
    world.settle();
    const before = client.link.text.length;
    world.qemu.returns();
    world.turn();
    polite.write('{"execute":"ask"}');
    world.turn();
    assert.deepEqual(world.qemu.waitingNames, ['ask']);
    const first = client.link.text.length - before;
    world.settle();
    const all = client.link.text.length - before;
    assert.equal(client.take().length, 51);
    assert.ok(first > 0 && first < all / 2, `${first} of ${all} bytes`);
  });

  it('is refused with more than 64 KiB', () => {
    const world = worldWith();
    const [line = ''] = operator(world).send(
      `{"execute":"__org.qmpmux_query-events","arguments":{"instance":"${'x'.repeat(70_000)}"}}`,
    );
    assert.match(line, /is longer than 65536 bytes/);
  });
});
