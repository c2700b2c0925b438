/** Open files that clients hand to QEMU through the daemon, with a real QEMU at the end. */
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { descriptorOf } from '../../../dist/net/link/node-handle.js';
import { type Daemon, startDaemon } from '../../support/daemon/daemon.js';
import { fewerOpenFiles, openFiles, sendWith } from '../../support/daemon/descriptors.js';
import { type Scope, scratch, suiteScope } from '../../support/files/scratch.js';
import { missing, type Qemu, reconnectOption, startQemu } from '../../support/qemu/qemu.js';
import { type SharedVm, shareVm } from '../../support/qemu/shared-vm.js';
import { assertValid, type LooseRecord } from '../../support/text/audit.js';
import { RawClient, type Target } from '../../support/world/raw-client.js';

async function negotiated(scope: Scope, target: Target): Promise<RawClient> {
  const client = await RawClient.connect(target);
  scope.after(() => client.close());
  await client.readLine();
  await client.write('{"execute":"qmp_capabilities"}');
  await client.readLine();
  return client;
}

/** Sends a command, with descriptors, and waits for its answer. */
async function ask(
  client: RawClient,
  name: string,
  args: object,
  descriptors: readonly number[] = [],
): Promise<string> {
  sendWith(client.socket, `${JSON.stringify({ execute: name, arguments: args, id: 'asked' })}\n`, descriptors);
  const lines = await client.readLinesUntil((line) => line.includes('"id": "asked"'));
  return lines.at(-1) ?? '';
}

function opened(scope: Scope, path: string, flags: 'r' | 'r+' | 'w' = 'r'): number {
  const fd = openSync(path, flags);
  scope.after(() => {
    closeSync(fd);
  });
  return fd;
}

interface Served {
  readonly qemu: Qemu;
  readonly daemon: Daemon;
  readonly targets: readonly Target[];
}

/** A QEMU behind a daemon. @param options of each listener */
async function serve(
  scope: Scope,
  options: readonly string[],
  flags: readonly string[] = [],
  through: readonly string[] = [],
): Promise<Served> {
  const qemu = await startQemu(scope);
  const listen = options.flatMap((one, index) => ['--listen', `unix:${join(qemu.folder, `mux${index}`)}${one}`]);
  const daemon = startDaemon(scope, ['--upstream', qemu.monitor, ...listen, ...flags], {}, through);
  return { qemu, daemon, targets: await daemon.ready() };
}

const program = fileURLToPath(new URL('../../../bin/qmpmux.js', import.meta.url));
const DONE = '{"return": {}, "id": "asked"}';
const failed = (desc: string) => `{"id": "asked", "error": {"class": "GenericError", "desc": "${desc}"}}`;
const NONE = failed('No file descriptor supplied via SCM_RIGHTS');

/** @returns the descriptor of a connected socket, for QEMU, and its other end */
async function socketPair(
  scope: Scope,
  path: string,
): Promise<{ readonly fd: number; readonly near: Socket; readonly far: RawClient }> {
  const server = createServer().listen(path);
  const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve));
  const far = await RawClient.connect(path);
  const near = await accepted;
  server.close();
  scope.after(async () => {
    near.destroy();
    await far.close();
  });
  const fd = descriptorOf(near);
  assert.ok(fd !== null);
  return { fd, near, far };
}

function overDescriptor(name: string): object {
  return { type: 'socket', data: { addr: { type: 'fd', data: { str: name } }, server: false } };
}

describe('an open file', { skip: missing('qemu'), concurrency: 1 }, () => {
  const scope = suiteScope();
  let vm: SharedVm;
  let folder = '';
  let direct: RawClient;
  before(async () => {
    vm = await shareVm(scope, { machine: 'q35', name: 'vm', monitors: [{}, {}] });
    folder = scratch(scope);
    direct = await negotiated(scope, vm.qemu.monitors[1] ?? '');
  });

  test('that is a disk’s image, opened by the client, is used by blockdev-add through add-fd', async (t) => {
    const image = join(folder, 'disk.qcow2');
    execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', image, '3M']);
    const client = await negotiated(t, vm.target);
    const fd = opened(t, image, 'r+');
    assert.match(await ask(client, 'add-fd', { 'fdset-id': 5, opaque: 'rw:disk' }, [fd]), /"fdset-id": 5/);
    const node = { driver: 'qcow2', 'node-name': 'disk', file: { driver: 'file', filename: '/dev/fdset/5' } };
    assert.equal(await ask(client, 'blockdev-add', node), DONE);
    assert.match(await ask(client, 'query-named-block-nodes', { flat: true }), /"virtual-size": 3145728/);
    assert.equal(await ask(client, 'blockdev-del', { 'node-name': 'disk' }), DONE);
  });

  test('that is a socket becomes a chardev through getfd, and is QEMU’s alone then', async (t) => {
    const { fd, far, near } = await socketPair(t, join(folder, 'serial'));
    const client = await negotiated(t, vm.target);
    assert.equal(await ask(client, 'getfd', { fdname: 'line' }, [fd]), DONE);
    assert.match(await ask(client, 'chardev-add', { id: 'line', backend: overDescriptor('line') }), /"return"/);
    assert.match(await ask(client, 'query-chardev', {}), /"label": "line"/);
    near.destroy();
    await once(near, 'close');
    assert.equal(far.ended, false);
    assert.equal(await ask(client, 'chardev-remove', { id: 'line' }), DONE);
    await far.readToEnd();
  });

  // A socket, as libvirt hands over: from 11.1 on QEMU takes no plain file.
  test('that is a socket takes a migration by fd:NAME', async (t) => {
    const client = await negotiated(t, vm.target);
    const { fd, far, near } = await socketPair(t, join(folder, 'migrated'));
    assert.equal(await ask(client, 'getfd', { fdname: 'out' }, [fd]), DONE);
    near.destroy();
    await once(near, 'close');
    assert.match(await ask(client, 'migrate', { uri: 'fd:out' }), /"return"/);
    for (;;) {
      const status = await ask(client, 'query-migrate', {});
      if (/"status": "(completed|failed)"/.test(status)) break;
    }
    assert.match(await ask(client, 'query-migrate', {}), /"status": "completed"/);
    await far.readToEnd();
    assert.ok(far.received.length > 10_000);
  });

  test('of one client is taken by no other one’s command, whichever comes first', async (t) => {
    const [one, two] = [await negotiated(t, vm.target), await negotiated(t, vm.target)];
    const fd = opened(t, '/etc/passwd');
    for (let round = 0; round < 100; round++) {
      const name = { execute: 'getfd', arguments: { fdname: `round${round}` } };
      sendWith(one.socket, ' ', [fd]);
      sendWith(two.socket, JSON.stringify({ ...name, id: 2 }), []);
      sendWith(one.socket, JSON.stringify({ ...name, id: 1 }), []);
      assert.equal(await two.readLine(), NONE.replace('"asked"', '2'));
      assert.equal(await one.readLine(), '{"return": {}, "id": 1}');
    }
  });

  test('has a name that another client cannot take while it is there, and is told whose it is', async (t) => {
    const [one, two] = [await negotiated(t, vm.target), await negotiated(t, vm.target)];
    const fd = opened(t, '/etc/passwd');
    const files = openFiles(vm.daemon.pid);
    assert.equal(await ask(one, 'getfd', { fdname: 'mine' }, [fd]), DONE);
    const owner = new RegExp(
      `The file descriptor name 'mine' belongs to client \\d+, descriptors\\.test\\.js \\(pid ${process.pid}, [^()]+\\); `,
    );
    assert.match(await ask(two, 'getfd', { fdname: 'mine' }, [fd]), owner);
    assert.match(await ask(two, 'closefd', { fdname: 'mine' }), owner);
    // Its own client may, and when that has closed it, or left, so may anyone.
    assert.equal(await ask(one, 'getfd', { fdname: 'mine' }, [fd]), DONE);
    assert.equal(await ask(one, 'closefd', { fdname: 'mine' }), DONE);
    assert.equal(await ask(two, 'getfd', { fdname: 'mine' }, [fd]), DONE);
    await two.close();
    await fewerOpenFiles(vm.daemon.pid, files - 1);
    assert.equal(await ask(one, 'getfd', { fdname: 'mine' }, [fd]), DONE);
    assert.equal(await ask(one, 'closefd', { fdname: 'mine' }), DONE);
  });

  test('has a name that is free again when a command has used it', async (t) => {
    const [one, two] = [await negotiated(t, vm.target), await negotiated(t, vm.target)];
    const socket = (await socketPair(t, join(folder, 'used'))).fd;
    const file = opened(t, '/etc/passwd');
    assert.equal(await ask(one, 'getfd', { fdname: 'used' }, [socket]), DONE);
    assert.match(await ask(two, 'getfd', { fdname: 'used' }, [file]), /belongs to client/);
    assert.match(await ask(one, 'chardev-add', { id: 'used', backend: overDescriptor('used') }), /"return"/);
    assert.equal(await ask(two, 'getfd', { fdname: 'used' }, [file]), DONE);
    assert.equal(await ask(two, 'closefd', { fdname: 'used' }), DONE);
    assert.equal(await ask(two, 'chardev-remove', { id: 'used' }), DONE);
  });

  test('is handed over as the documentation says, with Python', { skip: missing('python3') }, async (t) => {
    const page = readFileSync(new URL('../../../docs/how-to/descriptors.md', import.meta.url), 'utf8');
    const code = /```python\n([^]*?)```/.exec(page)?.[1] ?? '';
    const image = join(folder, 'documented.img');
    writeFileSync(image, Buffer.alloc(65_536));
    const script = code.replace('/run/vm.mux', vm.target.replace('unix:', '')).replace('/srv/disk.qcow2', image);
    // A greeting and two answers, in however many pieces they come.
    const reading = 'lines = s.makefile("rb"); [lines.readline() for _ in range(3)]';
    await promisify(execFile)('python3', ['-c', `${script}    ${reading}\n`], { timeout: 60_000 });
    const client = await negotiated(t, vm.target);
    const node = { driver: 'file', 'node-name': 'documented', filename: '/dev/fdset/1' };
    assert.equal(await ask(client, 'blockdev-add', node), DONE);
    assert.equal(await ask(client, 'blockdev-del', { 'node-name': 'documented' }), DONE);
  });

  test('is not waited for by QEMU’s own second monitor', async () => {
    assert.equal(await ask(direct, 'getfd', { fdname: 'x' }), NONE);
  });
});

describe('a listener', { skip: missing('qemu'), concurrency: 1 }, () => {
  test('with fds=off says so to a command that takes a descriptor, and serves all others', async (t) => {
    const { daemon, targets } = await serve(t, [',fds=off']);
    const client = await negotiated(t, targets[0] ?? '');
    const fd = opened(t, '/etc/passwd');
    const refusal = failed('this socket takes no file descriptors; add fds=on to its address');
    // Once before the files are counted: a daemon opens some of its own when it is new.
    assert.equal(await ask(client, 'getfd', { fdname: 'x' }, [fd]), refusal);
    const files = openFiles(daemon.pid);
    assert.equal(await ask(client, 'getfd', { fdname: 'x' }, [fd]), refusal);
    assert.equal(await ask(client, 'add-fd', {}, [fd]), refusal);
    assert.match(await ask(client, 'query-fdsets', {}, [fd]), /"return": \[\]/);
    await fewerOpenFiles(daemon.pid, files);
    await daemon.logged(({ msg }) => msg === 'could not keep a file descriptor that a client sent');
    await daemon.logged(({ msg }) => msg === 'refused a command');
    // Alone, it is told too.
    sendWith(client.socket, ' ', [fd]);
    const told = await daemon.logged(({ msg }) => msg === 'could not keep a file descriptor that a client sent');
    assert.match(told.reason ?? '', /this socket takes no file descriptors/);
    await fewerOpenFiles(daemon.pid, files);
  });

  test('of the human monitor closes what comes, says so in the log and the audit, and to getfd', async (t) => {
    const log = join(scratch(t), 'audit');
    const { daemon, targets } = await serve(t, [',protocol=hmp'], ['--audit', log]);
    const fd = opened(t, '/etc/passwd');
    const client = await RawClient.connect(targets[0] ?? '');
    t.after(() => client.close());
    await client.readLine();
    const files = openFiles(daemon.pid);
    // More than once, so that what has come cannot wait for something that never takes it.
    for (let i = 0; i < 20; i++) sendWith(client.socket, 'info name\n', [fd, fd]);
    sendWith(client.socket, 'getfd x\n', [fd]);
    const refusal = 'a socket of the human monitor takes no file descriptors; use one with protocol=qmp';
    await client.readLinesUntil((line) => line.includes(`Error: ${refusal}`));
    await fewerOpenFiles(daemon.pid, files);
    const told = await daemon.logged(({ msg }) => msg === 'could not keep a file descriptor that a client sent');
    assert.equal(told.reason, refusal);
    await daemon.stop();
    const records = readFileSync(log, 'utf8')
      .trimEnd()
      .split('\n')
      .map((line): LooseRecord => JSON.parse(line));
    for (const record of records) assertValid(record);
    const came = records.filter(({ kind }) => kind === 'descriptors');
    assert.deepEqual(
      came.map(({ count, reason }) => [count, reason]),
      [...Array.from({ length: 20 }, () => [2, refusal]), [1, refusal]],
    );
  });

  test('with extensions tells how many descriptors of each client wait', async (t) => {
    const { targets } = await serve(t, [',extensions=on']);
    const client = await negotiated(t, targets[0] ?? '');
    const fd = opened(t, '/etc/passwd');
    const asked = () => ask(client, '__org.qmpmux_query-clients', {});
    assert.match(await asked(), /"descriptors": 0/);
    sendWith(client.socket, ' ', [fd]);
    assert.match(await asked(), /"descriptors": 1/);
    assert.equal(await ask(client, 'getfd', { fdname: 'x' }), DONE);
    assert.match(await asked(), /"descriptors": 0/);
  });

  test('over TCP has QEMU’s own words for it', async (t) => {
    const shared = await shareVm(t, { listen: ['tcp:127.0.0.1:0'] });
    const client = await negotiated(t, shared.targets[1] ?? '');
    assert.equal(await ask(client, 'getfd', { fdname: 'x' }), NONE);
  });

  test('before a QEMU that dials qmpmux passes descriptors as well', async (t) => {
    const folder = scratch(t);
    const upstream = join(folder, 'q');
    const daemon = startDaemon(t, ['--upstream', `${upstream},server`, '--listen', join(folder, 'mux')]);
    await daemon.logged(({ msg }) => msg.startsWith('waiting for QEMU to connect'));
    await startQemu(t, { extraArgs: ['-qmp', `unix:${upstream},${reconnectOption()}`] });
    const [target = ''] = await daemon.ready();
    const client = await negotiated(t, target);
    assert.equal(await ask(client, 'getfd', { fdname: 'x' }, [opened(t, '/etc/passwd')]), DONE);
    assert.equal(await ask(client, 'closefd', { fdname: 'x' }), DONE);
  });

  test('before a QEMU that is not on a unix socket refuses a descriptor, and closes it', async (t) => {
    const shared = await shareVm(t, { monitors: [{ kind: 'tcp' }] });
    const client = await negotiated(t, shared.target);
    const files = openFiles(shared.daemon.pid);
    assert.match(
      await ask(client, 'getfd', { fdname: 'x' }, [opened(t, '/etc/passwd')]),
      /the connection to this QEMU carries no file descriptors/,
    );
    assert.equal(await ask(client, 'getfd', { fdname: 'x' }), NONE);
    assert.equal(openFiles(shared.daemon.pid), files);
  });

  test('with a policy may deny descriptors, and the audit says what came and what became of it', async (t) => {
    const log = join(scratch(t), 'audit');
    const rules = join(scratch(t), 'rules');
    execFileSync('sh', ['-c', `printf 'deny @descriptors\\ndefault allow\\n' > ${rules}`]);
    const shared = await serve(t, ['', `,policy=${rules}`], ['--audit', log]);
    const [free, bound] = [await negotiated(t, shared.targets[0] ?? ''), await negotiated(t, shared.targets[1] ?? '')];
    const fd = opened(t, '/etc/passwd');
    const files = openFiles(shared.daemon.pid);
    assert.equal(await ask(free, 'getfd', { fdname: 'a' }, [fd, fd, fd]), DONE);
    assert.match(await ask(bound, 'getfd', { fdname: 'b' }, [fd]), /Command 'getfd' is not allowed here/);
    assert.match(await ask(bound, 'add-fd', {}, [fd]), /Command 'add-fd' is not allowed here/);
    assert.match(await ask(bound, 'query-fdsets', {}), /"return": \[\]/);
    assert.equal(openFiles(shared.daemon.pid), files);
    await shared.daemon.stop();
    const records = readFileSync(log, 'utf8')
      .trimEnd()
      .split('\n')
      .map((line): LooseRecord => JSON.parse(line));
    for (const record of records) assertValid(record);
    const passwd = { type: 'file', path: '/etc/passwd' };
    const came = records.filter(({ kind }) => kind === 'descriptors');
    assert.deepEqual(
      came.map(({ count, descriptors }) => [count, descriptors]),
      [
        [3, [passwd, passwd, passwd]],
        [1, [passwd]],
        [1, [passwd]],
      ],
    );
    const sent = records.filter(({ descriptor }) => descriptor !== undefined);
    assert.deepEqual(
      sent.map(({ kind, command, descriptor }) => [kind, command, descriptor]),
      [['command', 'getfd', passwd]],
    );
    assert.deepEqual(
      records.filter(({ kind }) => kind === 'denied').map(({ rule }) => rule),
      Array.from({ length: 2 }, () => `policy ${rules}: deny @descriptors`),
    );
    const shown = execFileSync(process.execPath, [program, 'audit', 'show', log], { encoding: 'utf8' });
    assert.match(shown, /descriptors 3 .*\/etc\/passwd, \/etc\/passwd, \/etc\/passwd/);
  });

  test('holds no more descriptors than there is room for, and says so', async (t) => {
    // Of these 72 are kept for the daemon itself, and every client has one.
    const { daemon, targets } = await serve(t, [''], [], ['prlimit', '--nofile=100:100']);
    const fd = opened(t, '/etc/passwd');
    const clients: RawClient[] = [];
    while (clients.length < 20) clients.push(await negotiated(t, targets[0] ?? ''));
    for (const client of clients) {
      sendWith(client.socket, ' ', [fd]);
      // The answer shows that it has come.
      await ask(client, 'query-status', {});
    }
    let refused = 0;
    for (const client of clients) {
      const answer = await ask(client, 'getfd', { fdname: `x${clients.indexOf(client)}` });
      if (answer.includes('too many files open')) refused++;
      else assert.equal(answer, DONE);
    }
    await daemon.logged(({ msg }) => msg === 'could not keep a file descriptor that a client sent');
    assert.ok(refused > 0 && refused < clients.length, `${refused} of ${clients.length}`);
  });
});
