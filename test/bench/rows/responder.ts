/**
 * Rows that are measured on a responder in QEMU's place, which answers at once: what they compare is the way there and back. What it does
 * to many commands at a time says nothing of QEMU, which takes a hundred times as long for each (docs/adr/0014-for-a-real-qemu.md).
 */
import { EVENT, type LoadJob } from '../load.js';
import { type Placement, placements } from '../placement.js';
import { byPlacement, finding, type Goal, interleave, median, type Row, zip } from '../row.js';
import type { Place, Run, Stage } from '../stage.js';

/** A command that is neither cached nor merged. */
const COMMAND = '{"execute":"qom-list","id":"@@@@@"}\n';

const REPLY_BYTES = 200_000;
/** socat's own is 8 KiB. */
const WIDE_BUFFER = 262_144;

interface Shape {
  readonly clients: number;
  readonly depth: number;
  readonly commands?: readonly string[];
}

/** @returns what loads a place, as `interleave` takes it. */
function loader(stage: Stage, seconds: number) {
  return (place: Place, shape: Shape) =>
    (placement: Placement | null): Promise<Run> => {
      const job: LoadJob = { kind: 'load', path: place.path, seconds, commands: [COMMAND], ...shape };
      return stage.run(place, job, placement);
    };
}

/** A responder each, with nothing, socat and qmpmux before it. */
async function three(stage: Stage, padding = 0): Promise<{ direct: Place; socat: Place; mux: Place }> {
  return {
    direct: stage.direct(await stage.responder(padding)),
    socat: await stage.socat(await stage.responder(padding)),
    mux: await stage.qmpmux(await stage.responder(padding)),
  };
}

function goal(what: string, against: string, better: Goal['better'], must: number, aim: number): Goal {
  return { what, against, better, must, aim, unit: '×' };
}

function rates(runs: Readonly<Record<string, readonly Run[]>>): string {
  const parts = Object.entries(runs).map(
    ([name, all]) => `${name} ${Math.round(median(all.map((run) => run.rate))).toLocaleString('en')}/s`,
  );
  return parts.join(', ');
}

/** What the daemon has used in all of a row, and holds at its end. */
function usage(name: string, runs: readonly Run[]): string {
  const seconds = runs.reduce((sum, run) => sum + run.cpu * run.count, 0);
  const memory = Math.max(...runs.map((run) => run.memory)) / 2 ** 20;
  return `${name}: ${seconds.toFixed(2)} s of CPU in ${runs.length} runs, ${memory.toFixed(0)} MB resident at most`;
}

function micros(seconds: number): string {
  return `${(seconds * 1e6).toFixed(2)} µs`;
}

/** One ratio a round. */
function rateRatios(runs: readonly Run[], others: readonly Run[]): number[] {
  return zip(runs, others, (run, other) => run.rate / other.rate);
}

function cpuRatios(runs: readonly Run[], others: readonly Run[]): number[] {
  return zip(runs, others, (run, other) => run.cpu / other.cpu);
}

/** The CPU a message. */
function listCpu(runs: Readonly<Record<string, readonly Run[]>>): string {
  return Object.entries(runs)
    .map(([name, all]) => `${name} ${micros(median(all.map((run) => run.cpu)))}`)
    .join(', ');
}

export const latency: Row = {
  name: 'latency',
  needs: ['socat'],
  async measure(stage, { seconds, rounds }) {
    const places = await three(stage);
    const load = loader(stage, seconds);
    const shape = { clients: 1, depth: 1 };
    const placed = placements();
    const subjects = {
      direct: load(places.direct, shape),
      socat: load(places.socat, shape),
      mux: load(places.mux, shape),
    };
    const runs = await interleave(rounds, subjects, placed.all);
    const added = (through: readonly Run[]) => zip(through, runs.direct, (run, direct) => run.median - direct.median);
    const ratios = zip(added(runs.mux), added(runs.socat), (mux, socat) => mux / socat);
    const trips = Object.entries(runs).map(
      ([name, all]) => `${name} ${median(all.map((run) => run.median)).toFixed(1)} µs`,
    );
    return [
      finding(
        goal('added round-trip latency before a responder, 1 client, 1 in flight', "socat's", 'less', 1.3, 1),
        ratios,
        [
          byPlacement(placed, { added: ratios, CPU: cpuRatios(runs.mux, runs.socat) }),
          `median round trip: ${trips.join(', ')}`,
          `CPU a message: ${listCpu({ mux: runs.mux, socat: runs.socat })}`,
          usage('mux', runs.mux),
        ],
      ),
    ];
  },
};

export const largeReplies: Row = {
  name: 'replies',
  needs: ['socat'],
  async measure(stage, { seconds, rounds }) {
    const places = await three(stage, REPLY_BYTES);
    const wide = await stage.socat(await stage.responder(REPLY_BYTES), ['-b', String(WIDE_BUFFER)]);
    const placed = placements();
    const load = loader(stage, seconds);
    const shape = { clients: 1, depth: 4 };
    const subjects = {
      direct: load(places.direct, shape),
      socat: load(places.socat, shape),
      socatWide: load(wide, shape),
      mux: load(places.mux, shape),
    };
    const runs = await interleave(rounds, subjects, placed.all);
    const flow = Object.entries(runs).map(
      ([name, all]) => `${name} ${median(all.map((run) => run.bytes / run.seconds / 1e6)).toFixed(0)} MB/s`,
    );
    const what = '200 KB replies of a responder, bytes a second, 1 client, 4 in flight';
    const [rate, rateWide] = [rateRatios(runs.mux, runs.socat), rateRatios(runs.mux, runs.socatWide)];
    return [
      finding(goal(what, 'socat', 'more', 0.9, 1), rate, [
        flow.join(', '),
        byPlacement(placed, { rate, CPU: cpuRatios(runs.mux, runs.socat) }),
        `CPU a reply: ${listCpu({ mux: runs.mux, socat: runs.socat, socatWide: runs.socatWide })}`,
        usage('mux', runs.mux),
      ]),
      finding(goal(what, `socat -b ${WIDE_BUFFER}`, 'more', 0.9, 1), rateWide, [
        byPlacement(placed, { rate: rateWide, CPU: cpuRatios(runs.mux, runs.socatWide) }),
      ]),
    ];
  },
};

export const events: Row = {
  name: 'events',
  needs: [],
  async measure(stage, { seconds, rounds }) {
    const clients = 1000;
    const [forLoop, forMux] = [await stage.responder(), await stage.responder()];
    const loop = await stage.broadcaster(forLoop);
    const mux = await stage.qmpmux(forMux);
    const eventJob = (place: Place, control: string, negotiates: boolean, burst: number) => () =>
      stage.run(place, { kind: 'events', path: place.path, control, clients, negotiates, burst, seconds });
    const runs = await interleave(rounds, {
      loop: eventJob(loop, forLoop, false, 1),
      mux: eventJob(mux, forMux, true, 1),
      loopBurst: eventJob(loop, forLoop, false, 20),
      muxBurst: eventJob(mux, forMux, true, 20),
    });
    const against = 'a bare Node loop';
    return [
      finding(
        goal('events to 1,000 clients, one at a time', against, 'more', 0.8, 0.95),
        zip(runs.mux, runs.loop, (one, other) => one.rate / other.rate),
        [rates({ mux: runs.mux, loop: runs.loop }), usage('mux', runs.mux)],
      ),
      finding(
        goal('events to 1,000 clients, 20 at once', against, 'more', 0.8, 0.95),
        zip(runs.muxBurst, runs.loopBurst, (one, other) => one.rate / other.rate),
        [`${rates({ mux: runs.muxBurst, loop: runs.loopBurst })}, of ${EVENT.length} bytes`],
      ),
    ];
  },
};
