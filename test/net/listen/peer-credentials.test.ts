import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { createConnection, createServer, Socket } from 'node:net';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { Peer } from '../../../dist/mux/ports/link.js';
import { type AskKernel, unixPeer } from '../../../dist/net/listen/peer-credentials.js';
import { unitOf } from '../../../dist/net/listen/process-facts.js';
import { missing } from '../../support/daemon/programs.js';
import { scratch } from '../../support/files/scratch.js';

describe('the peer of a Unix socket', () => {
  test('is known by process, user, group and program', { skip: missing('socat') }, async (t) => {
    const path = join(scratch(t), 's');
    const server = createServer().listen(path);
    t.after(() => server.close());
    await once(server, 'listening');
    const child = spawn('socat', ['-', `UNIX-CONNECT:${path}`], { stdio: ['pipe', 'ignore', 'ignore'] });
    t.after(() => child.kill('SIGKILL'));
    // what net.Server's event 'connection' brings
    const [socket] = (await once(server, 'connection')) as [Socket];
    t.after(() => socket.destroy());
    const { user, unit, loginuid, login, ...peer } = peerFacts(unixPeer(socket));
    assert.deepEqual(peer, {
      kind: 'unix',
      pid: child.pid,
      uid: process.getuid?.(),
      gid: process.getgid?.(),
      program: 'socat',
      exe: readlinkSync(`/proc/${child.pid}/exe`),
    });
    assert.equal(user, userInfo().username);
    // Where this runs decides whether somebody logged in for it, and in which unit.
    const written = readFileSync('/proc/self/loginuid', 'utf8');
    assert.equal(loginuid ?? 2 ** 32 - 1, Number(written));
    assert.equal(login === undefined || loginuid !== undefined, true);
    assert.equal(unit ?? null, unitOf(readFileSync('/proc/self/cgroup', 'utf8')));
  });

  // Under an emulator, every program is the emulator's for the kernel.
  const skip = process.env['QMPMUX_EMULATED'] !== undefined;
  test('is known by its script, as it was when it connected', { skip }, async (t) => {
    const folder = scratch(t);
    const path = join(folder, 's');
    const script = join(folder, 'exporter.mjs');
    writeFileSync(script, 'import { connect } from "node:net"; connect(process.argv[2]);');
    const server = createServer().listen(path);
    t.after(() => server.close());
    await once(server, 'listening');
    const child = spawn(process.execPath, [script, path, 'secret'], { stdio: 'ignore' });
    t.after(() => child.kill('SIGKILL'));
    // As above
    const [socket] = (await once(server, 'connection')) as [Socket];
    t.after(() => socket.destroy());
    const peer = peerFacts(unixPeer(socket));
    assert.equal(peer.program, 'exporter.mjs');
    assert.ok(!JSON.stringify(peer).includes('secret'));
    const files = readdirSync('/proc/self/fd').length;
    for (let i = 0; i < 100; i++) unixPeer(socket);
    assert.ok(readdirSync('/proc/self/fd').length < files + 50, 'descriptors are left open');
    child.kill('SIGKILL');
    await once(child, 'exit');
    // Nothing is known any more of who it was; a process that has its number now is not taken for it.
    assert.equal(peerFacts(unixPeer(socket)).program, undefined);
  });

  test('is nobody known, and never root, where the kernel fails or answers something else', async (t) => {
    const path = join(scratch(t), 's');
    const server = createServer().listen(path);
    t.after(() => server.close());
    await once(server, 'listening');
    const client = createConnection(path);
    t.after(() => client.destroy());
    // what net.Server's event 'connection' brings
    const [socket] = (await once(server, 'connection')) as [Socket];
    t.after(() => socket.destroy());
    const answer =
      (status: number, bytes: readonly number[], told = bytes.length): AskKernel =>
      (_fd, option, value, length) => {
        if (option !== 'SO_PEERCRED') return -1;
        value.set(bytes);
        length[0] = told;
        return status;
      };
    const ucred = Buffer.from(Int32Array.of(0, 4_000_000_000, 8).buffer);
    assert.deepEqual(unixPeer(socket, answer(0, [...ucred])), { kind: 'unix', uid: 4_000_000_000, gid: 8 });
    // What 17 asks for on POWER: SO_SNDLOWAT, an int that is 1.
    assert.deepEqual(unixPeer(socket, answer(0, [...new Uint8Array(Int32Array.of(1).buffer)])), { kind: 'unix' });
    assert.deepEqual(unixPeer(socket, answer(-1, [], 12)), { kind: 'unix' });
    for (const told of [0, 4, 8, 11, 13, 16]) assert.deepEqual(unixPeer(socket, answer(0, [], told)), { kind: 'unix' });
  });

  test('is known by its kind alone where there is no socket any more', () => {
    assert.deepEqual(unixPeer(new Socket()), { kind: 'unix' });
  });
});

test('the unit of a process is the one that systemd has made, not a group below it', () => {
  const units: readonly [string, string | null][] = [
    ['0::/system.slice/backup.service\n', 'backup.service'],
    ['0::/system.slice/system-qmpmux.slice/qmpmux@vm.service\n', 'qmpmux@vm.service'],
    ['0::/user.slice/user-1000.slice/session-3.scope\n', 'session-3.scope'],
    ['0::/user.slice/user-1000.slice/user@1000.service/app.slice/libvirtd.service\n', 'user@1000.service'],
    ['4:memory:/x.service\n1:name=systemd:/system.slice/cron.service\n', 'cron.service'],
    ['0::/../../system.slice/cron.service\n', 'cron.service'],
    ['0::/system.slice/_cgroup.service\n', 'cgroup.service'],
    ['0::/init.scope\n', 'init.scope'],
    ['0::/docker/0123\n', null],
    ['0::/\n', null],
    ['', null],
  ];
  for (const [text, unit] of units) assert.equal(unitOf(text), unit, text);
});

function peerFacts(peer: Peer): Extract<Peer, { readonly kind: 'unix' }> {
  assert.equal(peer.kind, 'unix');
  return peer;
}
