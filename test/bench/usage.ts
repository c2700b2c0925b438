/** What a process has used, as Linux tells. */
import { readdirSync, readFileSync } from 'node:fs';

/** @returns seconds of CPU that a process and its children, which are still alive, have used so far. */
export function cpuSeconds(pid: number): number {
  let nanoseconds = 0;
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    // The first number is the time spent running; a thread may have ended meanwhile.
    nanoseconds += Number(read(`/proc/${pid}/task/${task}/schedstat`).split(' ')[0] ?? 0);
  }
  let seconds = nanoseconds / 1e9;
  for (const child of read(`/proc/${pid}/task/${pid}/children`).split(' ')) {
    if (child !== '') seconds += cpuSeconds(Number(child));
  }
  return seconds;
}

/** @returns the bytes of memory that a process has resident. */
export function residentBytes(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(read(`/proc/${pid}/status`))?.[1] ?? 0) * 1024;
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
