import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { test } from 'node:test';
import { missing } from '../support/daemon/programs.js';
import { allowedCpus, type Placement, placements } from './placement.js';
import { byPlacement, interleave } from './row.js';
import { type Place, Stage } from './stage.js';

function children(pid: number): number[] {
  const pids = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
  return pids.flatMap((child) => [child, ...children(child)]);
}

/** @returns the CPUs of each process that this one has, behind its program's or its script's name. */
function whereProcessesAre(): string[] {
  return children(process.pid).map((pid) => {
    const words = readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0');
    // Node may have options before its script.
    const name = words.find((word) => word.endsWith('.js')) ?? words[0] ?? '';
    return `${basename(name)} ${allowedCpus(pid)}`;
  });
}

const { all, lacking } = placements();

test('each process of a run is where its placement says, what socat forks as well, and anywhere in a run without', {
  skip: lacking ?? missing('socat'),
}, async () => {
  const stage = new Stage();
  const idle = (place: Place, placement: Placement | null) =>
    stage.run(place, { kind: 'idle', path: place.path, clients: 1 }, placement);
  try {
    const socat = await stage.socat(await stage.responder());
    for (const placement of all) {
      await idle(socat, placement);
      assert.deepEqual(whereProcessesAre().sort(), [
        `driver.js ${placement.driver}`,
        `responder.js ${placement.responder}`,
        `socat ${placement.proxy}`,
        `socat ${placement.proxy}`,
      ]);
    }
    await idle(socat, null);
    const anywhere = allowedCpus();
    const each = ['driver.js', 'responder.js', 'socat', 'socat'].map((name) => `${name} ${anywhere}`);
    assert.deepEqual(whereProcessesAre().sort(), each);
  } finally {
    await stage.close();
  }
});

test('all threads of the daemon are pinned, and a responder alone never shares the CPU of the driver', {
  skip: lacking ?? false,
}, async () => {
  const stage = new Stage();
  try {
    const mux = await stage.qmpmux(await stage.responder());
    const direct = stage.direct(await stage.responder());
    for (const placement of all) {
      for (const place of [mux, direct]) {
        await stage.run(place, { kind: 'idle', path: place.path, clients: 1 }, placement);
      }
      const threads = readdirSync(`/proc/${mux.pid}/task`).map(Number);
      assert.ok(threads.length > 1);
      assert.deepEqual(new Set(threads.map((thread) => allowedCpus(thread))), new Set([String(placement.proxy)]));
      assert.equal(allowedCpus(direct.upstream?.pid ?? 0), String(placement.responderAlone));
      assert.notEqual(placement.responderAlone, placement.driver);
    }
  } finally {
    await stage.close();
  }
});

test('no process of a row outlives it', { skip: missing('socat') }, async () => {
  const stage = new Stage();
  try {
    const place = await stage.socat(await stage.responder());
    await stage.qmpmux(await stage.responder());
    await stage.run(place, { kind: 'idle', path: place.path, clients: 1 });
    assert.equal(children(process.pid).length, 6);
  } finally {
    await stage.close();
  }
  assert.deepEqual(whereProcessesAre(), []);
});

test('rounds go through all placements equally often, whatever number was asked for', async () => {
  const three = placements('0-1', 'true').all;
  const seen: (string | undefined)[] = [];
  const subject = async (placement: Placement | null) => {
    return seen.push(placement?.name) - 1;
  };
  const runs = await interleave(4, { subject }, three);
  const names = three.map(({ name }) => name);
  // Once without being counted, and twice.
  assert.deepEqual(seen, [...names, ...names, ...names]);
  assert.deepEqual(runs.subject, [3, 4, 5, 6, 7, 8]);
});

test('where there is one CPU or no taskset nothing is pinned, and a note says so', () => {
  assert.equal(byPlacement(placements('3'), { rate: [1] }), 'not pinned, believe it with care: there is but one CPU');
  assert.match(
    byPlacement(placements('0-1', '/nowhere/taskset'), { rate: [1] }),
    /^not pinned, .*: \/nowhere\/taskset/,
  );
});

test('two CPUs are taken of those that are allowed, and each placement has a median of its own', () => {
  const pairs = ['0-3', '2,5-7', '4-5'].map((allowed) => {
    const [first] = placements(allowed, 'true').all;
    return [first?.driver, first?.proxy];
  });
  assert.deepEqual(pairs, [
    [0, 1],
    [2, 5],
    [4, 5],
  ]);
  assert.equal(
    byPlacement(placements('0-1', 'true'), { rate: [1, 2, 3, 5, 2, 3] }),
    'by placement: driver | proxy + responder: rate 3.00×; driver + responder | proxy: rate 2.00×; driver + proxy | responder: rate 3.00×',
  );
});
