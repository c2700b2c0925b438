/** The distribution of times in query-status: classes with an upper bound, `below` in seconds, and a `count`. */
import type { Report } from './json-view.js';

/**
 * An estimate: inside the class in which it lies, times are taken to be spread evenly.
 * @param share such as 0.99
 * @param before the same classes earlier: their counts are subtracted
 * @param mean of all times, in seconds, where it is known: a median in the class of the mean is taken for the mean, so that the two never
 *   contradict each other
 * @returns in seconds; 0 where nothing was counted
 */
export function percentile(
  classes: readonly Report[],
  share: number,
  before: readonly Report[] = [],
  mean?: number,
): number {
  const counts = classes.map((each, at) =>
    Math.max(0, each.at('count').number - (before[at]?.at('count').number ?? 0)),
  );
  const wanted = counts.reduce((sum, count) => sum + count, 0) * share;
  let sum = 0;
  let low = 0;
  for (const [at, count] of counts.entries()) {
    const high = classes[at]?.at('below').number ?? 0;
    if (count > 0 && sum + count >= wanted) {
      if (mean !== undefined && mean > low && mean <= high) return mean;
      return low + (high - low) * Math.max(0, (wanted - sum) / count);
    }
    sum += count;
    low = high;
  }
  return 0;
}
