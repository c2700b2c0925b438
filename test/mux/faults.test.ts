import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { EventFilter } from '../../dist/mux/events/filter.js';
import { World, type WorldOptions } from '../support/world/world.js';

const LOST = 'qmpmux has lost QEMU; this command may have been executed';
const NOT_SENT = 'qmpmux has lost QEMU; this command was not executed';
const OUTAGE = 'qmpmux has lost QEMU and waits for it; this command was not executed';

function fault(id: number, desc: string): string {
  return `{"id": ${id}, "error": {"class": "GenericError", "desc": "${desc}"}}`;
}

function broken(what: string, place = ''): string {
  return `{"error": {"class": "GenericError", "desc": "${place}JSON parse error, ${what}"}}`;
}

function event(name: string, data: string): RegExp {
  return new RegExp(
    `^\\{"timestamp": \\{"seconds": \\d+, "microseconds": \\d+\\}, "event": "__org\\.qmpmux_${name}", "data": ${data}\\}$`,
  );
}

function reconnect(world: World): void {
  world.connectUpstream();
  world.qemu.greet();
  world.qemu.answerHandshake();
  world.settle();
}

describe('a command that takes long', () => {
  it('is reported once, with its owner, after the time to warn', () => {
    const world = World.running({ mux: { warnAfter: 5000 } });
    const [one, two] = [world.client().negotiate(), world.client().negotiate()];
    one.send('{"execute":"slow"}{"execute":"next"}');
    two.send('{"execute":"third"}');
    world.wait(4000);
    assert.deepEqual(world.logged('stuck'), []);
    for (let i = 0; i < 5; i++) world.wait(1000);
    assert.deepEqual(world.logged('stuck'), ['stuck 1 slow 5 s']);
    world.qemu.returns();
    world.settle();
    world.wait(1000);
    assert.deepEqual(world.logged('stuck'), ['stuck 1 slow 5 s', 'stuck 1 next 10 s']);
  });

  it('does not keep out-of-band commands of others from passing, nor from being reported themselves', () => {
    const world = World.running({ mux: { warnAfter: 5000 } });
    const [one, two] = [world.client().negotiate(), world.client().negotiate('oob')];
    one.send('{"execute":"slow"}');
    two.send('{"exec-oob":"query-yank","id":1}');
    world.qemu.returnsOob('[]');
    world.settle();
    assert.deepEqual(two.take(), ['{"return": [], "id": 1}']);
    two.send('{"exec-oob":"yank","id":2}');
    world.wait(6000);
    assert.deepEqual(world.logged('stuck'), ['stuck 1 slow 6 s', 'stuck 2 yank 6 s']);
  });

  it('is never reported when that is turned off', () => {
    const world = World.running({ mux: { warnAfter: 0 } });
    world.client().negotiate().send('{"execute":"slow"}');
    world.wait(1e8);
    assert.deepEqual(world.logged('stuck'), []);
  });
});

describe('a client with a time limit for its commands', () => {
  const limited = (world: World) => world.client('unix:/m', { kind: 'unix' }, { commandTime: 3000 }).negotiate('oob');
  const late = 'qmpmux has no answer from QEMU within 3 s; this command may still be executed';
  const unsent = 'qmpmux could not run this command within 3 s, and will not';

  it('gets an error in place of the answer; a late one is swallowed and reported to the observer', () => {
    const world = World.running();
    const client = limited(world);
    const other = world.client().negotiate();
    client.send('{"execute":"slow","id":1}');
    world.wait(3500);
    assert.deepEqual(client.take(), [fault(1, late)]);
    client.send('{"execute":"next","id":2}');
    other.send('{"execute":"other","id":3}');
    world.qemu.returns('"late"');
    world.qemu.returns('"next"');
    world.qemu.returns('"other"');
    world.settle();
    assert.deepEqual(client.take(), ['{"return": "next", "id": 2}']);
    assert.deepEqual(other.take(), ['{"return": "other", "id": 3}']);
    assert.equal(world.mux.counters.timedOut, 1);
    assert.deepEqual(world.logged('abandoned', 'return').slice(0, 2), [
      `abandoned 1 slow ${fault(1, late)}`,
      'return 1 slow late {"return": "late", "id": 1}',
    ]);
  });

  it('gets them in order, and commands that have not gone upstream never do', () => {
    const world = World.running();
    const client = limited(world);
    world.client().negotiate();
    client.send('{"execute":"a","id":1}{"execute":"b","id":2}{"execute":"c","id":3}{"bad":1,"id":4}');
    assert.deepEqual(world.qemu.waitingNames, ['a', 'b']);
    world.wait(3500);
    const lines = client.take();
    assert.deepEqual(lines.slice(0, 3), [fault(1, late), fault(2, late), fault(3, unsent)]);
    assert.match(lines[3] ?? '', /^\{"id": 4/);
    world.qemu.returns();
    world.qemu.returns();
    world.settle();
    assert.deepEqual(world.qemu.waitingNames, []);
    assert.deepEqual(client.take(), []);
    assert.equal(world.logged('denied').length, 1);
  });

  it('has out-of-band commands that have not gone upstream when their time is over answered once, and never run', () => {
    const world = World.running();
    const client = limited(world);
    const yanks = (first: number, count: number) =>
      Array.from({ length: count }, (_, at) => `{"exec-oob":"yank","id":${first + at}}`).join('');
    client.send(`${yanks(0, 40)}{"execute":"behind","id":40}`);
    assert.equal(world.qemu.waiting.length, 32, 'the rest waits here');
    world.wait(3500);
    const lines = client.take();
    assert.deepEqual(
      lines.slice(0, 32),
      Array.from({ length: 32 }, (_, id) => fault(id, late)),
    );
    assert.deepEqual(
      lines.slice(32),
      Array.from({ length: 9 }, (_, at) => fault(32 + at, unsent)),
    );
    while (world.qemu.waiting.length > 0) {
      world.qemu.returns('"late"');
      world.settle();
    }
    assert.deepEqual(client.take(), []);
    assert.equal(world.qemu.arrivedCount, 32);
    client.send(`${yanks(50, 1)}{"execute":"next","id":51}`);
    assert.deepEqual(world.qemu.waitingNames, ['yank'], 'what is behind it waits for it, and for nothing else');
    world.qemu.returns('"now"');
    world.settle();
    world.qemu.returns('"next"');
    world.settle();
    assert.deepEqual(client.take(), ['{"return": "now", "id": 50}', '{"return": "next", "id": 51}']);
    assert.equal(world.mux.heldBytes, 0);
    assert.equal(world.logged('denied').length, 9);
    assert.equal(world.logged('oob').length, 33);
  });

  it('that has gone away leaves nothing behind', () => {
    const world = World.running();
    const client = limited(world);
    client.send('{"execute":"a","id":1}{"exec-oob":"b","id":2}');
    world.wait(3500);
    assert.equal(client.take().length, 2);
    client.port.closed('closed by the peer');
    world.settle();
    world.qemu.returns();
    world.qemu.returns();
    world.settle();
    assert.equal(world.mux.sessionCount, 0);
    assert.equal(world.mux.heldBytes, 0);
    assert.deepEqual(
      world.logged('return').map((line) => line.split(' ').slice(0, 4).join(' ')),
      ['return 1 b late', 'return 1 a late'],
    );
  });

  it('whose commands were shared with others does not take the answer from them', () => {
    const world = World.running();
    const client = limited(world);
    const other = world.client().negotiate();
    const query = '{"execute":"query-block"}';
    other.write(query);
    client.write(query);
    world.settle();
    assert.deepEqual(world.qemu.waitingNames, ['query-block']);
    world.wait(3500);
    assert.match(client.take()[0] ?? '', /may still be executed/);
    world.qemu.returns('[]');
    world.settle();
    assert.deepEqual(other.take(), ['{"return": []}']);
    assert.deepEqual(client.take(), []);
  });

  it('and none without: by default commands are waited for', () => {
    const world = World.running();
    const client = world.client().negotiate();
    client.send('{"execute":"slow"}');
    world.wait(1e9);
    assert.deepEqual(client.take(), []);
  });

  it('gets nothing that comes after QEMU was lost', () => {
    const world = World.running();
    const client = limited(world);
    client.send('{"execute":"slow","id":1}');
    world.wait(3500);
    client.take();
    world.mux.upstreamClosed('closed by QEMU');
    world.settle();
    assert.equal(client.link.isEnded, true);
    assert.equal(world.mux.sessionCount, 0);
  });
});

describe('clients that are kept while QEMU is gone', () => {
  const keep: WorldOptions = { mux: { keepClients: true } };

  it('get a defined error for commands in flight, for waiting ones, and for those they send meanwhile', () => {
    const world = World.running(keep);
    const client = world.client().negotiate();
    const other = world.client().negotiate('oob');
    client.send('{"execute":"a","id":1}{"execute":"b","id":2}{"execute":"c","id":3}');
    other.send('{"exec-oob":"d","id":4}');
    assert.deepEqual(world.qemu.waitingNames, ['a', 'b', 'd']);
    world.mux.upstreamClosed('closed by QEMU');
    world.settle();
    const lines = client.take();
    assert.deepEqual(lines.slice(0, 3), [fault(1, LOST), fault(2, LOST), fault(3, NOT_SENT)]);
    assert.match(lines[3] ?? '', event('UPSTREAM_LOST', '\\{"reason": "closed by QEMU"\\}'));
    assert.equal(lines.length, 4);
    assert.equal(other.take()[0], fault(4, LOST));
    assert.deepEqual(client.send('{"execute":"query-status","id":5}'), [fault(5, OUTAGE)]);
    assert.deepEqual(world.logged('unanswered', 'dropped'), [
      'unanswered 1 a closed by QEMU',
      'unanswered 1 b closed by QEMU',
      'unanswered 2 d closed by QEMU',
      'dropped 1 c closed by QEMU',
    ]);
  });

  it('get an event when it is back, with its version, and go on', () => {
    const world = World.running(keep);
    const client = world.client().negotiate();
    const quiet = world.client('unix:/q', { kind: 'unix' }, { events: new EventFilter([]) }).negotiate();
    world.mux.upstreamClosed('closed by QEMU');
    world.settle();
    client.take();
    reconnect(world);
    assert.match(
      client.take()[0] ?? '',
      event('UPSTREAM_RESTORED', '\\{"version": "7\\.2\\.22", "previous-version": "7\\.2\\.22"\\}'),
    );
    assert.deepEqual(quiet.take(), []);
    client.send('{"execute":"query-status","id":1}');
    world.qemu.returns('"ok"');
    world.settle();
    assert.deepEqual(client.take(), ['{"return": "ok", "id": 1}']);
    assert.equal(world.mux.clientCount, 2);
  });

  it('get both events even if there is no observer', () => {
    const world = World.running({ ...keep, observer: false });
    const client = world.client().negotiate();
    world.mux.upstreamClosed('closed by QEMU');
    world.settle();
    reconnect(world);
    assert.deepEqual(
      client.take().map((line) => /qmpmux_(\w+)/.exec(line)?.[1]),
      ['UPSTREAM_LOST', 'UPSTREAM_RESTORED'],
    );
  });

  it('see one such pair of events for one loss, however many attempts to come back fail', () => {
    const world = World.running(keep);
    const client = world.client().negotiate();
    world.mux.upstreamClosed('closed by QEMU');
    for (let i = 0; i < 3; i++) {
      world.connectUpstream();
      world.qemu.send('SSH-2.0-OpenSSH\r\n');
      world.settle();
    }
    reconnect(world);
    assert.deepEqual(
      client.take().map((line) => /qmpmux_(\w+)/.exec(line)?.[1]),
      ['UPSTREAM_LOST', 'UPSTREAM_RESTORED'],
    );
  });

  it('do not get answers from memory of the QEMU before', () => {
    const world = World.running(keep);
    const client = world.client().negotiate();
    client.send('{"execute":"query-version"}');
    world.qemu.returns('"old"');
    world.settle();
    world.mux.upstreamClosed('closed by QEMU');
    reconnect(world);
    client.take();
    client.send('{"execute":"query-version"}');
    assert.deepEqual(world.qemu.waitingNames, ['query-version']);
  });

  it('may negotiate meanwhile, and are not sent a second greeting', () => {
    const world = World.running(keep);
    const client = world.client();
    world.mux.upstreamClosed('closed by QEMU');
    world.settle();
    assert.deepEqual(client.take(), []);
    client.negotiate();
    reconnect(world);
    assert.equal(client.take().length, 1);
  });

  it('have no out-of-band commands any more when the QEMU that comes back takes none', () => {
    const world = World.running(keep);
    const client = world.client().negotiate('oob');
    world.mux.upstreamClosed('closed by QEMU');
    world.connectUpstream();
    world.qemu.send(`${world.qemu.greetingLine.replace('["oob"]', '[]')}\r\n`);
    world.qemu.answerHandshake();
    world.settle();
    assert.equal(client.take().length, 2);
    assert.deepEqual(client.send('{"exec-oob":"query-yank","id":1}'), [
      fault(1, 'the QEMU that is connected now does not support out-of-band commands'),
    ]);
    client.send('{"execute":"query-status","id":2}');
    assert.deepEqual(world.qemu.waitingNames, ['query-status']);
  });

  it('are answered as the QEMU that comes back would answer malformed input', () => {
    const world = World.running(keep);
    const client = world.client().negotiate();
    assert.deepEqual(client.send('}'), [broken('expecting value')]);
    world.mux.upstreamClosed('closed by QEMU');
    world.qemu.dialect = 'prompt';
    reconnect(world);
    client.take();
    assert.deepEqual(client.send('\n}'), [broken('expecting value', '2:1: ')]);
    world.mux.upstreamClosed('closed by QEMU');
    world.qemu.dialect = null;
    reconnect(world);
    client.take();
    assert.deepEqual(client.send('}'), [broken('expecting value')]);
  });

  it('and had left before are not waited for', () => {
    const world = World.running(keep);
    const client = world.client().negotiate();
    client.send('{"execute":"a"}');
    client.port.closed('closed by the peer');
    world.settle();
    world.mux.upstreamClosed('closed by QEMU');
    world.settle();
    assert.equal(world.mux.sessionCount, 0);
  });

  it('whose command had timed out get nothing more for it', () => {
    const world = World.running(keep);
    const client = world.client('unix:/m', { kind: 'unix' }, { commandTime: 3000 }).negotiate();
    client.send('{"execute":"a","id":1}');
    world.wait(4000);
    assert.equal(client.take().length, 1);
    world.mux.upstreamClosed('closed by QEMU');
    world.settle();
    assert.equal(client.take().length, 1);
    assert.equal(world.mux.heldBytes, 0);
  });

  it('are ended with qmpmux itself', () => {
    const world = World.running(keep);
    const client = world.client().negotiate();
    world.mux.close('qmpmux is ended');
    assert.equal(client.link.isEnded, true);
    assert.deepEqual(client.take(), []);
  });
});

describe('a multiplexer that is to end', () => {
  it('reads no more, answers the commands it has read, and gives each client EOF when it has its answers', () => {
    const world = World.running();
    const [busy, idle] = [world.client().negotiate(), world.client().negotiate()];
    busy.send('{"execute":"a","id":1}{"execute":"b","id":2}{"execute":"c","id":3}');
    world.mux.drain('qmpmux is ended');
    world.settle();
    assert.equal(idle.link.isEnded, true);
    assert.equal(busy.link.isPaused, true);
    assert.deepEqual(busy.send('{"execute":"late","id":4}'), []);
    while (world.qemu.waiting.length > 0) {
      world.qemu.returns();
      world.settle();
    }
    assert.equal(busy.take().length, 3);
    assert.equal(busy.link.isEnded, true);
    assert.equal(world.mux.sessionCount, 0);
    assert.deepEqual(world.logged('disconnected'), [
      'disconnected 2 qmpmux is ended',
      'disconnected 1 qmpmux is ended',
    ]);
  });
});

describe('an upstream that misbehaves', () => {
  it('with an answer nobody asked for, or an id twice, delivers it to no one', () => {
    const world = World.running();
    const client = world.client().negotiate();
    world.qemu.send('{"return": "unasked", "id": 3}\r\n');
    client.send('{"execute":"a","id":1}');
    world.qemu.send('{"return": "one", "id": 0}\r\n{"return": "again", "id": 0}\r\n');
    world.settle();
    assert.deepEqual(client.take(), ['{"return": "one", "id": 1}']);
    assert.equal(world.logged('stray').length, 2);
  });

  it('with a message that is larger than one may be is left', () => {
    const world = World.running({ mux: { limits: { replyBytes: 1000 } } });
    world.qemu.send(`{"return": "${'x'.repeat(900)}"}\r\n`);
    assert.equal(world.mux.state.name, 'running');
    world.qemu.send(`{"return": "${'x'.repeat(2000)}`);
    assert.equal(world.mux.state.name, 'lost');
  });

  it('with a hundred unreadable messages in a row is left, and with a few among good ones is not', () => {
    const world = World.running();
    const client = world.client().negotiate();
    for (let i = 0; i < 150; i++) {
      world.qemu.send('kernel: out of memory\r\n');
      if (i % 50 === 0) world.qemu.event('STOP');
    }
    assert.equal(world.mux.state.name, 'running');
    for (let i = 0; i < 100; i++) world.qemu.send('garbage\r\n');
    assert.deepEqual(world.mux.state, {
      name: 'lost',
      reason: 'no longer a QMP server: 100 messages in a row cannot be read',
    });
    assert.equal(world.upstream.isDestroyed, true);
    world.settle();
    assert.equal(client.link.isEnded, true);
  });
});
