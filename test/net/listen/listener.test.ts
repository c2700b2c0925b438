import assert from 'node:assert/strict';
import { once } from 'node:events';
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { parseListener } from '../../../dist/net/address/address-parser.js';
import { ListenError } from '../../../dist/net/listen/listen-error.js';
import { Listener } from '../../../dist/net/listen/listener.js';
import { scratch } from '../../support/files/scratch.js';

interface Opened {
  readonly listener: Listener;
  readonly accepted: Socket[];
}

function newListener(t: TestContext, text: string): Opened {
  const accepted: Socket[] = [];
  const listener = new Listener({
    address: parseListener(text),
    accept: (socket) => {
      accepted.push(socket);
      // Those who only look whether somebody is there leave at once.
      socket.on('error', () => undefined);
      socket.end('hello');
    },
    trouble: (error) => {
      throw error;
    },
  });
  t.after(() => {
    listener.close();
    for (const socket of accepted) socket.destroy();
  });
  return { listener, accepted };
}

async function greeting(where: string): Promise<string> {
  const tcp = /^tcp:(.*):(\d+)$/.exec(where);
  const target =
    tcp === null
      ? { path: where.replace(/^unix:/, '').replaceAll(',,', ',') }
      : { host: (tcp[1] ?? '').replace(/^\[(.*)\]$/, '$1'), port: Number(tcp[2]) };
  const socket = connect(target);
  let text = '';
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  await once(socket, 'end');
  return text;
}

/** Leaves a socket file behind that nobody listens on, as a killed process does. */
async function leaveStale(path: string): Promise<void> {
  const server = createServer().listen({ path: `${path}.live` });
  await once(server, 'listening');
  // Closing removes the name it was bound to, not the new one.
  renameSync(`${path}.live`, path);
  server.close();
  await once(server, 'close');
  assert.ok(lstatSync(path).isSocket());
}

async function problemOf(listener: Listener): Promise<string> {
  const problems: string[] = [];
  for (const attempt of [() => listener.check(), () => listener.open()]) {
    await assert.rejects(attempt, (error) => {
      assert.ok(error instanceof ListenError, String(error));
      assert.equal(error.code, 'QMPMUX_LISTEN');
      assert.doesNotMatch(error.message, /\n/);
      problems.push(error.message);
      return true;
    });
  }
  assert.equal(problems[0], problems[1]);
  assert.ok(!listener.isOpen);
  return problems[0] ?? '';
}

describe('a listener on a unix socket', () => {
  test('makes a socket that only its owner can open, whatever the umask', async (t) => {
    const path = join(scratch(t), 's');
    const { listener } = newListener(t, path);
    const before = process.umask(0);
    try {
      await listener.check();
      assert.equal(lstatSync(path, { throwIfNoEntry: false }), undefined);
      assert.equal(await listener.open(), true);
      assert.equal(process.umask(), 0);
    } finally {
      process.umask(before);
    }
    assert.ok(lstatSync(path).isSocket());
    assert.equal(lstatSync(path).mode & 0o777, 0o600);
    assert.equal(listener.place, `unix:${path}`);
    assert.equal(await greeting(path), 'hello');
  });

  test('gives it the mode and group of its address', async (t) => {
    const path = join(scratch(t), 'a,b');
    const group = String(process.getgid?.() ?? 0);
    const { listener } = newListener(t, `unix:${path.replaceAll(',', ',,')},mode=0664,group=${group}`);
    await listener.check();
    assert.deepEqual(readdirSync(join(path, '..')), []);
    await listener.open();
    assert.equal(statSync(path).mode & 0o777, 0o664);
    assert.equal(statSync(path).gid, Number(group));
    assert.equal(await greeting(listener.place), 'hello');
  });

  test('gives it to the user of its address', {
    skip: process.getuid?.() !== 0 && 'only root can give files away',
  }, async (t) => {
    const path = join(scratch(t), 's');
    const { listener } = newListener(t, `${path},user=nobody,group=daemon`);
    await listener.check();
    await listener.open();
    const passwd = /^nobody:[^:]*:(\d+):/m.exec(readFileSync('/etc/passwd', 'utf8'));
    assert.equal(statSync(path).uid, Number(passwd?.[1]));
    assert.notEqual(statSync(path).gid, 0);
    assert.equal(statSync(path).mode & 0o777, 0o600);
  });

  test('removes its socket when it is closed, and can be opened again', async (t) => {
    const path = join(scratch(t), 's');
    const { listener } = newListener(t, path);
    for (let round = 0; round < 3; round++) {
      await listener.open();
      assert.equal(await listener.open(), true, 'opening it twice is opening it once');
      assert.equal(await greeting(path), 'hello');
      listener.close();
      listener.close();
      assert.equal(lstatSync(path, { throwIfNoEntry: false }), undefined);
    }
  });

  test('keeps serving the connections it had when it is closed', async (t) => {
    const path = join(scratch(t), 's');
    const { listener, accepted } = newListener(t, path);
    await listener.open();
    const client = connect({ path, allowHalfOpen: true });
    client.resume();
    await once(client, 'end');
    listener.close();
    const [socket] = accepted;
    assert.ok(socket !== undefined);
    client.end('still there');
    const [chunk] = await once(socket, 'data');
    assert.equal(String(chunk), 'still there');
    client.destroy();
  });

  test('leaves another socket alone that has taken its path meanwhile', async (t) => {
    const path = join(scratch(t), 's');
    const first = newListener(t, path).listener;
    const second = newListener(t, path).listener;
    await first.open();
    unlinkSync(path);
    await second.open();
    first.close();
    assert.equal(await greeting(path), 'hello');
    assert.deepEqual(readdirSync(join(path, '..')), ['s']);
    second.close();
    assert.deepEqual(readdirSync(join(path, '..')), []);
  });

  test('leaves a file alone that has taken its path meanwhile', async (t) => {
    const path = join(scratch(t), 's');
    const { listener } = newListener(t, path);
    await listener.open();
    unlinkSync(path);
    writeFileSync(path, 'precious');
    listener.close();
    assert.equal(readFileSync(path, 'utf8'), 'precious');
  });

  test('replaces a stale socket', async (t) => {
    const path = join(scratch(t), 's');
    await leaveStale(path);
    const { listener } = newListener(t, path);
    await listener.check();
    assert.ok(lstatSync(path).isSocket(), 'looking changes nothing');
    await listener.open();
    assert.equal(await greeting(path), 'hello');
  });

  test('refuses a socket that is in use, and leaves it in use', async (t) => {
    const path = join(scratch(t), 's');
    await newListener(t, path).listener.open();
    const problem = await problemOf(newListener(t, path).listener);
    assert.match(problem, /^cannot listen on unix:\/.*\/s: it is in use by listener\.test\.js \(pid \d+, [^()]+\)/);
    assert.equal(await greeting(path), 'hello');
  });

  test('never touches a file that is not a socket', async (t) => {
    const folder = scratch(t);
    const path = join(folder, 's');
    writeFileSync(path, 'precious');
    assert.match(await problemOf(newListener(t, path).listener), /a regular file is there, and qmpmux removes only/);
    assert.equal(readFileSync(path, 'utf8'), 'precious');

    mkdirSync(join(folder, 'dir'));
    assert.match(await problemOf(newListener(t, join(folder, 'dir')).listener), /a folder is there/);

    symlinkSync('nowhere', join(folder, 'link'));
    assert.match(await problemOf(newListener(t, join(folder, 'link')).listener), /a symbolic link is there/);
    assert.deepEqual(readdirSync(folder).sort(), ['dir', 'link', 's']);
  });

  test('names the folder that is missing', async (t) => {
    const folder = scratch(t);
    const problem = await problemOf(newListener(t, join(folder, 'no', 's')).listener);
    assert.match(problem, /the folder \/.*\/no does not exist; make it first$/);
    writeFileSync(join(folder, 'file'), '');
    assert.match(await problemOf(newListener(t, join(folder, 'file', 's')).listener), /\/file is no folder/);
  });

  test('names the account that is unknown', async (t) => {
    const path = join(scratch(t), 's');
    const user = await problemOf(newListener(t, `${path},user=no-such-user`).listener);
    assert.match(user, /there is no user "no-such-user" in \/etc\/passwd; write the name of another, or a number/);
    const group = await problemOf(newListener(t, `${path},group=no-such-group`).listener);
    assert.match(group, /there is no group "no-such-group" in \/etc\/group/);
  });

  test('leaves nothing behind when it is closed while it opens', async (t) => {
    const folder = scratch(t);
    const { listener } = newListener(t, join(folder, 's'));
    const opening = listener.open();
    listener.close();
    assert.equal(await opening, false);
    assert.ok(!listener.isOpen);
    assert.deepEqual(readdirSync(folder), []);
  });

  test('is refused in a folder it may not write to', {
    skip: process.getuid?.() !== 0 && 'needs root to become nobody',
  }, async (t) => {
    const folder = scratch(t);
    chmodSync(folder, 0o755);
    process.seteuid?.(65534);
    try {
      const { listener } = newListener(t, join(folder, 's'));
      await assert.rejects(listener.check(), { message: /: permission denied in the folder/ });
      await assert.rejects(listener.open(), { message: /: permission denied/ });
    } finally {
      process.seteuid?.(0);
    }
  });

  test('is refused when its socket may not be given away', {
    skip: process.getuid?.() !== 0 && 'needs root to become nobody',
  }, async (t) => {
    const folder = scratch(t);
    chmodSync(folder, 0o1777);
    process.seteuid?.(65534);
    try {
      const { listener } = newListener(t, `${join(folder, 's')},user=0`);
      await assert.rejects(listener.check(), { message: /permission denied/ });
      await assert.rejects(listener.open(), { message: /cannot set its owner or mode: permission denied/ });
      assert.deepEqual(readdirSync(folder), []);
    } finally {
      process.seteuid?.(0);
    }
  });
});

describe('a listener on TCP', () => {
  for (const host of ['127.0.0.1', '127.1.2.3', '[::1]', 'localhost']) {
    test(`listens on ${host}, and keeps the port that was picked`, async (t) => {
      const { listener } = newListener(t, `tcp:${host}:0`);
      await listener.check();
      await listener.open();
      const place = listener.place;
      assert.match(place, /^tcp:.*:[1-9]\d*$/);
      assert.ok(place.startsWith(`tcp:${host}:`));
      assert.equal(await greeting(place), 'hello');
      listener.close();
      await listener.open();
      assert.equal(listener.place, place);
      assert.equal(await greeting(place), 'hello');
    });
  }

  test('refuses a port that is in use', async (t) => {
    const { listener } = newListener(t, 'tcp:127.0.0.1:0');
    await listener.open();
    const problem = await problemOf(newListener(t, listener.place).listener);
    assert.match(problem, /^cannot listen on tcp:127\.0\.0\.1:\d+: port \d+ is in use by another program/);
  });

  for (const host of ['0.0.0.0', '[::]', '192.0.2.1', '[2001:db8::1]', '[::ffff:127.0.0.1]']) {
    test(`refuses ${host}, which is not this machine alone`, async (t) => {
      const problem = await problemOf(newListener(t, `tcp:${host}:4444`).listener);
      assert.match(
        problem,
        /can be reached from other machines, and TCP does not authenticate clients; listen on tcp:localhost/,
      );
    });
  }

  test('refuses a name that nobody knows', async (t) => {
    assert.match(
      await problemOf(newListener(t, 'tcp:no-such-host.invalid:4444').listener),
      /the host name no-such-host.invalid is unknown/,
    );
  });

  test('leaves nothing behind when it is closed while it opens', async (t) => {
    const { listener } = newListener(t, 'tcp:localhost:0');
    const opening = listener.open();
    listener.close();
    assert.equal(await opening, false);
    assert.ok(!listener.isOpen);
  });
});
