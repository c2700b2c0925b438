/** qmpmux itself sends nothing that QEMU has deprecated: with `deprecated-input=crash` QEMU ends at the first of it. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { QmpClient } from '../../../dist/client/qmp-client.js';
import type { JsonObject, JsonValue } from '../../../dist/qmp/json/value.js';
import { type LiveSource, liveNames } from '../../../dist/shell/language/live-source.js';
import { startQmpmux } from '../../support/daemon/daemon.js';
import { runQmpmux } from '../../support/daemon/run-qmpmux.js';
import { scratch } from '../../support/files/scratch.js';
import { missing, pathWithQemu, startQemu } from '../../support/qemu/qemu.js';
import { shareVm } from '../../support/qemu/shared-vm.js';
import { RawClient } from '../../support/world/raw-client.js';

const STRICT = ['-compat', 'deprecated-input=crash'];

interface Entry {
  readonly name: string;
  readonly 'meta-type': string;
  readonly features?: readonly string[];
}

/** One of each kind of name that completion asks the VM for. */
const SOURCES: readonly LiveSource[] = [
  ...(
    'block node device object chardev job block-job export iothread cpu device-type qom-type qom-path'.split(
      ' ',
    ) as Exclude<LiveSource['kind'], 'qom-property' | 'device-property' | 'bitmap'>[]
  ).map((kind) => ({ kind })),
  { kind: 'qom-property', path: '/machine' },
  { kind: 'device-property', type: 'virtio-net-pci' },
  { kind: 'bitmap', node: '' },
];

describe('a QEMU that ends at deprecated input', { skip: missing('qemu') }, () => {
  test('ends, where a client sends some that it knows', async (t) => {
    const vm = await startQemu(t, { extraArgs: STRICT });
    // the shape is that of qapi/introspect.json
    const schema = (await vm.execute('query-qmp-schema')) as Entry[];
    const deprecated = schema
      .filter((entry) => entry['meta-type'] === 'command' && entry.features?.includes('deprecated') === true)
      .map(({ name }) => name);
    t.diagnostic(`QEMU ${vm.version} has deprecated: ${deprecated.join(' ')}`);
    assert.ok(deprecated.length > 0);
    vm.execute(deprecated[0] ?? '').catch(() => {});
    await vm.exited;
  });

  test('outlives serve, exec, hmp, shell, status, clients that leave, and what completion asks for', async (t) => {
    const path = join(scratch(t), 'control');
    const vm = await shareVm(t, {
      machine: 'q35',
      listen: [`unix:${path},extensions=on`, `unix:${path}.hmp,protocol=hmp`, `unix:${path}.auto,negotiate=auto`],
      extraArgs: [...STRICT, '-blockdev', 'null-co,node-name=disk0', '-device', 'virtio-balloon-pci,id=b'],
    });
    const run = async (words: readonly string[], input?: string) => {
      const { code, errors } = await runQmpmux(words, input === undefined ? {} : { input });
      assert.deepEqual([code, errors], [0, ''], words.join(' '));
    };
    await run(['exec', vm.target, 'query-status']);
    await run(['exec', vm.target, 'object-add', 'qom-type=iothread', 'id=io0']);
    await run(['hmp', vm.target, 'info', 'status']);
    await run(['shell', vm.target], 'query-status\nquery-name\n');
    await run(['shell', '-H', vm.target], 'info status\nhelp\n');
    await run(['status', path]);
    await run(['clients', path]);
    await run(['queue', path]);
    await run(['status', '--check', path]);

    const client = await QmpClient.connect({ path: vm.target.replace('unix:', '') });
    t.after(() => client.destroy());
    const refused: string[] = [];
    const ask = async (name: string, args?: JsonObject): Promise<JsonValue | null> => {
      try {
        return await client.execute(name, args);
      } catch (error) {
        refused.push(`${name}: ${String(error)}`);
        return null;
      }
    };
    for (const source of SOURCES) await liveNames(source, source.kind === 'qom-path' ? '/machine/' : '', ask);
    assert.deepEqual(refused, [], 'each answer is one, on this QEMU');
    assert.deepEqual(
      (await liveNames({ kind: 'node' }, '', ask)).map(({ text }) => text),
      ['disk0'],
    );

    const human = await RawClient.connect(`${path}.hmp`);
    await human.readUntil('(qemu) ');
    for (const key of ['device_d\t', 'el \t\t', '\x03', 'info st\t\n', 'device_add virtio-b\t\x15'])
      await human.write(key);
    await human.write('\rinfo name\r');
    await human.readUntil('info name');
    await human.close();
    const automatic = await RawClient.connect(`${path}.auto`);
    await automatic.write('{"execute":"query-name"}');
    await automatic.readLine();
    await automatic.close();
    await vm.qemu.execute('query-status');
  });
});

describe('the demo, on a QEMU that ends at deprecated input', { skip: missing('qemu') }, () => {
  test('shares it, and what it says to type leaves it alive', async (t) => {
    const demo = startQmpmux(t, ['demo', '--real'], { PATH: pathWithQemu(t, STRICT) });
    while (!demo.output.includes('Ctrl-C ends the demo.')) await Promise.race([delay(20), demo.exited]);
    const path = / unix:(\S+)$/m.exec(demo.output)?.[1] ?? '';
    const commands = [...demo.output.matchAll(/^ {2}(\{.*\})$/gm)].map(([, command = '']) => command);
    assert.equal(commands.length, 3);
    const client = await RawClient.connect(path);
    t.after(() => client.close());
    await client.readLine();
    for (const command of commands) await client.write(command);
    await client.write('{"execute":"query-status","id":"last"}');
    assert.match((await client.readLinesUntil((line) => line.includes('"last"'))).at(-1) ?? '', /"return"/);
    // It ends its VM, as it could not if it were killed.
    assert.equal((await demo.stop('SIGINT')).code, 0);
  });
});
