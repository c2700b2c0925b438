/** A row of the table: what is measured, beside what, and how far it should and must get. */
import type { Placement, Placements } from './placement.js';
import { Stage } from './stage.js';

/** What a row needs to be installed. */
export type Need = 'socat' | 'qemu' | 'virt-qemu-qmp-proxy' | 'virsh';

/** A figure that is asked for. `must` and `aim` are in `unit`. */
export interface Goal {
  readonly what: string;
  readonly against: string;
  readonly better: 'less' | 'more';
  readonly must: number;
  readonly aim: number;
  readonly unit: '×' | 'MB' | 'KB';
}

/** What was measured for one goal. */
export interface Finding {
  readonly goal: Goal;
  /** The median of the rounds, and the quartiles. */
  readonly figure: number;
  readonly low: number;
  readonly high: number;
  /** Absolute figures and whatever else explains it, a line each. */
  readonly notes: readonly string[];
}

export interface Effort {
  /** How long each run of a round takes, in seconds. */
  readonly seconds: number;
  readonly rounds: number;
}

export interface Row {
  /** For `--row`. */
  readonly name: string;
  readonly needs: readonly Need[];
  measure(stage: Stage, effort: Effort): Promise<readonly Finding[]>;
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

export function quantile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (sorted.length - 1) * part;
  const low = sorted[Math.floor(at)] ?? Number.NaN;
  const high = sorted[Math.ceil(at)] ?? Number.NaN;
  return low + (high - low) * (at - Math.floor(at));
}

/** @param values one a round */
export function finding(goal: Goal, values: readonly number[], notes: readonly string[] = []): Finding {
  return { goal, figure: median(values), low: quantile(values, 0.25), high: quantile(values, 0.75), notes };
}

/** Carries out a row with processes of its own. */
export async function measure(row: Row, effort: Effort): Promise<readonly Finding[]> {
  const stage = new Stage();
  try {
    return await row.measure(stage, effort);
  } finally {
    await stage.close();
  }
}

/**
 * Runs subjects in turn, round by round, each round in another order. What the first round compiles and fills does not count, with
 * placements the first in each: of large replies a daemon has had a few thousand before its code is the fastest.
 * @param rounds at least; so many that each placement has as many
 * @param placements of the subjects' processes, one a round; the same order of the subjects is gone through in each
 * @returns for each subject its runs, a round each.
 */
export async function interleave<K extends string, R>(
  rounds: number,
  subjects: Readonly<Record<K, (placement: Placement | null) => Promise<R>>>,
  placements: readonly Placement[] = [],
): Promise<Record<K, R[]>> {
  // The keys of an object literal are the names the type was inferred from.
  const names = Object.keys(subjects) as K[];
  const runs = Object.fromEntries(names.map((name) => [name, []])) as unknown as Record<K, R[]>;
  const cycle = Math.max(1, placements.length);
  for (let round = -cycle; round < rounds || round % cycle !== 0; round++) {
    const placement = placements[(round + cycle) % cycle] ?? null;
    const first = Math.max(0, Math.floor(round / cycle)) % names.length;
    for (const name of [...names.slice(first), ...names.slice(0, first)]) {
      const run = await subjects[name](placement);
      if (round >= 0) runs[name].push(run);
    }
  }
  return runs;
}

/** @param ratios by name, one a round @returns the median of each in each placement, for a note. */
export function byPlacement({ all, lacking }: Placements, ratios: Readonly<Record<string, readonly number[]>>): string {
  if (lacking !== null) return `not pinned, believe it with care: ${lacking}`;
  const parts = all.map(({ name }, at) => {
    const medians = Object.entries(ratios).map(([what, values]) => {
      return `${what} ${median(values.filter((_, round) => round % all.length === at)).toFixed(2)}×`;
    });
    return `${name}: ${medians.join(', ')}`;
  });
  return `by placement: ${parts.join('; ')}`;
}

export function zip<A, B, R>(a: readonly A[], b: readonly B[], join: (a: A, b: B) => R): R[] {
  return a.flatMap((each, at) => {
    const other = b[at];
    return other === undefined ? [] : [join(each, other)];
  });
}
