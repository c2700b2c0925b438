/**
 * The soak: a daemon between a real QEMU and many clients, hostile ones among them, and everything that can happen to either, for as
 * long as it is told. `npm run soak` runs it for a minute and prints its figures; a seed plays the same faults in the same order.
 *
 * What must hold all the time: every client gets its own answers in its own order, and every event; nobody waits for ever; the daemon's
 * memory stays under its bound.
 */
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Random } from '../conformance/generator.js';
import { type Daemon, startDaemon } from '../support/daemon/daemon.js';
import { type Scope, scratch } from '../support/files/scratch.js';
import { type Qemu, startQemu } from '../support/qemu/qemu.js';
import { badUpstream } from './bad-upstream.js';
import { quantile, SoakClient } from './client.js';
import { garbageOf } from './garbage.js';
import { tryInputs } from './inputs.js';
import { vanish } from './vanish.js';

export interface SoakOptions {
  readonly seconds: number;
  readonly seed: number;
  readonly clients: number;
  /** How many clients connect and vanish. */
  readonly vanishing: number;
  /** How many inputs the fuzz tests try. */
  readonly inputs: number;
}

/** One line of the table. */
export interface Figure {
  readonly what: string;
  readonly value: string;
  /** What it has to be; empty for figures that are only told. */
  readonly bound: string;
  readonly isGood: boolean;
}

export interface SoakResult {
  readonly figures: readonly Figure[];
  /** What clients complained of; empty when all is well. */
  readonly problems: readonly string[];
}

/** What a polite client's p99 may grow to while others flood, in times. */
const MOST_SLOWER = 3;
/** The daemon's memory, in MiB, with a thousand clients: see docs/reference/limits.md. */
const MOST_MEMORY = 300;
const FLOOD = 100_000;
const ROUNDS = 4;
const MOST_TRIES = 3;
const SAMPLES = 250;
const EVENT_ROUNDS = 10;
/** What the daemon's memory may grow by while clients come and vanish, once the first tenth of them has, in MiB. */
const MOST_GROWTH = 16;

const flooder = fileURLToPath(new URL('flooder.js', import.meta.url));

export async function soak(scope: Scope, options: SoakOptions, tell: (line: string) => void): Promise<SoakResult> {
  return new Soak(scope, options, tell).run();
}

/** @returns a daemon's resident memory in MiB. */
function memoryOf({ pid }: Daemon): number {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  return Math.round(Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? '0') / 1024);
}

/** @returns how many descriptors a daemon has. */
function descriptorsOf({ pid }: Daemon): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

type Kind = 'in-band' | 'out-of-band';

class Soak {
  readonly #scope: Scope;
  readonly #options: SoakOptions;
  readonly #tell: (line: string) => void;
  readonly #random: Random;
  readonly #figures: Figure[] = [];
  readonly #problems: string[] = [];
  readonly #complain = (problem: string) => {
    if (this.#problems.length < 100) this.#problems.push(problem);
  };
  readonly #monitor: string;
  readonly #mux: string;
  #qemu: Qemu | null = null;
  #daemon: Daemon | null = null;
  #peak = 0;
  /** Bytes of it. */
  #garbage = 0;
  #badMessages = 0;
  #vanished = 0;

  constructor(scope: Scope, options: SoakOptions, tell: (line: string) => void) {
    this.#scope = scope;
    this.#options = options;
    this.#tell = tell;
    this.#random = new Random(options.seed);
    const folder = scratch(scope);
    this.#monitor = join(folder, 'q');
    this.#mux = join(folder, 'mux');
  }

  async run(): Promise<SoakResult> {
    const end = performance.now() + this.#options.seconds * 1000;
    await this.#startQemu();
    this.#daemon = startDaemon(this.#scope, [
      '--upstream',
      this.#monitor,
      '--listen',
      `${this.#mux},connection-rate=0`,
      '--keep-clients',
      '--no-merge',
      '--warn-after=5s',
      '--log-level=warn',
      '--limit=output-grace=3s',
    ]);
    await this.#daemon.ready();
    this.#figure('memory of the daemon, no clients', `${this.#memory()} MiB`);
    const clients = await this.#openMany(this.#options.clients);
    this.#figure('clients held', String(clients.length));
    this.#figure('memory of the daemon, with them', `${this.#memory()} MiB`);
    await this.#compareUnderFlood('in-band');
    await this.#compareUnderFlood('out-of-band');
    await this.#holdAgainstHostiles(clients);
    await this.#letVanish();
    const faults = await this.#surviveFaults(clients, end);
    this.#figure('faults survived', String(faults));
    this.#figure('clients that came and vanished', String(this.#vanished));
    this.#figure('garbage sent by clients', `${(this.#garbage / 1e6).toFixed(1)} MB`);
    this.#figure('messages of an upstream that is no QEMU', String(this.#badMessages));
    const answers = clients.reduce((sum, client) => sum + client.answers, 0);
    this.#figure('answers to polite clients, in order', String(answers));
    this.#memory();
    this.#bounded('memory of the daemon, at most', this.#peak, MOST_MEMORY, 'MiB');
    this.#bounded('answers or events missed or mixed up', this.#problems.length, 0, '');
    await Promise.all(clients.map((client) => client.close()));
    const { code } = await this.#daemon.stop();
    this.#bounded('exit code of the daemon', code ?? -1, 0, '');
    const { tried, failure } = await tryInputs(this.#options.inputs, this.#options.seed);
    this.#figure('inputs tried', String(tried), 'none fails', failure === null);
    if (failure !== null) this.#complain(failure);
    return { figures: this.#figures, problems: this.#problems };
  }

  #figure(what: string, value: string, bound = '', isGood = true): void {
    this.#figures.push({ what, value, bound, isGood });
    this.#tell(`${what}: ${value}${bound === '' ? '' : ` (${bound})`}`);
  }

  #bounded(what: string, value: number, most: number, unit: string): void {
    this.#figure(what, `${value} ${unit}`.trim(), `≤ ${most} ${unit}`.trim(), value <= most);
  }

  /** @returns the daemon's resident memory in MiB. */
  #memory(): number {
    if (this.#daemon === null) return 0;
    const memory = memoryOf(this.#daemon);
    this.#peak = Math.max(this.#peak, memory);
    return memory;
  }

  async #startQemu(): Promise<void> {
    const qemu = await startQemu(this.#scope);
    renameSync(qemu.monitor, this.#monitor);
    this.#qemu = qemu;
  }

  #open(name: string): Promise<SoakClient> {
    return SoakClient.open(this.#mux, name, this.#complain);
  }

  async #openMany(count: number): Promise<SoakClient[]> {
    const clients: SoakClient[] = [];
    while (clients.length < count) {
      const batch = Math.min(50, count - clients.length);
      const first = clients.length;
      clients.push(...(await Promise.all(Array.from({ length: batch }, (_, i) => this.#open(`client ${first + i}`)))));
    }
    return clients;
  }

  /** A polite client's latency beside idle ones, and beside one that floods, in turns. */
  async #compareUnderFlood(kind: Kind): Promise<void> {
    // Other processes of the machine are in the figures too: a measurement that is too bad is made again, and all are told.
    for (let tries = 1; ; tries++)
      if ((await this.#measureUnderFlood(kind, tries === MOST_TRIES)) || tries === MOST_TRIES) return;
  }

  async #measureUnderFlood(kind: Kind, isLast: boolean): Promise<boolean> {
    const polite = await this.#open('the polite one');
    const [alone, beside]: [number[], number[]] = [[], []];
    const measure = async (into: number[]) => {
      for (let i = 0; i < SAMPLES; i++) into.push(await polite.ask());
    };
    await measure([]);
    for (let round = 0; round < ROUNDS; round++) {
      await measure(alone);
      const flood = this.#flood(kind);
      await flood.hasBegun();
      await measure(beside);
      flood.kill();
      await flood.result;
      // What it has sent is executed; its end is told in the log.
      await sleep(1000);
    }
    const [p99, p99Beside] = [quantile(alone, 0.99), quantile(beside, 0.99)];
    this.#figure('p50 of a polite client, others idle', `${quantile(alone, 0.5).toFixed(2)} ms`);
    this.#figure(`p50 of a polite client, one floods ${kind}`, `${quantile(beside, 0.5).toFixed(2)} ms`);
    this.#figure('p99 of a polite client, others idle', `${p99.toFixed(2)} ms`);
    this.#figure(`p99 of a polite client, one floods ${kind}`, `${p99Beside.toFixed(2)} ms`);
    const ratio = p99Beside / p99;
    await polite.close();
    const isGood = ratio <= MOST_SLOWER;
    if (isGood || isLast) this.#figure('the second p99 over the first', ratio.toFixed(2), `≤ ${MOST_SLOWER}`, isGood);
    else this.#figure('the second p99 over the first', `${ratio.toFixed(2)}, again`);
    return isGood;
  }

  #flood(kind: Kind): {
    readonly result: Promise<string>;
    readonly kill: () => void;
    readonly hasBegun: () => Promise<void>;
  } {
    const child = spawn(process.execPath, [flooder, this.#mux, String(FLOOD), kind], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let text = '';
    child.stdout.setEncoding('latin1').on('data', (chunk: string) => {
      text += chunk;
    });
    const result = new Promise<string>((resolve) => {
      child.once('close', () => resolve(text.trim()));
    });
    this.#scope.after(() => {
      child.kill('SIGKILL');
    });
    return {
      result,
      kill: () => child.kill('SIGKILL'),
      // It has begun when its commands are executed: QEMU's process is busy then, and so is this one's socket.
      hasBegun: () => sleep(700),
    };
  }

  /** One that never reads, one that sends a byte a second, one that floods, one that sends garbage; the rest must not notice. */
  async #holdAgainstHostiles(clients: readonly SoakClient[]): Promise<void> {
    const [deaf, slow, babbler, driver] = [
      await this.#open('the deaf one'),
      await this.#open('the slow one'),
      await this.#open('the one that sends garbage'),
      await this.#open('the driver'),
    ];
    deaf.stopReading();
    deaf.write('{"execute": "query-qmp-schema"}'.repeat(1000));
    babbler.ignoreAnswers();
    const work = { isOver: false };
    const slowly = (async () => {
      const bytes = '{"execute": "query-status", "id": "slow"}';
      slow.ignoreAnswers();
      for (let at = 0; !work.isOver; at++) {
        slow.write(bytes.charAt(at % bytes.length));
        await sleep(1000);
      }
    })();
    const babble = (async () => {
      while (!work.isOver) {
        const garbage = garbageOf(this.#random, 8192);
        this.#garbage += garbage.length;
        babbler.write(garbage);
        await sleep(20);
      }
    })();
    const flood = this.#flood('in-band');
    const started = performance.now();
    for (let round = 0; round < EVENT_ROUNDS; round++) {
      await driver.ask('cont');
      await driver.ask('stop');
      await Promise.all(clients.map((client) => client.ask()));
    }
    this.#tell(
      `${EVENT_ROUNDS} rounds of ${clients.length} clients under hostiles: ${Math.round(performance.now() - started)} ms`,
    );
    this.#memory();
    const flooded = await flood.result;
    work.isOver = true;
    await Promise.all([slowly, babble]);
    let deliveries = 0;
    for (const client of clients) {
      for (const name of ['RESUME', 'STOP']) {
        const seen = client.events.get(name) ?? 0;
        deliveries += seen;
        if (seen !== EVENT_ROUNDS) this.#complain(`${client.name} saw ${seen} ${name} events of ${EVENT_ROUNDS}`);
      }
    }
    this.#figure(
      'pipelined commands of one client, answered in order',
      flooded,
      `= ${FLOOD}`,
      flooded === String(FLOOD),
    );
    this.#figure('events delivered, each to all', String(deliveries));
    await Promise.all([deaf, slow, babbler, driver].map((client) => client.close()));
  }

  /**
   * On a daemon of their own, for the memory of one with many clients goes up and down with its garbage. A tenth of them first:
   * what is kept for reuse is there then.
   */
  async #letVanish(): Promise<void> {
    const { vanishing } = this.#options;
    const qemu = await startQemu(this.#scope);
    const mux = join(qemu.folder, 'mux');
    const listen = `${mux},connection-rate=0`;
    const daemon = startDaemon(this.#scope, ['--upstream', qemu.monitor, '--listen', listen, '--log-level=warn']);
    await daemon.ready();
    const observer = await SoakClient.open(mux, 'the observer', this.#complain);
    const warm = Math.floor(vanishing / 10);
    await vanish(mux, warm);
    await observer.ask();
    const [descriptors, memory] = [descriptorsOf(daemon), memoryOf(daemon)];
    await vanish(mux, vanishing - warm);
    // Those that the kernel still held are accepted, and what they had upstream is answered.
    let left = 1;
    for (let looks = 0; left > 0 && looks < 1000; looks++) {
      await observer.ask();
      left = descriptorsOf(daemon) - descriptors;
    }
    this.#vanished += vanishing;
    this.#bounded(`descriptors left behind by ${vanishing} that vanished`, Math.max(0, left), 0, '');
    this.#bounded('memory they left behind', Math.max(0, memoryOf(daemon) - memory), MOST_GROWTH, 'MiB');
    await observer.close();
    await daemon.stop();
    await qemu.kill();
  }

  /** Faults in a random order, each at least once, until the time is over. @returns how many there were */
  async #surviveFaults(clients: SoakClient[], end: number): Promise<number> {
    const faults: readonly [() => Promise<void>, ...(() => Promise<void>)[]] = [
      () => this.#stopQemu(),
      () => this.#killQemu(),
      () => this.#standIn(),
      () => this.#vanish(),
      () => this.#sendGarbage(),
      () => this.#leaveHalfway(),
      () => this.#exchange(clients),
    ];
    const first = this.#random.shuffle(faults);
    let count = 0;
    do {
      // Work goes on while it happens.
      const work = Promise.all(Array.from({ length: 50 }, () => this.#anyOf(clients).ask()));
      await (first.shift() ?? this.#random.pick(faults))();
      await work;
      const fresh = await this.#open('a new one');
      for (let tries = 0; Number.isNaN(await fresh.ask()); tries++) {
        if (tries > 100) {
          this.#complain('a new client gets no answers');
          break;
        }
        await sleep(20);
      }
      await fresh.close();
      count++;
      this.#memory();
    } while ((first.length > 0 || performance.now() < end) && this.#problems.length === 0);
    for (const client of clients) if (!client.isOpen) this.#complain(`${client.name} lost its connection`);
    return count;
  }

  #anyOf(clients: readonly SoakClient[]): SoakClient {
    const client = clients[this.#random.below(clients.length)];
    if (client === undefined) throw new Error('there are no clients');
    return client;
  }

  async #stopQemu(): Promise<void> {
    const pid = this.#qemu?.pid ?? 0;
    process.kill(pid, 'SIGSTOP');
    await sleep(this.#random.below(300));
    process.kill(pid, 'SIGCONT');
  }

  async #killQemu(): Promise<void> {
    await this.#qemu?.kill();
    await this.#startQemu();
    await this.#daemon?.ready();
  }

  /** Something else stands at QEMU's path for a while. */
  async #standIn(): Promise<void> {
    await this.#qemu?.kill();
    rmSync(this.#monitor, { force: true });
    const bad = await badUpstream(this.#monitor, this.#random, 2);
    while (bad.pieces < 100) await sleep(10);
    this.#badMessages += bad.pieces;
    await bad.close();
    rmSync(this.#monitor, { force: true });
    await this.#startQemu();
    await this.#daemon?.ready();
  }

  async #vanish(): Promise<void> {
    await Promise.all(
      Array.from({ length: 50 }, async () => {
        const client = await this.#open('a passer-by');
        // It leaves before its answer can come.
        void client.ask();
        await client.close();
      }),
    );
    this.#vanished += 50;
  }

  async #sendGarbage(): Promise<void> {
    const client = await this.#open('a babbler');
    client.ignoreAnswers();
    for (let i = 0; i < 16; i++) {
      const garbage = garbageOf(this.#random, 4096);
      this.#garbage += garbage.length;
      client.write(garbage);
    }
    await client.close();
  }

  async #leaveHalfway(): Promise<void> {
    const client = await this.#open('one who leaves halfway');
    client.write('{"execute": "query-status", "arguments": {"x": [[[[');
    await client.close();
  }

  /** Some leave, others come. */
  async #exchange(clients: SoakClient[]): Promise<void> {
    for (let i = 0; i < 20; i++) {
      const at = this.#random.below(clients.length);
      const old = clients[at];
      clients[at] = await this.#open(`client ${at}, a later one`);
      await old?.close();
    }
  }
}
