/** Durations and sizes as people write them. */

const TIME_UNITS = new Map([
  ['ms', 1],
  ['s', 1000],
  ['', 1000],
  ['m', 60_000],
  ['min', 60_000],
  ['h', 3_600_000],
]);

/** The form of a duration, for messages. */
export const DURATION_RULE = 'a time such as 10s, 500ms, 5m or 1h; 0 for none';

/** @returns milliseconds from `10s`, `500ms`, `5m`, `1h`, or seconds without a unit; null for any other text. */
export function parseDuration(text: string): number | null {
  const match = /^(\d{1,9}(?:\.\d{1,3})?)\s*([a-z]*)$/.exec(text.trim());
  const unit = TIME_UNITS.get(match?.[2] ?? '');
  return match === null || unit === undefined ? null : Math.round(Number(match[1]) * unit);
}

const SIZE_UNITS = new Map([
  ['', 1],
  ['k', 1024],
  ['m', 1024 ** 2],
  ['g', 1024 ** 3],
]);

/** @returns bytes from a number, or one with `k`, `M` or `G` after it; null for any other text. */
export function parseByteSize(text: string): number | null {
  const match = /^(\d{1,12})([kmg]?)(?:i?b)?$/i.exec(text.trim());
  const unit = SIZE_UNITS.get((match?.[2] ?? '').toLowerCase());
  return match === null || unit === undefined ? null : Number(match[1]) * unit;
}
