import assert from 'node:assert/strict';
import { join } from 'node:path';
import { it } from 'node:test';
import * as api from 'qmpmux';
import { SimulatedMonitor } from '../../dist/demo/simulated-monitor.js';
import { scratch } from '../support/scratch.js';

it('the package is imported by its name, and has these members and no others', async (t) => {
  assert.deepEqual(Object.keys(api).sort(), [
    'ConnectionError',
    'EventOverflowError',
    'MalformedCommandError',
    'OobUnavailableError',
    'QmpClient',
    'QmpError',
    'QmpmuxError',
  ]);
  const path = join(scratch(t), 'qmp');
  const monitor = new SimulatedMonitor();
  await monitor.start(path);
  t.after(() => monitor.stop());
  const client = await api.QmpClient.connect({ path });
  await assert.rejects(client.execute('no-such'), api.QmpError);
  await client.close();
  await assert.rejects(
    client.execute('query-name'),
    (error) => error instanceof api.QmpmuxError && error.code === 'QMPMUX_CLOSED',
  );
});
