import assert from 'node:assert/strict';
import { subscribe, tracingChannel, unsubscribe } from 'node:diagnostics_channel';
import { join } from 'node:path';
import { test } from 'node:test';
import { QmpClient } from 'qmpmux';
import { SimulatedMonitor } from '../../dist/demo/simulated-monitor.js';
import { type Scope, scratch } from '../support/files/scratch.js';

async function monitorAt(scope: Scope): Promise<string> {
  const path = join(scratch(scope), 'qmp');
  const monitor = new SimulatedMonitor();
  await monitor.start(path);
  scope.after(() => monitor.stop());
  return path;
}

test('the channels of the client library report connections and each command, from its start to its end', async (t) => {
  const path = await monitorAt(t);
  const told: unknown[] = [];
  const tell = (message: unknown, name: string | symbol) => {
    assert.ok(typeof message === 'object' && message !== null && Reflect.get(message, 'client') instanceof QmpClient);
    assert.equal(Reflect.get(message, 'where'), `unix:${path}`);
    const short = String(name).replace(/^.*qmp-client:/, '');
    told.push([short, Reflect.get(message, 'command'), Reflect.get(message, 'oob')].filter((it) => it !== undefined));
    if (short === 'command:error')
      assert.equal(Reflect.get(Reflect.get(message, 'error'), 'code'), 'QMPMUX_COMMAND_FAILED');
    if (short === 'command:asyncEnd' && Reflect.get(message, 'command') === 'query-status') {
      assert.equal(Reflect.get(Reflect.get(message, 'result'), 'status'), 'prelaunch');
    }
  };
  const commands = tracingChannel('qmpmux:qmp-client:command');
  const plain = ['connected', 'closed'].map((name) => `qmpmux:qmp-client:${name}`);
  for (const name of plain) subscribe(name, tell);
  const parts = ['start', 'end', 'asyncStart', 'asyncEnd', 'error'] as const;
  for (const part of parts) commands[part].subscribe(tell);

  const client = await QmpClient.connect({ path });
  await client.execute('query-status');
  await client.executeRaw('{"execute":"query-name"}');
  await assert.rejects(client.execute('no-such'));
  await client.close();
  for (const name of plain) unsubscribe(name, tell);
  for (const part of parts) commands[part].unsubscribe(tell);

  const steps = (name: string, ...words: readonly string[]) => words.map((word) => [`command:${word}`, name, false]);
  assert.deepEqual(told, [
    ['connected'],
    ...steps('query-status', 'start', 'end', 'asyncStart', 'asyncEnd'),
    ...steps('query-name', 'start', 'end', 'asyncStart', 'asyncEnd'),
    ...steps('no-such', 'start', 'end', 'error', 'asyncStart', 'asyncEnd'),
    ['closed'],
  ]);
});
