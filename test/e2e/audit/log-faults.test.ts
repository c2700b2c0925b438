/** Whatever becomes of standard error, clients are served, and SIGTERM ends the daemon. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, existsSync, openSync, readFileSync, readSync, truncateSync, writeSync } from 'node:fs';
import { get, type IncomingMessage } from 'node:http';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { missing } from '../../support/daemon/programs.js';
import { scratch } from '../../support/files/scratch.js';
import { RawClient } from '../../support/world/raw-client.js';

const program = fileURLToPath(new URL('../../../bin/qmpmux.js', import.meta.url));
const { O_RDONLY, O_RDWR, O_WRONLY, O_NONBLOCK, O_NOCTTY } = constants;
/** Clients whose lines in the log are too many for the buffers of sockets and terminals. */
const MANY = 800;

interface Served {
  readonly mux: string;
  readonly pid: number;
  /** Ends by itself when the process does. */
  readonly exited: Promise<readonly [code: number | null, signal: string | null]>;
}

const GREETING =
  '{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": ""}, "capabilities": ["oob"]}}\r\n';

/** A monitor that returns nothing to every command but `never`, which has no answer. @returns its path */
async function startMonitor(t: TestContext): Promise<string> {
  const path = join(scratch(t), 'qmp');
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.setEncoding('utf8').write(GREETING);
    socket.on('error', () => {});
    socket.on('data', (text: string) => {
      if (text.includes('"never"')) return;
      for (const [, id] of text.matchAll(/"id": ?("[^"]*"|\d+)/g)) socket.write(`{"return": {}, "id": ${id}}\r\n`);
    });
  }).listen(path);
  await once(server, 'listening');
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return path;
}

/** Starts a daemon whose standard error is this descriptor, or a pipe that nobody reads. */
async function serveWith(
  t: TestContext,
  stderr: number | 'pipe',
  words: readonly string[],
  through: readonly string[] = [],
): Promise<Served> {
  const upstream = await startMonitor(t);
  const mux = join(scratch(t), 'mux');
  const args = ['serve', '--upstream', upstream, '--listen', mux, '--log-level', 'debug', ...words];
  const [first = '', ...rest] = [...through, process.execPath, program, ...args];
  const child = spawn(first, rest, { stdio: ['ignore', 'ignore', stderr] });
  t.after(() => child.kill('SIGKILL'));
  const exited = once(child, 'exit') as Promise<[number | null, string | null]>;
  return { mux, pid: child.pid ?? 0, exited };
}

/** A command, from the connection to its answer. */
async function isServed({ mux }: Served): Promise<void> {
  const client = await RawClient.soon(mux);
  await client.readLine();
  await client.write('{"execute":"qmp_capabilities"}{"execute":"query-status","id":1}');
  await client.readLine();
  assert.match(await client.readLine(), /"return": \{\}, "id": 1/);
  await client.close();
}

/** Has lines logged, two or more of each client. */
async function fillLog(served: Served, most = MANY): Promise<void> {
  for (let clients = 0; clients < most; clients++) {
    const client = await RawClient.soon(served.mux);
    await client.readLine();
    await client.close();
  }
}

async function isEnded({ pid, exited }: Served): Promise<void> {
  process.kill(pid, 'SIGTERM');
  assert.deepEqual(await exited, [0, null]);
}

/** A named pipe with both of its ends, the reader's without waiting. */
function namedPipe(t: TestContext): { readonly reader: number; readonly writer: number } {
  const path = join(scratch(t), 'pipe');
  execFileSync('mkfifo', [path]);
  const reader = openSync(path, O_RDONLY | O_NONBLOCK);
  return { reader, writer: openSync(path, O_WRONLY) };
}

/** Fills a pipe, so that not one line has room. */
function fillPipe(path: number): void {
  const end = openSync(`/proc/self/fd/${path}`, O_WRONLY | O_NONBLOCK);
  try {
    for (;;) writeSync(end, 'x'.repeat(4095) + '\n');
  } catch {
    // it is full, but for less than that
  }
  try {
    for (;;) writeSync(end, '\n');
  } catch {
    closeSync(end);
  }
}

/** What a file has when it matches. */
async function readFrom(file: string, wanted: RegExp): Promise<string> {
  for (;;) {
    const text = readFileSync(file, 'utf8');
    if (wanted.test(text)) return text;
    await setTimeout(10);
  }
}

/** What Prometheus would be answered with. */
async function scraped(socketPath: string): Promise<string> {
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    get({ socketPath, path: '/metrics', agent: false }, resolve).once('error', reject);
  });
  let text = '';
  for await (const chunk of answer.setEncoding('utf8')) text += String(chunk);
  return text;
}

/** Reads until a text comes. @returns all of it */
async function readUntil(fd: number, wanted: RegExp): Promise<string> {
  const chunk = Buffer.alloc(65_536);
  for (let text = ''; ; ) {
    let length = 0;
    try {
      length = readSync(fd, chunk);
    } catch {
      // nothing now
    }
    text += chunk.toString('utf8', 0, length);
    if (wanted.test(text)) return text;
    if (length === 0) await setTimeout(10);
  }
}

/** A terminal whose other end is a program that can be stopped. @returns the terminal's descriptor and that program */
async function terminal(t: TestContext): Promise<{ readonly tty: number; readonly reader: ChildProcess }> {
  const link = join(scratch(t), 'tty');
  const reader = spawn('socat', ['-u', `PTY,link=${link},rawer`, 'OPEN:/dev/null'], { stdio: 'ignore' });
  t.after(() => reader.kill('SIGKILL'));
  while (!existsSync(link)) await setTimeout(10);
  return { tty: openSync(link, O_RDWR | O_NOCTTY), reader };
}

for (const format of ['json', 'pretty']) {
  const words = ['--log-format', format];
  describe(`the log, ${format}`, { skip: missing('socat', 'mkfifo') }, () => {
    test('on a full disk', async (t) => {
      const full = openSync('/dev/full', O_WRONLY);
      const metrics = join(scratch(t), 'metrics');
      const served = await serveWith(t, full, [...words, '--metrics', `unix:${metrics}`]);
      closeSync(full);
      for (let times = 0; times < 3; times++) await isServed(served);
      assert.match(await scraped(metrics), /^qmpmux_log_lost_lines_total [1-9]/m);
      await isEnded(served);
    });

    test('in a file that can grow no more goes on when there is room, and says how many lines are missing', async (t) => {
      const file = join(scratch(t), 'log');
      const log = openSync(file, 'a');
      // A limit of the shell's stands for the disk.
      const served = await serveWith(t, log, words, ['sh', '-c', `ulimit -f 8; trap '' XFSZ; exec "$@"`, 'sh']);
      closeSync(log);
      await fillLog(served, 60);
      await isServed(served);
      truncateSync(file);
      const read = await readFrom(file, /lines of this log were lost because they could not be written.*\n/);
      assert.match(read, /"lines":[1-9]\d*.*EFBIG|EFBIG.*"lines":[1-9]/);
      await isServed(served);
      await isEnded(served);
    });

    test('in a pipe that is full, where it goes on when somebody reads it', async (t) => {
      const { reader, writer } = namedPipe(t);
      fillPipe(writer);
      const served = await serveWith(t, writer, words);
      closeSync(writer);
      await fillLog(served, 20);
      await isServed(served);
      const text = await readUntil(reader, /a client is gone.*"client":21|"client":21.*a client is gone/);
      const lines = text.split('\n').filter((line) => line !== '' && !/^x+$/.test(line));
      const begin = format === 'json' ? /^\{"level":\d+,.*\}$/ : /^\[\d{4}-.*[A-Z]+: /;
      for (const line of lines.slice(0, -1)) assert.match(line, begin);
      await isServed(served);
      await isEnded(served);
      closeSync(reader);
    });

    test('in a pipe whose reader is gone', async (t) => {
      const { reader, writer } = namedPipe(t);
      const served = await serveWith(t, writer, words);
      closeSync(writer);
      await isServed(served);
      closeSync(reader);
      for (let times = 0; times < 3; times++) await isServed(served);
      await isEnded(served);
    });

    test('in a socket that nobody reads', async (t) => {
      const served = await serveWith(t, 'pipe', words);
      await fillLog(served);
      await isServed(served);
      await isEnded(served);
    });

    test('on a terminal that stands still, and is closed then', async (t) => {
      const { tty, reader } = await terminal(t);
      reader.kill('SIGSTOP');
      const served = await serveWith(t, tty, words);
      closeSync(tty);
      await fillLog(served);
      await isServed(served);
      reader.kill('SIGKILL');
      for (let times = 0; times < 3; times++) await isServed(served);
      await isEnded(served);
    });

    test('on a terminal that stands still: a second SIGTERM ends it at once', async (t) => {
      const { tty, reader } = await terminal(t);
      reader.kill('SIGSTOP');
      const served = await serveWith(t, tty, [...words, '--drain-timeout', '1h']);
      closeSync(tty);
      await fillLog(served, 20);
      const client = await RawClient.soon(served.mux);
      await client.readLine();
      await client.write('{"execute":"qmp_capabilities"}{"execute":"never"}');
      await client.readLine();
      process.kill(served.pid, 'SIGTERM');
      // It still has what is unanswered, and takes no one in.
      for (let isOpen = true; isOpen; ) isOpen = await isListening(served.mux);
      process.kill(served.pid, 'SIGTERM');
      assert.deepEqual(await served.exited, [128 + 15, null]);
      await client.close();
    });
  });
}

async function isListening(mux: string): Promise<boolean> {
  try {
    await (await RawClient.connect(mux)).close();
    return true;
  } catch {
    return false;
  }
}

test('ready lines that nobody reads hold nobody up', async (t) => {
  const { reader, writer } = namedPipe(t);
  fillPipe(writer);
  const upstream = await startMonitor(t);
  const mux = join(scratch(t), 'mux');
  const args = ['serve', '--upstream', upstream, '--listen', mux];
  const child = spawn(process.execPath, [program, ...args], { stdio: ['ignore', writer, 'ignore'] });
  t.after(() => child.kill('SIGKILL'));
  closeSync(writer);
  const client = await RawClient.soon(mux);
  await client.readLine();
  await client.close();
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  assert.deepEqual(await exited, [0, null]);
  closeSync(reader);
});
