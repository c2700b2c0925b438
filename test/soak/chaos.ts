/**
 * The chaos: everything that is hostile, and everything around the daemon that can break, at random and at once, beside clients that
 * check each byte they read. `npm run soak -- --chaos` runs it for a minute; a seed plays the same inputs and faults in the same order.
 *
 * Two monitors are in one daemon: a real QEMU with the polite clients, and one that lies. What must hold: nobody gets a foreign byte,
 * loses one, or goes without an answer; the daemon lives; the polite ones wait no longer than in proportion to what they waited when all
 * was calm; memory is bounded; no descriptor is left behind; and the audit log is whole.
 */
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, renameSync, rmSync, statfsSync, statSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Random } from '../conformance/generator.js';
import { type Daemon, startDaemon } from '../support/daemon/daemon.js';
import { freePort } from '../support/daemon/free-port.js';
import { runQmpmux } from '../support/daemon/run-qmpmux.js';
import { cannotMount, mountTmpfs } from '../support/files/filesystem.js';
import { type Scope, scratch } from '../support/files/scratch.js';
import { type Qemu, startQemu } from '../support/qemu/qemu.js';
import { ChaosClient, isFromMemory, Outages } from './chaos-client.js';
import { quantile } from './client.js';
import { garbageOf } from './garbage.js';
import type { HostileOrders } from './hostile-side.js';
import type { Figure, SoakResult } from './soak.js';

export interface ChaosOptions {
  readonly seconds: number;
  readonly seed: number;
  /** Polite ones, all the time. */
  readonly clients: number;
}

/** What the worst wait may be, in times of the calm p99, and what that is taken for at least, in milliseconds. */
const MOST_SLOWER = 100;
const LEAST_CALM = 80;
/** The same where QEMU answers, which is one process more that has to wait for its turn on a busy machine. */
const LEAST_CALM_QEMU = 200;
/** Of the daemon, at its peak, in MiB. */
const MOST_MEMORY = 700;
const MOST_DESCRIPTORS_LEFT = 3;
/** How long anything may take before that is a problem, in milliseconds. */
const PATIENCE = 60_000;
/** Of the disk with the audit log, and from which size of the log on it is rotated, in KiB. */
const DISK = 256 * 1024;
const LARGE_LOG = 64 * 1024;

const RULES = ['deny migrate uri=*a*a*a*a*b', 'deny object-add **.filename=/etc/*', 'allow @read-only'];

const hostileSide = fileURLToPath(new URL('hostile-side.js', import.meta.url));

/** @param tell is told each figure as it comes */
export function chaos(scope: Scope, options: ChaosOptions, tell: (line: string) => void): Promise<SoakResult> {
  return new Chaos(scope, options, tell).run();
}

class Chaos {
  readonly #scope: Scope;
  readonly #options: ChaosOptions;
  readonly #tell: (line: string) => void;
  readonly #random: Random;
  readonly #figures: Figure[] = [];
  readonly #problems: string[] = [];
  readonly #outages = new Outages();
  readonly #folder: string;
  readonly #audit: string;
  /** Whether the audit log has a disk to itself, which can be filled. */
  readonly #hasDisk: boolean;
  readonly #work = { isOver: false, isEnding: false, waits: [] as number[], memoryWaits: [] as number[] };
  #qemu: Qemu | null = null;
  #daemon: Daemon | null = null;
  #port = 0;
  #rotations = 0;

  constructor(scope: Scope, options: ChaosOptions, tell: (line: string) => void) {
    this.#scope = scope;
    this.#options = options;
    this.#tell = tell;
    this.#random = new Random(options.seed);
    this.#folder = scratch(scope);
    this.#hasDisk = cannotMount() === false;
    this.#audit = join(this.#hasDisk ? mountTmpfs(scope, DISK).path : this.#folder, 'audit.log');
  }

  async run(): Promise<SoakResult> {
    const { seconds } = this.#options;
    await this.#startQemu();
    await this.#startDaemon();
    const clients = await this.#openAll();
    const driver = await this.#open('driver');
    const working = [...clients.map((client, at) => this.#askOn(client, at)), this.#causeEvents(driver)];
    // All begin at once: that is over soon.
    await sleep(1500);
    this.#takeWaits();
    await sleep(Math.max(2000, seconds * 150));
    const calm = this.#takeWaits();
    const descriptors = this.#descriptors();
    this.#figure('polite clients', String(clients.length));

    const faults = await this.#underAttack(performance.now() + seconds * 850);
    const waits = this.#takeWaits();
    this.#compareWaits('waits for the daemon', calm.memory, waits.memory, LEAST_CALM);
    this.#compareWaits('waits for QEMU', calm.qemu, waits.qemu, LEAST_CALM_QEMU);
    this.#figure('outages of QEMU or the daemon, made by us', `${(this.#outages.total / 1000).toFixed(1)} s`);
    this.#figure('faults survived', faults);

    this.#work.isOver = true;
    await this.#inTime(Promise.all(working), 'the last answers');
    await this.#compareEvents([...clients, driver]);
    this.#figure('answers, each byte for byte', String(clients.reduce((sum, { answers }) => sum + answers, 0)));
    await this.#lookAtDescriptors(descriptors);
    this.#bounded('memory of the daemon, at its peak', this.#peak(), MOST_MEMORY, 'MiB');
    for (const line of this.#daemon?.errors.split('\n') ?? []) {
      if (/internal error/.test(line)) this.#complain(`the log says: ${line.slice(0, 2000)}`);
    }
    await Promise.all([...clients, driver].map((client) => client.close()));
    this.#work.isEnding = true;
    const exit = await this.#daemon?.stop();
    this.#bounded('exit code of the daemon', exit?.code ?? -1, 0, '');
    await this.#verify();
    this.#bounded('bytes missed or mixed up, and all else that is wrong', this.#problems.length, 0, '');
    return { figures: this.#figures, problems: this.#problems };
  }

  #complain = (problem: string): void => {
    if (this.#problems.length < 100) this.#problems.push(problem);
  };

  #figure(what: string, value: string, bound = '', isGood = true): void {
    this.#figures.push({ what, value, bound, isGood });
    this.#tell(`${what}: ${value}${bound === '' ? '' : ` (${bound})`}`);
  }

  #bounded(what: string, value: number, most: number, unit: string): void {
    this.#figure(what, `${value} ${unit}`.trim(), `≤ ${most} ${unit}`.trim(), value <= most);
  }

  #path(name: string): string {
    return join(this.#folder, name);
  }

  async #inTime<T>(work: Promise<T>, what: string): Promise<T | null> {
    const gaveUp = Symbol(what);
    const result = await Promise.race([work, sleep(PATIENCE, gaveUp, { ref: false })]);
    if (result !== gaveUp) return result;
    this.#complain(`${what} took more than ${PATIENCE / 1000} s`);
    return null;
  }

  async #startQemu(): Promise<void> {
    this.#qemu = await startQemu(this.#scope, { name: 'chaos' });
    renameSync(this.#qemu.monitor, this.#path('q'));
  }

  async #startDaemon(): Promise<void> {
    this.#port = await freePort();
    writeFileSync(this.#path('config'), this.#config());
    this.#daemon = startDaemon(this.#scope, ['--config', this.#path('config')]);
    const daemon = this.#daemon;
    void this.#watchEnd(daemon);
    await daemon.ready();
  }

  async #watchEnd(daemon: Daemon): Promise<void> {
    const exit = await daemon.exited;
    if (!this.#work.isEnding) this.#complain(`the daemon ended: ${JSON.stringify(exit)} ${daemon.errors.slice(-3000)}`);
  }

  #config(): string {
    const listen = [
      `unix:${this.#path('mux')},connection-rate=0`,
      `unix:${this.#path('full')}`,
      `unix:${this.#path('ro')},policy=read-only,extensions=on`,
      `unix:${this.#path('rules.mux')},policy=rules`,
      `unix:${this.#path('hmp')},protocol=hmp`,
      `tcp:127.0.0.1:${this.#port}`,
    ];
    return `
[audit]
to = ${JSON.stringify(this.#audit)}
chain = true
[metrics]
listen = ${JSON.stringify(`unix:${this.#path('metrics')}`)}
[policy.rules]
rules = ${JSON.stringify(RULES)}
[monitor.good]
upstream = ${JSON.stringify(`unix:${this.#path('q')}`)}
listen = ${JSON.stringify(listen)}
keep-clients = true
[monitor.liar]
upstream = ${JSON.stringify(`unix:${this.#path('liar')}`)}
listen = ${JSON.stringify([`unix:${this.#path('liar.mux')},connection-rate=0`])}
[monitor.liar.limits]
reply-bytes = "16M"
`;
  }

  #open(name: string): Promise<ChaosClient> {
    return ChaosClient.open(this.#path('mux'), name, this.#outages, this.#complain);
  }

  async #openAll(): Promise<ChaosClient[]> {
    const clients: ChaosClient[] = [];
    while (clients.length < this.#options.clients) clients.push(await this.#open(`c${clients.length}`));
    return clients;
  }

  async #askOn(client: ChaosClient, seed: number): Promise<void> {
    const random = new Random(this.#options.seed + 1000 + seed);
    while (!this.#work.isOver) {
      const which = random.below(100);
      const answer = await client.ask(which);
      if (answer === null) return this.#complain(`${client.name} lost its connection`);
      (isFromMemory(which) ? this.#work.memoryWaits : this.#work.waits).push(answer.milliseconds);
      // QEMU keeps up with them also where a machine has much else to do.
      await sleep(random.below(5000));
    }
  }

  async #causeEvents(driver: ChaosClient): Promise<void> {
    for (let isRunning = false; !this.#work.isOver; isRunning = !isRunning) {
      await driver.act(isRunning ? 'stop' : 'cont');
      await sleep(200);
    }
  }

  #takeWaits(): { readonly qemu: number[]; readonly memory: number[] } {
    return { qemu: this.#work.waits.splice(0), memory: this.#work.memoryWaits.splice(0) };
  }

  #compareWaits(what: string, calm: readonly number[], waits: readonly number[], least: number): void {
    for (const [when, all] of [
      ['calm', calm],
      ['in the chaos', waits],
    ] as const) {
      this.#figure(`${what}, ${when}: p50`, `${quantile(all, 0.5).toFixed(1)} ms`);
      this.#figure(`${what}, ${when}: p99`, `${quantile(all, 0.99).toFixed(1)} ms`);
    }
    const most = Math.round(MOST_SLOWER * Math.max(least, quantile(calm, 0.99)));
    this.#bounded(`${what}, in the chaos: the longest, without outages`, Math.round(quantile(waits, 1)), most, 'ms');
  }

  /** @returns what the faults were */
  async #underAttack(end: number): Promise<string> {
    const hostile = this.#startHostile();
    const faults: readonly [string, () => Promise<void>][] = [
      ['the daemon is stopped', () => this.#stop(this.#daemon?.pid ?? 0)],
      ['QEMU is stopped', () => this.#stop(this.#qemu?.pid ?? 0)],
      ['QEMU is killed', () => this.#killQemu()],
      ['a broken config', () => this.#breakConfig()],
      ['a log that nobody reads', () => this.#leaveLogUnread()],
      ['a rotation', () => this.#rotate()],
      ['the metrics are asked for', () => this.#askMetrics()],
      ...(this.#hasDisk ? [['a full disk', () => this.#fillDisk()] as [string, () => Promise<void>]] : []),
    ];
    const counts = new Map<string, number>();
    let left = this.#random.shuffle(faults);
    let first = faults.length;
    while ((first-- > 0 || performance.now() < end) && this.#problems.length === 0) {
      const [name, happen] = left.pop() ?? ['', async () => {}];
      if (left.length === 0) left = this.#random.shuffle(faults);
      counts.set(name, (counts.get(name) ?? 0) + 1);
      await this.#inTime(
        happen().catch((error: unknown) => this.#complain(`${name}: ${String(error)}`)),
        name,
      );
      await this.#inTime(this.#isServed(), `a new client after this: ${name}`);
      await sleep(this.#random.below(500));
      if (statSync(this.#audit).size > LARGE_LOG * 1024) await this.#rotate();
    }
    // The log's reader is gone for good.
    this.#daemon?.leaveLog();
    await sleep(1000);
    const { counts: inputs, bytes } = await hostile.end();
    const sum = Object.values(inputs).reduce((all, count) => all + count, 0);
    this.#figure('hostile deeds', `${sum} of ${Object.keys(inputs).length} kinds`);
    this.#figure('hostile bytes of clients', `${(bytes / 1e6).toFixed(1)} MB`);
    const number = [...counts.values()].reduce((all, count) => all + count, 1);
    return `${number} of ${counts.size + 1} kinds`;
  }

  #startHostile(): { end(): Promise<{ counts: Record<string, number>; bytes: number }> } {
    const orders: HostileOrders = {
      seed: this.#options.seed,
      full: this.#path('full'),
      guarded: [this.#path('ro'), this.#path('rules.mux')],
      human: this.#path('hmp'),
      port: this.#port,
      metrics: this.#path('metrics'),
      liar: this.#path('liar'),
      liarsClients: this.#path('liar.mux'),
    };
    const child = spawn(process.execPath, [hostileSide, JSON.stringify(orders)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.#scope.after(() => {
      child.kill('SIGKILL');
    });
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
    const closed = new Promise((resolve) => {
      child.once('close', resolve);
    });
    return {
      end: async () => {
        child.kill('SIGTERM');
        await closed;
        if (text === '') this.#complain('the hostile side ended by itself');
        return text === '' ? { counts: {}, bytes: 0 } : JSON.parse(text);
      },
    };
  }

  /** A new client has an answer of QEMU's. */
  async #isServed(): Promise<void> {
    for (;;) {
      const client = await this.#open('new').catch(() => null);
      const answer = await client?.ask(1);
      await client?.close();
      if (answer?.isQemus === true) return;
      await sleep(50);
    }
  }

  async #stop(pid: number): Promise<void> {
    this.#outages.begin();
    process.kill(pid, 'SIGSTOP');
    await sleep(this.#random.below(1500));
    process.kill(pid, 'SIGCONT');
    this.#outages.end();
  }

  async #killQemu(): Promise<void> {
    this.#outages.begin();
    await this.#qemu?.kill();
    rmSync(this.#path('q'), { force: true });
    await this.#startQemu();
    await this.#isServed();
    this.#outages.end();
  }

  async #breakConfig(): Promise<void> {
    const good = this.#config();
    const broken = this.#random.pick([
      good.slice(0, this.#random.below(good.length)).replace('[audit]', '[audi'),
      garbageOf(this.#random, 10_000),
      `${good}\n[monitor.new]\nupstream = 7\n`,
      `x = ${'['.repeat(100_000)}`,
      `x = "${'\\u0041'.repeat(100_000)}`,
    ]);
    writeFileSync(this.#path('config'), broken, 'latin1');
    process.kill(this.#daemon?.pid ?? 0, 'SIGHUP');
    await this.#daemon?.logged(({ msg }) => msg.includes('cannot use the new config'));
    writeFileSync(this.#path('config'), good);
    process.kill(this.#daemon?.pid ?? 0, 'SIGHUP');
  }

  async #leaveLogUnread(): Promise<void> {
    this.#daemon?.pauseLog();
    await sleep(this.#random.below(1500));
    this.#daemon?.resumeLog();
  }

  async #fillDisk(): Promise<void> {
    const filler = join(this.#audit, '../filler');
    try {
      const { bavail, bsize } = statfsSync(join(this.#audit, '..'));
      writeFileSync(filler, Buffer.alloc(bavail * bsize));
    } catch {
      // The log has taken the last of it meanwhile.
    }
    await sleep(this.#random.below(700));
    rmSync(filler);
  }

  async #rotate(): Promise<void> {
    renameSync(this.#audit, `${this.#audit}.${++this.#rotations}`);
    process.kill(this.#daemon?.pid ?? 0, 'SIGUSR2');
    for (;;) {
      await sleep(20);
      if (readdirSync(join(this.#audit, '..')).includes('audit.log')) break;
    }
    // The disk is small: what is older than the last two has been looked at.
    const old = this.#rotations - 2;
    if (old < 1) return;
    await this.#verifyFile(`${this.#audit}.${old}`);
    rmSync(`${this.#audit}.${old}`);
  }

  /** They come in spite of all who hold connections there. */
  async #askMetrics(): Promise<void> {
    for (;;) {
      const text = await new Promise<string>((resolve) => {
        get({ socketPath: this.#path('metrics'), path: '/metrics', headers: { host: 'localhost' } }, (response) => {
          let all = '';
          response.setEncoding('utf8');
          response.on('data', (chunk: string) => {
            all += chunk;
          });
          response.on('close', () => resolve(all));
        }).on('error', () => resolve(''));
      });
      if (text.includes('qmpmux_held_bytes')) return;
      await sleep(50);
    }
  }

  /** All clients on one listener have had the same events, in the same order. */
  async #compareEvents(clients: readonly ChaosClient[]): Promise<void> {
    // An answer comes behind all events before it.
    await this.#inTime(Promise.all(clients.map((client) => client.ask(1))), 'an answer to everybody');
    const sums = clients.map((client) => client.sum());
    for (const [at, sum] of sums.entries()) {
      if (sum !== sums[0])
        this.#complain(`${clients[at]?.name} had ${clients[at]?.events} events, other than ${clients[0]?.name}`);
    }
    const events = clients.reduce((all, client) => all + client.events, 0);
    if (events === 0) this.#complain('there were no events');
    this.#figure('events, the same to each', String(events));
  }

  #descriptors(): number {
    return readdirSync(`/proc/${this.#daemon?.pid}/fd`).length;
  }

  async #lookAtDescriptors(before: number): Promise<void> {
    const end = performance.now() + PATIENCE;
    while (this.#descriptors() > before && performance.now() < end) await sleep(100);
    const left = Math.max(0, this.#descriptors() - before);
    this.#bounded('descriptors of the daemon left behind', left, MOST_DESCRIPTORS_LEFT, '');
  }

  #peak(): number {
    const status = readFileSync(`/proc/${this.#daemon?.pid}/status`, 'latin1');
    return Math.round(Number(/^VmHWM:\s+(\d+)/m.exec(status)?.[1] ?? 'NaN') / 1024);
  }

  async #verify(): Promise<void> {
    const folder = join(this.#audit, '..');
    for (const name of readdirSync(folder))
      if (name.startsWith('audit.log')) await this.#verifyFile(join(folder, name));
    const problems = this.#problems.filter((problem) => problem.startsWith('audit verify'));
    this.#bounded(`files of the audit log that are not whole, of ${this.#rotations + 1}`, problems.length, 0, '');
  }

  async #verifyFile(file: string): Promise<void> {
    if (file.endsWith('.key')) return;
    const { code, output, errors } = await runQmpmux(['audit', 'verify', file]);
    // What came before a rotation is in another file; nothing else may be remarked on.
    const remarks = output
      .split('\n')
      .filter((line) =>
        / remark: (?!the log begins with record |command \d+ .* has no answer: the log ends)/.test(line),
      );
    if (remarks.length > 0 || !/^whole, .* problems 0\b/m.test(output))
      this.#complain(`audit verify of ${file}: ${code} ${output.slice(-500)} ${errors.slice(-500)}`);
  }
}
