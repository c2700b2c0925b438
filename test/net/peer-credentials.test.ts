import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, Socket } from 'node:net';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { unixPeer } from '../../dist/net/peer-credentials.js';
import { missing } from '../support/programs.js';
import { scratch } from '../support/scratch.js';

describe('the peer of a Unix socket', () => {
  test('is known by process, user, group and program', { skip: missing('socat') }, async (t) => {
    const path = join(scratch(t), 's');
    const server = createServer().listen(path);
    t.after(() => server.close());
    await once(server, 'listening');
    const child = spawn('socat', ['-', `UNIX-CONNECT:${path}`], { stdio: ['pipe', 'ignore', 'ignore'] });
    t.after(() => child.kill('SIGKILL'));
    // what net.Server's event 'connection' brings
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion
    const [socket] = (await once(server, 'connection')) as [Socket];
    t.after(() => socket.destroy());
    assert.deepEqual(unixPeer(socket), {
      kind: 'unix',
      pid: child.pid,
      uid: process.getuid?.(),
      gid: process.getgid?.(),
      program: 'socat',
    });
  });

  test('is known by its kind alone where there is no socket any more', () => {
    assert.deepEqual(unixPeer(new Socket()), { kind: 'unix' });
  });
});
