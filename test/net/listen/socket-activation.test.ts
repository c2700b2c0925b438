import assert from 'node:assert/strict';
import { closeSync, openSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { Listener } from '../../../dist/net/listen/listener.js';
import { copyInherited, inheritedDescriptors, takeNames } from '../../../dist/net/listen/socket-activation.js';
import { scratch } from '../../support/files/scratch.js';
import { RawClient } from '../../support/world/raw-client.js';

/** @returns the descriptor of a listening socket: one that was handed over looks the same. */
function descriptorOf(server: object): number {
  const fd: unknown = Reflect.get(Object(Reflect.get(server, '_handle')), 'fd');
  assert.ok(typeof fd === 'number');
  return fd;
}

describe('a socket that was handed over', () => {
  it('is known by its number, or by the name that systemd gave it, for this process only', () => {
    const environment = { LISTEN_PID: String(process.pid), LISTEN_FDS: '2', LISTEN_FDNAMES: 'web1:web2:web3' };
    const names = takeNames({ ...environment });
    assert.deepEqual(names, ['web1', 'web2']);
    assert.deepEqual(inheritedDescriptors('7', []), [7]);
    assert.deepEqual(inheritedDescriptors('web2', names), [4]);
    assert.deepEqual(inheritedDescriptors('web3', names), []);
    assert.deepEqual(inheritedDescriptors('web9', names), []);
    // Those of one unit share its name.
    assert.deepEqual(inheritedDescriptors('a', ['a', 'b', 'a']), [3, 5]);
    assert.deepEqual(takeNames({ ...environment, LISTEN_PID: '1' }), []);
  });

  it('is not passed on to children', () => {
    const environment = { LISTEN_PID: String(process.pid), LISTEN_FDS: '1', LISTEN_FDNAMES: 'web1', OTHER: 'x' };
    takeNames(environment);
    assert.deepEqual(environment, { OTHER: 'x' });
  });

  it('that is not there, or no socket, is refused', (context) => {
    assert.throws(() => copyInherited('nameless'), /no socket of this name was inherited/);
    assert.throws(() => copyInherited('999'), /no such descriptor was inherited/);
    const file = openSync('/dev/null', 'r');
    context.after(() => closeSync(file));
    assert.throws(() => copyInherited(String(file)), /it is not a socket/);
  });

  it('is listened on, left without being closed, and listened on again: nobody is refused meanwhile', async (context) => {
    const path = join(scratch(context), 's');
    const owner = createServer();
    await new Promise<void>((resolve) => owner.listen(path, resolve));
    // The test is the one who hands over: it must not accept itself.
    const name = String(descriptorOf(owner));
    const copy = new Listener({
      address: { kind: 'fd', name },
      accept: (socket) => socket.end('one\n'),
      trouble: () => {},
    });
    await copy.check();
    assert.equal(await copy.open(), true);
    assert.equal(copy.place, `fd:${name}`);
    copy.close();
    const again = new Listener({
      address: { kind: 'fd', name },
      accept: (socket) => socket.end('two\n'),
      trouble: () => {},
    });
    await again.open();
    context.after(() => {
      again.close();
      owner.close();
    });
    const client = await RawClient.connect(path);
    await client.close();
  });
});
