/** Rows about the daemon as a process: memory, how its cost grows, and how long it takes to start. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { startDaemon } from '../../support/daemon/daemon.js';
import { finding, type Goal, median, type Row } from '../row.js';
import type { Place, Stage } from '../stage.js';
import { residentBytes } from '../usage.js';

const PROGRAM = fileURLToPath(new URL('../../../bin/qmpmux.js', import.meta.url));
const MB = 1024 * 1024;
/** A measure of memory is taken when it has stood still for this long, in milliseconds. */
const SETTLING = 300;

/** @returns the resident bytes of a process, once they no longer change. */
async function settledBytes(pid: number): Promise<number> {
  for (let before = residentBytes(pid), times = 0; ; times++) {
    await pause(SETTLING);
    const now = residentBytes(pid);
    if (Math.abs(now - before) < 64 * 1024 || times > 20) return now;
    before = now;
  }
}

/** `count` monitors in one daemon, each with a responder's socket upstream. */
async function daemonOfMany(stage: Stage, count: number): Promise<{ pid: number; places: readonly Place[] }> {
  const upstreams = await stage.responders(count);
  const file = stage.path();
  const sockets = upstreams.map(() => stage.path());
  const tables = upstreams.map(
    (upstream, at) => `[monitor.vm${at}]\nupstream = "${upstream}"\nlisten = ["${sockets[at]}"]\n`,
  );
  writeFileSync(file, `[log]\nlevel = "warn"\n${tables.join('')}`);
  const daemon = startDaemon(stage, ['--config', file]);
  for (let ready = 0; ready < count; ready++) await daemon.ready();
  const places = sockets.map((path, at) => {
    return { path, pid: daemon.pid, upstream: { path: upstreams[at] ?? '', pid: null } };
  });
  return { pid: daemon.pid, places };
}

function memoryGoal(what: string, unit: 'MB' | 'KB', must: number, aim: number): Goal {
  return { what, against: '—', better: 'less', must, aim, unit };
}

export const memory: Row = {
  name: 'memory',
  needs: [],
  async measure(stage, { rounds }) {
    const few = 500;
    const many = 2000;
    const idle: number[] = [];
    const each: number[] = [];
    const fromNone: number[] = [];
    const hundred: number[] = [];
    // Each sample needs a fresh daemon; a few are enough, for they differ little.
    for (let round = 0; round < Math.min(rounds, 3); round++) {
      const mux = await stage.qmpmux(await stage.responder());
      const pid = mux.pid ?? 0;
      const none = await settledBytes(pid);
      await stage.run(mux, { kind: 'idle', path: mux.path, clients: few });
      const some = await settledBytes(pid);
      await stage.run(mux, { kind: 'idle', path: mux.path, clients: many });
      const all = await settledBytes(pid);
      await stage.disconnect();
      process.kill(pid);
      idle.push(none / MB);
      each.push((all - some) / (many - few) / 1024);
      fromNone.push((some - none) / few / 1024);
      const { pid: busy } = await daemonOfMany(stage, 100);
      hundred.push((await settledBytes(busy)) / MB);
      process.kill(busy);
    }
    const bare = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1e9)'], { stdio: 'ignore' });
    stage.after(() => void bare.kill());
    const bareBytes = await settledBytes(bare.pid ?? 0);
    return [
      finding(memoryGoal('resident memory, daemon idle', 'MB', 70, 55), idle, [
        `a Node that does nothing: ${(bareBytes / MB).toFixed(1)} MB`,
      ]),
      finding(memoryGoal('resident memory of an idle client', 'KB', 30, 12), each, [
        `by the difference between ${few} and ${many}; the first ${few} took ${median(fromNone).toFixed(1)} KB each, since a heap begins with some room`,
      ]),
      finding(memoryGoal('resident memory, 100 monitors in one daemon', 'MB', 150, 100), hundred),
    ];
  },
};

/** Growth counts as linear while the cost of a unit rises by no more than this, over what it was for fewer or smaller ones. */
const LINEAR = 1.5;

function growthGoal(what: string): Goal {
  return { what, against: 'the cheapest before it', better: 'less', must: LINEAR, aim: 1.2, unit: '×' };
}

/** @param costs of a unit, for growing numbers of units. @returns how far the last lies above the cheapest before it. */
function growth(costs: readonly number[]): number {
  return (costs.at(-1) ?? 0) / Math.min(...costs.slice(0, -1));
}

/** Measures the CPU a unit for each size, round by round. */
async function repeatedCosts(
  rounds: number,
  sizes: readonly number[],
  unitCost: (size: number) => Promise<number>,
): Promise<number[][]> {
  const all: number[][] = [];
  for (let round = 0; round < rounds; round++) {
    const row: number[] = [];
    for (const size of sizes) row.push(await unitCost(size));
    all.push(row);
  }
  return all;
}

function listCosts(
  sizes: readonly (number | string)[],
  all: readonly (readonly number[])[],
  unit: string,
  scale: number,
): string {
  const parts = sizes.map((size, at) => `${size}: ${(median(all.map((row) => row[at] ?? 0)) * scale).toFixed(2)}`);
  return `${unit} for ${parts.join(', ')}`;
}

export const growthRow: Row = {
  name: 'growth',
  needs: [],
  async measure(stage, { seconds, rounds }) {
    const times = Math.min(rounds, 5);
    const mux = await stage.qmpmux(await stage.responder());
    const command = '{"execute":"qom-list","id":"@@@@@"}\n';
    const counts = [1, 10, 100, 1000];
    const perClient = await repeatedCosts(times, counts, async (clients) => {
      const run = await stage.run(mux, {
        kind: 'load',
        path: mux.path,
        clients,
        depth: 1,
        seconds,
        commands: [command],
      });
      return run.cpu;
    });

    const sizes = [100, 1000, 10_000, 100_000, 1_000_000, 10_000_000];
    const perByte = await repeatedCosts(times, sizes, async (size) => {
      const text = `{"execute":"human-monitor-command","arguments":{"command-line":"${'x'.repeat(size - 90)}"},"id":"@@@@@"}\n`;
      const run = await stage.run(mux, {
        kind: 'load',
        path: mux.path,
        clients: 1,
        depth: 1,
        seconds,
        commands: [text],
      });
      return run.cpu / text.length;
    });

    const replySizes = [100, 1000, 10_000, 100_000, 1_000_000, 10_000_000];
    const muxes = new Map<number, Place>();
    for (const size of replySizes) muxes.set(size, await stage.qmpmux(await stage.responder(size)));
    const perReplyByte = await repeatedCosts(times, replySizes, async (size) => {
      const place = muxes.get(size) ?? mux;
      const run = await stage.run(place, {
        kind: 'load',
        path: place.path,
        clients: 1,
        depth: 1,
        seconds,
        commands: [command],
      });
      return (run.cpu * run.count) / run.bytes;
    });

    const monitors = [1, 10, 100];
    const daemons = new Map<number, Place & { readonly others: readonly string[] }>();
    for (const count of monitors) {
      const [first, ...others] = (await daemonOfMany(stage, count)).places;
      if (first === undefined) throw new Error('there is a monitor at least');
      daemons.set(count, { ...first, others: others.map((place) => place.path) });
    }
    const perMonitor = await repeatedCosts(times, monitors, async (count) => {
      const place = daemons.get(count);
      if (place === undefined) throw new Error('there is a daemon for each count');
      const run = await stage.run(place, {
        kind: 'load',
        path: place.path,
        morePaths: place.others,
        clients: count,
        depth: 1,
        seconds,
        commands: [command],
      });
      return run.cpu;
    });

    const small = 'CPU for a byte';
    return [
      finding(growthGoal('1 → 1,000 clients: CPU a message'), perClient.map(growth), [
        listCosts(counts, perClient, 'µs a message', 1e6),
      ]),
      finding(growthGoal('1 → 100 monitors, a client each: CPU a message'), perMonitor.map(growth), [
        listCosts(monitors, perMonitor, 'µs a message', 1e6),
      ]),
      finding(growthGoal(`100 B → 10 MB commands: ${small}`), perByte.map(growth), [
        listCosts(sizes, perByte, 'ns a byte', 1e9),
      ]),
      finding(growthGoal(`100 B → 10 MB replies: ${small}`), perReplyByte.map(growth), [
        listCosts(replySizes, perReplyByte, 'ns a byte', 1e9),
      ]),
    ];
  },
};

export const start: Row = {
  name: 'start',
  needs: [],
  async measure(stage, { rounds }) {
    const upstream = await stage.responder();
    const starts = { nothing: [] as number[], listening: [] as number[], help: [] as number[] };
    // The first of each fills the caches of the file system.
    for (let round = 0; round < Math.max(rounds, 9) + 1; round++) {
      const nothing = elapsedSync(['-e', '0']);
      const help = elapsedSync([PROGRAM, '--version']);
      const listening = await untilListening(upstream, stage.path());
      if (round === 0) continue;
      starts.nothing.push(nothing);
      starts.help.push(help);
      starts.listening.push(listening);
    }
    const ratios = starts.listening.map((time, at) => time / (starts.nothing[at] ?? Number.NaN));
    const ms = (values: readonly number[]) => `${median(values).toFixed(0)} ms`;
    return [
      finding(
        { what: 'start to listening', against: 'node -e 0', better: 'less', must: 2.5, aim: 1.5, unit: '×' },
        ratios,
        [`node -e 0 ${ms(starts.nothing)}, ready line ${ms(starts.listening)}, qmpmux --version ${ms(starts.help)}`],
      ),
    ];
  },
};

function elapsedSync(args: readonly string[]): number {
  const begin = performance.now();
  spawnSync(process.execPath, args, { stdio: 'ignore' });
  return performance.now() - begin;
}

/** @returns milliseconds from the start of the process until it says that it accepts clients. */
async function untilListening(upstream: string, path: string): Promise<number> {
  const begin = performance.now();
  const child = spawn(process.execPath, [PROGRAM, 'serve', '--upstream', upstream, '--listen', path], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  await once(child.stdout, 'data');
  const time = performance.now() - begin;
  child.kill();
  await once(child, 'close');
  return time;
}
