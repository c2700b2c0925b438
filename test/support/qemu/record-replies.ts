/**
 * Records the answers of a real QEMU, for the simulated monitor: `npx tsc --build && node build/support/qemu/record-replies.js`
 * writes src/demo/recorded-replies.json. The machine has a little of everything that people look at: a disk, a network card,
 * a serial line, two processors.
 *
 * The file holds values, so that its changes can be read. It is good for exact bytes all the same: each value is checked to
 * be written again just as QEMU wrote it.
 */
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  formatJson,
  isJsonArray,
  isJsonObject,
  type JsonObject,
  type JsonValue,
  parseJson,
} from '../../../dist/qmp/json/value.js';
import { qemuProgram } from '../daemon/programs.js';
import { scratch } from '../files/scratch.js';
import { RawClient } from '../world/raw-client.js';

const machine = [
  '-machine q35,accel=tcg -S -display none -nodefaults -name demo -uuid 7d4c3b1e-0c7e-4b52-9a1d-4f4b1c0ffee0 -m 256 -smp 2',
  '-blockdev null-co,node-name=disk0,size=1073741824,read-zeroes=on -device virtio-blk-pci,drive=disk0,id=virtio-disk0',
  '-netdev user,id=net0,restrict=on -device virtio-net-pci,netdev=net0,id=nic0,mac=52:54:00:12:34:56',
  '-chardev null,id=serial0 -device isa-serial,chardev=serial0',
  '-qmp unix:qmp.sock,server=on,wait=off',
].join(' ');

/** Much of it would serve nobody in a demonstration, or is different from one moment to the next. */
const leftOut = new Set(['query-rx-filter', 'query-cpu-definitions', 'query-status', 'query-stats']);

/** With arguments, or not a query. */
const others: readonly JsonObject[] = [
  { execute: 'qom-get', arguments: { path: '/machine', property: 'type' } },
  { execute: 'qom-get', arguments: { path: '/machine/peripheral/virtio-disk0', property: 'realized' } },
  { execute: 'qom-list-types', arguments: { implements: 'memory-backend' } },
  { execute: 'device-list-properties', arguments: { typename: 'virtio-blk-pci' } },
  { execute: 'device-list-properties', arguments: { typename: 'bogus' } },
  { execute: 'query-blockstats', arguments: { 'query-nodes': true } },
  { execute: 'query-named-block-nodes', arguments: { flat: true } },
  { execute: 'query-command-line-options', arguments: { option: 'memory' } },
  { execute: 'balloon', arguments: { value: 134217728 } },
  { execute: 'device_del', arguments: { id: 'bogus' } },
  { execute: 'system_wakeup' },
  { execute: 'inject-nmi' },
  { execute: 'migrate-pause' },
  { execute: 'migrate_cancel' },
];

const qomPaths = [
  '/',
  '/machine',
  '/machine/peripheral',
  '/machine/peripheral-anon',
  '/chardevs',
  '/objects',
  '/backend',
];

const hmpCommands = [
  ...'name version uuid kvm block blockstats network chardev pci mice balloon block-jobs snapshots iothreads'.split(
    ' ',
  ),
  ...'memory_size_summary memdev migrate_capabilities usb vnc jit hotpluggable-cpus'.split(' '),
].map((what) => `info ${what}`);

class Recorder {
  readonly lines: string[] = [];
  readonly #client: RawClient;

  constructor(client: RawClient) {
    this.#client = client;
  }

  async ask(command: JsonObject): Promise<JsonObject> {
    await this.#client.write(formatJson(command));
    const line = await this.#client.readLine();
    const parsed = parseJson(line);
    if (!parsed.ok || !isJsonObject(parsed.value)) throw new Error(`no JSON: ${line}`);
    if (formatJson(parsed.value, 'qemu') !== line) throw new Error(`cannot be written again as it was: ${line}`);
    return parsed.value;
  }

  async record(command: JsonObject): Promise<JsonObject> {
    const reply = await this.ask(command);
    this.lines.push(formatJson({ ...command, ...reply }));
    return reply;
  }
}

const cleaning: (() => void | Promise<void>)[] = [];
const folder = scratch({ after: (clean) => cleaning.push(clean) });
const qemu = spawn(qemuProgram, machine.split(' '), { cwd: folder, stdio: ['ignore', 'inherit', 'inherit'] });
try {
  const client = await connectWhenThere(join(folder, 'qmp.sock'));
  const greeting = await client.readLine();
  const recorder = new Recorder(client);
  await recorder.ask({ execute: 'qmp_capabilities' });

  const schema = (await recorder.ask({ execute: 'query-qmp-schema' }))['return'];
  if (!isJsonArray(schema)) throw new Error('query-qmp-schema returned no list');
  const entities = new Map(schema.filter(isJsonObject).map((entity) => [entity['name'], entity]));
  const queries = [...entities.values()].filter((entity) => {
    const members = entities.get(entity['arg-type'] ?? null)?.['members'];
    const needsNothing =
      !isJsonArray(members) || members.every((member) => isJsonObject(member) && 'default' in member);
    return entity['meta-type'] === 'command' && stringOf(entity['name']).startsWith('query-') && needsNothing;
  });
  for (const name of queries.map((entity) => stringOf(entity['name'])).sort()) {
    if (!leftOut.has(name)) await recorder.record({ execute: name });
  }
  for (const command of others) await recorder.record(command);
  for (const path of qomPaths) {
    const children = (await recorder.record({ execute: 'qom-list', arguments: { path } }))['return'];
    if (path !== '/machine/peripheral' || !isJsonArray(children)) continue;
    for (const child of children.filter(isJsonObject)) {
      if (stringOf(child['type']).startsWith('child<')) {
        await recorder.record({ execute: 'qom-list', arguments: { path: `${path}/${stringOf(child['name'])}` } });
      }
    }
  }
  const hmp: Record<string, string> = {};
  for (const line of ['help', 'info', ...hmpCommands]) {
    const reply = await recorder.ask({ execute: 'human-monitor-command', arguments: { 'command-line': line } });
    hmp[line] = stringOf(reply['return']);
  }
  await client.close();

  const file = fileURLToPath(new URL('../../../src/demo/recorded-replies.json', import.meta.url));
  const texts = Object.entries(hmp).map(([line, text]) => `${JSON.stringify(line)}:${JSON.stringify(text)}`);
  writeFileSync(
    file,
    `{"greeting":${greeting},\n"replies":[\n${recorder.lines.join(',\n')}\n],\n"hmp":{\n${texts.join(',\n')}\n}}\n`,
  );
  process.stdout.write(`${recorder.lines.length} replies, ${texts.length} HMP texts: ${file}\n`);
} finally {
  qemu.kill('SIGKILL');
  for (const clean of cleaning) await clean();
}

function stringOf(value: JsonValue | undefined): string {
  if (typeof value !== 'string') throw new Error(`no string: ${JSON.stringify(value)}`);
  return value;
}

async function connectWhenThere(path: string): Promise<RawClient> {
  for (;;) {
    if (qemu.exitCode !== null) throw new Error(`QEMU ended: ${qemu.exitCode}`);
    try {
      return await RawClient.connect(path);
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}
