/** The distribution of times in query-status: classes with an upper bound, `below` in seconds, and a `count`. */
import type { Report } from './report.js';

/**
 * @param share such as 0.99
 * @param before the same classes earlier: what was counted by then is left out
 * @returns the upper bound of the class in which the share is reached, in seconds; 0 where nothing was counted
 */
export function percentile(classes: readonly Report[], share: number, before: readonly Report[] = []): number {
  const counts = classes.map((each, at) =>
    Math.max(0, each.at('count').number - (before[at]?.at('count').number ?? 0)),
  );
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total === 0) return 0;
  let sum = 0;
  const at = counts.findIndex((count) => {
    sum += count;
    return sum >= total * share;
  });
  return classes[at]?.at('below').number ?? 0;
}
