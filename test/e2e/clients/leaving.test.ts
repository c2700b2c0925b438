/** How clients leave, and what becomes of what they were owed, against a real QEMU. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createConnection, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { blockage } from '../../support/daemon/blockage.js';
import { type Scope, scratch } from '../../support/files/scratch.js';
import { missing } from '../../support/qemu/qemu.js';
import { type SharedVm, shareVm } from '../../support/qemu/shared-vm.js';
import { parseTarget, RawClient, type Target } from '../../support/world/raw-client.js';

async function negotiated(t: Scope, vm: SharedVm): Promise<RawClient> {
  const client = await RawClient.connect(vm.target);
  t.after(() => client.close());
  await client.readLine();
  await client.write('{"execute":"qmp_capabilities","id":"own"}');
  assert.equal(await client.readLine(), '{"return": {}, "id": "own"}');
  return client;
}

/** A relay before QEMU's monitor, whose connections a test can cut. */
class Relay {
  readonly #pairs = new Set<Socket>();

  async listen(t: Scope, monitor: Target): Promise<Target> {
    const path = join(scratch(t), 'relay');
    const server = createServer((downstream) => {
      const upstream = createConnection(parseTarget(monitor));
      for (const socket of [downstream, upstream]) {
        this.#pairs.add(socket);
        socket.on('error', () => {});
        socket.on('close', () => this.#pairs.delete(socket));
      }
      downstream.pipe(upstream);
      upstream.pipe(downstream);
    });
    server.listen(path);
    await once(server, 'listening');
    t.after(() => {
      server.close();
      this.cut();
    });
    return path;
  }

  /** Ends every connection at once. */
  cut(): void {
    for (const socket of this.#pairs) socket.destroy();
  }
}

describe('a client that leaves', { skip: missing('qemu') }, () => {
  test('by a half-close gets all its answers, then EOF, while others go on', async (t) => {
    const vm = await shareVm(t, { name: 'leaving' });
    const busy = await blockage(t);
    const leaving = await negotiated(t, vm);
    const other = await negotiated(t, vm);
    await leaving.write(
      `{${busy.members},"id":"busy"}{"execute":"query-name","id":1}{}help\n{"execute":"query-name","id":2}`,
    );
    leaving.halfClose();
    await busy.begun;
    await other.write('{"execute":"query-name","id":1}');
    busy.release();
    assert.deepEqual((await leaving.readToEnd()).toString('latin1').split('\r\n'), [
      `{"id": "busy", "error": ${busy.error}}`,
      '{"return": {"name": "leaving"}, "id": 1}',
      `{"error": {"class": "GenericError", "desc": "QMP input lacks member 'execute'"}}`,
      `{"error": {"class": "GenericError", "desc": "JSON parse error, invalid keyword 'help'"}}`,
      '{"return": {"name": "leaving"}, "id": 2}',
      '',
    ]);
    assert.equal(await other.readLine(), '{"return": {"name": "leaving"}, "id": 1}');
  });

  test('by a close has what it sent executed, and its answers reach nobody', async (t) => {
    const vm = await shareVm(t, { name: 'leaving' });
    const busy = await blockage(t);
    const leaving = await negotiated(t, vm);
    await leaving.write(`{${busy.members},"id":"gone"}{"execute":"cont","id":"gone too"}`);
    await busy.begun;
    await leaving.close();

    const other = await negotiated(t, vm);
    await other.write('{"execute":"query-name","id":"mine"}');
    busy.release();
    // the event of the command that was left behind shows that it was executed
    const lines = await other.readLinesUntil((line) => line.includes('"mine"'));
    if (lines.length === 1) lines.push(await other.readLine());
    assert.deepEqual(lines.map((line) => line.replace(/"timestamp": \{.*?\}, /, '')).sort(), [
      '{"event": "RESUME"}',
      '{"return": {"name": "leaving"}, "id": "mine"}',
    ]);
    assert.equal(other.unread.length, 0);
  });

  test('at once after its command has it executed all the same', async (t) => {
    const vm = await shareVm(t, { name: 'leaving' });
    const watcher = await negotiated(t, vm);
    for (const command of ['cont', 'stop', 'cont', 'stop']) {
      const client = await negotiated(t, vm);
      await client.write(`{"execute":"${command}"}`);
      await client.close();
      assert.match(await watcher.readLine(), command === 'cont' ? /"event": "RESUME"/ : /"event": "STOP"/);
    }
  });

  test('in the middle of a command leaves nothing behind', async (t) => {
    const vm = await shareVm(t, { name: 'leaving' });
    for (const half of [
      '{"execute":"query-',
      '{"execute":"query-name","id":',
      '[[[[',
      '"',
      '{"execute":"stop"',
      '\\',
      '4',
    ]) {
      const leaving = await negotiated(t, vm);
      await leaving.write(half);
      await leaving.close();
      const next = await negotiated(t, vm);
      await next.write('{"execute":"query-name","id":1}');
      assert.equal(await next.readLine(), '{"return": {"name": "leaving"}, "id": 1}');
    }
  });

  test('leaves an answer that reaches nobody, also when the upstream is lost and found again meanwhile', async (t) => {
    const relay = new Relay();
    const vm = await shareVm(t, { name: 'leaving', between: (monitor) => relay.listen(t, monitor) });
    const busy = await blockage(t);
    const leaving = await negotiated(t, vm);
    const staying = await negotiated(t, vm);
    await leaving.write(`{${busy.members},"id":"gone"}`);
    await busy.begun;
    await staying.write('{"execute":"query-name","id":"unanswered"}');
    await leaving.close();
    relay.cut();
    // as on a direct connection: EOF for those who are there
    assert.equal((await staying.readToEnd()).length, 0);

    // QEMU, busy still, will first send the answer that is due to the connection before
    busy.release();
    await vm.daemon.ready();
    const next = await negotiated(t, vm);
    await next.write('{"execute":"query-name","id":"mine"}');
    assert.equal(await next.readLine(), '{"return": {"name": "leaving"}, "id": "mine"}');
    assert.ok(!next.received.includes('gone') && !next.received.includes('unanswered'));
  });

  test('stays if it has only stopped writing: events go on until it has its last answer', async (t) => {
    const vm = await shareVm(t, { name: 'leaving' });
    const busy = await blockage(t);
    const client = await negotiated(t, vm);
    await client.write(`{"execute":"cont","id":1}{${busy.members},"id":2}{"execute":"stop","id":3}`);
    client.halfClose();
    await busy.begun;
    busy.release();
    const lines = (await client.readToEnd()).toString('latin1').split('\r\n');
    assert.deepEqual(
      lines.map((line) => line.replace(/"timestamp": \{.*?\}, /, '')),
      [
        '{"event": "RESUME"}',
        '{"return": {}, "id": 1}',
        `{"id": 2, "error": ${busy.error}}`,
        '{"event": "STOP"}',
        '{"return": {}, "id": 3}',
        '',
      ],
    );
  });

  test('because QEMU quits sees the SHUTDOWN event, and EOF', async (t) => {
    const vm = await shareVm(t, { name: 'leaving' });
    const quitting = await negotiated(t, vm);
    const other = await negotiated(t, vm);
    await quitting.write('{"execute":"quit","id":"bye"}{"execute":"query-name","id":"after"}');
    const shutdown =
      /^\{"timestamp": .*, "event": "SHUTDOWN", "data": \{"guest": false, "reason": "host-qmp-quit"\}\}$/;
    assert.match(await quitting.readLine(), shutdown);
    assert.equal(await quitting.readLine(), '{"return": {}, "id": "bye"}');
    assert.equal((await quitting.readToEnd()).length, 0);
    assert.match(await other.readLine(), shutdown);
    assert.equal((await other.readToEnd()).length, 0);
  });

  test('because QEMU was killed sees EOF', async (t) => {
    const vm = await shareVm(t, { name: 'leaving' });
    const client = await negotiated(t, vm);
    const busy = await blockage(t);
    await client.write(`{${busy.members}}`);
    await busy.begun;
    await vm.qemu.kill();
    assert.equal((await client.readToEnd()).length, 0);
    await assert.rejects(RawClient.connect(vm.target), { code: 'ENOENT' });
  });
});
