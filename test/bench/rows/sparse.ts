/**
 * Rows about what a user feels: the command that comes alone, when every process on its way has gone to sleep, the first command of
 * a new client, an event, and a polite client beside hostile ones. Each subject has a real QEMU of its own, and they are asked in turn.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { startQemu } from '../../support/qemu/qemu.js';
import { type Finding, finding, type Goal, median, quantile, type Row, zip } from '../row.js';
import { SparseClient } from '../sparse-client.js';
import type { Stage } from '../stage.js';

/** As qemu.qmp and libvirt write it. */
const COMMANDS = [
  '{"execute": "query-status", "id": "__qmp#00001"}\n',
  '{"execute":"query-status","id":"libvirt-17"}\r\n',
];
/** The pause between two commands, in milliseconds. */
const SPARSE_MS = 20;
/** For one kind of hostile client. */
const CROWDS = [1, 10, 100];

function goal(what: string, against: string, must: number, aim: number): Goal {
  return { what, against, better: 'less', must, aim, unit: '×' };
}

function ratios(values: readonly number[][], others: readonly number[][], part: number): number[] {
  return zip(values, others, (one, other) => quantile(one, part) / quantile(other, part));
}

function micros(values: readonly number[][], part: number): string {
  return `${median(values.map((all) => quantile(all, part))).toFixed(0)} µs`;
}

/** A paused QEMU for one subject. @returns the paths of its monitors */
async function freshQemu(stage: Stage, monitors = 1): Promise<readonly string[]> {
  const qemu = await startQemu(stage, { monitors: Array.from({ length: monitors }, () => ({})) });
  return qemu.monitors;
}

function firstOf(paths: readonly string[]): string {
  const [path] = paths;
  if (path === undefined) throw new Error('there is a monitor at least');
  return path;
}

/** The ways to a QEMU that are compared, each to one of its own. */
async function placesInTurn(stage: Stage): Promise<Record<'direct' | 'copier' | 'socat' | 'mux', string>> {
  const direct = firstOf(await freshQemu(stage));
  const copier = (await stage.copier(firstOf(await freshQemu(stage)))).path;
  const socat = (await stage.socat(firstOf(await freshQemu(stage)))).path;
  const mux = (await stage.qmpmux(firstOf(await freshQemu(stage)), [], '', true)).path;
  return { direct, copier, socat, mux };
}

type Samples = Record<'direct' | 'copier' | 'socat' | 'mux', number[][]>;

/** Asks each way in turn, with a pause before each. @returns microseconds, a list a round; the first round does not count */
async function inTurn(
  rounds: number,
  times: number,
  pauseMs: number,
  ask: (way: keyof Samples) => Promise<number>,
): Promise<Samples> {
  const names = ['direct', 'copier', 'socat', 'mux'] as const;
  const samples: Samples = { direct: [], copier: [], socat: [], mux: [] };
  for (let round = -1; round < rounds; round++) {
    const now: Record<keyof Samples, number[]> = { direct: [], copier: [], socat: [], mux: [] };
    for (let time = 0; time < times; time++) {
      for (let at = 0; at < names.length; at++) {
        // Each comes first as often as the others.
        const name = names[(at + time) % names.length] ?? 'direct';
        await pause(pauseMs);
        now[name].push(await ask(name));
      }
    }
    if (round >= 0) for (const name of names) samples[name].push(now[name]);
  }
  return samples;
}

function sparseFindings(what: string, samples: Samples): Finding[] {
  const median50 = Object.entries(samples)
    .map(([name, values]) => `${name} ${micros(values, 0.5)} (p99 ${micros(values, 0.99)})`)
    .join(', ');
  const socat = `socat ${median(ratios(samples.socat, samples.direct, 0.5)).toFixed(2)}× of direct`;
  return [
    finding(goal(`${what}: median`, 'direct', 1.5, 1.1), ratios(samples.mux, samples.direct, 0.5), [
      `median trip: ${median50}; ${socat}`,
    ]),
    finding(goal(`${what}: p99`, 'direct', 1.5, 1.1), ratios(samples.mux, samples.direct, 0.99)),
    finding(goal(`${what}: median`, 'the smallest Node copier', 1, 0.9), ratios(samples.mux, samples.copier, 0.5)),
  ];
}

/** One command every 20 ms, and every second, to each of four QEMUs in turn. */
export const sparse: Row = {
  name: 'sparse',
  needs: ['qemu', 'socat'],
  async measure(stage, { seconds, rounds }) {
    const paths = await placesInTurn(stage);
    const clients = new Map<string, SparseClient>();
    for (const [name, path] of Object.entries(paths)) {
      const { client } = await SparseClient.open(path);
      clients.set(name, client);
      stage.after(() => client.close());
    }
    let count = 0;
    const ask = (name: string) => {
      const client = clients.get(name);
      if (client === undefined) throw new Error('there is a client for each way');
      return client.ask(COMMANDS[count++ % COMMANDS.length] ?? '');
    };
    const times = Math.max(5, Math.round((seconds * 1000) / SPARSE_MS));
    const often = await inTurn(rounds, times, SPARSE_MS, ask);
    const rarely = await inTurn(Math.min(rounds, 3), Math.max(2, Math.round(seconds * 10)), 250, ask);
    return [...sparseFindings('one command every 20 ms', often), ...sparseFindings('one command a second', rarely)];
  },
};

/** Connect, greeting, negotiation, answer. */
export const firstCommand: Row = {
  name: 'first-command',
  needs: ['qemu', 'socat'],
  async measure(stage, { seconds, rounds }) {
    const paths = await placesInTurn(stage);
    const times = Math.max(4, Math.round((seconds * 1000) / SPARSE_MS / 2));
    const samples = await inTurn(rounds, times, SPARSE_MS, async (name) => {
      const { client, took } = await SparseClient.open(paths[name]);
      const trip = await client.ask(COMMANDS[0] ?? '');
      await client.close();
      return took + trip;
    });
    const medians = Object.entries(samples).map(([name, values]) => `${name} ${micros(values, 0.5)}`);
    return [
      finding(
        goal('first command of a new client, from connect to answer', 'direct', 1.5, 1.2),
        ratios(samples.mux, samples.direct, 0.5),
        [`median: ${medians.join(', ')}`],
      ),
    ];
  },
};

/** From a command on another monitor that makes QEMU send an event, to the last client that gets it. */
export const eventTrip: Row = {
  name: 'event-trip',
  needs: ['qemu'],
  async measure(stage, { seconds, rounds }) {
    const [control = '', plain = '', upstream = ''] = await freshQemu(stage, 3);
    const { client: actor } = await SparseClient.open(control);
    stage.after(() => actor.close());
    const mux = await stage.qmpmux(upstream, [], '', true);
    const findings: Finding[] = [];
    const { client: direct } = await SparseClient.open(plain);
    stage.after(() => direct.close());
    const times = Math.max(5, Math.round((seconds * 1000) / SPARSE_MS));
    for (const count of [1, 10, 100]) {
      const clients: SparseClient[] = [];
      for (let index = 0; index < count; index++) clients.push((await SparseClient.open(mux.path)).client);
      const throughMux: number[][] = [];
      const straight: number[][] = [];
      for (let round = -1; round < rounds; round++) {
        const trips = { way: [] as number[], straight: [] as number[] };
        for (let time = 0; time < times; time++) {
          await pause(SPARSE_MS);
          const name = time % 2 === 0 ? 'cont' : 'stop';
          const event = time % 2 === 0 ? '"RESUME"' : '"STOP"';
          const arrivals = [direct, ...clients].map((each) => each.line((line) => line.includes(event)));
          const begin = performance.now();
          actor.write(`{"execute": "${name}"}\n`);
          const [first = 0, ...others] = await Promise.all(arrivals);
          trips.straight.push(first - begin);
          trips.way.push(Math.max(...others) - begin);
        }
        if (round < 0) continue;
        throughMux.push(trips.way);
        straight.push(trips.straight);
      }
      const must = count === 1 ? 2 : count * 2;
      findings.push(
        finding(
          goal(`an event to the last of ${count} client${count === 1 ? '' : 's'}`, 'one client direct', must, 1.3),
          ratios(throughMux, straight, 0.5),
          [
            `median from the command that causes it: direct ${(median(straight.map(median)) * 1000).toFixed(0)} µs, here ${(median(throughMux.map(median)) * 1000).toFixed(0)} µs`,
          ],
        ),
      );
      for (const client of clients) await client.close();
    }
    return findings;
  },
};

/** A polite client's p99 beside hostile clients on its daemon, and beside the same on another daemon and QEMU. */
export const neighbours: Row = {
  name: 'neighbours',
  needs: ['qemu'],
  async measure(stage, { seconds, rounds }) {
    const here = await stage.qmpmux(firstOf(await freshQemu(stage)), [], '', true);
    const there = await stage.qmpmux(firstOf(await freshQemu(stage)), [], '', true);
    const { client } = await SparseClient.open(here.path);
    stage.after(() => client.close());
    const times = Math.max(40, Math.round(seconds * 200));
    const findings: Finding[] = [];
    for (const crowd of CROWDS) {
      const disturbed: number[][] = [];
      const alone: number[][] = [];
      for (let round = -1; round < Math.min(rounds, 5); round++) {
        for (const place of round % 2 === 0 ? [here, there] : [there, here]) {
          const hostile = ['flooder', 'mute', 'garbler'].map((kind) =>
            fork(fileURLToPath(new URL('../neighbour.js', import.meta.url)), [kind, String(crowd), place.path]),
          );
          try {
            await Promise.all(hostile.map((child) => once(child, 'message')));
            const trips: number[] = [];
            for (let time = 0; time < times; time++) {
              await pause(2);
              trips.push(await client.ask(COMMANDS[0] ?? ''));
            }
            if (round >= 0) (place === here ? disturbed : alone).push(trips);
          } finally {
            await Promise.all(
              hostile.map(async (child) => {
                const gone = once(child, 'exit');
                child.disconnect();
                await gone;
              }),
            );
          }
        }
      }
      findings.push(
        finding(
          goal(
            `polite client’s p99 beside ${crowd} flooding, ${crowd} mute, ${crowd} garbling`,
            'the same beside another daemon',
            1.5,
            1.1,
          ),
          ratios(disturbed, alone, 0.99),
          [
            `p99 here ${micros(disturbed, 0.99)}, with them elsewhere ${micros(alone, 0.99)}; medians ${micros(disturbed, 0.5)}, ${micros(alone, 0.5)}`,
          ],
        ),
      );
    }
    return findings;
  },
};
