import assert from 'node:assert/strict';
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { startDaemon } from '../../support/daemon/daemon.js';
import { scratch } from '../../support/files/scratch.js';
import { missing, startQemu } from '../../support/qemu/qemu.js';
import { RawClient } from '../../support/world/raw-client.js';

async function ask(client: RawClient): Promise<string> {
  await client.write('{"execute":"query-name"}');
  return client.readLine();
}

describe('qmpmux serve with a config file', { skip: missing('qemu') }, () => {
  test('carries several monitors, which live and die one by one', async (t) => {
    const folder = scratch(t);
    const names = ['web', 'db', 'late'];
    const qemus = await Promise.all(['web', 'db'].map((name) => startQemu(t, { name })));
    writeFileSync(
      join(folder, 'qmpmux.toml'),
      `
      [log]
      level = "debug"
      [monitor.web]
      upstream = "${qemus[0]?.monitor}"
      listen = ["${folder}/web.mux", { address = "${folder}/web2.mux", mode = "0666" }]
      [monitor.db]
      upstream = "${qemus[1]?.monitor}"
      listen = ["${folder}/db.mux"]
      [monitor.late]
      upstream = "${folder}/late.qmp"
      listen = ["${folder}/late.mux"]
      `,
    );
    const daemon = startDaemon(t, ['--config', join(folder, 'qmpmux.toml')]);
    const places = [...(await daemon.ready()), ...(await daemon.ready())].sort();
    assert.deepEqual(places, [`unix:${folder}/db.mux`, `unix:${folder}/web.mux`, `unix:${folder}/web2.mux`]);
    assert.equal(statSync(`${folder}/web2.mux`).mode & 0o777, 0o666);

    const clients = await Promise.all(['web', 'db'].map((name) => RawClient.connect(join(folder, `${name}.mux`))));
    for (const [index, client] of clients.entries()) {
      await client.readLine();
      await client.write('{"execute":"qmp_capabilities"}');
      await client.readLine();
      assert.equal(await ask(client), `{"return": {"name": "${names[index]}"}}`);
    }

    await qemus[0]?.kill();
    await clients[0]?.readToEnd();
    const lost = await daemon.logged((line) => line.msg.startsWith('lost QEMU'));
    assert.equal(lost.monitor, 'web');
    assert.ok(!existsSync(`${folder}/web.mux`));
    const [, db] = clients;
    assert.ok(db !== undefined);
    assert.equal(await ask(db), '{"return": {"name": "db"}}');

    await startQemu(t, { monitors: [], extraArgs: ['-qmp', `unix:${folder}/late.qmp,server=on,wait=off`] });
    assert.deepEqual(await daemon.ready(), [`unix:${folder}/late.mux`]);
    assert.match(daemon.output, /^qmpmux: ready: late: /m);

    assert.deepEqual(await daemon.stop(), { code: 0, signal: null });
    for (const name of ['web', 'web2', 'db', 'late']) assert.ok(!existsSync(`${folder}/${name}.mux`));
  });

  test('starts nothing when one of its sockets cannot be made', async (t) => {
    const folder = scratch(t);
    const qemu = await startQemu(t);
    writeFileSync(
      join(folder, 'qmpmux.toml'),
      `
      monitor.good = { upstream = "${qemu.monitor}", listen = ["${folder}/good.mux"] }
      monitor.bad = { upstream = "/nowhere", listen = ["${folder}/no/bad.mux"] }
      `,
    );
    const daemon = startDaemon(t, ['--config', join(folder, 'qmpmux.toml')]);
    assert.deepEqual(await daemon.exited, { code: 69, signal: null });
    assert.match(
      daemon.errors,
      /^qmpmux: cannot listen on unix:\/.*\/no\/bad\.mux: the folder .* does not exist; make it first\n$/,
    );
    assert.equal(daemon.output, '');
  });
});
