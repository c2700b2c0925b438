import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { MetricsServer } from '../../../dist/daemon/observe/metrics-server.js';
import { parseListener } from '../../../dist/net/address/address-parser.js';
import { RawClient } from '../../support/world/raw-client.js';

const HOUR = 3_600_000;

class Counted {
  readonly contentType = 'text/plain';
  asked = 0;
  text(): Promise<string> {
    this.asked++;
    return new Promise((resolve) => {
      setImmediate(() => resolve('one 1\n'));
    });
  }
}

const quiet = { debug() {}, info() {}, warn() {}, error() {} };

async function started(
  t: TestContext,
  requestTime = HOUR,
  place = 'tcp:127.0.0.1:0',
): Promise<{ readonly place: string; readonly metrics: Counted }> {
  const metrics = new Counted();
  // its log does not matter
  const server = new MetricsServer(parseListener(place), metrics, quiet, requestTime);
  await server.start();
  t.after(() => server.stop());
  return { place: server.place, metrics };
}

async function ask(place: string, host: string | null = 'localhost', path = '/metrics'): Promise<string> {
  const client = await RawClient.connect(place);
  const header = host === null ? 'HTTP/1.0\r\n' : `HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n`;
  await client.write(`GET ${path} ${header}\r\n`);
  const answer = await client.readToEnd();
  await client.close();
  return answer.toString('latin1');
}

async function connected(place: string): Promise<Socket> {
  const socket = connect(Number(place.slice(place.lastIndexOf(':') + 1)), '127.0.0.1');
  socket.on('error', () => {});
  await once(socket, 'connect');
  return socket;
}

describe('the metrics', () => {
  it('are there though a thousand have connected and say nothing, or not all', async (t) => {
    const { place } = await started(t);
    const silent: Socket[] = [];
    t.after(() => silent.forEach((socket) => socket.destroy()));
    for (let i = 0; i < 1000; i++) {
      const socket = await connected(place);
      if (i % 3 === 1) socket.write('GET /met');
      if (i % 3 === 2) socket.write('GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: ');
      silent.push(socket);
      if (i % 100 === 99) assert.match(await ask(place), /^HTTP\/1\.1 200 OK/);
    }
  });

  it('are asked for in time, or the connection goes, however many bytes trickle in', async (t) => {
    const { place } = await started(t, 300);
    const silent = await connected(place);
    const slow = await connected(place);
    const trickle = setInterval(() => slow.write('x'), 20);
    t.after(() => clearInterval(trickle));
    slow.write('GET /metrics HTTP/1.1\r\nHost: localhost\r\nX-Slow: ');
    silent.resume();
    slow.resume();
    await Promise.all([once(silent, 'close'), once(slow, 'close')]);
    assert.match(await ask(place), /one 1/);
  });

  it('are asked for again on the same connection, which goes when it is silent for too long', async (t) => {
    const { place, metrics } = await started(t, 300);
    const client = await RawClient.connect(place);
    for (let i = 0; i < 3; i++) {
      await client.write('GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n');
      await client.readUntil('one 1\n');
    }
    assert.equal(metrics.asked, 3);
    await client.readToEnd();
  });

  it('are put together once for all clients that ask at a time, and not for questions without end in one packet', async (t) => {
    const { place, metrics } = await started(t);
    const answers = await Promise.all(Array.from({ length: 30 }, () => ask(place)));
    assert.ok(answers.every((answer) => answer.includes('one 1\n')));
    assert.ok(metrics.asked <= 30);
    const before = metrics.asked;
    const crowd = await RawClient.connect(place);
    await crowd.write('GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(10_000));
    await crowd.readToEnd();
    assert.ok(metrics.asked - before <= 2, `${metrics.asked - before} times`);
  });

  it('are sent to no client that was given another name for this host, as a page in a browser is', async (t) => {
    const { place } = await started(t);
    for (const host of [
      'evil.example',
      'evil.example:9100',
      'localhost.evil.example',
      '127.0.0.1.evil.example',
      '10.0.0.1',
      '[::2]',
      '[',
      '',
    ]) {
      assert.match(await ask(place, host), /^HTTP\/1\.1 4\d\d /, host);
    }
    for (const host of [
      'localhost',
      'LOCALHOST:9100',
      'localhost.',
      '127.0.0.1',
      '127.0.0.1:1',
      '127.1.2.3',
      '[::1]:9100',
      null,
    ]) {
      assert.match(await ask(place, host), /^HTTP\/1\.[01] 200 OK/, String(host));
    }
    const named = await started(t, HOUR, 'tcp:localhost:0');
    assert.match(await ask(named.place, 'localhost'), / 200 OK/);
  });

  it('are at /metrics alone, whatever follows a question mark', async (t) => {
    const { place } = await started(t);
    assert.match(await ask(place, 'localhost', '/metrics?a=b?c'), / 200 OK/);
    assert.match(await ask(place, 'localhost', '/'), / 404 /);
    assert.match(await ask(place, 'localhost', `/${'?'.repeat(10_000)}`), / 404 /);
  });
});
