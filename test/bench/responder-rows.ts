/** Rows that are measured on the responder, beside socat and a direct connection. */
import { statSync, truncateSync } from 'node:fs';
import { EVENT, type LoadJob } from './load.js';
import { type Finding, finding, type Goal, interleave, median, type Row, zip } from './row.js';
import type { Place, Run, Stage } from './stage.js';

/** A command that is neither cached nor merged. */
export const COMMAND = '{"execute":"qom-list","id":"@@@@@"}\n';
const QUERY = '{"execute":"query-status","id":"@@@@@"}\n';

interface Shape {
  readonly clients: number;
  readonly depth: number;
  readonly commands?: readonly string[];
  readonly joined?: boolean;
}

function job(place: Place, shape: Shape, seconds: number): LoadJob {
  return { kind: 'load', path: place.path, seconds, commands: [COMMAND], ...shape };
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

export const latency: Row = {
  name: 'latency',
  needs: ['socat'],
  async measure(stage, { seconds, rounds }) {
    const places = await three(stage);
    const shape = { clients: 1, depth: 1 };
    const runs = await interleave(rounds, {
      direct: () => stage.run(places.direct, job(places.direct, shape, seconds)),
      socat: () => stage.run(places.socat, job(places.socat, shape, seconds)),
      mux: () => stage.run(places.mux, job(places.mux, shape, seconds)),
    });
    const added = (through: readonly Run[]) => zip(through, runs.direct, (run, direct) => run.median - direct.median);
    const trips = Object.entries(runs).map(
      ([name, all]) => `${name} ${median(all.map((run) => run.median)).toFixed(1)} µs`,
    );
    const cpu = [median(runs.mux.map((run) => run.cpu)), median(runs.socat.map((run) => run.cpu))] as const;
    return [
      finding(
        goal('added round-trip latency, 1 client, 1 in flight', "socat's", 'less', 1.3, 1),
        zip(added(runs.mux), added(runs.socat), (mux, socat) => mux / socat),
        [
          `median round trip: ${trips.join(', ')}`,
          `CPU a message: mux ${micros(cpu[0])}, socat ${micros(cpu[1])}`,
          usage('mux', runs.mux),
        ],
      ),
    ];
  },
};

function throughput(name: string, what: string, against: string, shape: Shape, must: number, aim: number): Row {
  const single = { clients: 1, depth: shape.clients * shape.depth };
  return {
    name,
    needs: ['socat'],
    async measure(stage, { seconds, rounds }) {
      const places = await three(stage);
      const runs = await interleave(rounds, {
        direct: () => stage.run(places.direct, job(places.direct, single, seconds)),
        socat: () => stage.run(places.socat, job(places.socat, single, seconds)),
        mux: () => stage.run(places.mux, job(places.mux, shape, seconds)),
        merged: () => stage.run(places.mux, job(places.mux, { ...shape, commands: [QUERY] }, seconds)),
        socatJoined: () => stage.run(places.socat, job(places.socat, { ...single, joined: true }, seconds)),
        muxJoined: () => stage.run(places.mux, job(places.mux, { ...shape, joined: true }, seconds)),
      });
      const findings: Finding[] = [
        finding(
          goal(what, against, 'more', must, aim),
          zip(runs.mux, runs.socat, (mux, socat) => mux.rate / socat.rate),
          [
            `${rates(runs)} (merged: all send query-status; joined: commands that go out together are one write)`,
            usage('mux', runs.mux),
          ],
        ),
      ];
      if (shape.clients === 1) {
        findings.push(
          finding(
            goal('CPU a message in the daemon, 1 client, 64 in flight', "socat's", 'less', 1.5, 1),
            zip(runs.mux, runs.socat, (mux, socat) => mux.cpu / socat.cpu),
            [
              `mux ${micros(median(runs.mux.map((run) => run.cpu)))}, socat ${micros(median(runs.socat.map((run) => run.cpu)))}`,
            ],
          ),
        );
      }
      return findings;
    },
  };
}

export const oneClient = throughput(
  'pipeline',
  'messages a second, 1 client, 64 in flight',
  'socat',
  { clients: 1, depth: 64 },
  0.8,
  1,
);
export const manyClients = throughput(
  'clients',
  'messages a second, 16 clients × 16 in flight',
  'socat, 1 client × 256',
  { clients: 16, depth: 16 },
  0.8,
  1.2,
);

export const audited: Row = {
  name: 'audit',
  needs: [],
  async measure(stage, { seconds, rounds }) {
    const files = { plain: stage.path(), chained: stage.path() };
    const without = await stage.qmpmux(await stage.responder());
    const plain = await stage.qmpmux(await stage.responder(), ['--audit', files.plain]);
    const chained = await stage.qmpmux(await stage.responder(), ['--audit', files.chained, '--audit-chain']);
    const shape = { clients: 16, depth: 16 };
    const recorded = (place: Place, file: string) => async () => {
      const run = await stage.run(place, job(place, shape, seconds));
      // Hundreds of megabytes a second are written.
      const { size } = statSync(file);
      truncateSync(file);
      return { ...run, written: size };
    };
    const runs = await interleave<'without' | 'audit' | 'chain', Run & { written?: number }>(rounds, {
      without: () => stage.run(without, job(without, shape, seconds)),
      audit: recorded(plain, files.plain),
      chain: recorded(chained, files.chained),
    });
    const against = 'itself without audit';
    const ratios = (audit: readonly Run[]) => zip(audit, runs.without, (one, other) => one.rate / other.rate);
    const flow = median(runs.audit.map((run) => (run.written ?? 0) / 1e6));
    return [
      finding(goal('16 clients × 16 in flight with an audit file', against, 'more', 0.6, 0.8), ratios(runs.audit), [
        `${rates(runs)}; ${flow.toFixed(0)} MB of audit a run`,
      ]),
      finding(goal('16 clients × 16 in flight, audit chained', against, 'more', 0.4, 0.6), ratios(runs.chain)),
    ];
  },
};

export const largeReplies: Row = {
  name: 'replies',
  needs: ['socat'],
  async measure(stage, { seconds, rounds }) {
    const places = await three(stage, 200_000);
    const shape = { clients: 1, depth: 4 };
    const runs = await interleave(rounds, {
      direct: () => stage.run(places.direct, job(places.direct, shape, seconds)),
      socat: () => stage.run(places.socat, job(places.socat, shape, seconds)),
      mux: () => stage.run(places.mux, job(places.mux, shape, seconds)),
    });
    const flow = Object.entries(runs).map(
      ([name, all]) => `${name} ${median(all.map((run) => run.bytes / run.seconds / 1e6)).toFixed(0)} MB/s`,
    );
    return [
      finding(
        goal('200 KB replies, bytes a second, 1 client, 4 in flight', 'socat', 'more', 0.9, 1),
        zip(runs.mux, runs.socat, (mux, socat) => mux.bytes / mux.seconds / (socat.bytes / socat.seconds)),
        [flow.join(', '), usage('mux', runs.mux)],
      ),
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
