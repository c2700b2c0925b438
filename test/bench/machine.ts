/** What a benchmark was run on, in a few lines. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os';
import { available, qemuProgram } from '../support/daemon/programs.js';

export function describeMachine(): string[] {
  const [cpu] = cpus();
  const load = loadavg().map((value) => value.toFixed(1));
  return [
    `${availableParallelism()} × ${cpu?.model.trim() ?? 'unknown processor'}, ${Math.round(totalmem() / 2 ** 30)} GB, Linux ${release()}`,
    `Node ${process.version}, ${versionOf(qemuProgram, ['--version'], /version (\S+)/, 'QEMU')}, ${versionOf('socat', ['-V'], /socat version (\S+)/, 'socat')}`,
    `load average before: ${load.join(' ')}${isBusy() ? ' — other work runs here: believe only the ratios, and those with care' : ''}`,
  ];
}

/** Whether others have used the processors in the last minute. */
function isBusy(): boolean {
  const [minute = 0] = loadavg();
  return minute > availableParallelism() / 4;
}

function versionOf(program: string, args: readonly string[], pattern: RegExp, name: string): string {
  if (!available(program)) return `no ${name}`;
  const { stdout } = spawnSync(program, args, { encoding: 'utf8' });
  return `${name} ${pattern.exec(stdout)?.[1] ?? '(unknown version)'}`;
}

/** @returns whether the kernel tells the CPU time of processes to the nanosecond. */
export function countsCpu(): boolean {
  try {
    return readFileSync('/proc/self/schedstat', 'utf8').split(' ').length === 3;
  } catch {
    return false;
  }
}
