/** The commands of the installed QEMU: those that run out of band, and those that no recorded QEMU has. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { missing, startQemu } from '../../support/qemu/qemu.js';
import { commandLines, QEMU_VERSIONS, recordedCommands } from '../../support/qemu/recorded-commands.js';

/** Those that QEMU runs as it reads them: documents and tests speak of them, and qmpmux may send one itself. */
const OUT_OF_BAND = ['migrate-pause', 'migrate-recover', 'query-yank', 'yank'];

interface Entry {
  readonly name: string;
  readonly 'meta-type': string;
  readonly 'allow-oob'?: boolean;
}

describe('the commands of the installed QEMU', { skip: missing('qemu') }, () => {
  it('run out of band if they are one of four, or here are the others', async (t) => {
    const vm = await startQemu(t);
    // the shape is that of qapi/introspect.json
    const schema = (await vm.execute('query-qmp-schema')) as Entry[];
    const found = schema.filter((entry) => entry['allow-oob'] === true).map(({ name }) => name);
    t.diagnostic(`QEMU ${vm.version} runs out of band: ${found.sort().join(' ')}`);
    for (const name of OUT_OF_BAND) assert.ok(found.includes(name), name);
    const isRecorded = QEMU_VERSIONS.some((version) => vm.version.startsWith(`${version}.`));
    if (isRecorded) assert.deepEqual(found, OUT_OF_BAND);
  });

  // Policies, completion and redaction know arguments by their names.
  it('take arguments that a recorded QEMU has, or here are the others', async (t) => {
    const vm = await startQemu(t);
    const known = new Map<string, Set<string>>();
    for (const version of QEMU_VERSIONS) {
      for (const [name, args] of recordedCommands(version)) {
        const all = known.get(name) ?? new Set();
        known.set(name, all);
        for (const arg of args) all.add(arg);
      }
    }
    const unseen = commandLines(await vm.execute('query-qmp-schema')).flatMap((line) => {
      const [name = '', ...args] = line.split(' ');
      return args.filter((arg) => known.get(name)?.has(arg) !== true).map((arg) => `${name} ${arg}=`);
    });
    t.diagnostic(`QEMU ${vm.version} has ${unseen.length} arguments that no recorded QEMU has: ${unseen.join(', ')}`);
    const isRecorded = QEMU_VERSIONS.some((version) => vm.version.startsWith(`${version}.`));
    if (isRecorded) assert.deepEqual(unseen, []);
  });
});
