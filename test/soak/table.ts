import type { Figure } from './soak.js';

/** The figures in columns. */
export function formatTable(figures: readonly Figure[]): string {
  const width = Math.max(...figures.map(({ what }) => what.length));
  const valueWidth = Math.max(...figures.map(({ value }) => value.length));
  return figures
    .map(({ what, value, bound, isGood }) => {
      const judged = bound === '' ? '' : `  ${bound}  ${isGood ? 'good' : 'NOT GOOD'}`;
      return `${what.padEnd(width)}  ${value.padStart(valueWidth)}${judged}\n`;
    })
    .join('');
}
