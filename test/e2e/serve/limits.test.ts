/** The limits that need real sockets: what a client does not read, how many there are, how fast they come, descriptors. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { type Daemon, startDaemon } from '../../support/daemon/daemon.js';
import { missing, type Qemu, startQemu } from '../../support/qemu/qemu.js';
import { RawClient } from '../../support/world/raw-client.js';

const AS_NOBODY = ['--reuid=65534', '--regid=65534', '--clear-groups'];
const NEGOTIATE = '{"execute":"qmp_capabilities"}';

async function serve(
  context: TestContext,
  flags: readonly string[],
  options = '',
): Promise<{ qemu: Qemu; daemon: Daemon; target: string }> {
  const qemu = await startQemu(context);
  const listen = `unix:${join(qemu.folder, 'mux')}${options}`;
  const daemon = startDaemon(context, ['--upstream', qemu.monitor, '--listen', listen, ...flags]);
  const [target = ''] = await daemon.ready();
  return { qemu, daemon, target };
}

async function negotiated(target: string): Promise<RawClient> {
  const client = await RawClient.connect(target);
  await client.readLine();
  await client.write(NEGOTIATE);
  await client.readLine();
  return client;
}

/** Where the daemon has not accepted thousands yet, the kernel takes no more for a moment. */
async function patientlyConnected(target: string, steady: RawClient): Promise<RawClient> {
  for (;;) {
    try {
      return await RawClient.connect(target);
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EAGAIN')) throw error;
      await isServed(steady);
    }
  }
}

async function isServed(client: RawClient): Promise<boolean> {
  await client.write('{"execute":"query-status","id":"still here"}');
  const lines = await client.readLinesUntil((line) => line.includes('still here'));
  return lines.length > 0;
}

describe('a client of the daemon', { skip: missing('qemu', 'socat') }, () => {
  it('that reads nothing is disconnected after the grace period, with a line in the log; others notice nothing', async (context) => {
    const { daemon, target } = await serve(context, [
      '--limit',
      'output-high-water=64k',
      '--limit',
      'output-grace=500ms',
    ]);
    const [stuck, other] = [await negotiated(target), await negotiated(target)];
    stuck.pause();
    await stuck.write('{"execute":"query-qmp-schema"}'.repeat(20));
    const line = await daemon.logged(({ msg }) => msg === 'disconnected a client that reached a limit');
    assert.equal(line['limit'], 'slow');
    assert.equal(line['client'], 1);
    assert.match(String(line['what']), /unread, above 65536 bytes, none read for 0\.5 s/);
    assert.ok(await isServed(other));
    stuck.resume();
    const all = await stuck.readToEnd();
    assert.ok(all.length < 2_000_000, `${all.length} bytes`);
  });

  it('that asks for the schema a thousand times gets it a thousand times, as fast as it reads', async (context) => {
    const { daemon, target } = await serve(context, ['--limit', 'output-high-water=1M', '--limit', 'output-cap=8M']);
    const client = await negotiated(target);
    let bytes = 0;
    let answers = 0;
    client.socket.removeAllListeners('data');
    const done = new Promise<void>((resolve) => {
      client.socket.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, at + 1)) answers++;
        if (answers === 1000) resolve();
      });
    });
    await client.write('{"execute":"query-qmp-schema"}'.repeat(1000));
    await done;
    assert.ok(bytes > 100_000_000, `${bytes} bytes`);
    assert.equal(daemon.log.filter((line) => line.level >= 40).length, 0);
  });

  it('that is one too many is told so before it is closed', async (context) => {
    const { daemon, target } = await serve(context, [], ',max-clients=2');
    const [first] = [await negotiated(target), await negotiated(target)];
    const third = await RawClient.connect(target);
    assert.match(
      (await third.readToEnd()).toString(),
      /^\{"error": .*qmpmux has too many clients on this socket \(limit 2\)/,
    );
    const line = await daemon.logged(({ msg }) => msg === 'refused a connection');
    assert.equal(line['limit'], 'refusedByListener');
    await first?.close();
    for (;;) {
      const next = await RawClient.connect(target);
      if ((await next.readLine()).startsWith('{"QMP"')) break;
      await next.close();
    }
  });

  it('whose user has as many as each may have is told so before it is closed, and other users are let in', async (context) => {
    const { qemu, daemon, target } = await serve(context, [], ',mode=0666,max-clients-per-uid=2');
    const uid = process.getuid?.() ?? 0;
    const [first] = [await negotiated(target), await negotiated(target)];
    const third = await RawClient.connect(target);
    const refusal = `qmpmux refused this connection: uid ${uid} has 2 connections on this socket already (limit 2)`;
    assert.equal(
      (await third.readToEnd()).toString(),
      `{"error": {"class": "GenericError", "desc": "${refusal}"}}\r\n`,
    );
    const line = await daemon.logged(({ msg }) => msg === 'refused a connection');
    assert.equal(line['limit'], 'refusedByListener');
    if (uid === 0) {
      chmodSync(qemu.folder, 0o755);
      const path = target.replace(/^unix:/, '');
      const other = spawn('setpriv', [...AS_NOBODY, 'socat', '-u', `UNIX-CONNECT:${path}`, 'STDOUT']);
      const [greeting]: unknown[] = await once(other.stdout, 'data');
      assert.match(String(greeting), /^\{"QMP"/);
      other.kill();
    }
    await first?.close();
    for (;;) {
      const next = await RawClient.connect(target);
      if ((await next.readLine()).startsWith('{"QMP"')) break;
      await next.close();
    }
  });

  it('that does not negotiate is disconnected in time', async (context) => {
    const { daemon, target } = await serve(context, ['--limit', 'negotiation-time=600ms']);
    const [silent, ready] = [await RawClient.connect(target), await negotiated(target)];
    assert.match((await silent.readToEnd()).toString(), /^\{"QMP": .*\}\r\n$/);
    assert.ok(await isServed(ready));
    const line = await daemon.logged(({ msg }) => msg === 'disconnected a client that reached a limit');
    assert.equal(line['limit'], 'unnegotiated');
  });

  it('that comes with too many others at once is told so', async (context) => {
    const { target } = await serve(context, [], ',connection-rate=5');
    const all = await Promise.all(Array.from({ length: 40 }, () => RawClient.connect(target)));
    const first = await Promise.all(all.map((client) => client.readLine()));
    const refused = first.filter((line) => line.includes('more than 5 connections a second')).length;
    const served = first.filter((line) => line.startsWith('{"QMP"')).length;
    assert.equal(refused + served, 40);
    assert.ok(served >= 10 && served < 30, `${served} served`);
    await Promise.all(all.map((client) => client.close()));
  });

  it('is served on while there are no descriptors for others, and they are served when there are some again', async (context) => {
    const { daemon, target } = await serve(context, []);
    const clients = [await negotiated(target)];
    const open = Number(execFileSync('sh', ['-c', `ls /proc/${daemon.pid}/fd | wc -l`]).toString());
    execFileSync('prlimit', ['--pid', String(daemon.pid), `--nofile=${open + 5}:`]);
    let turnedAway = 0;
    for (let i = 0; i < 20; i++) {
      const client = await RawClient.connect(target);
      const greeting = await client.readUntil('\n').catch(() => null);
      if (greeting === null) turnedAway++;
      else clients.push(client);
    }
    assert.ok(turnedAway >= 10, `${turnedAway} turned away`);
    for (const client of clients.slice(0, 1)) assert.ok(await isServed(client));
    for (const client of clients.splice(1)) await client.close();
    for (;;) {
      const client = await RawClient.connect(target);
      const greeting = await client.readUntil('\n').catch(() => null);
      if (greeting !== null) break;
    }
    assert.ok(await isServed(clients[0] as RawClient));
  });
});

describe('a daemon with few descriptors', { skip: missing('qemu') }, () => {
  it('tells those that it has none for, and serves the rest', async (context) => {
    const qemu = await startQemu(context);
    const path = join(qemu.folder, 'mux');
    const daemon = startDaemon(context, ['--upstream', qemu.monitor, '--listen', path], {}, [
      'sh',
      '-c',
      'ulimit -n 80 && exec "$0" "$@"',
    ]);
    await daemon.ready();
    const clients = await Promise.all(Array.from({ length: 20 }, () => RawClient.connect(path)));
    const first = await Promise.all(clients.map((client) => client.readLine()));
    assert.equal(first.filter((line) => line.startsWith('{"QMP"')).length, 8);
    assert.equal(first.filter((line) => line.includes('too many open files, try again later')).length, 12);
    const line = await daemon.logged(({ msg }) => msg === 'refused a connection');
    assert.equal(line['limit'], 'refusedByDescriptors');
    await Promise.all(clients.map((client) => client.close()));
    for (;;) {
      const next = await RawClient.connect(path);
      if ((await next.readLine()).startsWith('{"QMP"')) break;
      await next.close();
    }
  });

  it('leaks none of them to clients that connect and vanish', async (context) => {
    const { daemon, target } = await serve(context, [], ',connection-rate=0');
    const open = () => Number(execFileSync('sh', ['-c', `ls /proc/${daemon.pid}/fd | wc -l`]).toString());
    const steady = await negotiated(target);
    assert.ok(await isServed(steady));
    const before = open();
    const rounds = Number(process.env['QMPMUX_VANISH'] ?? '3000');
    for (let done = 0; done < rounds; done += 50) {
      await Promise.all(
        Array.from({ length: 50 }, async (_, index) => {
          const client = await patientlyConnected(target, steady);
          if (index % 3 === 0) await client.write(NEGOTIATE + '{"execute":"query-status"}');
          if (index % 3 === 1) await client.write('{"execute":');
          await client.close();
        }),
      );
    }
    assert.ok(await isServed(steady));
    // What was still under way ends with the answers to it.
    let now = open();
    for (let looks = 0; now > before && looks < 1000; looks++) {
      await isServed(steady);
      now = open();
    }
    assert.ok(now <= before, `${now} descriptors, ${before} before`);
  });
});
