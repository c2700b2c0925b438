import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type JsonObject, QmpClient } from '../../dist/index.js';
import { missing, startQemu } from '../support/qemu.js';

function target(address: string): { path: string } | { host: string; port: number } {
  const tcp = /^tcp:(.*):(\d+)$/.exec(address);
  return tcp === null ? { path: address } : { host: tcp[1] ?? '', port: Number(tcp[2]) };
}

describe('the client against a real QEMU', { skip: missing('qemu') }, () => {
  it('speaks to a Unix socket, a TCP socket and a pretty-printing monitor alike', async (t) => {
    const qemu = await startQemu(t, { name: 'real', monitors: [{}, { kind: 'tcp' }, { pretty: true }] });
    for (const address of qemu.monitors) {
      const client = await QmpClient.connect(target(address), { oob: true });
      assert.equal(client.oob, true);
      assert.deepEqual(await client.execute('query-name'), { name: 'real' });
      assert.deepEqual(await client.executeOob('query-yank').then(Array.isArray), true);
      const schema = await client.execute<{ name: string }[]>('query-qmp-schema');
      assert.ok(schema.some(({ name }) => name === 'query-status'));
      await assert.rejects(client.execute('no-such'), {
        class: 'CommandNotFound',
        desc: 'The command no-such has not been found',
      });
      await client.close();
      assert.deepEqual(client.state, { name: 'closed', error: null });
    }
  });

  it('keeps hundreds of commands in flight, and events before their replies', async (t) => {
    const qemu = await startQemu(t, { machine: 'q35', name: 'real' });
    const client = await QmpClient.connect(target(qemu.monitor));
    const log: string[] = [];
    client.on('event', ({ name }) => {
      if (name === 'RESUME' || name === 'STOP') log.push(name);
    });
    const commands = Array.from({ length: 50 }, () => ['cont', 'query-name', 'stop', 'query-name']).flat();
    await Promise.all(commands.map((name) => client.execute(name).then(() => log.push(name))));
    const around = log.filter((entry) => entry !== 'query-name').slice(0, 8);
    assert.deepEqual(around, ['RESUME', 'cont', 'STOP', 'stop', 'RESUME', 'cont', 'STOP', 'stop']);
    assert.equal(log.length, 300);
    await client.close();
  });

  it('carries integers up to 2^64-1 and characters of every kind to QEMU and back', async (t) => {
    const qemu = await startQemu(t);
    const client = await QmpClient.connect(target(qemu.monitor));
    const big = 18446744073709551615n;
    await client.execute('migrate-set-parameters', { 'max-bandwidth': big });
    const parameters = await client.execute<JsonObject>('query-migrate-parameters');
    assert.equal(parameters['max-bandwidth'], big);
    const property = 'grüße "€" 😀';
    await assert.rejects(client.execute('qom-get', { path: '/machine', property }), {
      class: 'GenericError',
      desc: `Property 'none-machine.${property}' not found`,
    });
    await client.close();
  });

  it('takes the end of QEMU after quit for the end of the connection', async (t) => {
    const qemu = await startQemu(t);
    const client = await QmpClient.connect(target(qemu.monitor));
    const events = client.events();
    await client.execute('quit');
    assert.equal((await client.closed)?.code, 'QMPMUX_CLOSED');
    assert.deepEqual((await events.next()).value?.data, { guest: false, reason: 'host-qmp-quit' });
    await qemu.exited;
  });

  it('says that QEMU is busy with another client', async (t) => {
    const qemu = await startQemu(t);
    const first = await QmpClient.connect(target(qemu.monitor));
    await assert.rejects(QmpClient.connect(target(qemu.monitor), { timeout: 50 }), {
      code: 'QMPMUX_GREETING_TIMEOUT',
      message: /may be serving another client/,
    });
    await first.close();
  });
});
