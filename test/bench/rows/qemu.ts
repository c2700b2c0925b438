/** Rows that are measured on a real QEMU, beside a connection of its own to the same QEMU, or beside another qmpmux there. */
import { statSync, truncateSync } from 'node:fs';
import { startQemu } from '../../support/qemu/qemu.js';
import type { LoadJob } from '../load.js';
import { finding, type Goal, interleave, median, type Row, zip } from '../row.js';
import type { Place, Run, Stage } from '../stage.js';

/**
 * The same question as three clients write it: qemu.qmp (Python), qmp-shell and libvirt. What they send differs in blanks, in
 * the length of the id, in arguments that say nothing, and in what ends the line.
 */
const AS_CLIENTS_WRITE_IT = [
  '{"execute": "query-status", "id": "__qmp#@@@@@"}',
  '{"execute": "query-status", "arguments": {}, "id": "__qmp#@@@@@"}',
  '{"execute":"query-status","id":"libvirt-@@@@@"}\r\n',
];
/** A question whose answer is some 95 KB long and cannot change. */
const SCHEMA = ['{"execute": "query-qmp-schema", "id": "__qmp#@@@@@"}'];
const BLOCK = ['{"execute": "query-block", "id": "__qmp#@@@@@"}'];
const DRIVES = 4;

function goal(what: string, against: string, better: Goal['better'], must: number, aim: number): Goal {
  return { what, against, better, must, aim, unit: '×' };
}

/** A paused QEMU with a monitor for direct connections and others for qmpmux. */
async function monitors(stage: Stage, count: number): Promise<readonly Place[]> {
  const drives = Array.from({ length: DRIVES }, (_, at) => [
    '-drive',
    `if=none,id=disk${at},file.driver=null-co`,
  ]).flat();
  const qemu = await startQemu(stage, {
    machine: 'q35',
    extraArgs: drives,
    monitors: Array.from({ length: count }, () => ({})),
  });
  return qemu.monitors.map((path) => ({ path, pid: null }));
}

/** qmpmux on a monitor of its own. What QEMU answers is learnt at the other, which nobody is connected to meanwhile. */
async function multiplexed(
  stage: Stage,
  places: readonly Place[],
  index: number,
  flags: readonly string[] = [],
  options = '',
): Promise<Place> {
  const mux = await stage.qmpmux(placeAt(places, index).path, flags, options);
  return { ...mux, upstream: placeAt(places, 0) };
}

function load(stage: Stage, place: Place, shape: Pick<LoadJob, 'clients' | 'depth' | 'commands'>, seconds: number) {
  return () => stage.run(place, { kind: 'load', path: place.path, seconds, ...shape });
}

function perSecond(runs: Readonly<Record<string, readonly Run[]>>): string {
  return Object.entries(runs)
    .map(([name, all]) => `${name} ${Math.round(median(all.map((run) => run.rate))).toLocaleString('en')}/s`)
    .join(', ');
}

function trips(runs: Readonly<Record<string, readonly Run[]>>): string {
  return Object.entries(runs)
    .map(([name, all]) => `${name} ${median(all.map((run) => run.median)).toFixed(0)} µs`)
    .join(', ');
}

function ratio(runs: readonly Run[], others: readonly Run[]): number[] {
  return zip(runs, others, (run, other) => run.rate / other.rate);
}

function placeAt(places: readonly Place[], index: number): Place {
  const place = places[index];
  if (place === undefined) throw new Error('there are as many monitors as were asked for');
  return place;
}

export const realTrip: Row = {
  name: 'real-trip',
  needs: ['qemu'],
  async measure(stage, { seconds, rounds }) {
    const places = await monitors(stage, 2);
    const mux = await multiplexed(stage, places, 1);
    const shape = { clients: 1, depth: 1, commands: AS_CLIENTS_WRITE_IT };
    const runs = await interleave(rounds, {
      direct: load(stage, placeAt(places, 0), shape, seconds),
      mux: load(stage, mux, shape, seconds),
    });
    return [
      finding(
        goal('round trip on a real QEMU, as real clients write it', 'direct', 'less', 1.1, 1),
        zip(runs.mux, runs.direct, (one, other) => one.median / other.median),
        [`median round trip: ${trips(runs)}`],
      ),
    ];
  },
};

export const realRate: Row = {
  name: 'real-rate',
  needs: ['qemu'],
  async measure(stage, { seconds, rounds }) {
    const places = await monitors(stage, 3);
    const plain = await multiplexed(stage, places, 1, ['--no-merge']);
    const merging = await multiplexed(stage, places, 2);
    const shape = { clients: 8, depth: 8, commands: AS_CLIENTS_WRITE_IT };
    const runs = await interleave(rounds, {
      direct: load(stage, placeAt(places, 0), { ...shape, clients: 1, depth: 64 }, seconds),
      mux: load(stage, plain, shape, seconds),
      merging: load(stage, merging, shape, seconds),
    });
    const what = 'answers a second on a real QEMU, 8 clients pipelining';
    return [
      finding(
        goal(`${what}, nothing merged`, '1 client direct, pipelining', 'more', 1, 1.25),
        ratio(runs.mux, runs.direct),
        [perSecond(runs)],
      ),
      finding(
        goal(`${what}, merged as by default`, '1 client direct, pipelining', 'more', 1, 1.25),
        ratio(runs.merging, runs.direct),
      ),
    ];
  },
};

export const schema: Row = {
  name: 'schema',
  needs: ['qemu'],
  async measure(stage, { seconds, rounds }) {
    const places = await monitors(stage, 2);
    const mux = await multiplexed(stage, places, 1);
    const shape = { clients: 1, depth: 1, commands: SCHEMA };
    const runs = await interleave(rounds, {
      direct: load(stage, placeAt(places, 0), shape, seconds),
      mux: load(stage, mux, shape, seconds),
    });
    return [
      finding(
        goal('query-qmp-schema, second time on: how many times faster', 'direct to QEMU', 'more', 20, 50),
        zip(runs.mux, runs.direct, (one, other) => other.median / one.median),
        [
          `median round trip: ${trips(runs)}; ${Math.round(firstOf(runs.mux).bytes / firstOf(runs.mux).count / 1000)} KB`,
        ],
      ),
    ];
  },
};

function firstOf(runs: readonly Run[]): Run {
  const [run] = runs;
  if (run === undefined) throw new Error('there is a round at least');
  return run;
}

export const polling: Row = {
  name: 'polling',
  needs: ['qemu'],
  async measure(stage, { seconds, rounds }) {
    const places = await monitors(stage, 2);
    const mux = await multiplexed(stage, places, 1);
    const runs = await interleave(rounds, {
      direct: load(stage, placeAt(places, 0), { clients: 1, depth: 50, commands: BLOCK }, seconds),
      mux: load(stage, mux, { clients: 50, depth: 1, commands: BLOCK }, seconds),
    });
    return [
      finding(
        goal('50 clients polling query-block, answers a second', '1 client direct, pipelining', 'more', 3, 10),
        ratio(runs.mux, runs.direct),
        [
          `${perSecond(runs)}; ${DRIVES} drives, ${Math.round(firstOf(runs.mux).bytes / firstOf(runs.mux).count)} bytes each`,
        ],
      ),
    ];
  },
};

function cpuOf(runs: readonly Run[], others: readonly Run[]): string {
  const ratios = zip(runs, others, (run, other) => run.cpu / other.cpu);
  const micros = (all: readonly Run[]) => (median(all.map((run) => run.cpu)) * 1e6).toFixed(1);
  return `CPU a message ${median(ratios).toFixed(2)}×: ${micros(runs)} µs beside ${micros(others)} µs`;
}

export const audited: Row = {
  name: 'audit',
  needs: ['qemu'],
  async measure(stage, { seconds, rounds }) {
    const files = { plain: stage.path(), chained: stage.path() };
    const places = await monitors(stage, 4);
    const without = await multiplexed(stage, places, 1, ['--no-merge']);
    const plain = await multiplexed(stage, places, 2, ['--no-merge', '--audit', files.plain]);
    const chained = await multiplexed(stage, places, 3, ['--no-merge', '--audit', files.chained, '--audit-chain']);
    const shape = { clients: 8, depth: 8, commands: AS_CLIENTS_WRITE_IT };
    const recorded = (place: Place, file: string) => async () => {
      const run = await load(stage, place, shape, seconds)();
      const { size } = statSync(file);
      truncateSync(file);
      return { ...run, written: size };
    };
    const subjects = {
      without: load(stage, without, shape, seconds),
      audit: recorded(plain, files.plain),
      chain: recorded(chained, files.chained),
    };
    const runs = await interleave<keyof typeof subjects, Run & { written?: number }>(rounds, subjects);
    const what = 'answers a second on a real QEMU, 8 clients pipelining';
    const flow = median(runs.audit.map((run) => (run.written ?? 0) / 1e6));
    return [
      finding(
        goal(`${what}, with an audit file`, 'itself without audit', 'more', 0.9, 0.97),
        ratio(runs.audit, runs.without),
        [`${perSecond(runs)}; ${flow.toFixed(1)} MB of audit a run`, cpuOf(runs.audit, runs.without)],
      ),
      finding(
        goal(`${what}, audit chained`, 'itself without audit', 'more', 0.9, 0.97),
        ratio(runs.chain, runs.without),
        [cpuOf(runs.chain, runs.without)],
      ),
    ];
  },
};

/** What it costs a client that sends no descriptors that others may. */
export const descriptors: Row = {
  name: 'fds',
  needs: ['qemu'],
  async measure(stage, { seconds, rounds }) {
    const places = await monitors(stage, 3);
    const off = await multiplexed(stage, places, 1, ['--no-merge'], ',fds=off');
    const on = await multiplexed(stage, places, 2, ['--no-merge'], ',fds=on');
    const one = { clients: 1, depth: 1, commands: AS_CLIENTS_WRITE_IT };
    const many = { clients: 8, depth: 8, commands: AS_CLIENTS_WRITE_IT };
    const runs = await interleave(rounds, {
      off: load(stage, off, one, seconds),
      on: load(stage, on, one, seconds),
      manyOff: load(stage, off, many, seconds),
      manyOn: load(stage, on, many, seconds),
    });
    const against = 'itself with fds=off';
    return [
      finding(
        goal('round trip on a real QEMU with fds=on, 1 client, 1 in flight', against, 'less', 1.1, 1.03),
        zip(runs.on, runs.off, (run, other) => run.median / other.median),
        [cpuOf(runs.on, runs.off)],
      ),
      finding(
        goal('answers a second on a real QEMU with fds=on, 8 clients pipelining', against, 'more', 0.9, 0.97),
        ratio(runs.manyOn, runs.manyOff),
        [cpuOf(runs.manyOn, runs.manyOff)],
      ),
    ];
  },
};
