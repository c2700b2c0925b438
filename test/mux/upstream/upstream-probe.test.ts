import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FakeDescriptor, World, type WorldOptions } from '../../support/world/world.js';

const AFTER = 30_000;
const TIMEOUT = 300_000;

function probing(options: WorldOptions = {}): World {
  const mux = { probeAfter: AFTER, probeTimeout: TIMEOUT, ...options.mux };
  return World.running({ ...options, mux });
}

/** Lets time pass as a daemon's ticks do. */
function wait(world: World, seconds: number): void {
  for (let left = seconds * 2; left > 0; left--) world.wait(500);
}

/** Messages that QEMU has received and not answered. */
function waiting(world: World): string[] {
  return world.qemu.waiting.map(({ text }) => text);
}

function health(world: World): string {
  return world.mux.health?.name ?? 'unknown';
}

function healths(world: World): string[] {
  return world.logged('health');
}

/** Sends QEMU's answer to an out-of-band probe. */
function answerOob(world: World): void {
  world.qemu.returnsOob('[]');
  world.settle();
}

function answer(world: World): void {
  world.qemu.returns();
  world.settle();
}

function reconnect(world: World): void {
  world.connectUpstream();
  world.qemu.greet();
  world.qemu.answerHandshake();
  world.settle();
}

describe('a QEMU that says nothing', () => {
  it('is asked out of band after a while, then in-band, and answers; and again after the same silence', () => {
    const world = probing();
    wait(world, 29);
    assert.deepEqual(waiting(world), []);
    wait(world, 1.5);
    assert.deepEqual(waiting(world), ['{"exec-oob":"query-yank","id":1000}']);
    answerOob(world);
    assert.deepEqual(waiting(world), ['{"execute":"query-name","id":1001}']);
    answer(world);
    assert.equal(health(world), 'answering');
    wait(world, 29);
    assert.deepEqual(waiting(world), []);
    wait(world, 1.5);
    assert.deepEqual(waiting(world), ['{"exec-oob":"query-yank","id":1002}']);
    assert.deepEqual(healths(world), []);
  });

  it('is asked nothing while it is heard, if only by an event', () => {
    const world = probing();
    for (let i = 0; i < 10; i++) {
      wait(world, 20);
      world.qemu.event('RTC_CHANGE');
    }
    assert.deepEqual(waiting(world), []);
  });

  it('is silent when it answers nothing, and is not asked again however long that is', () => {
    const world = probing();
    wait(world, 3600);
    assert.deepEqual(waiting(world), ['{"exec-oob":"query-yank","id":1000}']);
    assert.deepEqual(healths(world), ['health answering to silent 35 s']);
    assert.equal(world.mux.state.name, 'running');
    answerOob(world);
    answer(world);
    assert.deepEqual(healths(world).slice(1), ['health silent to answering 3600 s']);
  });

  it('is busy when its monitor answers and its main loop does not, and is not asked again however long that is', () => {
    const world = probing();
    wait(world, 31);
    answerOob(world);
    wait(world, 3600);
    assert.deepEqual(waiting(world), ['{"execute":"query-name","id":1001}']);
    assert.deepEqual(healths(world), ['health answering to busy 5 s']);
    answer(world);
    assert.deepEqual(healths(world).slice(1), ['health busy to answering 3600 s']);
    assert.equal(world.mux.state.name, 'running');
  });

  it('with a command is asked out of band only, and is busy since the command was sent', () => {
    const world = probing();
    const client = world.client().negotiate();
    wait(world, 10);
    client.send('{"execute":"slow","id":"c"}');
    wait(world, 20);
    client.send('{"execute":"next"}');
    wait(world, 9);
    assert.deepEqual(world.qemu.waitingNames, ['slow', 'next']);
    wait(world, 1);
    assert.deepEqual(world.qemu.waitingNames, ['slow', 'next', 'query-yank']);
    answerOob(world);
    assert.deepEqual(healths(world), ['health answering to busy 30 s']);
    assert.deepEqual(world.qemu.waitingNames, ['slow', 'next']);
    wait(world, 31);
    assert.deepEqual(world.qemu.waitingNames, ['slow', 'next', 'query-yank']);
    answerOob(world);
    assert.equal(health(world), 'busy');
    answer(world);
    assert.deepEqual(client.take(), ['{"return": {}, "id": "c"}']);
    assert.deepEqual(healths(world).slice(1), ['health busy to answering 61 s']);
  });

  it('is busy without a probe if another client hears it out of band', () => {
    const world = probing();
    world.client().negotiate().send('{"execute":"slow"}');
    const other = world.client().negotiate('oob');
    for (let i = 0; i < 7; i++) {
      other.send('{"exec-oob":"query-yank"}');
      answerOob(world);
      wait(world, 5);
    }
    assert.equal(world.logged('probe').length, 0);
    assert.equal(health(world), 'busy');
  });

  it('is found to be gone though a probe was in flight when its monitor went', () => {
    const world = probing();
    wait(world, 31);
    answerOob(world);
    wait(world, 100);
    assert.equal(health(world), 'busy');
    const client = world.client().negotiate();
    client.send('{"execute":"a"}');
    wait(world, 31);
    assert.deepEqual(world.qemu.waitingNames, ['query-name', 'a', 'query-yank']);
    wait(world, 6);
    assert.equal(health(world), 'silent');
    wait(world, 300);
    assert.equal(world.mux.state.name, 'lost');
  });

  it('is asked while a command waits in vain for a client that has left', () => {
    const world = probing();
    const client = world.client().negotiate();
    client.send('{"execute":"slow"}');
    client.port.closed('gone');
    wait(world, 31);
    assert.deepEqual(world.qemu.waitingNames, ['slow', 'query-yank']);
  });

  it('is asked after a full window, which leaves room for it in QEMU’s queue', () => {
    const world = probing();
    const client = world.client().negotiate();
    for (let i = 0; i < 200; i++) {
      client.send('{"execute":"a"}');
      answer(world);
    }
    client.send('{"execute":"b"}'.repeat(12));
    assert.equal(world.qemu.waiting.length, 7);
    wait(world, 100);
    assert.equal(world.logged('probe').length, 1);
    assert.deepEqual(world.qemu.waitingNames.slice(7), ['query-yank']);
    assert.equal(health(world), 'silent');
  });

  it('is never asked if that is turned off', () => {
    const world = probing({ mux: { probeAfter: 0 } });
    world.client().negotiate().send('{"execute":"slow"}');
    wait(world, 1000);
    assert.deepEqual(world.qemu.waitingNames, ['slow']);
    assert.equal(world.mux.health, null);
  });

  it('is not held to time in which the daemon was stopped', () => {
    const world = probing();
    world.pass(3_600_000_000);
    world.mux.tick(3_600_000_000);
    world.settle();
    assert.deepEqual(waiting(world), []);
    wait(world, 31);
    assert.equal(waiting(world).length, 1);
    world.pass(3_600_000_000);
    world.mux.tick(3_600_000_000);
    assert.equal(health(world), 'answering');
  });
});

describe('a probe', () => {
  it('is recorded before it is sent, and so is its answer; it is no command of a client', () => {
    const world = probing();
    const client = world.client('unix:/ctl', undefined, { extensions: true }).negotiate();
    world.log.length = 0;
    wait(world, 30.5);
    answerOob(world);
    answer(world);
    assert.deepEqual(world.log, [
      'probe {"exec-oob":"query-yank","id":1000}',
      'flush',
      'write {"exec-oob":"query-yank","id":1000}',
      'probe query-yank returns {"return": [], "id": 1000}',
      'probe {"execute":"query-name","id":1001}',
      'flush',
      'write {"execute":"query-name","id":1001}',
      'probe query-name returns {"return": {}, "id": 1001}',
    ]);
    assert.deepEqual(client.take(), []);
    assert.equal(world.mux.tally.commands, 0);
    const [line = ''] = client.send('{"execute":"__org.qmpmux_query-status"}');
    const status = JSON.parse(line).return;
    assert.equal(status['in-flight'], 0);
    assert.equal(status.commands, 0);
    assert.equal(status.upstream.health, 'answering');
  });

  it('in flight is in no figure, and its state is in the report', () => {
    const world = probing();
    const client = world.client('unix:/ctl', undefined, { extensions: true }).negotiate();
    wait(world, 100);
    const [line = ''] = client.send('{"execute":"__org.qmpmux_query-status"}');
    const status = JSON.parse(line).return;
    assert.equal(status['in-flight'], 0);
    assert.equal(status.upstream.health, 'silent');
    assert.ok(status.upstream['health-for'] >= 100);
    const [queue = ''] = client.send('{"execute":"__org.qmpmux_query-queue"}');
    assert.deepEqual(JSON.parse(queue).return['in-flight'], []);
  });

  it('that cannot be recorded is not sent, and not tried again before another silence', () => {
    const world = probing();
    world.observer.troubles.push('disk full', 'disk full');
    wait(world, 31);
    assert.deepEqual(world.logged('probe', 'write'), [
      'probe {"exec-oob":"query-yank","id":1000}',
      'probe query-yank unanswered never sent: disk full',
    ]);
    wait(world, 28);
    assert.equal(world.logged('flush').length, 1);
    wait(world, 20);
    assert.equal(world.logged('flush').length, 2);
    assert.deepEqual(waiting(world), []);
    wait(world, 31);
    assert.deepEqual(world.qemu.waitingNames, ['query-yank']);
    assert.equal(world.mux.state.name, 'running');
  });

  it('in-band takes a place in the window: QEMU never has more than seven commands, and its answers keep their order', () => {
    const world = probing();
    const clients = [1, 2, 3, 4].map(() => world.client().negotiate('oob'));
    wait(world, 31);
    answerOob(world);
    for (const client of clients) client.send('{"execute":"a","id":1}{"execute":"b","id":2}{"execute":"c","id":3}');
    assert.equal(world.qemu.waitingNames[0], 'query-name');
    assert.equal(world.qemu.waiting.length, 7);
    while (world.qemu.waiting.length > 0) {
      assert.ok(world.qemu.waiting.length <= 7);
      answer(world);
    }
    for (const client of clients) {
      assert.deepEqual(
        client.take(),
        [1, 2, 3].map((id) => `{"return": {}, "id": ${id}}`),
      );
    }
    assert.equal(world.logged('stray').length, 0);
  });

  it('gives its place in the window back when it is answered', () => {
    const world = probing();
    const client = world.client().negotiate('oob');
    wait(world, 31);
    answerOob(world);
    client.send('{"execute":"a"}'.repeat(9));
    assert.equal(world.qemu.waiting.length, 7);
    answer(world);
    assert.deepEqual(world.qemu.waitingNames, Array(7).fill('a'));
  });

  it('is not merged with the query of a client, nor answers it, nor is answered from memory', () => {
    const world = probing();
    const client = world.client().negotiate();
    wait(world, 31);
    answerOob(world);
    client.send('{"execute":"query-name","id":7}');
    assert.deepEqual(world.qemu.waitingNames, ['query-name', 'query-name']);
    world.qemu.returns('{"name": "old"}');
    world.settle();
    assert.deepEqual(client.take(), []);
    world.qemu.returns('{"name": "new"}');
    world.settle();
    assert.deepEqual(client.take(), ['{"return": {"name": "new"}, "id": 7}']);
  });

  it('is left out if commands of clients are about to go', () => {
    const world = probing();
    const client = world.client().negotiate();
    wait(world, 31);
    world.qemu.returnsOob('[]');
    client.send('{"execute":"a"}');
    assert.deepEqual(world.qemu.waitingNames, ['a']);
  });

  it('that fails is answered as well as one that does not', () => {
    const world = probing();
    wait(world, 31);
    world.qemu.fails('The command query-yank has not been found', 'CommandNotFound');
    world.settle();
    assert.deepEqual(world.qemu.waitingNames, ['query-name']);
    world.qemu.fails('no', 'CommandNotFound');
    world.settle();
    wait(world, 10);
    assert.deepEqual(healths(world), []);
    assert.equal(world.logged('stray').length, 0);
  });

  it('takes the error without an id that is meant for it from nobody else', () => {
    const world = probing();
    const client = world.client().negotiate();
    wait(world, 31);
    answerOob(world);
    client.send('{"execute":"a","id":1}');
    world.qemu.waiting.shift();
    world.qemu.say('{"error": {"class": "GenericError", "desc": "JSON parse error"}}');
    world.settle();
    assert.deepEqual(client.take(), []);
    answer(world);
    assert.deepEqual(client.take(), ['{"return": {}, "id": 1}']);
  });

  it('whose answer is lost is forgotten when a later command is answered; one that comes after all is nobody’s', () => {
    const world = probing();
    const client = world.client().negotiate();
    wait(world, 31);
    answerOob(world);
    client.send('{"execute":"a","id":1}');
    const [, late] = world.qemu.waiting;
    assert.ok(late !== undefined);
    world.qemu.say(`{"return": {}, "id": ${late.id}}`);
    world.settle();
    assert.deepEqual(client.take(), ['{"return": {}, "id": 1}']);
    world.qemu.say('{"return": {}, "id": 1001}');
    assert.equal(world.logged('stray').length, 1);
    client.send('{"execute":"a"}'.repeat(9));
    world.qemu.waiting.splice(0, 2);
    assert.equal(world.qemu.waiting.length, 7);
  });

  it('is not sent after a descriptor that QEMU is about to take', () => {
    // A QEMU that has not taken it for a second counts as blocked. So the silence is shorter than that here.
    const world = probing({ carries: true, mux: { probeAfter: 300 } });
    const client = world.client().negotiate();
    client.writeWith('{"execute":"getfd","arguments":{"fdname":"x"}}', [new FakeDescriptor('/a')]);
    world.settle();
    world.wait(400);
    world.wait(400);
    assert.deepEqual(world.qemu.waitingNames, ['getfd']);
    world.wait(400);
    assert.deepEqual(world.qemu.waitingNames, ['getfd', 'query-yank']);
  });

  it('goes with the connection, and the next one starts over', () => {
    const world = probing();
    wait(world, 40);
    assert.equal(health(world), 'silent');
    world.mux.upstreamClosed('QEMU closed the connection');
    assert.equal(world.mux.health, null);
    assert.deepEqual(world.logged('probe').slice(1), ['probe query-yank unanswered QEMU closed the connection']);
    reconnect(world);
    assert.equal(health(world), 'answering');
    wait(world, 31);
    assert.deepEqual(waiting(world), ['{"exec-oob":"query-yank","id":1001}']);
  });
});

describe('a QEMU without out-of-band commands', () => {
  it('is asked in-band, and only if nothing is in flight', () => {
    const world = probing({ oob: false });
    wait(world, 31);
    assert.deepEqual(waiting(world), ['{"execute":"query-name","id":1000}']);
    answer(world);
    const client = world.client().negotiate();
    client.send('{"execute":"slow"}');
    wait(world, 3600);
    assert.deepEqual(world.qemu.waitingNames, ['slow']);
    assert.deepEqual(healths(world), ['health answering to silent 30 s']);
    answer(world);
    assert.equal(health(world), 'answering');
  });

  it('is silent when it does not answer, busy when it says something else, and never given up for that', () => {
    const world = probing({ oob: false });
    wait(world, 40);
    assert.equal(health(world), 'silent');
    world.qemu.event('STOP');
    assert.equal(health(world), 'busy');
    world.client().negotiate().send('{"execute":"a"}');
    wait(world, 3600);
    assert.deepEqual(world.qemu.waitingNames, ['query-name', 'a']);
    assert.equal(world.mux.state.name, 'running');
    answer(world);
    answer(world);
    assert.equal(health(world), 'answering');
  });
});

describe('a QEMU that gives no sign', () => {
  it('is kept while nobody waits, and given up when a client has waited long enough', () => {
    const world = probing();
    wait(world, 3600);
    assert.equal(world.mux.state.name, 'running');
    const client = world.client().negotiate();
    client.send('{"execute":"a"}');
    wait(world, 299);
    assert.equal(world.mux.state.name, 'running');
    wait(world, 2);
    assert.equal(world.mux.state.name, 'lost');
    assert.match(world.logged('upstream').at(-1) ?? '', /QEMU has not responded for 39\d\d s \(probe-timeout\)/);
    assert.ok(client.link.isEnded);
    assert.ok(world.upstream.isDestroyed);
    assert.equal(world.logged('unanswered').length, 1);
  });

  it('is given up no earlier than the time limit after the probe', () => {
    const world = probing();
    world.client().negotiate().send('{"execute":"a"}');
    wait(world, 328);
    assert.equal(world.mux.state.name, 'running');
    wait(world, 4);
    assert.equal(world.mux.state.name, 'lost');
  });

  it('is kept for ever if that is configured, and while it gives any sign', () => {
    const patient = probing({ mux: { probeTimeout: 0 } });
    patient.client().negotiate().send('{"execute":"a"}');
    wait(patient, 3600);
    assert.equal(patient.mux.state.name, 'running');

    const busy = probing();
    busy.client().negotiate().send('{"execute":"a"}');
    for (let i = 0; i < 30; i++) {
      wait(busy, 31);
      answerOob(busy);
    }
    assert.equal(busy.mux.state.name, 'running');
    assert.equal(health(busy), 'busy');
  });

  it('is one error to clients that stay, and serves them when it is back', () => {
    const world = probing({ mux: { keepClients: true } });
    const client = world.client().negotiate();
    client.send('{"execute":"a","id":1}');
    wait(world, 340);
    const [line = ''] = client.take();
    assert.match(line, /"id": 1, "error": .*this command may have been executed/);
    reconnect(world);
    client.take();
    client.send('{"execute":"b","id":2}');
    answer(world);
    assert.deepEqual(client.take(), ['{"return": {}, "id": 2}']);
  });
});
