import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import * as api from 'qmpmux';
import { SimulatedMonitor } from '../../dist/demo/simulated-monitor.js';
import { scratch } from '../support/files/scratch.js';

it('the example of the documentation runs unchanged', async (t) => {
  const page = readFileSync(new URL('../../docs/reference/library.md', import.meta.url), 'utf8');
  const example = /```js\n(.*?)```/s.exec(page)?.[1] ?? '';
  const path = join(scratch(t), 'qmp');
  const monitor = new SimulatedMonitor();
  await monitor.start(path);
  t.after(() => monitor.stop());
  // Inside the package, where its own name leads to it.
  const script = fileURLToPath(new URL(`./documentation-example-${process.pid}.mjs`, import.meta.url));
  writeFileSync(script, example);
  t.after(() => rmSync(script));
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [script, path]);
  assert.equal(stderr, '');
  assert.deepEqual(stdout.trimEnd().split('\n'), [
    'status prelaunch',
    'event RESUME {}',
    "DeviceNotFound Device 'bogus' not found",
    '{"return": {"name": "demo"}, "id": 18446744073709551615}',
  ]);
});

it('the package is imported by its name, and has these members and no others', async (t) => {
  assert.deepEqual(Object.keys(api).sort(), [
    'ConnectionError',
    'EventOverflowError',
    'MalformedCommandError',
    'OobUnavailableError',
    'QmpClient',
    'QmpError',
    'QmpmuxError',
    'shareMonitor',
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
