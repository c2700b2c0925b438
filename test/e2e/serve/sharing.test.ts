import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { startDaemon } from '../../support/daemon/daemon.js';
import { scratch } from '../../support/files/scratch.js';
import { FakeQemu } from '../../support/world/fake-qemu.js';
import { RawClient } from '../../support/world/raw-client.js';

/** A monitor in the test's hands: it completes the handshake, and then answers when it is told to. */
class Monitor {
  readonly qemu: FakeQemu = new FakeQemu((chunk) => this.#socket?.write(chunk), {});
  #socket: Socket | null = null;
  #isAgreed = false;
  #answersAtOnce = false;
  #wake: () => void = () => {};

  constructor(scope: TestContext, path: string) {
    const server = createServer((socket) => {
      this.#socket = socket;
      socket.on('data', (chunk: Buffer) => this.#receive(chunk.toString('latin1')));
      this.qemu.greet();
    }).listen(path);
    scope.after(() => {
      server.close();
      this.#socket?.destroy();
    });
  }

  /** Waits until `count` commands wait for an answer. */
  async waits(count: number): Promise<void> {
    while (this.qemu.waiting.length < count) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Answers commands as they come until `done`. */
  async answerUntil(done: Promise<unknown>): Promise<void> {
    this.#answersAtOnce = true;
    this.#answerAll();
    await done;
    this.#answersAtOnce = false;
  }

  #answerAll(): void {
    while (this.qemu.waiting.length > 0) this.qemu.returns();
  }

  #receive(text: string): void {
    this.qemu.receive(text);
    if (!this.#isAgreed) {
      this.#isAgreed = true;
      this.qemu.answerHandshake();
    }
    if (this.#answersAtOnce) this.#answerAll();
    this.#wake();
  }
}

/** As many as are in flight while a client has enabled out-of-band commands. */
const WINDOW = 7;

async function connect(scope: TestContext, place: string): Promise<RawClient> {
  const client = await RawClient.connect(place);
  scope.after(() => client.close());
  await client.readLine();
  await client.write('{"execute":"qmp_capabilities","arguments":{"enable":["oob"]}}');
  await client.readLine();
  return client;
}

/** @returns how many commands reach QEMU when two clients ask for its version, one after the other. */
async function commandsForVersions(scope: TestContext, monitor: Monitor, place: string): Promise<number> {
  const before = monitor.qemu.arrivedCount;
  for (let times = 0; times < 2; times++) {
    const client = await connect(scope, place);
    await client.write('{"execute":"query-version"}');
    await monitor.answerUntil(client.readLine());
  }
  return monitor.qemu.arrivedCount - before;
}

/** @returns how many commands reach QEMU when two clients wait with the same query behind a third one's commands. */
async function commandsForQueries(scope: TestContext, monitor: Monitor, place: string): Promise<number> {
  // No client may fill the window alone while others are connected.
  for (let count = 0; count < WINDOW; count++) {
    const busy = await connect(scope, place);
    await busy.write('{"execute":"stop"}');
  }
  await monitor.waits(WINDOW);
  const clients = await Promise.all([connect(scope, place), connect(scope, place)]);
  for (const client of clients) {
    // The error comes when what was written with it is in the queue.
    await client.write('{"execute":0}{"execute":"query-status"}');
    assert.match(await client.readLine(), /must be a string/);
  }
  const before = monitor.qemu.arrivedCount;
  await monitor.answerUntil(Promise.all(clients.map((client) => client.readLine())));
  return monitor.qemu.arrivedCount - before;
}

describe('what clients share', () => {
  const cases: readonly (readonly [how: string, flags: readonly string[], versions: number, queries: number])[] = [
    ['constant replies and waiting queries', [], 1, 1],
    ['queries only, with --no-cache', ['--no-cache'], 2, 1],
    ['constant replies only, with --no-merge', ['--no-merge'], 1, 2],
    ['nothing, with --no-cache and --no-merge', ['--no-cache', '--no-merge'], 2, 2],
  ];
  for (const [how, flags, versions, queries] of cases) {
    test(`is ${how}`, async (t) => {
      const folder = scratch(t);
      const monitor = new Monitor(t, join(folder, 'qmp'));
      const daemon = startDaemon(t, ['--upstream', join(folder, 'qmp'), '--listen', join(folder, 'mux'), ...flags]);
      const [place = ''] = await daemon.ready();
      assert.equal(await commandsForVersions(t, monitor, place), versions, 'commands for two versions');
      assert.equal(await commandsForQueries(t, monitor, place), queries, 'commands for two queries');
    });
  }

  test('is as a config file says', async (t) => {
    const folder = scratch(t);
    const monitor = new Monitor(t, join(folder, 'qmp'));
    const file = join(folder, 'q.toml');
    writeFileSync(
      file,
      `[monitor.vm]\nupstream = "${folder}/qmp"\nlisten = ["${folder}/mux"]\ncache = false\nmerge = false\n`,
    );
    const [place = ''] = await startDaemon(t, ['--config', file]).ready();
    assert.equal(await commandsForVersions(t, monitor, place), 2);
    assert.equal(await commandsForQueries(t, monitor, place), 2);
  });
});
