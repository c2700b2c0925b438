/** Times, sizes and numbers as people read them: three digits or so, and a unit. */

/** @returns `850µs`, `12ms`, `3.2s`, `5m12s`, `2h03m`, `4d02h`. @param seconds any number from 0 */
export function showTime(seconds: number): string {
  if (seconds < 0.0009995) return `${Math.round(seconds * 1_000_000)}µs`;
  if (seconds < 0.00995) return `${(seconds * 1000).toFixed(1)}ms`;
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)}ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)}s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m${two(whole % 60)}s`;
  if (whole < 86_400) return `${Math.floor(whole / 3600)}h${two(Math.floor((whole % 3600) / 60))}m`;
  return `${Math.floor(whole / 86_400)}d${two(Math.floor((whole % 86_400) / 3600))}h`;
}

function two(number: number): string {
  return String(number).padStart(2, '0');
}

const SIZE_UNITS = ['', 'K', 'M', 'G', 'T', 'P'];

/** @returns `512`, `1.5K`, `20M`: bytes, in units of 1024 as the rest of qmpmux takes them. */
export function showBytes(bytes: number): string {
  const size = showSize(bytes);
  return /\d$/.test(size) ? `${size} bytes` : size;
}

/** As `showBytes`, for a column whose head names the unit. */
export function showSize(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < SIZE_UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return (unit > 0 && value < 9.95 ? value.toFixed(1) : String(Math.round(value))) + (SIZE_UNITS[unit] ?? '');
}

/** @returns `12`, `3.4`, `12000`: how often in a second. */
export function showRate(rate: number): string {
  return rate > 0 && rate < 9.95 ? rate.toFixed(1) : String(Math.round(rate));
}

/** @returns `1 client`, `2 clients`. */
export function showCount(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}
