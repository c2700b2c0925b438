/** What docs/reference/tracing.md says can be followed from within the daemon's process, with the page's own example. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { shareMonitor } from 'qmpmux';
import { startCommand, startDaemon } from '../../support/daemon/daemon.js';
import { scratch } from '../../support/files/scratch.js';
import { missing, startQemu } from '../../support/qemu/qemu.js';
import { RawClient } from '../../support/world/raw-client.js';

const page = readFileSync(new URL('../../../docs/reference/tracing.md', import.meta.url), 'utf8');
const EVERYTHING = `
import { subscribe } from 'node:diagnostics_channel';
const names = ${JSON.stringify([...page.matchAll(/^\| `(qmpmux:[\w:]+)` \|/gm)].map((match) => match[1]))};
for (const name of names) subscribe(name, (message) => console.log('told', JSON.stringify({ name, ...message })));
`;

describe('a program that shares a monitor itself', { skip: missing('qemu'), timeout: 120_000 }, () => {
  test('does so as the documentation shows it, and ends when it stops', async (t) => {
    const folder = scratch(t);
    // Inside the package, where its own name leads to it.
    const script = fileURLToPath(new URL(`./documentation-example-${process.pid}.mjs`, import.meta.url));
    writeFileSync(script, [...page.matchAll(/```js\n(.*?)```/gs)][1]?.[1] ?? '');
    t.after(() => rmSync(script));
    const qemu = await startQemu(t);
    const mux = join(folder, 'mux');
    const program = startCommand(t, [process.execPath, script, qemu.monitor, mux]);
    while (!program.output.includes('clients are accepted')) await pause(10);
    const [one, two] = [await RawClient.connect(mux), await RawClient.connect(`${mux}.ro`)];
    for (const client of [one, two]) {
      await client.write('{"execute":"qmp_capabilities"}{"execute":"cont"}');
      await client.readLine();
      await client.readLine();
    }
    assert.match(await one.readLine(), /"RESUME"/);
    assert.match(await one.readLine(), /^\{"return"/);
    let answer = await two.readLine();
    if (answer.includes('"RESUME"')) answer = await two.readLine();
    assert.match(answer, /not allowed here/);
    assert.deepEqual(await program.stop(), { code: 0, signal: null });
    assert.match(program.output, /^client 1: cont$/m);
    assert.doesNotMatch(program.output, /client 2/);
    assert.ok(!existsSync(mux));
  });

  test('is told by QmpmuxErrors of what cannot be', async (t) => {
    const folder = scratch(t);
    const share = (upstream: string, ...listen: readonly string[]) => shareMonitor({ upstream, listen });
    await assert.rejects(share('nonsense:', join(folder, 'm')), { code: 'QMPMUX_ADDRESS' });
    await assert.rejects(share('/q', '/m,policy=none-such'), { code: 'QMPMUX_CONFIG' });
    await assert.rejects(share(join(folder, 'q'), '/nowhere/m'), { code: 'QMPMUX_LISTEN' });
    const shared = await share(join(folder, 'q'), join(folder, 'm'));
    assert.equal(shared.status, 'q: waiting for QEMU');
    await shared.stop();
  });
});

describe('a module that is loaded into the daemon', { skip: missing('qemu'), timeout: 120_000 }, () => {
  test('follows its commands as the documentation shows it', async (t) => {
    const folder = scratch(t);
    const module = join(folder, 'follow.mjs');
    writeFileSync(module, /```js\n(.*?)```/s.exec(page)?.[1] ?? '');
    const qemu = await startQemu(t);
    const daemon = startDaemon(t, ['--upstream', qemu.monitor, '--listen', join(folder, 'mux'), '--name', 'vm'], {
      NODE_OPTIONS: `--import=${module}`,
    });
    await daemon.ready();
    const client = await RawClient.connect(join(folder, 'mux'));
    await client.write('{"execute":"qmp_capabilities"}{"execute":"query-status"}{"execute":"nonsense"}');
    for (let line = 0; line < 4; line++) await client.readLine();
    await client.close();
    await daemon.stop();
    assert.match(daemon.errors, /^vm: client 1: query-status in \d+\.\d ms$/m);
    assert.match(daemon.errors, /^vm: client 1: nonsense failed in \d+\.\d ms$/m);
  });

  test('hears of QEMU, clients, commands, events and configs, in the order in which things happen', async (t) => {
    const folder = scratch(t);
    const module = join(folder, 'follow.mjs');
    writeFileSync(module, EVERYTHING);
    const qemu = await startQemu(t);
    const config = join(folder, 'vm.toml');
    const put = (listen: string) => {
      writeFileSync(`${config}.new`, `[monitor.vm]\nupstream = "${qemu.monitor}"\nlisten = [${listen}]\n`);
      renameSync(`${config}.new`, config);
    };
    const mux = join(folder, 'mux');
    put(`"${mux}"`);
    const daemon = startDaemon(t, ['--config', config], { NODE_OPTIONS: `--import=${module}` });
    await daemon.ready();
    const client = await RawClient.connect(mux);
    await client.write('{"execute":"qmp_capabilities"}{"execute":"cont","id":[1]}');
    for (let line = 0; line < 4; line++) await client.readLine();
    await client.write('{]');
    await client.readLine();
    const reload = async (listen: string, msg: string) => {
      put(listen);
      daemon.kill('SIGHUP');
      await daemon.logged((line) => line.msg.startsWith(msg));
    };
    await reload(`"${mux}", "/nowhere/mux"`, 'cannot use the new config');
    await reload(`"${mux},policy=read-only"`, 'config reloaded');
    await client.readToEnd();
    await daemon.stop();
    const told = daemon.output
      .split('\n')
      .filter((line) => line.startsWith('told '))
      .map((line): Readonly<Record<string, unknown>> => JSON.parse(line.slice(5)));
    const outline = told.map((message) => {
      const state: unknown = message['state'];
      const name = typeof state === 'object' && state !== null ? Reflect.get(state, 'name') : null;
      const [what] = [message['command'], message['event'], name].filter((word) => typeof word === 'string');
      return `${String(message['name']).replace('qmpmux:', '')} ${what ?? ''}`.trim();
    });
    const only = (...prefixes: readonly string[]) =>
      outline.filter((line) => prefixes.some((prefix) => line.startsWith(prefix)));
    assert.deepEqual(only('upstream').slice(0, 3), ['upstream greeting', 'upstream negotiating', 'upstream running']);
    assert.deepEqual(only('client', 'command', 'event', 'config'), [
      'client:connected',
      'client:negotiated',
      'command:sent cont',
      'event RESUME',
      'command:answered cont',
      'client:malformed',
      'config:refused',
      'config:changed',
      'client:disconnected',
    ]);
    const answered = told.find((message) => message['name'] === 'qmpmux:command:answered');
    assert.equal(answered?.['id'], '[1]');
    assert.equal(answered?.['source'], 'upstream');
  });
});
