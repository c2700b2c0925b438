/** A row on a VM of libvirt's, beside virt-qemu-qmp-proxy, which serves one client at a time, and QEMU's own socket. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { type Libvirt, sessionLibvirt } from '../../support/libvirt/libvirt.js';
import { finding, type Goal, interleave, median, type Row, zip } from '../row.js';
import type { Place, Run, Stage } from '../stage.js';

const COMMANDS = ['{"execute": "query-status", "id": "__qmp#@@@@@"}'];
const PATIENCE = 20_000;

function goal(what: string, better: Goal['better'], must: number, aim: number): Goal {
  return { what, against: 'virt-qemu-qmp-proxy', better, must, aim, unit: '×' };
}

/** Debian's binding of libvirt is for Debian's own Python. */
async function proxy(stage: Stage, libvirt: Libvirt, domain: string): Promise<Place> {
  const path = stage.path();
  const words = ['/usr/bin/virt-qemu-qmp-proxy', '-c', libvirt.uri, domain, path];
  const child = spawn('/usr/bin/python3', words, { stdio: 'ignore' });
  stage.after(() => void child.kill());
  for (let waited = 0; !existsSync(path); waited += 20) {
    if (waited > PATIENCE) throw new Error('virt-qemu-qmp-proxy does not listen');
    await pause(20);
  }
  return { path, pid: child.pid ?? 0 };
}

function describe(name: string, runs: readonly Run[]): string {
  const rate = Math.round(median(runs.map((run) => run.rate))).toLocaleString('en');
  const trip = (median(runs.map((run) => run.median)) / 1000).toFixed(2);
  const memory = (median(runs.map((run) => run.memory)) / 1e6).toFixed(0);
  // Latency is taken of one client alone.
  const parts = [`${rate} commands/s`, ...(trip === '0.00' ? [] : [`${trip} ms there and back`])];
  return `${name}: ${[...parts, ...(memory === '0' ? [] : [`${memory} MB`])].join(', ')}`;
}

export const libvirtTrip: Row = {
  name: 'libvirt',
  needs: ['qemu', 'virt-qemu-qmp-proxy'],
  async measure(stage, { seconds, rounds }) {
    const libvirt = sessionLibvirt();
    stage.after(() => libvirt.stop());
    await libvirt.start();
    const vm = await libvirt.newVm(stage);
    const theirs = await proxy(stage, libvirt, vm.name);
    const upstream = `libvirt:${vm.name}?uri=${libvirt.uri}`;
    const ours = await stage.qmpmux(upstream);
    const each = await stage.qmpmux(upstream, ['--no-merge']);
    const load = (place: Place, clients: number) => () =>
      stage.run(place, { kind: 'load', path: place.path, seconds, clients, depth: 1, commands: COMMANDS });
    const runs = await interleave(rounds, {
      qemu: load({ path: vm.direct, pid: null }, 1),
      proxy: load(theirs, 1),
      one: load(ours, 1),
      eight: load(each, 8),
      merged: load(ours, 8),
    });
    return [
      finding(
        goal('round trip to a VM of libvirt’s', 'less', 1, 0.8),
        zip(runs.one, runs.proxy, (one, other) => one.median / other.median),
        [
          describe('QEMU’s own socket', runs.qemu),
          describe('virt-qemu-qmp-proxy, 1 client', runs.proxy),
          describe('qmpmux, 1 client', runs.one),
          describe('qmpmux, 8 clients, each query sent by itself', runs.eight),
          describe('qmpmux, 8 clients, the same queries sent once', runs.merged),
        ],
      ),
      finding(
        goal('commands a second by 8 clients, unmerged (the proxy serves 1)', 'more', 1, 1.2),
        zip(runs.eight, runs.proxy, (one, other) => one.rate / other.rate),
      ),
      finding(
        { ...goal('the same queries of 8 clients, a second', 'more', 1, 3), against: 'each sent by itself' },
        zip(runs.merged, runs.eight, (one, other) => one.rate / other.rate),
      ),
    ];
  },
};
