import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ClientQueue } from '../../../dist/mux/commands/client-queue.js';
import { PendingCommand } from '../../../dist/mux/commands/command.js';
import { idleOwner } from '../../support/world/session-parts.js';

const owner = idleOwner();

function command(name: string, oob = false): PendingCommand {
  const taken = new PendingCommand(owner);
  taken.name = name;
  taken.oob = oob;
  return taken;
}

/** A command that has its reply. */
function reply(name: string): PendingCommand {
  const taken = command(name);
  taken.markAnswered();
  return taken;
}

/** A queue of commands with these names; those that begin with an exclamation mark are out-of-band. */
function queueOf(...all: string[]): ClientQueue {
  const queue = new ClientQueue();
  for (const name of all) queue.add(command(name, name.startsWith('!')));
  return queue;
}

/** Sends the next command upstream, in-band or out-of-band. */
function send(queue: ClientQueue, kind: 'in-band' | 'oob' = 'in-band'): PendingCommand {
  const next = kind === 'oob' ? queue.nextOob : queue.next;
  assert.ok(next !== null, 'a command is next');
  queue.markSent(next);
  return next;
}

/** The part of `session` when an answer has come. */
function settle(queue: ClientQueue, answered: PendingCommand): void {
  queue.leave(answered);
  queue.trim();
}

function nameOf(found: PendingCommand | null): string {
  return found?.name ?? 'none';
}

function names(commands: readonly PendingCommand[]): string {
  return commands.map(({ name }) => name).join(' ');
}

describe('the commands of a client', () => {
  it('go upstream in the order sent', () => {
    const queue = queueOf('a', 'b', 'c');
    const first = send(queue);
    send(queue);
    assert.equal(queue.inFlight, 2);
    settle(queue, first);
    assert.equal(queue.inFlight, 1);
    assert.equal(nameOf(queue.next), 'c');
    assert.equal(queue.length, 2);
  });

  it('go upstream only after the answers to the out-of-band ones before them', () => {
    const queue = queueOf('a', '!b', 'c');
    const first = send(queue);
    const overtaker = send(queue, 'oob');
    assert.equal(nameOf(queue.next), 'none');
    settle(queue, first);
    assert.equal(nameOf(queue.due), 'none');
    settle(queue, overtaker);
    assert.equal(nameOf(queue.next), 'c');
    assert.equal(nameOf(queue.due), 'c');
  });

  it('are counted apart if they are out-of-band, and may leave in any order', () => {
    const queue = queueOf('a', '!b', '!c', '!d');
    send(queue);
    send(queue, 'oob');
    const later = send(queue, 'oob');
    assert.deepEqual([queue.inFlight, queue.oobInFlight], [1, 2]);
    settle(queue, later);
    assert.equal(queue.oobInFlight, 1);
    assert.equal(names(queue.oob), '!b !d');
    assert.equal(nameOf(queue.nextOob), '!d');
  });

  it('are passed over if they have been answered already', () => {
    const queue = queueOf('a', 'b', 'c');
    for (const answered of queue.inBand.slice(0, 2)) queue.markAnswered(answered, []);
    assert.equal(nameOf(queue.next), 'c');
    assert.equal(nameOf(queue.due), 'a', 'but they are still to be sent');
  });

  it('give their place back once', () => {
    const queue = queueOf('a', '!b');
    const first = send(queue);
    const overtaker = send(queue, 'oob');
    for (const each of [first, overtaker]) {
      assert.deepEqual([queue.markAnswered(each, []), queue.leave(each)], [true, false]);
    }
    assert.equal(queue.inFlight + queue.oobInFlight, 0);
  });

  it('never leave before one that is due earlier', () => {
    const queue = queueOf('a', 'b');
    send(queue);
    assert.throws(() => queue.leave(send(queue)), /overtook/);
  });

  it('are listed as waiting until they are upstream or answered, out-of-band ones first', () => {
    const queue = queueOf('a', 'b', '!c', 'd', '!e');
    send(queue);
    send(queue, 'oob');
    const answered = queue.inBand[1];
    assert.ok(answered !== undefined);
    queue.markAnswered(answered, []);
    assert.equal(queue.waitingCount, 2);
    assert.equal(names(queue.firstWaiting(10)), '!e d');
    assert.equal(names(queue.firstWaiting(1)), '!e');
    assert.equal(names(queue.inBand), 'a b d');
    assert.equal(names(queue.oob), '!c !e');
  });

  it('that wait can be taken out; those upstream stay', () => {
    const queue = queueOf('a', 'b', '!c', '!d');
    const first = send(queue);
    const overtaker = send(queue, 'oob');
    assert.equal(names(queue.removeWaiting()), 'b !d');
    assert.equal(queue.waitingCount, 0);
    settle(queue, overtaker);
    settle(queue, first);
    assert.ok(queue.isEmpty);
  });

  it('can be replaced, and the substitute has the same place', () => {
    const queue = queueOf('a', 'b', '!c');
    const first = send(queue);
    const overtaker = send(queue, 'oob');
    queue.abandon(first, reply('A'));
    queue.abandon(overtaker, reply('!C'));
    assert.equal(nameOf(queue.due), 'A');
    assert.equal(names(queue.oob), '!C');
    assert.equal(queue.oob[0]?.oob, true);
    assert.equal(nameOf(queue.next), 'b');
  });

  it('can be replaced when others have left the queue before them', () => {
    const queue = queueOf('a', 'b', 'c', 'd');
    settle(queue, send(queue));
    settle(queue, send(queue));
    queue.abandon(send(queue), reply('A'));
    assert.equal(nameOf(queue.due), 'A');
  });

  it('cost no more memory for those that have left', () => {
    const queue = new ClientQueue();
    queue.add(command('first'));
    for (let count = 0; count < 5000; count++) {
      queue.add(command(`${count}`));
      settle(queue, send(queue));
      assert.equal(queue.length, 1);
      assert.equal(queue.inBand.length, 1);
    }
    assert.equal(nameOf(queue.next), '4999');
    queue.clear();
    assert.ok(queue.isEmpty);
    assert.equal(nameOf(queue.due), 'none');
    assert.equal(nameOf(queue.dueOob), 'none');
  });
});
