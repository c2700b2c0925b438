import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type JsonObject, QmpClient } from '../../dist/index.js';
import { missing, startQemu } from '../support/qemu/qemu.js';
import { RawClient } from '../support/world/raw-client.js';

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

  it('hands on commands and replies byte for byte, ids included, whatever else is in flight', async (t) => {
    const qemu = await startQemu(t, { name: 'real' });
    const commands = [
      '{"execute":"query-name"}',
      '  {"execute": "query-name", "id": 7}\n',
      "{'execute': 'query-name', 'id': 'single \\'quoted\\''}",
      '{"id": 1.0, "execute": "query-name"}',
      '{"execute":"query-name","id":18446744073709551615}',
      '{"execute":"query-name","\\u0069d":{"z":1,"y":[2,{}],"x":"\u20ac \u{1f600}"}}',
      '{"execute":"query-name","id":[1,[2],"3"]}',
      '{"execute":"query-name","id":null}',
      '{"execute":"no-such","id":"a, b]"}',
      '{"execute":"no-such"}',
      '{"exec-oob":"query-yank"}',
      '{"id":"only"}',
      '{}',
      '{"execute":"query-name","arguments":{"x":1},"id":5}',
      '{"execute":"query-qmp-schema"}',
      `{"execute":"query-name","id":${'['.repeat(1000)}${']'.repeat(1000)}}`,
    ];
    // What QEMU says to each of them by itself.
    const direct = await RawClient.connect(qemu.monitor);
    await direct.readLine();
    await direct.write('{"execute":"qmp_capabilities","arguments":{"enable":["oob"]}}');
    await direct.readLine();
    const expected: string[] = [];
    for (const command of commands) {
      await direct.write(command);
      expected.push(await direct.readLine());
    }
    await direct.close();
    const client = await QmpClient.connect(target(qemu.monitor), { oob: true });
    const others = Array.from({ length: 20 }, () => client.execute('query-name'));
    const replies = await Promise.all(commands.map((command) => client.executeRaw(command)));
    assert.deepEqual(
      replies.map(({ bytes }) => bytes.toString('latin1')),
      expected,
    );
    assert.deepEqual(
      replies.map(({ isError }) => isError),
      expected.map((line) => line.includes('"error": ')),
    );
    assert.deepEqual(
      await Promise.all(others),
      others.map(() => ({ name: 'real' })),
    );
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
