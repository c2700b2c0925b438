/** How much work something is: bytes moved, which is counted, and how CPU time grows with size, which is compared. */
import assert from 'node:assert/strict';

/** @returns how many bytes typed arrays copied while `run` ran: by `set`, `copyWithin` and `slice`. */
export function movedBytes(run: () => void): number {
  const own = Uint8Array.prototype;
  // The methods themselves are those of all typed arrays.
  const inherited = Object.getPrototypeOf(own) as Uint8Array;
  let moved = 0;
  const counted = {
    set(this: Uint8Array, source: ArrayLike<number>, offset?: number): void {
      moved += source.length;
      inherited.set.call(this, source, offset);
    },
    copyWithin(this: Uint8Array, target: number, start: number, end?: number): Uint8Array {
      moved += Math.max(0, (end ?? this.length) - start);
      return inherited.copyWithin.call(this, target, start, end);
    },
    slice(this: Uint8Array, start?: number, end?: number): Uint8Array {
      const copy = inherited.slice.call(this, start, end);
      moved += copy.length;
      return copy;
    },
  };
  Object.assign(own, counted);
  try {
    run();
  } finally {
    for (const name of Object.keys(counted)) Reflect.deleteProperty(own, name);
  }
  return moved;
}

/** The least CPU time of some runs, in microseconds: disturbances make a run longer, never shorter. */
function cpuTime(run: () => void, runs: number): number {
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < runs; i++) {
    const before = process.cpuUsage();
    run();
    const { user, system } = process.cpuUsage(before);
    least = Math.min(least, user + system);
  }
  return least;
}

/**
 * Fails when eight times the size takes far more than eight times the work: quadratic work would take sixty-four times.
 * @param prepare prepares the work for a size; only the returned function is measured
 */
export function assertLinear(size: number, prepare: (size: number) => () => void): void {
  const [small, large] = [prepare(size), prepare(size * 8)];
  small();
  large();
  let ratio = 0;
  // A second and a third look, should the first have been disturbed.
  for (let attempt = 0; attempt < 3; attempt++) {
    ratio = cpuTime(large, 2) / Math.max(200, cpuTime(small, 5));
    if (ratio < 24) return;
  }
  assert.fail(`eight times the size took ${ratio.toFixed(1)} times the work`);
}
