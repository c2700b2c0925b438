/** What it costs a client that sends no descriptors that others may (fds=on beside fds=off). */
import type { LoadJob } from './load.js';
import { type Placement, placements } from './placement.js';
import { COMMAND } from './responder-rows.js';
import { byPlacement, finding, interleave, median, type Row, zip } from './row.js';
import type { Place, Run } from './stage.js';

export const descriptors: Row = {
  name: 'fds',
  needs: [],
  async measure(stage, { seconds, rounds }) {
    const off = await stage.qmpmux(await stage.responder(), [], ',fds=off');
    const on = await stage.qmpmux(await stage.responder(), [], ',fds=on');
    const load = (place: Place, clients: number, depth: number) => (placement: Placement | null) => {
      const job: LoadJob = { kind: 'load', path: place.path, seconds, commands: [COMMAND], clients, depth };
      return stage.run(place, job, placement);
    };
    const placed = placements();
    const subjects = {
      off: load(off, 1, 1),
      on: load(on, 1, 1),
      manyOff: load(off, 16, 16),
      manyOn: load(on, 16, 16),
    };
    const runs = await interleave(rounds, subjects, placed.all);
    const trip = zip(runs.on, runs.off, (one, other) => one.median / other.median);
    const rate = zip(runs.manyOn, runs.manyOff, (one, other) => one.rate / other.rate);
    const against = 'itself with fds=off';
    const figures = (name: string, of: (run: Run) => number, digits: number, unit: string) =>
      `${name} ${median(runs.on.map(of)).toFixed(digits)} ${unit} beside ${median(runs.off.map(of)).toFixed(digits)} ${unit}`;
    return [
      finding(
        {
          what: 'round trip with fds=on, 1 client, 1 in flight',
          against,
          better: 'less',
          must: 1.1,
          aim: 1.03,
          unit: '×',
        },
        trip,
        [
          byPlacement(placed, { 'round trip': trip }),
          figures('round trip', (run) => run.median, 1, 'µs'),
          figures('CPU a message', (run) => run.cpu * 1e6, 2, 'µs'),
        ],
      ),
      finding(
        {
          what: 'messages a second with fds=on, 16 clients × 16',
          against,
          better: 'more',
          must: 0.9,
          aim: 0.97,
          unit: '×',
        },
        rate,
        [byPlacement(placed, { rate })],
      ),
    ];
  },
};
