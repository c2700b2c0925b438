/** What is served from memory is what QEMU would answer now, whatever clients have had it do in between. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isConstant } from '../../../dist/mux/upstream/reply-cache.js';
import type { Scope } from '../../support/files/scratch.js';
import { missing } from '../../support/qemu/qemu.js';
import { shareVm } from '../../support/qemu/shared-vm.js';
import { RawClient, type Target } from '../../support/world/raw-client.js';

/** All that could change a reply: modules that are loaded, devices and objects that come and go, a guest that runs, is reset and stops. */
const CHANGES: readonly (readonly [name: string, args?: object])[] = [
  ['qom-list-types'],
  ['device-list-properties', { typename: 'virtio-rng-pci' }],
  ['chardev-add', { id: 'c', backend: { type: 'null', data: {} } }],
  ['object-add', { 'qom-type': 'secret', id: 's', data: 'x' }],
  ['netdev_add', { type: 'hubport', id: 'n', hubid: 0 }],
  ['blockdev-add', { driver: 'null-co', 'node-name': 'b' }],
  ['device_add', { driver: 'virtio-rng-pci', id: 'd', bus: 'rp0' }],
  ['set_link', { name: 'n', up: false }],
  ['cont'],
  ['system_reset'],
  ['stop'],
  ['object-del', { id: 's' }],
  ['chardev-remove', { id: 'c' }],
];

async function connect(scope: Scope, target: Target) {
  const client = await RawClient.negotiated(target);
  scope.after(() => client.close());
  return async (name: string, args: object = {}): Promise<string> => {
    await client.write(JSON.stringify({ execute: name, arguments: args, id: 'asked' }));
    const lines = await client.readLinesUntil((line) => line.includes('"id": "asked"'));
    return lines.at(-1) ?? '';
  };
}

describe('what is served from memory', { skip: missing('qemu') }, () => {
  test('is what QEMU says after all that could change it', async (t) => {
    const vm = await shareVm(t, {
      machine: 'q35',
      name: 'vm',
      monitors: [{}, {}],
      extraArgs: ['-device', 'pcie-root-port,id=rp0'],
    });
    const [shared, direct] = [await connect(t, vm.target), await connect(t, vm.qemu.monitors[1] ?? '')];
    // the shape is that of qapi/introspect.json
    const schema = (await vm.qemu.execute('query-qmp-schema')) as { 'meta-type': string; name: string }[];
    const names = schema.filter((entry) => entry['meta-type'] === 'command').map(({ name }) => name);
    const constant = names.filter(isConstant);
    t.diagnostic(`QEMU ${vm.qemu.version}: ${constant.sort().join(' ')}`);
    assert.ok(constant.includes('query-qmp-schema'));
    const answers = async (ask: typeof shared) => {
      const found = new Map<string, string>();
      for (const name of [...constant, 'query-command-line-options']) found.set(name, await ask(name));
      return found;
    };
    const before = await answers(shared);
    for (const [name, args] of CHANGES) assert.match(await direct(name, args), /^\{"return"/, name);
    const after = await answers(direct);
    for (const [name, answer] of after) if (answer !== before.get(name)) t.diagnostic(`has changed: ${name}`);
    assert.deepEqual(await answers(shared), after);
  });
});
