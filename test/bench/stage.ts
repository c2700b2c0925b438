/** The processes of one row: started on demand, on sockets in a folder of their own, and all ended with it. */
import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { startDaemon } from '../support/daemon/daemon.js';
import type { DriverJob, LoadResult, ParentMessage, WorkerMessage } from './load.js';
import { Pins, type Placement } from './placement.js';
import { cpuSeconds, residentBytes } from './usage.js';

/** What clients connect to. */
export interface Place {
  readonly path: string;
  /** The process that stands there, or null where QEMU or the responder itself does. */
  readonly pid: number | null;
  /** Who answers there, or behind it, and can be asked beforehand what it will answer. */
  readonly upstream?: Upstream;
}

export interface Upstream {
  readonly path: string;
  /** The process, where it is one of the stage's. */
  readonly pid: number | null;
}

export interface Run extends LoadResult {
  /** Replies, or deliveries, a second. */
  readonly rate: number;
  /** Seconds of CPU that the place's process used for each of them. */
  readonly cpu: number;
  /** Bytes that the place's process has resident at the end. */
  readonly memory: number;
}

/** How long a process may take for anything, in milliseconds, runs not counted: a bound against hanging. */
const PATIENCE = 60_000;

export class Stage {
  readonly folder: string = mkdtempSync(join(tmpdir(), 'qm-bench-'));
  readonly #cleaning: (() => void | Promise<void>)[] = [() => rmSync(this.folder, { recursive: true, force: true })];
  /** The responders' processes, by the sockets they listen on. */
  readonly #responders = new Map<string, number>();
  readonly #pins = new Pins();
  #driver: Worker | null = null;
  #paths = 0;

  after(clean: () => void | Promise<void>): void {
    this.#cleaning.push(clean);
  }

  async close(): Promise<void> {
    for (const clean of this.#cleaning.splice(0).toReversed()) await clean();
  }

  /** @returns a path for a socket or a file of this stage. */
  path(): string {
    return join(this.folder, String(++this.#paths));
  }

  /** A responder. @param padding bytes in each of its replies @param count on how many sockets it listens */
  async responders(count: number, padding = 0): Promise<string[]> {
    const worker = this.#worker('responder.js');
    const paths = Array.from({ length: count }, () => this.path());
    worker.send({ kind: 'respond', paths, padding });
    await worker.message('ready');
    for (const path of paths) this.#responders.set(path, worker.pid);
    return paths;
  }

  async responder(padding = 0): Promise<string> {
    const [path = ''] = await this.responders(1, padding);
    return path;
  }

  /** A responder with nothing before it. */
  direct(path: string): Place {
    return this.#inFrontOf(path, path, null);
  }

  async broadcaster(upstream: string): Promise<Place> {
    const worker = this.#worker('broadcaster.js');
    const path = this.path();
    worker.send({ kind: 'broadcast', from: upstream, to: path });
    await worker.message('ready');
    return { path, pid: worker.pid };
  }

  /** @param flags such as the size of its buffer */
  async socat(upstream: string, flags: readonly string[] = []): Promise<Place> {
    const path = this.path();
    const words = [...flags, `UNIX-LISTEN:${path},fork`, `UNIX-CONNECT:${upstream}`];
    const child = spawn('socat', words, { stdio: 'ignore' });
    const ended = once(child, 'exit');
    this.after(async () => {
      child.kill();
      await ended;
    });
    await listening(path, 'socat');
    return this.#inFrontOf(upstream, path, child.pid ?? 0);
  }

  /** The smallest program of Node.js that copies bytes between two sockets. */
  async copier(upstream: string): Promise<Place> {
    const path = this.path();
    const program =
      'const { connect, createServer } = require("node:net"); const [, from, to] = process.argv;' +
      'createServer((client) => { const qemu = connect(from); client.pipe(qemu).pipe(client);' +
      'client.on("error", () => qemu.destroy()); qemu.on("error", () => client.destroy()); }).listen(to);';
    const child = spawn(process.execPath, ['-e', program, upstream, path], { stdio: 'ignore' });
    const ended = once(child, 'exit');
    this.after(async () => {
      child.kill();
      await ended;
    });
    await listening(path, 'the copier');
    return this.#inFrontOf(upstream, path, child.pid ?? 0);
  }

  /**
   * `qmpmux serve` on one upstream.
   * @param options of its listener, such as `,fds=off`
   * @param rehearses whether it rehearses, as it does at a user's; then that is over
   */
  async qmpmux(upstream: string, flags: readonly string[] = [], options = '', rehearses = false): Promise<Place> {
    const path = this.path();
    // A thousand clients come at once, again and again, and are not what the limit is for.
    const listen = `${path},connection-rate=0${options}`;
    const words = ['--upstream', upstream, '--listen', listen, '--log-level', 'warn', ...flags];
    const daemon = startDaemon(this, words, { QMPMUX_REHEARSAL: rehearses ? 'on' : 'off' });
    await daemon.ready();
    if (rehearses) await settled(daemon.pid);
    return this.#inFrontOf(upstream, path, daemon.pid);
  }

  #inFrontOf(upstream: string, path: string, pid: number | null): Place {
    const responder = this.#responders.get(upstream);
    return { path, pid, ...(responder === undefined ? {} : { upstream: { path: upstream, pid: responder } }) };
  }

  /**
   * Runs a job with the clients' process. The clients stay connected until the next one, or `disconnect`.
   * @param placement null where the processes may run anywhere, as they may again behind a run that was placed
   */
  async run(place: Place, job: DriverJob, placement: Placement | null = null): Promise<Run> {
    const driver = await this.#connectedDriver();
    this.#place(driver.pid, place, placement);
    driver.send(
      job.kind === 'load' && place.upstream !== undefined ? { repliesFrom: place.upstream.path, ...job } : job,
    );
    let before = 0;
    if (job.kind !== 'idle') {
      await driver.message('begun');
      before = place.pid === null ? 0 : cpuSeconds(place.pid);
    }
    const result = await driver.result();
    const used = place.pid === null ? 0 : cpuSeconds(place.pid) - before;
    const memory = place.pid === null ? 0 : residentBytes(place.pid);
    if (job.kind !== 'idle') await this.disconnect();
    return { ...result, rate: result.count / result.seconds, cpu: used / result.count, memory };
  }

  /** Before anyone connects: what socat forks for a client is where socat is. */
  #place(driver: number, place: Place, placement: Placement | null): void {
    this.#pins.pin(driver, placement?.driver ?? null);
    if (place.pid !== null) this.#pins.pin(place.pid, placement?.proxy ?? null);
    const responder = place.upstream?.pid ?? null;
    if (responder === null) return;
    this.#pins.pin(responder, (place.pid === null ? placement?.responderAlone : placement?.responder) ?? null);
  }

  /** Ends the clients of the last job. */
  async disconnect(): Promise<void> {
    this.#driver?.send({ kind: 'close' });
    await this.#driver?.message('ready');
  }

  async #connectedDriver(): Promise<Worker> {
    if (this.#driver === null) this.#driver = this.#worker('driver.js');
    else await this.disconnect();
    return this.#driver;
  }

  #worker(file: string): Worker {
    const worker = new Worker(file);
    this.after(() => worker.end());
    return worker;
  }
}

/** Waits until a daemon that has just begun uses no CPU any more. */
async function settled(pid: number): Promise<void> {
  const begin = cpuSeconds(pid);
  // It rests for a moment before the rehearsal.
  for (let waited = 0; cpuSeconds(pid) - begin < 0.1 && waited < PATIENCE; waited += 50) await pause(50);
  for (let before = -1; cpuSeconds(pid) > before; ) {
    before = cpuSeconds(pid);
    await pause(300);
  }
}

/** Waits until a program listens. */
async function listening(path: string, program: string): Promise<void> {
  for (let waited = 0; !existsSync(path); waited += 5) {
    if (waited > PATIENCE) throw new Error(`${program} does not listen`);
    await pause(5);
  }
}

/** A process of ours that takes jobs. */
class Worker {
  readonly #child: ChildProcess;
  readonly #messages: WorkerMessage[] = [];
  readonly #ended: Promise<void>;
  #wake: () => void = () => {};
  #isOver = false;

  constructor(file: string) {
    this.#child = fork(fileURLToPath(new URL(file, import.meta.url)), {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.#child.on('message', (message: WorkerMessage) => {
      this.#messages.push(message);
      this.#wake();
    });
    this.#ended = new Promise((resolve) => {
      this.#child.once('exit', () => {
        this.#isOver = true;
        this.#wake();
        resolve();
      });
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  send(message: ParentMessage): void {
    this.#child.send(message);
  }

  /** The next message, which must be of this kind. */
  async message<K extends WorkerMessage['kind']>(kind: K): Promise<Extract<WorkerMessage, { kind: K }>> {
    await this.#anyMessage();
    const message = this.#messages.shift();
    if (message?.kind === 'failed') throw new Error(message.reason);
    // The comparison is what makes it one of that kind.
    if (message?.kind === kind) return message as Extract<WorkerMessage, { kind: K }>;
    throw new Error(`a process of the benchmark said ${message?.kind} instead of ${kind}`);
  }

  async #anyMessage(): Promise<void> {
    let isLate = false;
    const bound = setTimeout(() => {
      isLate = true;
      this.#wake();
    }, PATIENCE);
    try {
      while (this.#messages.length === 0) {
        if (this.#isOver) throw new Error('a process of the benchmark has ended');
        if (isLate) throw new Error(`a process of the benchmark has waited ${PATIENCE / 1000} s for answers`);
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    } finally {
      clearTimeout(bound);
    }
  }

  async result(): Promise<LoadResult> {
    return (await this.message('done')).result;
  }

  async end(): Promise<void> {
    if (this.#isOver) return;
    this.#child.disconnect();
    await this.#ended;
  }
}
