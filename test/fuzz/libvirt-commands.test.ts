/**
 * Whatever strings a command holds, the VM behind libvirt gets exactly these: nothing between a client and QEMU (libvirt's JSON, its RPC,
 * a shell, if there were one) takes a byte for something else. The VM itself tells: it keeps the string and gives it back, here and on a
 * monitor that libvirt does not know of. And no shell can: strace tells that the daemon starts no program at all.
 *
 * QMPMUX_FUZZ_SEED replays a run.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import * as fc from 'fast-check';
import { quote } from '../../dist/qmp/json/unicode.js';
import { startDaemon } from '../support/daemon/daemon.js';
import { untraceable } from '../support/daemon/programs.js';
import { scratch } from '../support/files/scratch.js';
import { startLibvirt } from '../support/libvirt/libvirt.js';
import { RawClient } from '../support/world/raw-client.js';

const { skip, libvirt } = await startLibvirt();
after(async () => {
  await libvirt.stop();
});

const seed = Number(process.env['QMPMUX_FUZZ_SEED'] ?? Math.floor(Math.random() * 0x7fffffff));
const RUNS = 150;

/** What means something to a shell, to virsh, to a terminal, to JSON or to C. */
const NASTY = [
  "'",
  '"',
  '\\',
  '`',
  '$',
  '$(id)',
  '\n',
  '\r\n',
  ';',
  '|',
  '&',
  '<',
  '>',
  '*',
  '~',
  '#',
  '!',
  '--',
  ' ',
  '\t',
  '%s',
  '%n',
  "'\\''",
  '\\"',
  '{',
  '}',
  '[',
  ']',
  ',',
  ':',
  '\u0001',
  '\u007f',
  '\u0085',
  '\u2028',
  'é',
  '😀',
  'virsh # ',
  '\u001b[A',
];
const nasty = fc.constantFrom(...NASTY);
const strings = fc
  .array(fc.oneof({ weight: 3, arbitrary: nasty }, fc.string({ unit: 'binary' })), { maxLength: 12 })
  .map((parts) => parts.join(''))
  .filter((text) => !/[\0\p{Surrogate}\p{Noncharacter_Code_Point}]/u.test(text));

function escaped(unit: number): string {
  return `\\u${unit.toString(16).padStart(4, '0')}`;
}

/** A string as one of the many JSON texts that QEMU reads as it. */
const spelling = fc.constantFrom<(text: string) => string>(
  quote,
  (text) => JSON.stringify(text),
  (text) => `'${JSON.stringify(text).slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'")}'`,
  (text) => `"${Array.from({ length: text.length }, (_, at) => escaped(text.charCodeAt(at))).join('')}"`,
);

async function negotiated(target: string): Promise<RawClient> {
  const client = await RawClient.connect(target);
  await client.readLine();
  await client.write('{"execute":"qmp_capabilities"}');
  await client.readLine();
  return client;
}

async function ask(client: RawClient, command: string): Promise<string> {
  await client.write(command);
  return await client.readLine();
}

describe('strings in commands to a VM of libvirt’s', { skip }, () => {
  test('reach QEMU as they are, however they are spelt', async (t) => {
    console.log(`${RUNS} runs; QMPMUX_FUZZ_SEED=${seed} replays them`);
    const vm = await libvirt.newVm(t);
    const mux = join(scratch(t), 'mux');
    const trace = join(scratch(t), 'programs');
    const upstream = `libvirt:${vm.name}?uri=${libvirt.uri}`;
    const through =
      untraceable() === false ? ['strace', '-D', '-f', '-qq', '-e', 'trace=execve,execveat', '-o', trace] : [];
    const daemon = startDaemon(t, ['--upstream', upstream, '--listen', mux], {}, through);
    await daemon.ready();
    const client = await negotiated(mux);
    const direct = await negotiated(vm.direct);
    t.after(async () => {
      await client.close();
      await direct.close();
    });
    const get = '{"execute":"qom-get","arguments":{"path":"/objects/s","property":"data"}}';
    await fc.assert(
      fc.asyncProperty(strings, spelling, async (text, spell) => {
        const added = `{"execute":"object-add","arguments":{"qom-type":"secret","id":"s","data":${spell(`x${text}`)}}}`;
        assert.equal(await ask(client, added), '{"return": {}}');
        const kept = await ask(direct, get);
        assert.equal(kept, `{"return": ${quote(`x${text}`)}}`);
        assert.equal(await ask(client, get), kept);
        assert.equal(await ask(client, '{"execute":"object-del","arguments":{"id":"s"}}'), '{"return": {}}');
        // And where they are names, of commands and of members, and in what QEMU says of them.
        const unknown = `{"execute":${spell(text)},"id":${spell(text)}}`;
        assert.equal(await ask(client, unknown), await ask(direct, unknown));
        const unexpected = `{"execute":"query-name","arguments":{${spell(text)}:1}}`;
        assert.equal(await ask(client, unexpected), await ask(direct, unexpected));
        // The human monitor takes a line apart by itself.
        const line = `{"execute":"human-monitor-command","arguments":{"command-line":${spell(`help ${text}`)}}}`;
        assert.equal(await ask(client, line), await ask(direct, line));
      }),
      { numRuns: RUNS, seed },
    );
    assert.deepEqual(
      daemon.log.filter((line) => line.level >= 40),
      [],
    );
    if (through.length === 0) return;
    await daemon.stop();
    const programs = readFileSync(trace, 'utf8')
      .split('\n')
      .filter((line) => line.includes('exec'));
    assert.equal(programs.length, 1, programs.join('\n'));
    assert.match(programs[0] ?? '', /execve\("[^"]*\/node", .* = 0$/);
  });
});
