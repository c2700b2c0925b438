import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { SimulatedMonitor } from '../../dist/demo/simulated-monitor.js';
import { shareMonitor } from '../../dist/index.js';
import { scratch } from '../support/files/scratch.js';
import { RawClient } from '../support/world/raw-client.js';

test('a shared monitor can be stopped by a subscriber that hears of an answer, and that turn comes to its end before', async (t) => {
  const folder = scratch(t);
  const monitor = new SimulatedMonitor();
  await monitor.start(join(folder, 'qmp'));
  t.after(() => monitor.stop());
  const socket = join(folder, 'mux');
  const shared = await shareMonitor({ upstream: join(folder, 'qmp'), listen: [socket] });
  await shared.ready;
  const client = await RawClient.negotiated(socket);
  t.after(() => client.close());
  const stopping: Promise<void>[] = [];
  const listener = () => {
    if (stopping.length > 0) return;
    stopping.push(shared.stop());
    assert.ok(existsSync(socket), 'nothing is done in the middle of a turn');
  };
  subscribe('qmpmux:command:answered', listener);
  t.after(() => {
    unsubscribe('qmpmux:command:answered', listener);
  });
  await client.write('{"execute":"query-status","id":1}{"execute":"query-status","id":2}');
  const lines = (await client.readToEnd()).toString('latin1').split('\r\n');
  assert.deepEqual(
    lines.map((line) => /"id": (\d)/.exec(line)?.[1]),
    ['1', '2', undefined],
  );
  await Promise.all(stopping);
  assert.ok(!existsSync(socket));
});
