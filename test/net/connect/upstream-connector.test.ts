import assert from 'node:assert/strict';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { describe, type TestContext, test } from 'node:test';
import type { Link, UpstreamState } from '../../../dist/mux/ports/link.js';
import { formatPlace } from '../../../dist/net/address/address.js';
import { parseUpstream } from '../../../dist/net/address/address-parser.js';
import { UpstreamConnector, type UpstreamOptions } from '../../../dist/net/connect/upstream-connector.js';
import { ReceivedDescriptor } from '../../../dist/net/link/received-descriptor.js';
import { isRunning, untilEnded } from '../../support/daemon/process-state.js';
import { scratch } from '../../support/files/scratch.js';
import { LogRecord } from '../../support/text/log-record.js';

/** Stands where the multiplexer does: says `running` when it reads HELLO, `lost` when it reads NONSENSE. */
class Receiver {
  readonly history: string[] = [];
  text = '';
  link: Link | null = null;
  upstream: UpstreamConnector | null = null;
  #wake: () => void = () => undefined;

  upstreamOpened(link: Link): void {
    this.link = link;
    this.text = '';
    this.#tell('opened', { name: 'greeting' });
  }
  upstreamReceive(chunk: Uint8Array): void {
    this.text += Buffer.from(chunk).toString('latin1');
    if (this.text.startsWith('QMP')) this.#tell('greeted', { name: 'negotiating' });
    if (this.text === 'HELLO') this.#tell('running', { name: 'running', oob: false, pretty: false, version: '1' });
    if (this.text === 'NONSENSE') this.#tell('lost: nonsense', { name: 'lost', reason: 'nonsense' });
    this.#wake();
  }
  upstreamClosed(reason: string): void {
    this.#tell(`closed: ${reason}`, { name: 'lost', reason });
  }
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
  #tell(what: string, state: UpstreamState): void {
    if (this.history.at(-1) !== what) this.history.push(what);
    this.upstream?.follow(state);
    this.#wake();
  }
}

interface Setup {
  readonly upstream: UpstreamConnector;
  readonly receiver: Receiver;
  readonly log: LogRecord;
}

function setUp(t: TestContext, address: string, options: Partial<UpstreamOptions> = {}): Setup {
  const receiver = new Receiver();
  const log = new LogRecord();
  const upstream = new UpstreamConnector({
    address: parseUpstream(address),
    receiver,
    log,
    firstPause: 1,
    longestPause: 4,
    ...options,
  });
  receiver.upstream = upstream;
  t.after(() => upstream.stop());
  return { upstream, receiver, log };
}

interface Fake {
  readonly server: Server;
  readonly sockets: Socket[];
  /** Ends as a killed QEMU does: the connections end, the socket file stays. */
  readonly kill: () => void;
}

/** Listens as a QEMU does and says `words` to whoever connects. */
async function fakeQemu(t: TestContext, where: string | { port: number; host: string }, words: string): Promise<Fake> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined);
    socket.write(words);
  });
  if (typeof where === 'string') server.listen({ path: `${where}.new` });
  else server.listen(where);
  await once(server, 'listening');
  if (typeof where === 'string') renameSync(`${where}.new`, where);
  const kill = () => {
    server.close();
    for (const socket of sockets) socket.destroy();
  };
  t.after(kill);
  return { server, sockets, kill };
}

function portOf(server: Server): number {
  const where = server.address();
  assert.ok(typeof where === 'object' && where !== null);
  return where.port;
}

const isWaiting = (line: { text: string }) => line.text === 'waiting for QEMU';
const isStillWaiting = (line: { text: string }) => line.text === 'still waiting for QEMU';

describe('the way to QEMU', () => {
  test('is found whichever side is there first, again and again, with one line in the log for each change', async (t) => {
    const path = join(scratch(t), 'qmp');
    const { upstream, receiver, log } = setUp(t, path);
    await upstream.start();
    await log.until(isStillWaiting, 3);

    for (const round of [1, 2]) {
      const qemu = await fakeQemu(t, path, 'HELLO');
      await receiver.until(() => receiver.history.at(-1) === 'running');
      receiver.link?.write(Buffer.from(`command ${round}`));
      const [socket] = qemu.sockets;
      assert.ok(socket !== undefined);
      assert.equal(String((await once(socket, 'data'))[0]), `command ${round}`);
      qemu.kill();
      await receiver.until(() => receiver.history.at(-1) === 'closed: closed by QEMU');
      await log.until(isStillWaiting, 3 + 3 * round);
    }
    const rounds = ['opened', 'running', 'closed: closed by QEMU'];
    assert.deepEqual(receiver.history, [...rounds, ...rounds]);
    assert.deepEqual(
      log.shown.map(({ level, text, fields }) => `${level} ${text}: ${String(fields['reason'])}`),
      [
        'warn waiting for QEMU: there is no such file',
        'warn lost QEMU; its clients are disconnected: closed by QEMU',
        'warn waiting for QEMU: connection refused: this socket is left over from a QEMU that has ended',
        'warn lost QEMU; its clients are disconnected: closed by QEMU',
        'warn waiting for QEMU: connection refused: this socket is left over from a QEMU that has ended',
      ],
    );
  });

  test('pauses twice as long after each failure, up to the longest pause, with jitter', async (t) => {
    for (const [random, expected] of [
      [1, [100, 200, 400, 800, 1600, 3200, 5000, 5000]],
      [0, [50, 100, 200, 400, 800, 1600, 2500, 2500]],
    ] as const) {
      const pauses: number[] = [];
      const real = setTimeout;
      t.mock.method(globalThis, 'setTimeout', (run: () => void, milliseconds: number) => {
        const isDeadline = milliseconds === 77_777;
        if (!isDeadline) pauses.push(milliseconds);
        return real(run, isDeadline ? milliseconds : 0);
      });
      const options = { firstPause: 100, longestPause: 5000, attemptTimeout: 77_777, random: () => random };
      const { upstream, log } = setUp(t, join(scratch(t), 'qmp'), options);
      await upstream.start();
      await log.until(isStillWaiting, expected.length - 1);
      await upstream.stop();
      t.mock.restoreAll();
      assert.deepEqual(pauses.slice(0, expected.length), expected);
    }
  });

  test('is tried at short pauses again after a connection that lasted, and at long ones after one that did not', async (t) => {
    for (const lasts of [true, false]) {
      const path = join(scratch(t), 'qmp');
      const pauses: number[] = [];
      const real = setTimeout;
      t.mock.method(globalThis, 'setTimeout', (run: () => void, milliseconds: number) => {
        const isDeadline = milliseconds === 77_777;
        if (!isDeadline) pauses.push(milliseconds);
        return real(run, isDeadline ? milliseconds : 0);
      });
      let now = 0;
      t.mock.method(performance, 'now', () => now);
      const options = { firstPause: 100, longestPause: 6400, attemptTimeout: 77_777, random: () => 1 };
      const { upstream, receiver, log } = setUp(t, path, options);
      await upstream.start();
      await log.until(isStillWaiting, 8);
      const qemu = await fakeQemu(t, path, 'HELLO');
      await receiver.until(() => receiver.history.includes('running'));
      now += lasts ? 1000 : 999;
      pauses.length = 0;
      qemu.kill();
      await receiver.until(() => receiver.history.includes('closed: closed by QEMU'));
      await upstream.stop();
      t.mock.restoreAll();
      assert.equal(pauses[0], lasts ? 100 : 6400);
    }
  });

  test('is open over TCP: IPv4, IPv6 and names', async (t) => {
    for (const [host, address] of [
      ['127.0.0.1', 'tcp:127.0.0.1:'],
      ['::1', 'tcp:[::1]:'],
      ['127.0.0.1', 'tcp:localhost:'],
      ['127.0.0.1', 'TCP4:localhost:'],
    ] as const) {
      const qemu = await fakeQemu(t, { host, port: 0 }, 'HELLO');
      const { upstream, receiver } = setUp(t, `${address}${portOf(qemu.server)}`);
      await upstream.start();
      await receiver.until(() => receiver.history.includes('running'));
      await upstream.stop();
    }
  });

  const silent = { attemptTimeout: 30 };
  test('is not waited for in vain when the monitor is taken', async (t) => {
    const path = join(scratch(t), 'qmp');
    await fakeQemu(t, path, '');
    const { upstream, receiver, log } = setUp(t, path, silent);
    await upstream.start();
    const { fields } = await log.until(isWaiting);
    assert.equal(
      fields['reason'],
      'no greeting within 0.03 s: another client probably holds this monitor (QEMU serves one at a time)',
    );
    await receiver.until(() => receiver.history.includes(`closed: ${String(fields['reason'])}`));
    await log.until(isStillWaiting, 2);
    assert.equal(log.shown.length, 1);
  });

  test('is not waited for in vain when QEMU greets and hangs', async (t) => {
    const path = join(scratch(t), 'qmp');
    await fakeQemu(t, path, 'QMP');
    const { upstream, log } = setUp(t, path, silent);
    await upstream.start();
    // On a busy machine the greeting may come too late for the first attempts.
    const reason = 'no answer to qmp_capabilities within 0.03 s: QEMU hangs or is stopped';
    await log.until(({ text, fields }) => text === 'waiting for QEMU' && fields['reason'] === reason);
  });

  test('is given up when the multiplexer finds no QMP server there, and tried again', async (t) => {
    const path = join(scratch(t), 'qmp');
    const wrong = await fakeQemu(t, path, 'NONSENSE');
    const { upstream, receiver, log } = setUp(t, path);
    await upstream.start();
    assert.equal((await log.until(isWaiting)).fields['reason'], 'nonsense');
    await log.until(isStillWaiting, 2);
    assert.deepEqual(new Set(receiver.history), new Set(['opened', 'lost: nonsense']));
    assert.ok(
      wrong.sockets.slice(0, -1).every((socket) => socket.readyState !== 'open' || socket.readableEnded || true),
    );
    wrong.kill();
    await fakeQemu(t, path, 'HELLO');
    await receiver.until(() => receiver.history.includes('running'));
  });

  test('names the error of the system when a descriptor cannot go with its command, which goes without', async (t) => {
    const path = join(scratch(t), 'qmp');
    const qemu = await fakeQemu(t, path, 'HELLO');
    const { upstream, receiver, log } = setUp(t, path);
    await upstream.start();
    await receiver.until(() => receiver.history.at(-1) === 'running');
    // A number that no open file has is refused by sendmsg, as too many descriptors under way are.
    receiver.link?.sendWith?.([Buffer.from('getfd')], new ReceivedDescriptor(2 ** 20));
    const [socket] = qemu.sockets;
    assert.ok(socket !== undefined);
    assert.equal(String((await once(socket, 'data'))[0]), 'getfd');
    const [told, ...others] = log.shown.filter(({ level }) => level === 'error');
    assert.match(told?.text ?? '', /^cannot pass a descriptor to QEMU/);
    assert.deepEqual(told?.fields, { upstream: `unix:${path}`, error: 'EBADF' });
    assert.deepEqual(others, []);
  });

  test('stops in any state, and does not begin again', async (t) => {
    const folder = scratch(t);
    await setUp(t, join(folder, 'none')).upstream.stop();

    const waiting = setUp(t, join(folder, 'none'));
    await waiting.upstream.start();
    await waiting.log.until(isStillWaiting);
    await waiting.upstream.stop();
    await waiting.upstream.stop();

    const dialling = setUp(t, join(folder, 'none'));
    await dialling.upstream.start();
    await dialling.upstream.stop();
    assert.deepEqual(dialling.log.lines, []);

    const quiet = await fakeQemu(t, join(folder, 'quiet'), '');
    const greeting = setUp(t, join(folder, 'quiet'));
    await greeting.upstream.start();
    await greeting.receiver.until(() => greeting.receiver.link !== null);
    await greeting.upstream.stop();

    const qemu = await fakeQemu(t, join(folder, 'qmp'), 'HELLO');
    const running = setUp(t, join(folder, 'qmp'));
    await running.upstream.start();
    await running.receiver.until(() => running.receiver.history.includes('running'));
    await running.upstream.stop();

    for (const { sockets } of [quiet, qemu]) {
      assert.equal(sockets.length, 1);
      for (const socket of sockets) if (!socket.closed) await once(socket, 'close');
    }
    assert.deepEqual(running.receiver.history, ['opened', 'running']);
  });
});

describe('the reason why QEMU is not reached', () => {
  const asRoot = process.getuid?.() !== 0 && 'needs root to become nobody';
  const cases: readonly {
    readonly name: string;
    readonly reason: RegExp;
    readonly skip?: string | false;
    readonly make: (folder: string, t: TestContext) => string | Promise<string>;
  }[] = [
    { name: 'no file', reason: /^there is no such file$/, make: (folder) => join(folder, 'qmp') },
    { name: 'no folder', reason: /^there is no folder \/.*\/no$/, make: (folder) => join(folder, 'no', 'qmp') },
    {
      name: 'a file for a folder',
      reason: /^\/.*\/file is no folder$/,
      make: (folder) => {
        writeFileSync(join(folder, 'file'), '');
        return join(folder, 'file', 'qmp');
      },
    },
    {
      name: 'a dangling link',
      reason: /^it is a dangling symbolic link$/,
      make: (folder) => {
        symlinkSync('nowhere', join(folder, 'link'));
        return join(folder, 'link');
      },
    },
    {
      name: 'a regular file',
      reason: /^it is a regular file, not a socket$/,
      make: (folder) => {
        writeFileSync(join(folder, 'file'), '');
        return join(folder, 'file');
      },
    },
    {
      name: 'a folder for a socket',
      reason: /^it is a folder, not a socket$/,
      make: (folder) => {
        mkdirSync(join(folder, 'dir'));
        return join(folder, 'dir');
      },
    },
    {
      name: 'a socket without rights',
      reason: /^permission denied: run qmpmux as a user who may write to this socket$/,
      skip: asRoot,
      make: async (folder, t) => {
        const path = join(folder, 'qmp');
        await fakeQemu(t, path, 'HELLO');
        chmodSync(path, 0o600);
        chmodSync(folder, 0o755);
        return path;
      },
    },
    {
      name: 'a port where nobody listens',
      reason: /^connection refused: nothing listens on this port$/,
      make: async (_folder, t) => {
        const gone = await fakeQemu(t, { host: '127.0.0.1', port: 0 }, '');
        const port = portOf(gone.server);
        gone.kill();
        await once(gone.server, 'close');
        return `tcp:127.0.0.1:${port}`;
      },
    },
    {
      name: 'an unknown name',
      reason: /^the name no-such-host\.invalid is unknown$|^cannot look up the name no-such-host\.invalid now$/,
      make: () => 'tcp:no-such-host.invalid:4444',
    },
    {
      name: 'no such program',
      reason: /^there is no program "no-such-program"$/,
      make: () => 'exec:no-such-program a b',
    },
    {
      name: 'a program that is not executable',
      reason: /^".*\/file" is not executable$/,
      make: (folder) => {
        writeFileSync(join(folder, 'file'), '');
        return `exec:${join(folder, 'file')}`;
      },
    },
    {
      name: 'a command that fails',
      reason: /^"sh" exited with status 3, before the QMP handshake was done$/,
      make: () => `exec:sh -c 'exit 3'`,
    },
    {
      name: 'a command that is killed',
      reason: /^"sh" was ended by SIGKILL, before the QMP handshake was done$/,
      make: () => `exec:sh -c 'kill -9 $$'`,
    },
  ];
  for (const { name, reason, skip = false, make } of cases) {
    test(`is reported: ${name}`, { skip }, async (t) => {
      const address = await make(scratch(t), t);
      const { upstream, log } = setUp(t, address);
      if (name.includes('rights')) process.seteuid?.(65534);
      try {
        await upstream.start();
        const line = await log.until(isWaiting);
        assert.match(String(line.fields['reason']), reason);
        await log.until(isStillWaiting);
        assert.equal(log.shown.filter(isWaiting).length, 1);
      } finally {
        if (name.includes('rights')) process.seteuid?.(0);
      }
    });
  }
});

describe('an upstream over a command', () => {
  test('carries bytes both ways, reports the command’s standard error, and names its end', async (t) => {
    const script =
      'printf HELLO; echo one >&2; echo >&2; printf "two\\nthree" >&2; read -r line; echo "$line" >&2; exit 5';
    const { upstream, receiver, log } = setUp(t, `exec:sh -c '${script}'`);
    await upstream.start();
    await receiver.until(() => receiver.history.includes('running'));
    receiver.link?.write(Buffer.from('from us\n'));
    await receiver.until(() => receiver.history.includes('closed: "sh" exited with status 5'));
    await upstream.stop();
    const said = log.shown.filter((line) => 'line' in line.fields).map((line) => line.fields['line']);
    assert.deepEqual(said.slice(0, 3), ['one', 'two', 'threefrom us']);
  });

  test('writes a line that each attempt repeats once, whatever numbers are in it', async (t) => {
    const { upstream, log } = setUp(t, `exec:sh -c 'echo "[$$] cannot connect" >&2; exit 1'`);
    await upstream.start();
    await log.until((line) => line.text === 'upstream command wrote to stderr again', 3);
    const shown = log.shown.filter((line) => 'line' in line.fields);
    assert.equal(shown.length, 1);
    assert.match(String(shown[0]?.fields['line']), /^\[\d+\] cannot connect$/);
    assert.equal(typeof shown[0]?.fields['pid'], 'number');
  });

  test('fills no log, whatever it says', async (t) => {
    const script =
      'x=; for i in 1 2 3 4 5 6 7 8; do for j in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25; do x=x$x; echo $x >&2; done; done; echo END >&2; exit 1';
    const { upstream, log } = setUp(t, `exec:sh -c '${script}'`);
    await upstream.start();
    await log.until((line) => line.fields['line'] === 'END');
    const shown = log.shown.filter((line) => 'line' in line.fields);
    assert.ok(shown.length >= 10 && shown.length < 150, `${shown.length} lines`);
    await upstream.stop();
  });

  test('is never run twice at a time', async (t) => {
    const lock = join(scratch(t), 'lock');
    // Closes its output at once and takes its time to end.
    const script = `mkdir ${lock} || { echo OVERLAP >&2; exit 1; }; exec 1>&-; read -r x; rmdir ${lock}; echo DONE $$ >&2`;
    const { upstream, log } = setUp(t, `exec:sh -c '${script}'`);
    await upstream.start();
    await log.until((line) => String(line.fields['line']).startsWith('DONE'), 3);
    await upstream.stop();
    assert.ok(!log.lines.some((line) => line.fields['line'] === 'OVERLAP'));
  });

  for (const [name, first] of [
    ['that ends on SIGTERM', ''],
    ['that ignores SIGTERM', 'trap "" TERM; '],
  ] as const) {
    test(`${name} is ended with all it has started when we stop`, async (t) => {
      const mark = join(scratch(t), 'pids');
      const { upstream, receiver } = setUp(
        t,
        `exec:sh -c '${first}sleep 1000 & echo $$ $! > ${mark}; printf HELLO; wait'`,
      );
      await upstream.start();
      await receiver.until(() => receiver.history.includes('running'));
      const pids = readFileSync(mark, 'utf8').trim().split(' ').map(Number);
      assert.ok(pids.every(isRunning));
      await upstream.stop();
      await untilEnded(...pids);
    });
  }
});

describe('an upstream that dials us', () => {
  test('is served one connection at a time, again and again', async (t) => {
    const path = join(scratch(t), 'qmp');
    const { upstream, receiver, log } = setUp(t, `${path},server,mode=0660`);
    await upstream.start();
    assert.equal(upstream.listeningPlace, formatPlace({ kind: 'unix', path }));
    assert.equal(lstatSync(path).mode & 0o777, 0o660);
    for (let round = 0; round < 3; round++) {
      receiver.history.length = 0;
      const qemu = connect(path);
      qemu.write('HELLO');
      await receiver.until(() => receiver.history.includes('running'));
      for (let others = 0; others < 3; others++) {
        const second = connect(path);
        second.on('error', () => undefined);
        await once(second, 'close');
      }
      qemu.destroy();
      await receiver.until(() => receiver.history.includes('closed: closed by QEMU'));
      assert.ok(existsSync(path), 'QEMU can dial again');
    }
    assert.equal(log.shown.filter((line) => line.text.startsWith('refused a second connection')).length, 3);
    await upstream.stop();
    assert.ok(!existsSync(path));
  });

  test('and says nothing is not kept', async (t) => {
    const path = join(scratch(t), 'qmp');
    const { upstream, log } = setUp(t, `${path},server`, { attemptTimeout: 30 });
    await upstream.start();
    const stranger = connect(path);
    stranger.on('error', () => undefined);
    await once(stranger, 'close');
    const { fields } = await log.until(isWaiting);
    assert.equal(fields['reason'], 'no greeting within 0.03 s: the peer is not a QEMU monitor');
  });

  test('over TCP', async (t) => {
    const { upstream, receiver } = setUp(t, 'tcp:127.0.0.1:0,server');
    await upstream.start();
    const port = Number(/:(\d+)$/.exec(upstream.listeningPlace ?? '')?.[1]);
    const qemu = connect({ host: '127.0.0.1', port });
    t.after(() => qemu.destroy());
    qemu.write('HELLO');
    await receiver.until(() => receiver.history.includes('running'));
  });

  test('is an error at the start when we cannot listen', async (t) => {
    const { upstream } = setUp(t, `${join(scratch(t), 'no', 'qmp')},server`);
    await assert.rejects(upstream.start(), { code: 'QMPMUX_LISTEN', message: /the folder .* does not exist/ });
  });
});
