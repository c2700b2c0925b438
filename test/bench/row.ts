/** A row of the table: what is measured, beside what, and how far it should and must get. */
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
 * Runs subjects in turn, round by round, each round in another order; what the first round compiles and fills does not count.
 * @returns for each subject its runs, a round each.
 */
export async function interleave<K extends string, R>(
  rounds: number,
  subjects: Readonly<Record<K, () => Promise<R>>>,
): Promise<Record<K, R[]>> {
  // The keys of an object literal are the names the type was inferred from.
  const names = Object.keys(subjects) as K[];
  const runs = Object.fromEntries(names.map((name) => [name, []])) as unknown as Record<K, R[]>;
  for (const name of names) await subjects[name]();
  for (let round = 0; round < rounds; round++) {
    const first = round % names.length;
    for (const name of [...names.slice(first), ...names.slice(0, first)]) runs[name].push(await subjects[name]());
  }
  return runs;
}

export function zip<A, B, R>(a: readonly A[], b: readonly B[], join: (a: A, b: B) => R): R[] {
  return a.flatMap((each, at) => {
    const other = b[at];
    return other === undefined ? [] : [join(each, other)];
  });
}
