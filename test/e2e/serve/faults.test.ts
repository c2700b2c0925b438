/** What can happen to QEMU and to qmpmux itself, and what clients and operators see of it. docs/reference/faults.md has the table. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, closeSync, existsSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import koffi from 'koffi';
import { blockage } from '../../support/daemon/blockage.js';
import { startDaemon } from '../../support/daemon/daemon.js';
import { scratch } from '../../support/files/scratch.js';
import { missing, startQemu } from '../../support/qemu/qemu.js';
import { FakeQemu } from '../../support/world/fake-qemu.js';
import { RawClient } from '../../support/world/raw-client.js';

async function negotiated(target: string, more = ''): Promise<RawClient> {
  const client = await RawClient.connect(target);
  await client.readLine();
  await client.write(`{"execute":"qmp_capabilities"${more}}`);
  assert.equal(await client.readLine(), '{"return": {}}');
  return client;
}

/** A monitor whose every byte the test decides, behind a socket. */
class ScriptedMonitor {
  readonly path: string;
  readonly qemu: FakeQemu = new FakeQemu((chunk) => this.socket?.write(chunk), {});
  socket: Socket | null = null;
  connections = 0;
  isAgreed = false;
  readonly #server: Server;
  /** Called with each connection; by default it greets. */
  onConnect: (socket: Socket) => void = () => this.qemu.greet();
  #wake: () => void = () => {};

  constructor(scope: TestContext) {
    this.path = join(scratch(scope), 'q');
    this.#server = createServer((socket) => {
      this.connections++;
      this.socket = socket;
      this.isAgreed = false;
      this.qemu.reset();
      socket.on('error', () => {});
      socket.on('data', (chunk: Buffer) => {
        this.qemu.receive(chunk.toString('latin1'));
        if (!this.isAgreed) {
          this.isAgreed = true;
          this.qemu.answerHandshake();
        }
        this.#wake();
      });
      this.onConnect(socket);
    });
    scope.after(() => {
      this.#server.close();
      this.socket?.destroy();
    });
  }

  listen(): Promise<void> {
    return new Promise((resolve) => this.#server.listen(this.path, resolve));
  }

  /** Waits until `count` commands wait for an answer. */
  async waits(count: number): Promise<void> {
    while (this.qemu.waiting.length < count) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

async function scripted(context: TestContext, flags: readonly string[] = []) {
  const monitor = new ScriptedMonitor(context);
  await monitor.listen();
  const target = join(scratch(context), 'mux');
  const daemon = startDaemon(context, ['--upstream', monitor.path, '--listen', target, ...flags]);
  return { monitor, daemon, target };
}

function isMessage(text: string): (line: { readonly msg: string }) => boolean {
  return ({ msg }) => msg.startsWith(text);
}

const AS_NOBODY = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'];

/** For `skip`: where root's tests lie in a folder of root's own, nobody else can run qmpmux. */
function unreadable(): string | false {
  if (process.getuid?.() !== 0) return false;
  const file = fileURLToPath(new URL('../../../bin/qmpmux.js', import.meta.url));
  const command = [...AS_NOBODY, 'test', '-r', file];
  return spawnSync('env', command).status === 0 ? false : 'no other user can read this folder';
}

describe('a QEMU', { skip: missing('qemu') }, () => {
  it('that is stopped is reported with the command that waits; what was sent is answered when it goes on', async (context) => {
    const qemu = await startQemu(context);
    const target = join(qemu.folder, 'mux');
    const daemon = startDaemon(context, ['--upstream', qemu.monitor, '--listen', target, '--warn-after', '300ms']);
    await daemon.ready();
    const client = await negotiated(target);
    process.kill(qemu.pid, 'SIGSTOP');
    await client.write('{"execute":"query-name","id":1}');
    const line = await daemon.logged(isMessage('a command has no answer and blocks all others'));
    assert.equal(line['client'], 1);
    assert.equal(line['command'], 'query-name');
    assert.ok(JSON.stringify(line['peer']).includes(`"pid":${process.pid}`));
    process.kill(qemu.pid, 'SIGCONT');
    assert.equal(await client.readLine(), '{"return": {}, "id": 1}');
    await daemon.logged(isMessage('the slow command is done'));
  });

  it('is not blamed for the time that qmpmux itself was stopped: an answer that is there is given', async (context) => {
    const qemu = await startQemu(context);
    const target = join(qemu.folder, 'mux');
    const daemon = startDaemon(context, ['--upstream', qemu.monitor, '--listen', `${target},command-timeout=3s`]);
    await daemon.ready();
    const client = await negotiated(target);
    const blocked = await blockage(context);
    await client.write(`{${blocked.members},"id":1}`);
    await blocked.begun;
    daemon.kill('SIGSTOP');
    blocked.release();
    // QEMU has answered when it answers elsewhere.
    await qemu.execute('query-status');
    // Time is what this is about.
    await delay(4000);
    daemon.kill('SIGCONT');
    assert.equal(await client.readLine(), `{"id": 1, "error": ${blocked.error}}`);
    await client.close();
  });

  it('that is stopped costs a client with a command-timeout an error, and its late answer reaches no one but the audit', async (context) => {
    const qemu = await startQemu(context);
    const target = join(qemu.folder, 'mux');
    const audit = join(qemu.folder, 'audit');
    const listen = `${target},command-timeout=600ms`;
    const daemon = startDaemon(context, ['--upstream', qemu.monitor, '--listen', listen, '--audit', audit]);
    await daemon.ready();
    const client = await negotiated(target);
    process.kill(qemu.pid, 'SIGSTOP');
    await client.write('{"execute":"query-name","id":1}');
    const error = await client.readLine();
    const told = await daemon.logged(isMessage('a command timed out; its client got an error'));
    assert.equal(told['command'], 'query-name');
    assert.match(error, /^\{"id": 1, "error": .*no answer from QEMU within 0\.6 s; this command may still be executed/);
    process.kill(qemu.pid, 'SIGCONT');
    await client.write('{"execute":"query-status","id":2}');
    assert.match(await client.readLine(), /"id": 2\}$/);
    await client.close();
    await daemon.stop();
    const records = readFileSync(audit, 'utf8')
      .split('\n')
      .filter((text) => text !== '')
      .map((text) => JSON.parse(text));
    const command = records.find((record) => record.kind === 'command' && record.command === 'query-name');
    const about = records.filter((record) => record.of === command.seq);
    assert.ok(readFileSync(audit, 'utf8').includes('"source":"late"'));
    assert.deepEqual(
      about.map((record) => [record.kind, record.source]),
      [
        ['error', 'local'],
        ['reply', 'late'],
      ],
    );
  });

  it('that is stopped costs all clients an error with --command-timeout, but those of a socket with a time of its own', async (context) => {
    const qemu = await startQemu(context);
    const [mux, patient] = [join(qemu.folder, 'mux'), join(qemu.folder, 'patient')];
    const listen = ['--listen', mux, '--listen', `${patient},command-timeout=0`];
    await startDaemon(context, [
      '--upstream',
      qemu.monitor,
      '--takeover',
      '--command-timeout=300ms',
      ...listen,
    ]).ready();
    const clients = await Promise.all([mux, qemu.monitor, patient].map((target) => negotiated(target)));
    process.kill(qemu.pid, 'SIGSTOP');
    for (const client of clients) await client.write('{"execute":"query-name","id":1}');
    for (const client of clients.slice(0, 2)) assert.match(await client.readLine(), /within 0\.3 s/);
    process.kill(qemu.pid, 'SIGCONT');
    assert.equal(await clients[2]?.readLine(), '{"return": {}, "id": 1}');
  });

  it('that is killed and started again under its path, with --keep-clients, is one error and two events to its clients', async (context) => {
    const first = await startQemu(context, { name: 'first' });
    const target = join(first.folder, 'mux');
    const flags = ['--keep-clients', '--warn-after', '1ms'];
    const daemon = startDaemon(context, ['--upstream', first.monitor, '--listen', target, ...flags]);
    await daemon.ready();
    const client = await negotiated(target);
    process.kill(first.pid, 'SIGSTOP');
    await client.write('{"execute":"query-name","id":1}');
    await client.write('{"execute":"query-name","id":2}');
    await daemon.logged(isMessage('a command has no answer'));
    await first.kill();
    const unknown = '"qmpmux has lost QEMU; this command may have been executed"';
    assert.equal(await client.readLine(), `{"id": 1, "error": {"class": "GenericError", "desc": ${unknown}}}`);
    assert.match(await client.readLine(), /^\{"id": 2, "error": /);
    assert.match(await client.readLine(), /"event": "__org\.qmpmux_UPSTREAM_LOST", "data": \{"reason": "/);
    await client.write('{"execute":"query-name","id":3}');
    assert.match(await client.readLine(), /^\{"id": 3, .*waits for it; this command was not executed/);
    const lost = await daemon.logged(isMessage('lost QEMU'));
    assert.equal(lost.msg, 'lost QEMU; its clients stay connected');

    const second = await startQemu(context, { name: 'second' });
    renameSync(second.monitor, first.monitor);
    assert.match(await client.readLine(), /"event": "__org\.qmpmux_UPSTREAM_RESTORED", "data": \{"version": "/);
    await client.write('{"execute":"query-name","id":4}');
    assert.equal(await client.readLine(), '{"return": {"name": "second"}, "id": 4}');
  });

  it('whose socket is replaced by that of another one is kept until it goes; then the other one is found', async (context) => {
    const [first, second] = [await startQemu(context, { name: 'first' }), await startQemu(context, { name: 'second' })];
    const target = join(first.folder, 'mux');
    const daemon = startDaemon(context, ['--upstream', first.monitor, '--listen', target]);
    await daemon.ready();
    renameSync(second.monitor, first.monitor);
    const client = await negotiated(target);
    await client.write('{"execute":"query-name"}');
    assert.equal(await client.readLine(), '{"return": {"name": "first"}}');
    await first.kill();
    await client.readToEnd();
    await daemon.ready();
    const next = await negotiated(target);
    await next.write('{"execute":"query-name"}');
    assert.equal(await next.readLine(), '{"return": {"name": "second"}}');
  });

  it('whose socket may not be opened is told with what to do, and used when it may', {
    skip: missing('setpriv') || unreadable(),
  }, async (context) => {
    const qemu = await startQemu(context);
    const home = scratch(context);
    chmodSync(home, 0o1777);
    chmodSync(qemu.folder, 0o755);
    chmodSync(qemu.monitor, 0o600);
    const through = process.getuid?.() === 0 ? AS_NOBODY : [];
    if (through.length === 0) chmodSync(qemu.monitor, 0);
    const daemon = startDaemon(context, ['--upstream', qemu.monitor, '--listen', join(home, 'mux')], {}, through);
    const line = await daemon.logged(({ msg }) => msg === 'waiting for QEMU');
    assert.equal(line.reason, 'permission denied: run qmpmux as a user who may write to this socket');
    chmodSync(qemu.monitor, 0o666);
    await daemon.ready();
  });
});

describe('a monitor', () => {
  it('that comes back with another version greets new clients with it', async (context) => {
    const { monitor, daemon, target } = await scripted(context);
    await daemon.ready();
    const client = await RawClient.connect(target);
    assert.match(await client.readLine(), /"micro": 22, "minor": 2, "major": 7/);
    monitor.onConnect = (socket) => {
      socket.write(
        '{"QMP": {"version": {"qemu": {"micro": 0, "minor": 1, "major": 10}, "package": "new"}, "capabilities": []}}\r\n',
      );
    };
    monitor.socket?.destroy();
    await client.readToEnd();
    await daemon.logged(({ msg, version }) => msg === 'connected to QEMU' && version === '10.1.0');
    await daemon.ready();
    const next = await RawClient.connect(target);
    assert.match(
      await next.readLine(),
      /"micro": 0, "minor": 1, "major": 10\}, "package": "new"\}, "capabilities": \[\]/,
    );
  });

  it('that sends garbage in the middle has it logged, delivered to no one, and is left when nothing else comes', async (context) => {
    const { monitor, daemon, target } = await scripted(context);
    await daemon.ready();
    const client = await negotiated(target);
    monitor.socket?.write('watchdog: BUG: soft lockup\r\n');
    const stray = await daemon.logged(isMessage('QEMU sent a message that no client waits for'));
    assert.equal(stray['message'], 'watchdog: BUG: soft lockup');
    assert.equal(stray.msg, 'QEMU sent a message that no client waits for; check what else uses its monitor');
    await client.write('{"execute":"stop","id":1}');
    await monitor.waits(1);
    monitor.qemu.returns();
    assert.equal(await client.readLine(), '{"return": {}, "id": 1}');
    monitor.socket?.write('x\r\n'.repeat(100));
    const lost = await daemon.logged(isMessage('lost QEMU'));
    assert.match(lost.reason ?? '', /^no longer a QMP server: 100 messages in a row cannot be read/);
    assert.equal((await client.readToEnd()).length, 0);
    await daemon.ready();
    assert.equal(monitor.connections, 2);
  });

  it('that answers what nobody asked, or twice, has it logged and delivered to no one', async (context) => {
    const { monitor, daemon, target } = await scripted(context);
    await daemon.ready();
    const client = await negotiated(target);
    const isStray = async (text: string) => {
      const line = await daemon.logged(isMessage('QEMU sent a message that no client waits for'));
      assert.ok(String(line['message']).includes(text));
      assert.equal(line['why'], 'an answer that no client waits for');
    };
    monitor.socket?.write('{"return": "unasked", "id": 0}\r\n');
    // Had a command gone up before that, it would be its answer.
    await isStray('unasked');
    await client.write('{"execute":"stop","id":1}{"execute":"query-name","id":2}');
    await monitor.waits(2);
    monitor.socket?.write(
      '{"return": "once", "id": 0}\r\n{"return": "twice", "id": 0}\r\n{"return": "name", "id": 1}\r\n',
    );
    assert.equal(await client.readLine(), '{"return": "once", "id": 1}');
    assert.equal(await client.readLine(), '{"return": "name", "id": 2}');
    await isStray('twice');
  });

  it('that sends a message without an end is left at the limit', async (context) => {
    const { monitor, daemon, target } = await scripted(context, ['--limit', 'reply-bytes=1M']);
    await daemon.ready();
    const client = await negotiated(target);
    monitor.socket?.write(`{"return": "${'x'.repeat(3_000_000)}`);
    const lost = await daemon.logged(isMessage('lost QEMU'));
    assert.equal(lost.reason, 'an unfinished message of more than 1048576 bytes');
    await client.readToEnd();
  });
});

describe('a daemon that is told to end', () => {
  it('lets no one in any more, answers what it has read, and ends then', async (context) => {
    const { monitor, daemon, target } = await scripted(context);
    await daemon.ready();
    const client = await negotiated(target);
    const idle = await negotiated(target);
    await client.write('{"execute":"slow","id":1}{"execute":"slower","id":2}');
    await monitor.waits(2);
    daemon.kill('SIGTERM');
    await daemon.logged(isMessage('ending'));
    assert.equal((await idle.readToEnd()).length, 0);
    await assert.rejects(RawClient.connect(target), { code: 'ENOENT' });
    monitor.qemu.returns('"1"');
    monitor.qemu.returns('"2"');
    assert.equal(await client.readLine(), '{"return": "1", "id": 1}');
    assert.equal(await client.readLine(), '{"return": "2", "id": 2}');
    assert.equal((await client.readToEnd()).length, 0);
    assert.deepEqual(await daemon.exited, { code: 0, signal: null });
  });

  it('waits no longer than --drain-timeout for a monitor that does not answer', async (context) => {
    const { monitor, daemon, target } = await scripted(context, ['--drain-timeout', '400ms']);
    await daemon.ready();
    const client = await negotiated(target);
    await client.write('{"execute":"slow","id":1}');
    await monitor.waits(1);
    daemon.kill('SIGTERM');
    const line = await daemon.logged(isMessage('stopping with commands unanswered'));
    assert.equal(line['commands'], 1);
    assert.equal((await client.readToEnd()).length, 0);
    assert.deepEqual(await daemon.exited, { code: 0, signal: null });
  });

  it('ends at once on a second signal', async (context) => {
    const { monitor, daemon, target } = await scripted(context, ['--drain-timeout', '1h']);
    await daemon.ready();
    const client = await negotiated(target);
    await client.write('{"execute":"slow","id":1}');
    await monitor.waits(1);
    daemon.kill('SIGTERM');
    await daemon.logged(isMessage('ending'));
    daemon.kill('SIGTERM');
    assert.deepEqual(await daemon.exited, { code: 143, signal: null });
  });
});

describe('a fault of qmpmux itself', { skip: missing('qemu') }, () => {
  it('while it ends is told and ends it with 70, when other monitors and the audit log have come to their end', async (context) => {
    const folder = scratch(context);
    const [first, second] = await Promise.all([startQemu(context), startQemu(context)]);
    const before = statSync(first.monitor).ino;
    writeFileSync(
      join(folder, 'qmpmux.toml'),
      `audit.to = "${folder}/audit"
      monitor.first = { upstream = "${first.monitor}", takeover = true }
      monitor.second = { upstream = "${second.monitor}", listen = ["${folder}/mux"] }`,
    );
    // The end of the farewell to the first monitor's clients, which may take a second, throws, once.
    const fault = `
      const clear = clearTimeout;
      process.once('SIGTERM', () => {
        globalThis.clearTimeout = (timer) => {
          const isFarewell = timer?._idleTimeout === 1000;
          clear(timer);
          if (!isFarewell) return;
          globalThis.clearTimeout = clear;
          throw new TypeError('made by a test');
        };
      });`;
    const flags = `--import=data:text/javascript,${encodeURIComponent(fault)}`;
    const daemon = startDaemon(context, ['--config', join(folder, 'qmpmux.toml')], { NODE_OPTIONS: flags });
    await daemon.ready();
    await daemon.ready();
    const client = await negotiated(join(folder, 'mux'));
    assert.deepEqual(await daemon.stop(), { code: 70, signal: null });
    assert.match(daemon.errors, /^qmpmux: internal error, please report it: TypeError: made by a test\n +at /m);
    assert.equal((await client.readToEnd()).length, 0);
    assert.ok(!existsSync(join(folder, 'mux')));
    assert.equal(statSync(first.monitor).ino, before, 'QEMU’s socket is back');
    const last = readFileSync(join(folder, 'audit'), 'utf8').trimEnd().split('\n').at(-1);
    assert.match(last ?? '', /"stop".*ended by SIGTERM/);
  });
});

describe('a daemon on a socket that was handed over', { skip: missing('qemu') }, () => {
  it('can be replaced by another one without a connection being refused, or lost before it is greeted', async (context) => {
    const qemu = await startQemu(context, { name: 'vm' });
    const path = join(scratch(context), 'mux');
    const descriptor = listeningDescriptor(context, path);
    const start = () => startDaemon(context, ['--upstream', qemu.monitor, '--listen', 'fd:3'], {}, [], descriptor);
    const first = start();
    assert.deepEqual(await first.ready(), ['fd:3']);
    const knock = { isOver: false };
    let served = 0;
    const knocking = (async () => {
      while (!knock.isOver) {
        const client = await RawClient.connect(path);
        assert.match(await client.readLine(), /^\{"QMP"/);
        served++;
        await client.close();
      }
    })();
    const held = await negotiated(path);
    await held.write('{"execute":"query-name","id":1}');
    const stopped = first.stop();
    assert.equal(await held.readLine(), '{"return": {"name": "vm"}, "id": 1}');
    const between = RawClient.connect(path);
    const second = start();
    await second.ready();
    assert.deepEqual(await stopped, { code: 0, signal: null });
    assert.match(await (await between).readLine(), /^\{"QMP"/);
    const before = served;
    await negotiated(path);
    knock.isOver = true;
    await knocking;
    assert.ok(served > before || before > 0);
  });

  it('keeps who connects waiting while QEMU is away, and serves them when it is there', async (context) => {
    const folder = scratch(context);
    const path = join(folder, 'mux');
    const descriptor = listeningDescriptor(context, path);
    const first = await startQemu(context, { name: 'first' });
    const monitor = join(folder, 'q');
    renameSync(first.monitor, monitor);
    const daemon = startDaemon(context, ['--upstream', monitor, '--listen', 'fd:3'], {}, [], descriptor);
    await daemon.ready();
    const client = await negotiated(path);
    await first.kill();
    await client.readToEnd();
    const waiting = await RawClient.connect(path);
    await waiting.write('{"execute":"qmp_capabilities"}{"execute":"query-name","id":1}');
    const second = await startQemu(context, { name: 'second' });
    renameSync(second.monitor, monitor);
    await daemon.ready();
    await waiting.readLine();
    await waiting.readLine();
    assert.equal(await waiting.readLine(), '{"return": {"name": "second"}, "id": 1}');
  });
});

/** A listening socket that nobody accepts on in this process: what systemd, or a supervisor, hands over. */
function listeningDescriptor(context: TestContext, path: string): number {
  const libc = koffi.load(null);
  const [AF_UNIX, SOCK_STREAM_CLOEXEC] = [1, 0o2000001];
  const fd: unknown = libc.func('int socket(int, int, int)')(AF_UNIX, SOCK_STREAM_CLOEXEC, 0);
  assert.ok(typeof fd === 'number' && fd >= 0);
  context.after(() => closeSync(fd));
  const address = Buffer.alloc(110);
  address.writeUInt16LE(AF_UNIX);
  address.write(path, 2);
  assert.equal(libc.func('int bind(int, void *, int)')(fd, address, address.length), 0);
  assert.equal(libc.func('int listen(int, int)')(fd, 128), 0);
  return fd;
}
