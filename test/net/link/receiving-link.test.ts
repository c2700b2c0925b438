/** Descriptors that come with a client's bytes: all of them, each at its place, and none left open. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, fstatSync, openSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { messageCalls } from '../../../dist/net/link/message-calls.js';
import type { ReceivedDescriptor } from '../../../dist/net/link/received-descriptor.js';
import { ReceivingLink } from '../../../dist/net/link/receiving-link.js';
import { SendingLink } from '../../../dist/net/link/sending-link.js';
import { openFiles, sendWith } from '../../support/daemon/descriptors.js';
import { scratch } from '../../support/files/scratch.js';

/** What came, in its order: bytes as text, descriptors with their position. */
class Arrivals {
  readonly all: { at: number; paths: (string | null)[]; isCut: boolean }[] = [];
  readonly descriptors: ReceivedDescriptor[] = [];
  text = '';
  closed = 0;
  isOver = false;
  #wake: () => void = () => undefined;

  receive(chunk: Uint8Array): void {
    this.text += Buffer.from(chunk).toString('latin1');
    this.#wake();
  }
  receiveEnd(): void {
    this.#wake();
  }
  end(): void {
    this.isOver = true;
    this.#wake();
  }
  receiveDescriptors(at: number, descriptors: readonly ReceivedDescriptor[], isCut: boolean): void {
    this.all.push({ at, paths: descriptors.map(({ path }) => path), isCut });
    this.descriptors.push(...descriptors);
  }
  descriptorClosed(): void {
    this.closed++;
  }
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

interface Pair {
  readonly peer: Socket;
  readonly socket: Socket;
  readonly folder: string;
}

async function pair(t: TestContext): Promise<Pair> {
  const folder = scratch(t);
  const path = join(folder, 's');
  const server = createServer({ allowHalfOpen: true }).listen(path);
  await once(server, 'listening');
  const peer = connect({ path, allowHalfOpen: true });
  const [socket]: Socket[] = await once(server, 'connection');
  assert.ok(socket !== undefined);
  server.close();
  for (const one of [peer, socket]) one.on('error', () => undefined);
  t.after(() => {
    peer.destroy();
    socket.destroy();
  });
  return { peer, socket, folder };
}

function receiving(socket: Socket): { readonly link: ReceivingLink; readonly arrivals: Arrivals } {
  const link = ReceivingLink.over(socket, messageCalls());
  assert.ok(link !== null);
  const arrivals = new Arrivals();
  link.takeDescriptors(arrivals);
  link.attach({
    receive: (chunk) => {
      arrivals.receive(chunk);
    },
    receiveEnd: () => {
      arrivals.receiveEnd();
    },
    closed: () => {
      arrivals.end();
    },
  });
  return { link, arrivals };
}

function files(t: TestContext, folder: string, count: number): number[] {
  return Array.from({ length: count }, (_, index) => {
    const path = join(folder, `f${index}`);
    writeFileSync(path, String(index));
    const fd = openSync(path, 'r');
    t.after(() => {
      closeSync(fd);
    });
    return fd;
  });
}

test('descriptors come after the commands that were sent before them, however the kernel glues', async (t) => {
  const { peer, socket, folder } = await pair(t);
  const { link, arrivals } = receiving(socket);
  const [a = 0, b = 0, c = 0] = files(t, folder, 3);
  link.pause();
  for (const text of [`{${'x'.repeat(998)}}`, '{', `${'z'.repeat(76)}}`, '{}']) sendWith(peer, text, []);
  sendWith(peer, 'with-a', [a]);
  sendWith(peer, 'with-b', [b]);
  for (let i = 0; i < 5; i++) sendWith(peer, '{pl}{ai}n', []);
  sendWith(peer, 'c', [c]);
  sendWith(peer, 'end', []);
  link.resume();
  await arrivals.until(() => arrivals.text.endsWith('end'));
  const path = (index: number) => [join(folder, `f${index}`)];
  assert.deepEqual(arrivals.all, [
    { at: 1080, paths: path(0), isCut: false },
    { at: 1086, paths: path(1), isCut: false },
    { at: 1136, paths: path(2), isCut: false },
  ]);
  assert.equal(arrivals.text, `{${'x'.repeat(998)}}{${'z'.repeat(76)}}{}with-awith-b${'{pl}{ai}n'.repeat(5)}cend`);
  for (const descriptor of arrivals.descriptors) descriptor.close();
  assert.equal(arrivals.closed, 3);
});

test('as many descriptors as a message may have come whole, and are closed with their file forgotten', async (t) => {
  const { peer, socket, folder } = await pair(t);
  const { arrivals } = receiving(socket);
  const [fd = 0] = files(t, folder, 1);
  const before = openFiles();
  sendWith(
    peer,
    'many',
    Array.from({ length: 253 }, () => fd),
  );
  await arrivals.until(() => arrivals.text === 'many');
  assert.equal(arrivals.descriptors.length, 253);
  assert.equal(openFiles(), before + 253);
  const [first] = arrivals.descriptors;
  assert.ok(first !== undefined && fstatSync(first.fd).isFile());
  for (const descriptor of arrivals.descriptors) {
    descriptor.close();
    descriptor.close();
  }
  assert.equal(openFiles(), before);
  assert.equal(arrivals.closed, 253);
  assert.equal(first.fd, -1);
  assert.equal(first.path, join(folder, 'f0'));
});

test('the last bytes of a client that has left come with their descriptors, although writing to it fails', async (t) => {
  const { peer, socket, folder } = await pair(t);
  const [fd = 0] = files(t, folder, 1);
  sendWith(peer, 'first', [fd]);
  sendWith(peer, 'second', [fd]);
  peer.destroy();
  await once(peer, 'close');
  const { link, arrivals } = receiving(socket);
  for (let i = 0; i < 3; i++) link.write(Buffer.from('greeting'));
  await arrivals.until(() => arrivals.isOver);
  assert.equal(arrivals.text, 'firstsecond');
  assert.deepEqual(
    arrivals.all.map(({ at }) => at),
    [0, 5],
  );
  for (const descriptor of arrivals.descriptors) descriptor.close();
});

test('a paused client is not read at all, so no descriptor of its is held', async (t) => {
  const { peer, socket, folder } = await pair(t);
  const { link, arrivals } = receiving(socket);
  const [fd = 0] = files(t, folder, 1);
  sendWith(peer, '.', []);
  await arrivals.until(() => arrivals.text === '.');
  link.pause();
  for (let i = 0; i < 50; i++) sendWith(peer, '-', [fd]);
  // The loop turns for another connection, again and again.
  const other = await pair(t);
  const { arrivals: heard } = receiving(other.socket);
  for (let i = 0; i < 50; i++) {
    sendWith(other.peer, '.', []);
    await heard.until(() => heard.text.length > i);
  }
  assert.equal(arrivals.all.length, 0);
  link.resume();
  await arrivals.until(() => arrivals.text.length === 51);
  assert.deepEqual(
    arrivals.all.map(({ at }) => at),
    Array.from({ length: 50 }, (_, index) => index + 1),
  );
  for (const descriptor of arrivals.descriptors) descriptor.close();
});

test('bytes with a descriptor go upstream in order with the rest, however full the kernel is', async (t) => {
  const { peer, socket, folder } = await pair(t);
  const { link, arrivals } = receiving(socket);
  const sender = new SendingLink(peer);
  const [fd = 0] = files(t, folder, 1);
  const before = openFiles();
  // The descriptors that are sent come from a connection, as clients' do.
  const source = await pair(t);
  const { arrivals: received } = receiving(source.socket);
  for (let i = 0; i < 3; i++) sendWith(source.peer, String(i), [fd]);
  await received.until(() => received.descriptors.length === 3);
  const [one, two, three] = received.descriptors;
  assert.ok(one !== undefined && two !== undefined && three !== undefined);
  link.pause();
  sender.write(Buffer.from('{a}'));
  sender.sendWith([Buffer.from('{<o'), Buffer.from('ne>}')], one);
  assert.equal(one.fd, -1);
  assert.equal(sender.backlog, 0);
  const large = `{${'l'.repeat(2 * 1024 * 1024)}}`;
  sender.write(Buffer.from(large));
  sender.sendWith([Buffer.from('{<two>}')], two);
  sender.writeAll([Buffer.from('{b'), Buffer.from('c}')]);
  sender.writeAll([Buffer.from('{d}')]);
  sender.write(Buffer.from('no{e}no').subarray(2, 5));
  sender.sendWith([Buffer.from('{<three>}')], three);
  sender.write(Buffer.from('the end').subarray(4));
  sender.end();
  assert.ok(sender.backlog > large.length / 2);
  link.resume();
  await arrivals.until(() => arrivals.text.endsWith('end'));
  assert.equal(arrivals.text.replaceAll(' ', '').replace(large, 'L'), '{a}{<one>}L{<two>}{bc}{d}{e}{<three>}end');
  const behind = arrivals.all.map(({ at }) =>
    arrivals.text
      .slice(at, at + 10)
      .trim()
      .replace(/}.*/, ''),
  );
  assert.deepEqual(behind, ['{<one>', '{<two>', '{<three>']);
  assert.equal(sender.backlog, 0);
  for (const descriptor of arrivals.descriptors) descriptor.close();
  source.peer.destroy();
  source.socket.destroy();
  await received.until(() => received.isOver);
  // With the connection goes what was opened to ask about its queue.
  socket.destroy();
  await arrivals.until(() => arrivals.isOver);
  if (!peer.closed) await once(peer, 'close');
  assert.equal(openFiles(), before - 2);
});

test('descriptors come at their place among many commands', async (t) => {
  const { peer, socket, folder } = await pair(t);
  const before = openFiles();
  const { link, arrivals } = receiving(socket);
  const [fd = 0] = files(t, folder, 1);
  const many = '{"command"}'.repeat(100);
  let expected = '';
  const at: number[] = [];
  for (let round = 0; round < 8; round++) {
    link.pause();
    for (const _ of many.matchAll(/}/g)) sendWith(peer, '{"command"}', []);
    expected += many;
    if (round % 4 === 3) {
      sendWith(peer, '{"with"}', [fd]);
      at.push(expected.length);
      expected += '{"with"}';
      for (let i = 0; i < 100; i++) sendWith(peer, '{}', []);
      expected += '{}'.repeat(100);
    }
    link.resume();
    await arrivals.until(() => arrivals.text.length === expected.length);
  }
  assert.equal(arrivals.text, expected);
  assert.deepEqual(
    arrivals.all.map((one) => one.at),
    at,
  );
  for (const descriptor of arrivals.descriptors) descriptor.close();
  socket.destroy();
  await arrivals.until(() => arrivals.isOver);
  // The test's file is there, and the socket is not.
  assert.equal(openFiles(), before);
});

test('a connection that ends closes the descriptors that it had not sent', async (t) => {
  const { peer, socket, folder } = await pair(t);
  const { link } = receiving(socket);
  link.pause();
  const sender = new SendingLink(peer);
  const [fd = 0] = files(t, folder, 1);
  const source = await pair(t);
  const { arrivals: received } = receiving(source.socket);
  sendWith(source.peer, '1', [fd]);
  await received.until(() => received.descriptors.length === 1);
  const [one] = received.descriptors;
  assert.ok(one !== undefined);
  sender.write(Buffer.alloc(4 * 1024 * 1024));
  sender.sendWith([Buffer.from('never')], one);
  assert.ok(one.fd >= 0);
  const gone = new Promise((resolve) => peer.once('close', resolve));
  socket.destroy();
  await gone;
  assert.equal(one.fd, -1);
  assert.equal(sender.backlog, 0);
  // What comes later is closed at once.
  sendWith(source.peer, '2', [fd]);
  await received.until(() => received.descriptors.length === 2);
  const [, two] = received.descriptors;
  assert.ok(two !== undefined);
  sender.sendWith([Buffer.from('never')], two);
  assert.equal(two.fd, -1);
});

test('an idle client costs no time, a half-closed one neither, and the process ends by itself', (t) => {
  const script = `
    import { connect, createServer } from 'node:net';
    import { messageCalls } from ${JSON.stringify(new URL('../../../dist/net/link/message-calls.js', import.meta.url).href)};
    import { ReceivingLink } from ${JSON.stringify(new URL('../../../dist/net/link/receiving-link.js', import.meta.url).href)};
    const nothing = () => undefined;
    const path = process.argv[1];
    const links = [];
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      const link = ReceivingLink.over(socket, messageCalls());
      link.attach({ receive: nothing, receiveEnd: nothing, closed: nothing });
      links.push(link);
      if (links.length < 3) return;
      links[2].pause();
      setTimeout(() => {
        const { user, system } = process.cpuUsage();
        setTimeout(() => {
          const now = process.cpuUsage({ user, system });
          console.log(now.user + now.system);
          for (const one of links) one.destroy();
          server.close();
        }, 500);
      }, 200);
    }).listen(path, () => {
      const dial = () => connect({ path, allowHalfOpen: true }).on('error', nothing);
      dial();
      dial().end('x');
      dial().write('unread');
    });
  `;
  const path = join(scratch(t), 's');
  const output = execFileSync(process.execPath, ['--input-type=module', '-e', script, path], {
    encoding: 'utf8',
    timeout: 60_000,
  });
  // A loop that is busy takes the half second whole.
  assert.ok(Number(output) < 150_000, `${output.trim()} µs of CPU in half a second`);
});

test('descriptors that the process has no room for are reported, and their bytes come all the same', async (t) => {
  const script = `
    import { openSync } from 'node:fs';
    import { connect, createServer } from 'node:net';
    import koffi from ${JSON.stringify(import.meta.resolve('koffi'))};
    import { messageCalls } from ${JSON.stringify(new URL('../../../dist/net/link/message-calls.js', import.meta.url).href)};
    import { ReceivingLink } from ${JSON.stringify(new URL('../../../dist/net/link/receiving-link.js', import.meta.url).href)};
    const path = process.argv[1];
    const file = openSync('/etc/passwd');
    const server = createServer((socket) => {
      const link = ReceivingLink.over(socket, messageCalls());
      link.takeDescriptors({
        receiveDescriptors: (at, descriptors, isCut) => {
          console.log(at, descriptors.length, isCut);
          for (const descriptor of descriptors) descriptor.close();
        },
        descriptorClosed: () => undefined,
      });
      link.attach({
        receive: (chunk) => {
          console.log(Buffer.from(chunk).toString());
          if (String(chunk) === 'three') process.exit();
          send(String(chunk) === 'one' ? 'two' : 'three');
        },
        receiveEnd: () => undefined,
        closed: () => undefined,
      });
      send('one');
    }).listen(path);
    const client = connect(path);
    const send = (text) => messageCalls().send(client._handle.fd, Buffer.from(text), [file, file, file]);
    client.once('connect', () => {
      // From here on there is room for two more.
      const limit = koffi.load(null).func('int setrlimit(int, void *)');
      const most = BigInt(openSync('/etc/passwd') + 3);
      limit(7, new BigUint64Array([most, most]));
    });
  `;
  const output = execFileSync(process.execPath, ['--input-type=module', '-e', script, join(scratch(t), 's')], {
    encoding: 'utf8',
    timeout: 60_000,
  });
  assert.deepEqual(output.trim().split('\n'), ['0 2 true', 'one', '3 2 true', 'two', '6 2 true', 'three']);
});
