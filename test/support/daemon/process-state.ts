/** Whether a process still runs. */
import { readFileSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';

/** @returns false also for one that has ended and whose parent has not asked yet. */
export function isRunning(pid: number): boolean {
  try {
    return !/^State:\s*Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

/** Waits until none of these processes runs any more. */
export async function untilEnded(...pids: readonly number[]): Promise<void> {
  while (pids.some(isRunning)) await setImmediate();
}
