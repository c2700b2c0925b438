import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { type Daemon, startQmpmux } from '../../support/daemon/daemon.js';
import { freePort } from '../../support/daemon/free-port.js';
import { type Scope, scratch } from '../../support/files/scratch.js';
import { missing, startQemu } from '../../support/qemu/qemu.js';
import { RawClient } from '../../support/world/raw-client.js';

/** Starts systemd-socket-activate, which runs the daemon when the first client connects. */
function activate(
  scope: Scope,
  sockets: readonly (readonly [name: string, address: string])[],
  args: readonly string[],
): Daemon {
  return startQmpmux(scope, ['serve', ...args], {}, [
    'systemd-socket-activate',
    ...sockets.flatMap(([, address]) => ['-l', address]),
    `--fdname=${sockets.map(([name]) => name).join(':')}`,
  ]);
}

async function negotiate(client: RawClient): Promise<void> {
  assert.match(await client.readLine(), /^\{"QMP"/);
  await client.write('{"execute":"qmp_capabilities"}');
  assert.equal(await client.readLine(), '{"return": {}}');
}

describe('socket activation', { skip: missing('qemu', 'systemd-socket-activate'), timeout: 120_000 }, () => {
  test('serves several sockets by name; who comes before QEMU waits', async (t) => {
    const folder = scratch(t);
    const [clients, backup, qmp] = ['clients', 'backup', 'qmp'].map((name) => join(folder, name));
    assert.ok(clients !== undefined && backup !== undefined && qmp !== undefined);
    const port = `127.0.0.1:${await freePort()}`;
    const daemon = activate(
      t,
      [
        ['clients', clients],
        ['backup', backup],
        ['port', port],
      ],
      [
        '--upstream',
        qmp,
        '--listen',
        'fd:clients',
        '--listen',
        'fd:backup',
        '--listen',
        'fd:port',
        '--log-format',
        'json',
      ],
    );
    const first = await RawClient.soon(clients);
    const second = await RawClient.soon(backup);
    await second.write('{"execute":"qmp_capabilities"}{"execute":"query-name","id":1}');
    const gone = await RawClient.connect(clients);
    await gone.close();
    await daemon.logged((line) => line.msg === 'waiting for QEMU');
    assert.equal(first.unread.length + second.unread.length, 0);

    const qemu = await startQemu(t, {
      monitors: [],
      name: 'held',
      extraArgs: ['-qmp', `unix:${qmp},server=on,wait=off`],
    });
    const places = await daemon.ready();
    assert.deepEqual(places, ['fd:clients', 'fd:backup', 'fd:port']);
    await negotiate(first);
    assert.match(await second.readLine(), /^\{"QMP"/);
    assert.equal(await second.readLine(), '{"return": {}}');
    assert.equal(await second.readLine(), '{"return": {"name": "held"}, "id": 1}');
    const third = await RawClient.connect(`tcp:${port}`);
    await negotiate(third);

    // QEMU goes: those who are there get EOF, as on its own socket, and who comes then waits.
    await qemu.kill();
    await first.readToEnd();
    await daemon.logged((line) => line.msg.startsWith('lost QEMU'));
    const fourth = await RawClient.connect(clients);
    await startQemu(t, { monitors: [], extraArgs: ['-qmp', `unix:${qmp},server=on,wait=off`] });
    await daemon.ready();
    await negotiate(fourth);
    assert.deepEqual(await daemon.stop(), { code: 0, signal: null });
  });

  test('leaves the sockets to systemd: they are not passed on to the command of an upstream', async (t) => {
    const folder = scratch(t);
    const clients = join(folder, 'clients');
    const script = join(folder, 'upstream.sh');
    writeFileSync(script, `ls -l /proc/self/fd > ${folder}/fds; env > ${folder}/env; exec sleep 1000\n`);
    const daemon = activate(
      t,
      [['clients', clients]],
      ['--upstream', `exec:sh ${script}`, '--listen', 'fd:clients', '--log-level', 'debug'],
    );
    const client = await RawClient.soon(clients);
    const { readFile } = await import('node:fs/promises');
    let environment = '';
    for (let tries = 0; tries < 3000 && !environment.includes('PATH='); tries++) {
      await new Promise((resolve) => setTimeout(resolve, 10));
      environment = await readFile(join(folder, 'env'), 'utf8').catch(() => '');
    }
    assert.match(environment, /^PATH=/m);
    assert.doesNotMatch(environment, /LISTEN_/);
    const descriptors = await readFile(join(folder, 'fds'), 'utf8');
    assert.equal(descriptors.match(/ -> socket:/g)?.length ?? 0, descriptors.match(/ [012] -> socket:/g)?.length ?? 0);
    await client.close();
    await daemon.stop();
  });

  test('says which names there are when the one that is wanted is not', async (t) => {
    const folder = scratch(t);
    const clients = join(folder, 'clients');
    const daemon = activate(t, [['clients', clients]], ['--upstream', join(folder, 'q'), '--listen', 'fd:backup']);
    const client = await RawClient.soon(clients);
    assert.deepEqual(await daemon.exited, { code: 69, signal: null });
    assert.match(daemon.errors, /cannot listen on fd:backup: no socket of this name was inherited \(only clients\);/);
    await client.close();
  });

  test('serves all sockets of one name, to those whom the listener allows, and tells of those that nobody serves', async (t) => {
    const folder = scratch(t);
    const qemu = await startQemu(t);
    const [one, two, other] = ['one', 'two', 'other'].map((name) => join(folder, name));
    assert.ok(one !== undefined && two !== undefined && other !== undefined);
    const uid = process.getuid?.() ?? 0;
    const sockets = [
      ['clients', one],
      ['clients', two],
      ['spare', other],
      ['strangers', join(folder, 'strangers')],
    ] as const;
    const args = ['--listen', `fd:clients,allow-uid=${uid}`, '--listen', `fd:strangers,allow-uid=${uid + 1}`];
    const daemon = activate(t, sockets, ['--upstream', qemu.monitor, ...args, '--log-format', 'json']);
    const first = await RawClient.soon(one);
    const line = await daemon.logged(({ msg }) => msg.startsWith('systemd passed sockets that no listener uses'));
    assert.deepEqual(line['sockets'], ['fd:spare']);
    await negotiate(first);
    await negotiate(await RawClient.connect(two));
    const stranger = await RawClient.connect(join(folder, 'strangers'));
    assert.match(
      (await stranger.readToEnd()).toString(),
      new RegExp(`uid ${uid}, gid \\d+ is not allowed on this socket`),
    );
    assert.deepEqual(await daemon.stop(), { code: 0, signal: null });
  });

  test('refuses a socket that other machines can reach', async (t) => {
    const folder = scratch(t);
    const qemu = await startQemu(t);
    const sockets = [
      ['a', join(folder, 'a')],
      ['b', `0.0.0.0:${await freePort()}`],
    ] as const;
    const daemon = activate(t, sockets, ['--upstream', qemu.monitor, '--listen', 'fd:b']);
    const client = await RawClient.soon(join(folder, 'a'));
    const line = await daemon.logged(({ msg }) => msg === 'cannot create a socket');
    assert.match(line.reason ?? '', /0\.0\.0\.0 can be reached from other machines/);
    await client.close();
  });
});
