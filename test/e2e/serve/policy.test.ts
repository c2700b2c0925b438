/** What a listener's options say of its clients, on a real QEMU. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { startDaemon } from '../../support/daemon/daemon.js';
import { missing, startQemu } from '../../support/qemu/qemu.js';
import { RawClient } from '../../support/world/raw-client.js';

async function negotiated(target: string, more = ''): Promise<RawClient> {
  const client = await RawClient.connect(target);
  await client.readLine();
  await client.write(`{"execute":"qmp_capabilities"${more}}`);
  assert.equal(await client.readLine(), '{"return": {}}');
  return client;
}

async function asked(client: RawClient, command: string): Promise<string> {
  await client.write(command);
  const lines = await client.readLinesUntil((line) => !line.startsWith('{"timestamp"'));
  return lines.at(-1) ?? '';
}

/** A QEMU, and a daemon with one socket for each of `options`. */
async function serve(context: TestContext, options: readonly string[], flags: readonly string[] = []) {
  const qemu = await startQemu(context);
  const listeners = options.map((each, index) => `unix:${join(qemu.folder, `l${index}`)}${each}`);
  const daemon = startDaemon(context, [
    '--upstream',
    qemu.monitor,
    ...listeners.flatMap((listener) => ['--listen', listener]),
    ...flags,
  ]);
  const targets = await daemon.ready();
  return { qemu, daemon, targets, target: targets[0] ?? '' };
}

describe('a listener', { skip: missing('qemu') }, () => {
  it('with policy=read-only lets queries through and refuses the rest; another one of the same VM does not', async (context) => {
    const { qemu, daemon, targets } = await serve(context, [',policy=read-only', '']);
    const [limited, full] = [await negotiated(targets[0] ?? ''), await negotiated(targets[1] ?? '')];
    assert.match(await asked(limited, '{"execute":"query-status","id":1}'), /^\{"return": \{.*"id": 1\}$/);
    const denial = (name: string, id: string) =>
      `{"id": ${id}, "error": {"class": "GenericError", "desc": "Command '${name}' is not allowed here (policy read-only)"}}`;
    assert.equal(await asked(limited, '{"execute":"c\\u006fnt","id":"x"}'), denial('cont', '"x"'));
    const hmp = '{"execute":"human-monitor-command","arguments":{"command-line":"cont"},"id":2}';
    assert.equal(await asked(limited, hmp), denial('human-monitor-command', '2'));
    assert.match(await asked(full, '{"execute":"query-status"}'), /"running": false/);
    assert.match(await asked(full, hmp), /"return": ""/);
    assert.equal(JSON.stringify(await qemu.execute('query-status')).includes('"running":true'), true);
    const line = await daemon.logged(({ msg }) => msg === 'refused a command');
    assert.equal(line['command'], 'cont');
    assert.equal(line['rule'], 'policy read-only: default deny');
  });

  it('with a policy of the config judges arguments and HMP lines', async (context) => {
    const qemu = await startQemu(context);
    const file = join(qemu.folder, 'config.toml');
    const mux = join(qemu.folder, 'mux');
    writeFileSync(
      file,
      `[monitor.vm]
      upstream = ${JSON.stringify(qemu.monitor)}
      listen = [{ address = ${JSON.stringify(mux)}, policy = "backup" }]
      [policy.backup]
      rules = ["deny object-add qom-type=secret", "allow object-add", "allow hmp info status", "allow hmp help"]
      `,
    );
    await startDaemon(context, ['--config', file]).ready();
    const client = await negotiated(mux);
    const add = (type: string) =>
      `{"execute":"object-add","arguments":{"qom-type":"${type}","id":"o-${type}"${type === 'secret' ? ',"data":"x"' : ''}}}`;
    assert.equal(await asked(client, add('iothread')), '{"return": {}}');
    assert.match(await asked(client, add('secret')), /is not allowed here \(policy backup\)/);
    const hmp = (line: string) => `{"execute":"human-monitor-command","arguments":{"command-line":"${line}"}}`;
    assert.match(await asked(client, hmp('  info status')), /VM status/);
    assert.match(await asked(client, hmp('? info')), /"return": "info/);
    assert.match(await asked(client, hmp('c')), /is not allowed here/);
  });

  it('with a rule against a command denies it as an action of a transaction too, which QEMU then does not see', async (context) => {
    const qemu = await startQemu(context);
    const rules = join(qemu.folder, 'rules');
    writeFileSync(rules, 'default allow\ndeny block-dirty-bitmap-add\n');
    const mux = join(qemu.folder, 'mux');
    await startDaemon(context, ['--upstream', qemu.monitor, '--listen', `${mux},policy=${rules}`]).ready();
    const client = await negotiated(mux);
    const disk = '{"execute":"blockdev-add","arguments":{"driver":"null-co","node-name":"d","size":1048576}}';
    assert.equal(await asked(client, disk), '{"return": {}}');
    const data = '"data":{"node":"d","name":"b"}';
    const add = `{"execute":"transaction","arguments":{"actions":[{"type":"block-dirty-bitmap-add",${data}}]},"id":1}`;
    assert.equal(
      await asked(client, add),
      `{"id": 1, "error": {"class": "GenericError", "desc": "Action 'block-dirty-bitmap-add' of command 'transaction' is not allowed here (policy ${rules})"}}`,
    );
    assert.doesNotMatch(JSON.stringify(await qemu.execute('query-named-block-nodes')), /"dirty-bitmaps"/);
    const none = '{"execute":"transaction","arguments":{"actions":[]}}';
    assert.equal(await asked(client, none), '{"return": {}}');
  });

  it('whose clients could add a monitor past the audit log is named at the start, where QEMU can have one added', async (context) => {
    const qemu = await startQemu(context);
    const folder = qemu.folder;
    const newer = join(folder, 'newer');
    const relay = createServer((socket) => {
      const upstream = connect(qemu.monitor);
      upstream.once('data', (greeting: Buffer) => {
        const version = '"qemu": {"micro": 3, "minor": 1, "major": 11}';
        socket.write(greeting.toString().replace(/"qemu": \{[^}]*\}/, version));
        upstream.pipe(socket);
      });
      socket.pipe(upstream);
      for (const end of [socket, upstream]) end.on('error', () => undefined);
    });
    relay.listen(newer);
    await once(relay, 'listening');
    context.after(() => relay.close());
    writeFileSync(join(folder, 'rules'), 'default allow\ndeny @monitors\n');
    const [open, closed, reading] = ['open', 'closed', 'reading'].map((name) => join(folder, name));
    const listen = [open, `${closed},policy=${folder}/rules`, `${reading},policy=read-only`].flatMap((each) => [
      '--listen',
      each ?? '',
    ]);
    const serving = async (flags: readonly string[]) => {
      const daemon = startDaemon(context, ['--upstream', newer, ...listen, ...flags]);
      await daemon.ready();
      await daemon.stop();
      return daemon.log.filter(({ msg }) => /can add monitors/.test(msg));
    };
    const [line, ...more] = await serving(['--audit', join(folder, 'audit')]);
    assert.deepEqual([line?.['listeners'], more], [[`unix:${open}`], []]);
    assert.match(String(line?.msg), /"deny @monitors"/);
    assert.deepEqual(await serving([]), [], 'without an audit log there is nothing to go past');
  });

  it('with policy=learn allows everything and writes the rules that it would have needed', async (context) => {
    const qemu = await startQemu(context);
    const [mux, rules] = [join(qemu.folder, 'mux'), join(qemu.folder, 'rules')];
    const daemon = startDaemon(context, ['--upstream', qemu.monitor, '--listen', `${mux},policy=learn:${rules}`]);
    await daemon.ready();
    const client = await negotiated(mux);
    await asked(client, '{"execute":"query-status"}');
    await asked(client, '{"execute":"query-status"}');
    await asked(client, '{"execute":"human-monitor-command","arguments":{"command-line":"info block -v"}}');
    assert.equal(readFileSync(rules, 'utf8'), 'allow query-status\nallow hmp info block\n');
    await client.close();
    await daemon.stop();
    await startDaemon(context, ['--upstream', qemu.monitor, '--listen', `${mux},policy=${rules}`]).ready();
    const held = await negotiated(mux);
    assert.match(await asked(held, '{"execute":"query-status"}'), /return/);
    assert.match(await asked(held, '{"execute":"query-name"}'), /is not allowed here/);
  });

  it('with events= passes those events and no others', async (context) => {
    const { targets } = await serve(context, [',events=RES*', ',events=none', '']);
    const clients = await Promise.all(targets.map((target) => negotiated(target)));
    for (const command of ['cont', 'stop']) await asked(clients[2] as RawClient, `{"execute":"${command}"}`);
    const names = [];
    for (const client of clients) {
      await client.write('{"execute":"query-name"}');
      const lines = await client.readLinesUntil((line) => line.startsWith('{"return"'));
      names.push(lines.slice(0, -1).map((line) => /"event": "(\w+)"/.exec(line)?.[1]));
    }
    assert.deepEqual(names.slice(0, 2), [['RESUME'], []]);
    assert.match(clients[2]?.received.toString() ?? '', /RESUME[^]*STOP/);
  });

  it('with allow-uid= or allow-gid= lets in whom it names, and no one else gets as far as the greeting', async (context) => {
    const [uid, gid] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0];
    const options = [`,allow-uid=${uid}`, `,allow-uid=${uid + 1}`, `,allow-uid=${uid + 1},allow-gid=${gid + 1}+${gid}`];
    const { daemon, targets } = await serve(context, options);
    await negotiated(targets[0] ?? '');
    await negotiated(targets[2] ?? '');
    const stranger = await RawClient.connect(targets[1] ?? '');
    const all = await stranger.readToEnd();
    assert.equal(
      all.toString(),
      `{"error": {"class": "GenericError", "desc": "qmpmux refused this connection: uid ${uid}, gid ${gid} is not allowed on this socket"}}\r\n`,
    );
    const line = await daemon.logged(({ msg }) => msg === 'refused a connection');
    assert.equal(line['limit'], 'refusedByOwner');
  });
});
