/**
 * No command reaches the VM unrecorded: the daemon is killed at random moments under load, and the VM's own count of what it was sent
 * is held against the log. QMPMUX_KILLS says how often (200), QMPMUX_SEED which moments.
 */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Verifier } from '../../../dist/audit/read/verify.js';
import { startDaemon } from '../../support/daemon/daemon.js';
import { scratch } from '../../support/files/scratch.js';
import { eachLine } from '../../support/text/log-reading.js';
import { Load, Witness } from '../../support/world/witness.js';

const KILLS = Number(process.env['QMPMUX_KILLS'] ?? 200);
const CLIENTS = 8;
/** Between the first answer and the kill, in milliseconds. */
const LONGEST_LIFE = 60;

/** Numbers from 0 to 1 that a seed determines. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

test(`SIGKILL at ${KILLS} random moments loses no record of a command that the VM was sent`, async (t) => {
  const seed = Number(process.env['QMPMUX_SEED'] ?? Date.now() % 1_000_000);
  t.diagnostic(`QMPMUX_SEED=${seed}`);
  const next = random(seed);
  const folder = scratch(t);
  const monitor = join(folder, 'q');
  const socket = join(folder, 'm');
  const path = join(folder, 'audit.log');
  const witness = await Witness.start(t, monitor);
  for (let kill = 0; kill < KILLS; kill++) {
    const daemon = startDaemon(t, [
      '--upstream',
      monitor,
      '--listen',
      socket,
      '--audit',
      path,
      '--audit-chain',
      '--log-level',
      'warn',
    ]);
    await daemon.ready();
    const loads = Array.from({ length: CLIENTS }, (_, client) => new Load(socket, `${kill}.${client}`));
    while (loads.every((load) => load.answers === 0)) await delay(1);
    await delay(next() * LONGEST_LIFE);
    await daemon.stop('SIGKILL');
    await Promise.all(loads.map((load) => load.ended));
  }

  const recorded = new Set<string>();
  for (const line of readFileSync(path, 'utf8').split('\n')) {
    const n = line.includes('"kind":"command"') ? /"message":.*"n":"([^"]+)"/.exec(line)?.[1] : undefined;
    if (n === undefined) continue;
    assert.ok(!recorded.has(n), `${n} is recorded twice`);
    recorded.add(n);
  }
  const lost = witness.seen.filter((n) => !recorded.has(n));
  t.diagnostic(`the VM was sent ${witness.seen.length} commands, ${recorded.size} are recorded`);
  assert.deepEqual(lost, []);
  assert.ok(witness.seen.length > KILLS * CLIENTS, 'there was no load');
  // What is recorded and was not sent was on its way when the daemon died: no more than may be in flight.
  assert.ok(recorded.size - witness.seen.length <= KILLS * 64);

  const problems: string[] = [];
  const verifier = new Verifier(({ level, line, what }) => {
    if (level === 'problem') problems.push(`${line}: ${what}`);
  });
  await eachLine(path, (line) => {
    verifier.line(line);
  });
  verifier.finish();
  assert.deepEqual(problems, []);
});
