/** The read-only policy against the schema of the installed QEMU: the commands it lets through, and that none of them does anything. */
import assert from 'node:assert/strict';
import { readdirSync, readlinkSync } from 'node:fs';
import { describe, it } from 'node:test';
import { isReadOnly, readOnlyCommands } from '../../../dist/mux/policy/read-only.js';
import type { Scope } from '../../support/files/scratch.js';
import { missing, type Qemu, startQemu } from '../../support/qemu/qemu.js';
import { QEMU_VERSIONS, recordedCommands } from '../../support/qemu/recorded-commands.js';
import { RawClient } from '../../support/world/raw-client.js';

interface SchemaEntry {
  readonly 'meta-type': string;
  readonly name: string;
}

/** Anything else in a name says that something is done. */
const LOOKS_LIKE_READING = /^(query-|qom-list)/;

async function start(scope: Scope): Promise<{ vm: Qemu; commands: string[] }> {
  const vm = await startQemu(scope, {
    machine: 'q35',
    extraArgs: ['-device', 'virtio-balloon-pci', '-netdev', 'user,id=n', '-device', 'virtio-net-pci,netdev=n'],
  });
  // the shape is that of qapi/introspect.json
  const schema = (await vm.execute('query-qmp-schema')) as SchemaEntry[];
  return { vm, commands: schema.filter((entry) => entry['meta-type'] === 'command').map(({ name }) => name) };
}

describe('the read-only policy on an installed QEMU', { skip: missing('qemu') }, () => {
  it('lets only names of queries and lists through, and here is the list', async (context) => {
    const { vm, commands } = await start(context);
    const allowed = commands.filter(isReadOnly);
    context.diagnostic(
      `read-only lets through ${allowed.length} of ${commands.length} commands of QEMU ${vm.version}:`,
    );
    context.diagnostic(allowed.sort().join(' '));
    assert.ok(allowed.length > 40);
    for (const name of allowed) assert.match(name, LOOKS_LIKE_READING);
    const names = new Set(commands);
    const unknown = readOnlyCommands().filter((name) => !names.has(name));
    context.diagnostic(`not in this QEMU: ${unknown.join(' ')}`);
  });

  it('has been held against each of its commands, or here are those that nobody has looked at', async (context) => {
    const { vm, commands } = await start(context);
    const seen = new Set(QEMU_VERSIONS.flatMap((version) => [...recordedCommands(version).keys()]));
    const unseen = commands.filter((name) => !seen.has(name));
    const isRecorded = QEMU_VERSIONS.some((version) => vm.version.startsWith(`${version}.`));
    context.diagnostic(
      `QEMU ${vm.version} has ${unseen.length} commands that no recorded QEMU has: ${unseen.join(' ')}`,
    );
    for (const name of unseen.filter(isReadOnly)) context.diagnostic(`${name}: let through all the same`);
    // Of a version that is recorded every command is known, however it was built.
    if (isRecorded) assert.deepEqual(unseen, []);
  });

  it('lets through nothing that changes the VM, its devices, its memory map or its open files', async (context) => {
    const { vm: qemu, commands } = await start(context);
    const client = await RawClient.connect(qemu.monitor);
    await client.readLine();
    await client.write('{"execute":"qmp_capabilities"}');
    await client.readLine();
    const state = async () => {
      const texts: unknown[] = [];
      for (const line of [
        'info status',
        'info qtree',
        'info mtree -f',
        'info qom-tree',
        'info network',
        'info migrate_parameters',
      ]) {
        texts.push(await qemu.execute('human-monitor-command', { 'command-line': line }));
      }
      const files = readdirSync(`/proc/${qemu.pid}/fd`).map((fd) => readlinkSync(`/proc/${qemu.pid}/fd/${fd}`));
      return JSON.stringify([texts, files.sort()]);
    };
    const stateBefore = await state();
    for (const name of commands.filter(isReadOnly)) {
      await client.write(JSON.stringify({ execute: name, arguments: name === 'qom-list' ? { path: '/machine' } : {} }));
      const [answer, ...more] = await client.readLinesUntil((line) => /^\{"(return|error)"/.test(line));
      assert.deepEqual(more, [], `${name} made QEMU send an event`);
      assert.doesNotMatch(answer ?? '', /CommandNotFound/, name);
    }
    assert.equal(await state(), stateBefore);
    await client.close();
  });
});
