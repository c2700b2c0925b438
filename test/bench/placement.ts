/**
 * Which CPU each process of a run is on. Driver, proxy and responder are three where a machine may have two CPUs: left alone, the
 * scheduler chooses which of them share one, and that choice changes a rate more than what is measured does. So each of the three
 * ways to share two CPUs is taken in turn, and what is compared is placed alike.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** The CPU of each process of a run. */
export interface Placement {
  readonly name: string;
  readonly driver: number;
  readonly proxy: number;
  readonly responder: number;
  /** Of a responder that no proxy stands before: never the driver's. */
  readonly responderAlone: number;
}

/** The placements there can be here; none, and why, where processes cannot be pinned. */
export interface Placements {
  readonly all: readonly Placement[];
  readonly lacking: string | null;
}

/** @returns the CPUs that a process may run on, this one if none is named, in Linux's form: `0-3,8`. */
export function allowedCpus(pid: number = process.pid): string {
  return /^Cpus_allowed_list:\s+(\S+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '';
}

/** @param list in Linux's form: `0-3,8` @returns its first two CPUs, or fewer */
function firstTwo(list: string): number[] {
  const cpus: number[] = [];
  for (const range of list.split(',').filter((text) => text !== '')) {
    const [first = 0, last = first] = range.split('-').map(Number);
    for (let cpu = first; cpu <= last && cpus.length < 2; cpu++) cpus.push(cpu);
  }
  return cpus;
}

/**
 * @param allowed CPUs, in Linux's form
 * @param taskset util-linux's program
 * @returns the three ways to place a run on the first two CPUs that are allowed.
 */
export function placements(allowed: string = allowedCpus(), taskset = 'taskset'): Placements {
  const [one, two] = firstTwo(allowed);
  if (one === undefined || two === undefined) return { all: [], lacking: 'there is but one CPU' };
  const { error, status, stderr } = spawnSync(taskset, ['-c', String(two), 'true'], { encoding: 'utf8' });
  if (status !== 0) return { all: [], lacking: error === undefined ? stderr.trim() : `${taskset} cannot be run` };
  const alone = { driver: one, responderAlone: two };
  return {
    all: [
      { name: 'driver | proxy + responder', ...alone, proxy: two, responder: two },
      { name: 'driver + responder | proxy', ...alone, proxy: two, responder: one },
      { name: 'driver + proxy | responder', ...alone, proxy: one, responder: two },
    ],
    lacking: null,
  };
}

/** Pins processes, and remembers where, so that each is moved only when it has to be. */
export class Pins {
  readonly #anywhere = allowedCpus();
  readonly #cpus = new Map<number, string>();

  /**
   * All threads of a process, and the children it will have.
   * @param cpu null for wherever it may run
   */
  pin(pid: number, cpu: number | null): void {
    const cpus = cpu === null ? this.#anywhere : String(cpu);
    if ((this.#cpus.get(pid) ?? this.#anywhere) === cpus) return;
    const { status, stderr } = spawnSync('taskset', ['-apc', cpus, String(pid)], { encoding: 'utf8' });
    if (status !== 0) throw new Error(`process ${pid} cannot be pinned to CPU ${cpus}: ${stderr.trim()}`);
    this.#cpus.set(pid, cpus);
  }
}
