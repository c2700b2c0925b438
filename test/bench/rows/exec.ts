/** How long one command of someone at a terminal takes, start of the program included. */
import { execFile } from 'node:child_process';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { sessionLibvirt } from '../../support/libvirt/libvirt.js';
import { finding, type Goal, interleave, median, type Row, zip } from '../row.js';

const PROGRAM = fileURLToPath(new URL('../../../bin/qmpmux.js', import.meta.url));
const COMMAND = '{"execute":"query-status"}';
/** A start is short, and others on the machine make it long now and then: more rounds than of what takes seconds. */
const LEAST_ROUNDS = 15;

/** @returns milliseconds until the program has ended. It must succeed. */
function elapsed(program: string, ...words: readonly string[]): Promise<number> {
  const begin = performance.now();
  return new Promise((resolve, reject) => {
    execFile(program, words, { timeout: 20_000 }, (error, _output, errors) => {
      if (error !== null) reject(new Error(`${program} ${words.join(' ')}: ${errors}`, { cause: error }));
      else resolve(performance.now() - begin);
    });
  });
}

function goal(against: string, must: number, aim: number): Goal {
  return { what: 'one command from a shell: qmpmux exec', against, better: 'less', must, aim, unit: '×' };
}

export const execStart: Row = {
  name: 'exec',
  needs: ['qemu', 'virsh'],
  async measure(stage, { rounds }) {
    const libvirt = sessionLibvirt();
    stage.after(() => libvirt.stop());
    await libvirt.start();
    const vm = await libvirt.newVm(stage);
    const mux = await stage.qmpmux(vm.direct);
    const times = await interleave(Math.max(rounds, LEAST_ROUNDS), {
      nothing: () => elapsed(process.execPath, '-e', '0'),
      ours: () => elapsed(process.execPath, PROGRAM, 'exec', mux.path, COMMAND),
      hmp: () => elapsed(process.execPath, PROGRAM, 'hmp', mux.path, 'info', 'status'),
      theirs: () => elapsed('virsh', '-q', '-c', libvirt.uri, 'qemu-monitor-command', vm.name, COMMAND),
    });
    const ms = (values: readonly number[]) => `${median(values).toFixed(0)} ms`;
    const ratio = (one: number, other: number) => one / other;
    return [
      finding(goal('node -e 0', 2, 1.5), zip(times.ours, times.nothing, ratio), [
        `node -e 0 ${ms(times.nothing)}, qmpmux exec ${ms(times.ours)}, qmpmux hmp ${ms(times.hmp)}, ` +
          `virsh qemu-monitor-command ${ms(times.theirs)}`,
      ]),
      finding(goal('virsh qemu-monitor-command', 4, 2), zip(times.ours, times.theirs, ratio)),
    ];
  },
};
