/** qmpmux's own commands, on a real QEMU. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { EXTENSION_COMMANDS } from '../../../dist/mux/admin/extension.js';
import { startDaemon } from '../../support/daemon/daemon.js';
import { missing, startQemu } from '../../support/qemu/qemu.js';
import { RawClient } from '../../support/world/raw-client.js';

async function asked(client: RawClient, name: string, args: object = {}): Promise<string> {
  await client.write(JSON.stringify({ execute: name, arguments: args }));
  const lines = await client.readLinesUntil((line) => !line.startsWith('{"timestamp"'));
  return lines.at(-1) ?? '';
}

/** What Prometheus gets from a unix socket. */
function scrape(socketPath: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const asking = request({ socketPath, path: '/metrics' }, (answer) => {
      answer.toArray().then((chunks) => resolve(Buffer.concat(chunks).toString()), reject);
    });
    asking.once('error', reject).end();
  });
}

const own = (name: string) => `__org.qmpmux_${name}`;

/** A QEMU with a daemon in front of it: a pure socket, and one with our commands. */
async function serve(context: TestContext, flags: readonly string[] = []) {
  const qemu = await startQemu(context);
  const [mux, control] = [join(qemu.folder, 'mux'), join(qemu.folder, 'control')];
  const listen = ['--listen', `unix:${mux}`, '--listen', `unix:${control},extensions=on`];
  const daemon = startDaemon(context, ['--upstream', qemu.monitor, ...listen, ...flags]);
  const [pure = '', allowed = ''] = await daemon.ready();
  return { qemu, daemon, pure: await RawClient.negotiated(pure), allowed: await RawClient.negotiated(allowed) };
}

describe('extension commands', { skip: missing('qemu') }, () => {
  it("are unknown on a socket that does not allow them, in QEMU's words", async (context) => {
    const { pure } = await serve(context);
    for (const name of [...EXTENSION_COMMANDS, own('nothing')]) {
      const expected = `{"error": {"class": "CommandNotFound", "desc": "The command ${name} has not been found"}}`;
      assert.equal(await asked(pure, name), expected);
    }
  });

  it('tell how the monitor stands, who is connected and what happened, and disconnect a client', async (context) => {
    const { qemu, pure, allowed } = await serve(context);
    const status = JSON.parse(await asked(allowed, own('query-status'))).return;
    assert.equal(status.upstream.address, `unix:${qemu.monitor}`);
    assert.equal(status.upstream.state, 'running');
    assert.deepEqual(
      status.listeners.map(({ clients, policy, extensions }: Record<string, unknown>) => [clients, policy, extensions]),
      [
        [1, 'full', false],
        [1, 'full', true],
      ],
    );
    assert.match(await asked(pure, 'cont'), /"return"/);
    const { events } = JSON.parse(await asked(allowed, own('query-events'))).return;
    assert.deepEqual(
      events.map(({ seq, event }: { seq: number; event: { event: string } }) => [seq, event.event]),
      [[1, 'RESUME']],
    );
    const clients = JSON.parse(await asked(allowed, own('query-clients'))).return;
    assert.deepEqual(
      clients.map(({ client, self, commands }: Record<string, unknown>) => [client, self, commands]),
      [
        [1, false, 1],
        [2, true, 0],
      ],
    );
    assert.equal(clients[0].peer.pid, process.pid);
    assert.equal(await asked(allowed, own('disconnect-client'), { client: 1 }), '{"return": {}}');
    await pure.readToEnd();
  });

  it('are in the audit log and in the metrics like any other command', async (context) => {
    const qemu = await startQemu(context);
    const [control, audit, metrics] = ['control', 'audit', 'metrics'].map((name) => join(qemu.folder, name));
    const listen = ['--listen', `unix:${control},extensions=on`, '--listen', `unix:${join(qemu.folder, 'mux')}`];
    const daemon = startDaemon(context, [
      '--upstream',
      qemu.monitor,
      ...listen,
      '--audit',
      audit ?? '',
      '--metrics',
      `unix:${metrics}`,
    ]);
    const [allowed = '', pure = ''] = await daemon.ready();
    const [client, other] = [await RawClient.negotiated(allowed), await RawClient.negotiated(pure)];
    assert.equal(await asked(client, own('disconnect-client'), { client: 2 }), '{"return": {}}');
    await other.readToEnd();
    const line = await daemon.logged(({ msg }) => msg === 'disconnected a client because another asked for it');
    assert.equal(line['client'], 2);
    const text = await scrape(metrics ?? '');
    assert.match(text, /command="__org\.qmpmux_disconnect-client",outcome="ok"\} 1/);
    assert.match(text, /reason="killed"\} 1/);
    await daemon.stop();
    const records = readFileSync(audit ?? '', 'utf8')
      .split('\n')
      .slice(0, -1)
      .map((record) => JSON.parse(record));
    const about = records.filter(
      (record) => record.seq > 0 && ['command', 'reply', 'disconnect'].includes(record.kind),
    );
    assert.deepEqual(
      about.slice(0, 3).map(({ kind, command, source }) => [kind, command ?? source]),
      [
        ['command', own('disconnect-client')],
        ['disconnect', undefined],
        ['reply', 'local'],
      ],
    );
    assert.equal(about[2].of, about[0].seq);
    assert.match(about[1].reason, /^disconnected by client 1, .* \(pid /);
  });

  it('read the config again, and answer with what has changed or why nothing has', async (context) => {
    const qemu = await startQemu(context);
    const file = join(qemu.folder, 'config.toml');
    const control = join(qemu.folder, 'control');
    const config = (more: string) =>
      `[monitor.vm]
      upstream = ${JSON.stringify(qemu.monitor)}
      listen = [{ address = ${JSON.stringify(control)}, extensions = true }${more}]`;
    writeFileSync(file, config(''));
    const daemon = startDaemon(context, ['--config', file]);
    const [allowed = ''] = await daemon.ready();
    const client = await RawClient.negotiated(allowed);
    assert.equal(await asked(client, own('reload')), '{"return": {"changes": []}}');
    writeFileSync(file, config(`, ${JSON.stringify(join(qemu.folder, 'second'))}`));
    assert.equal(await asked(client, own('reload')), '{"return": {"changes": ["changed sockets: vm"]}}');
    writeFileSync(file, config(', { address = "/x", extension = true }'));
    const refusal = JSON.parse(await asked(client, own('reload')));
    assert.match(refusal.error.desc, /config\.toml:3: .*did you mean \\?"extensions\\?"/);
    assert.match(await asked(client, 'query-status'), /"return"/);
  });

  it('answer a reload that ends their own monitor', async (context) => {
    const qemu = await startQemu(context);
    const file = join(qemu.folder, 'config.toml');
    const control = join(qemu.folder, 'control');
    const config = (cache: boolean) =>
      `[monitor.vm]
      upstream = ${JSON.stringify(qemu.monitor)}
      cache = ${cache}
      listen = [{ address = ${JSON.stringify(control)}, extensions = true }]`;
    writeFileSync(file, config(true));
    const daemon = startDaemon(context, ['--config', file]);
    const client = await RawClient.negotiated((await daemon.ready())[0] ?? '');
    writeFileSync(file, config(false));
    assert.match(await asked(client, own('reload')), /this monitor stopped before the command was done/);
    await client.readToEnd();
    await daemon.ready();
  });
});
