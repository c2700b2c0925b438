import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { messageCalls } from '../../../dist/net/link/message-calls.js';
import { ReceivingLink } from '../../../dist/net/link/receiving-link.js';
import { SendingLink } from '../../../dist/net/link/sending-link.js';
import { SocketLink } from '../../../dist/net/link/socket-link.js';
import { scratch } from '../../support/files/scratch.js';
import { collectGarbage } from '../../support/text/garbage.js';

/** Objects and the memory of buffers, in bytes. */
function memoryInUse(): number {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** Keeps what a link delivers, and lets a test wait for it. */
class Record {
  readonly chunks: Uint8Array[] = [];
  readonly log: string[] = [];
  reason: string | null = null;
  #wake: () => void = () => undefined;

  get text(): string {
    return Buffer.concat(this.chunks).toString('latin1');
  }
  receive(chunk: Uint8Array): void {
    this.chunks.push(chunk);
    if (this.log.at(-1) !== 'data') this.log.push('data');
    this.#wake();
  }
  receiveEnd(): void {
    this.log.push('end');
    this.#wake();
  }
  closed(reason: string): void {
    this.log.push('closed');
    this.reason = reason;
    this.#wake();
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
  readonly link: SocketLink;
  readonly record: Record;
  readonly peer: Socket;
  readonly server: Socket;
}

/** What a link is made over: `receiving` is a unix socket that is read for descriptors too, `sending` one that may send them. */
const KINDS = ['unix', 'tcp', 'receiving', 'sending'] as const;
const UNIX_KINDS = KINDS.filter((kind) => kind !== 'tcp');
type Kind = (typeof KINDS)[number];

function linkOver(socket: Socket, kind: Kind, linger?: number): SocketLink {
  if (kind === 'sending') return new SendingLink(socket);
  if (kind !== 'receiving') return new SocketLink(socket, socket, linger);
  const link = ReceivingLink.over(socket, messageCalls(), linger === undefined ? {} : { linger });
  assert.ok(link !== null);
  return link;
}

async function pair(t: TestContext, kind: Kind = 'unix', linger?: number): Promise<Pair> {
  const path = join(scratch(t), 's');
  const server = createServer({ allowHalfOpen: true });
  server.listen(kind === 'tcp' ? { host: '127.0.0.1', port: 0 } : { path });
  await once(server, 'listening');
  const bound = server.address();
  const peer = connect({
    ...(typeof bound === 'object' && bound !== null ? { host: '127.0.0.1', port: bound.port } : { path }),
    allowHalfOpen: true,
  });
  const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve));
  await once(peer, 'connect');
  const socket = await accepted;
  server.close();
  peer.on('error', () => undefined);
  t.after(() => {
    peer.destroy();
    socket.destroy();
  });
  return { link: linkOver(socket, kind, linger), record: new Record(), peer, server: socket };
}

for (const kind of KINDS) {
  test(`bytes pass both ways, in order, over a ${kind} socket`, async (t) => {
    const { link, record, peer } = await pair(t, kind);
    link.attach(record);
    peer.write('one');
    await record.until(() => record.text === 'one');
    link.write(Buffer.from('a'));
    link.writeAll([Buffer.from('b'), Buffer.from('c'), Buffer.from('d')]);
    link.writeAll([]);
    link.writeAll([Buffer.from('e')]);
    link.end();
    let got = '';
    peer.on('data', (chunk: Buffer) => {
      got += chunk.toString();
    });
    await once(peer, 'end');
    assert.equal(got, 'abcde');
    assert.deepEqual(record.log, ['data']);
  });

  test(`after a half-close a ${kind} peer still gets its answers, then EOF`, async (t) => {
    const { link, record, peer } = await pair(t, kind);
    link.attach(record);
    peer.end('last');
    await record.until(() => record.log.includes('end'));
    assert.equal(record.text, 'last');
    link.write(Buffer.from('answer'));
    link.end();
    let got = '';
    peer.on('data', (chunk: Buffer) => {
      got += chunk.toString();
    });
    await once(peer, 'end');
    assert.equal(got, 'answer');
    await record.until(() => record.reason !== null);
    assert.deepEqual(record.log, ['data', 'end', 'closed']);
    assert.equal(record.reason, 'closed by the peer');
  });

  test(`bytes that a ${kind} peer sent before it closed are received, although writing to it fails`, async (t) => {
    for (let round = 0; round < 20; round++) {
      const { link, record, peer } = await pair(t, kind);
      // The data waits in the kernel, unread, when the write fails.
      await new Promise((resolve) => peer.write('x'.repeat(50_000), resolve));
      await new Promise((resolve) => {
        peer.once('close', resolve);
        peer.destroy();
      });
      link.attach(record);
      for (let i = 0; i < 3; i++) link.write(Buffer.from('greeting'));
      await record.until(() => record.reason !== null);
      assert.equal(record.text.length, 50_000);
      assert.equal(record.log.filter((what) => what === 'closed').length, 1);
      assert.equal(record.log.at(-1), 'closed');
    }
  });
}

for (const kind of UNIX_KINDS) {
  test(`bytes that a paused peer sent before it closed are received too, over a ${kind} socket`, async (t) => {
    const { link, record, peer } = await pair(t, kind);
    link.attach(record);
    peer.write('first');
    await record.until(() => record.text === 'first');
    link.pause();
    await new Promise((resolve) => peer.write('y'.repeat(120_000), resolve));
    peer.destroy();
    await once(peer, 'close');
    link.write(Buffer.from('answer'));
    await record.until(() => record.reason !== null);
    assert.equal(record.text.length, 120_005);
  });
}

for (const kind of UNIX_KINDS) {
  test(`a paused connection is not read until it is resumed, over a ${kind} socket`, async (t) => {
    const { link, record, peer } = await pair(t, kind);
    link.attach(record);
    link.pause();
    const large = Buffer.alloc(4 * 1024 * 1024, 'z');
    let taken = false;
    peer.write(large, () => {
      taken = true;
    });
    // The peer's own bytes come back to it only after the loop has turned many times; its write must still be waiting then.
    const { peer: other, link: echo, record: heard } = await pair(t, kind);
    echo.attach(heard);
    for (let i = 0; i < 50; i++) {
      other.write('.');
      await heard.until(() => heard.text.length > i);
    }
    assert.equal(taken, false);
    assert.equal(record.text, '');
    link.resume();
    await record.until(() => record.text.length === large.length);
  });
}

for (const kind of UNIX_KINDS) {
  test(`the backlog counts bytes that the kernel has not taken, and falls to nothing, over a ${kind} socket`, async (t) => {
    const { link, record, peer } = await pair(t, kind);
    link.attach(record);
    peer.pause();
    const chunk = Buffer.alloc(1024 * 1024);
    link.write(Buffer.from('small'));
    assert.equal(link.backlog, 0);
    for (let i = 0; i < 8; i++) link.write(chunk);
    assert.ok(link.backlog > 4 * 1024 * 1024 && link.backlog <= 8 * 1024 * 1024, String(link.backlog));
    let got = 0;
    const total = 5 + 8 * chunk.length;
    await new Promise<void>((resolve) => {
      peer.on('data', (data: Buffer) => {
        got += data.length;
        if (got === total) resolve();
      });
      peer.resume();
    });
    peer.write('done');
    await record.until(() => record.text === 'done');
    assert.equal(link.backlog, 0);
  });
}

for (const kind of UNIX_KINDS) {
  test(`a link that is gone swallows everything, over a ${kind} socket`, async (t) => {
    const { link, record, server } = await pair(t, kind);
    link.attach(record);
    link.destroy();
    link.write(Buffer.from('a'));
    link.writeAll([Buffer.from('a'), Buffer.from('b')]);
    link.end();
    link.pause();
    link.resume();
    link.destroy();
    await record.until(() => record.reason !== null);
    assert.equal(record.reason, 'closed by qmpmux');
    assert.equal(link.backlog, 0);
    assert.ok(server.destroyed);
  });
}

for (const kind of ['unix', 'receiving'] as const)
  for (const takes of [true, false]) {
    const how = takes ? 'keeps its side open' : 'does not take the rest';
    test(`a peer that ${how} after our end is let go, over a ${kind} socket`, async (t) => {
      const { peer, server, link, record } = await pair(t, kind, 20);
      link.attach(record);
      if (takes) peer.resume();
      else peer.pause();
      link.write(Buffer.alloc(takes ? 10 : 8 * 1024 * 1024));
      link.end();
      link.end();
      await link.drained();
      await record.until(() => record.reason !== null);
      assert.ok(server.destroyed);
      assert.equal(record.reason, 'closed by qmpmux');
      await link.drained();
    });
  }

for (const kind of ['unix', 'tcp', 'receiving'] as const) {
  test(`small pieces that wait for a ${kind} peer cost little more memory than their bytes`, async (t) => {
    const { link, record, peer } = await pair(t, kind);
    let drained = 0;
    link.attach({
      receive: (chunk) => {
        record.receive(chunk);
      },
      receiveEnd: () => undefined,
      closed: () => undefined,
      drained: () => {
        drained++;
      },
    });
    peer.pause();
    link.write(Buffer.alloc(8 * 1024 * 1024, 'x'));
    assert.ok(link.backlog > 0);
    const first = link.backlog;
    collectGarbage();
    const before = memoryInUse();
    for (let i = 0; i < 100_000; i++) {
      if (i % 3000 === 0) await setImmediate();
      link.write(Buffer.from(`{"return": {}}${String(i).padStart(6)}`));
    }
    link.writeAll([Buffer.from('a'), Buffer.alloc(9000, 'b'), Buffer.from('c')]);
    assert.equal(link.backlog, first + 2_000_000 + 9002);
    collectGarbage();
    const cost = memoryInUse() - before;
    assert.ok(cost < 3 * 2_009_002, `${cost} bytes of memory for ${link.backlog - first} bytes`);
    const got: Buffer[] = [];
    peer.on('data', (chunk: Buffer) => got.push(chunk));
    peer.resume();
    link.end();
    await once(peer, 'end');
    const text = Buffer.concat(got)
      .toString('latin1')
      .slice(8 * 1024 * 1024);
    const want = Array.from({ length: 100_000 }, (_, i) => `{"return": {}}${String(i).padStart(6)}`).join('');
    assert.ok(text === `${want}a${'b'.repeat(9000)}c`, 'all, in order');
    assert.ok(drained <= 1);
  });
}

test('a reset is reported as a reset', async (t) => {
  const { link, record, peer } = await pair(t, 'tcp');
  link.attach(record);
  peer.resetAndDestroy();
  await record.until(() => record.reason !== null);
  assert.equal(record.reason, 'reset by the peer');
});

test('a link runs over the pipes of a child, and ends with its output', async () => {
  const child = spawn('sh', ['-c', 'exec 0<&-; printf hello; sleep 0.1; printf bye'], {
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const link = new SocketLink(child.stdin, child.stdout);
  const record = new Record();
  link.attach(record);
  await record.until(() => record.text === 'hello');
  link.write(Buffer.from('to a closed pipe'));
  await record.until(() => record.reason !== null);
  assert.equal(record.text, 'hellobye');
  assert.deepEqual(record.log, ['data', 'end', 'closed']);
});

test('chunks written together are one system call', async (t) => {
  try {
    execFileSync('strace', ['-V'], { stdio: 'ignore' });
  } catch {
    t.skip('not installed: strace');
    return;
  }
  const path = join(scratch(t), 'trace');
  const script = `
    import { connect, createServer } from 'node:net';
    import { SocketLink } from ${JSON.stringify(new URL('../../../dist/net/link/socket-link.js', import.meta.url).href)};
    const path = ${JSON.stringify(`${path}.sock`)};
    const server = createServer((socket) => {
      const link = new SocketLink(socket, socket);
      link.writeAll(['MARK-1', 'MARK-2', 'MARK-3'].map((text) => Buffer.from(text)));
      link.end();
      server.close();
    }).listen(path, () => connect(path).resume());
  `;
  const node = [process.execPath, '--input-type=module', '-e', script];
  execFileSync('strace', ['-f', '-e', 'trace=write,writev,sendmsg', '-o', path, ...node]);
  const calls = execFileSync('grep', ['-c', 'MARK-', path], { encoding: 'utf8' }).trim();
  assert.equal(calls, '1');
});
