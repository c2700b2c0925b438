/** Numbers as QEMU reads and writes them back (qobject/json-parser.c, qobject/json-writer.c). */
import { asciiText } from '../../shared/bytes.js';

const INT64_MIN = -(2n ** 63n);
const UINT64_MAX = 2n ** 64n - 1n;
const PRECISION = 17;

/**
 * `printf("%.17g")`.
 * @param value any double; infinities are written as C does (`inf`), which is no JSON, but QEMU sends it.
 */
export function formatDouble(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return 'inf';
  if (value === Number.NEGATIVE_INFINITY) return '-inf';
  if (value === 0) return Object.is(value, -0) ? '-0' : '0';
  const [mantissa = '', power = '0'] = roundedToEven(Math.abs(value)).split('e');
  const exponent = Number(power);
  const text = mantissa.replace('.', '');
  let last = text.length;
  while (text[last - 1] === '0') last--;
  const significant = text.slice(0, last);
  const sign = value < 0 ? '-' : '';
  if (exponent < -4 || exponent >= PRECISION) {
    const fraction = significant.length > 1 ? `.${significant.slice(1)}` : '';
    const size = Math.abs(exponent).toString().padStart(2, '0');
    return `${sign}${significant[0]}${fraction}e${exponent < 0 ? '-' : '+'}${size}`;
  }
  if (exponent < 0) return `${sign}0.${'0'.repeat(-exponent - 1)}${significant}`;
  if (significant.length <= exponent + 1) return sign + significant.padEnd(exponent + 1, '0');
  return `${sign}${significant.slice(0, exponent + 1)}.${significant.slice(exponent + 1)}`;
}

/** @returns a positive double with 17 significant digits, as `toExponential` writes it but for ties. */
function roundedToEven(value: number): string {
  const rounded = value.toExponential(PRECISION - 1);
  // C rounds a tie to even, toExponential rounds it up. Four more digits rule most of them out, and 80 distinguish a tie from a
  // number that only looks like one.
  const [closer = ''] = value.toExponential(PRECISION + 3).split('e');
  if (!closer.endsWith('5000')) return rounded;
  const [mantissa = '', power = '0'] = value.toExponential(80).split('e');
  const all = mantissa.replace('.', '');
  const rest = all.slice(PRECISION);
  const isTie = rest === '5'.padEnd(rest.length, '0');
  const isOdd = Number(all[PRECISION - 1]) % 2 === 1;
  // Rounded down it ends as it is; a tie between two is never at the end of a row of nines, whose last is odd.
  return isTie && !isOdd ? `${all[0]}.${all.slice(1, PRECISION)}e${power}` : rounded;
}

/** Significant digits read of a long number; 767 are enough for any double, and after that only whether there are others matters. */
const MOST_DIGITS = 800;

/**
 * @returns the double nearest to a number token, which may have any number of digits; infinite if it is too large.
 * Only the digits that can decide are looked at as a number.
 */
export function decimalValue(bytes: Uint8Array, start: number, end: number): number {
  if (end - start <= MOST_DIGITS) return Number(asciiText(bytes, start, end));
  const isNegative = bytes[start] === 0x2d;
  let digits = '';
  /** The power of ten by which `digits`, as an integer, is to be multiplied. */
  let power = 0;
  let isFraction = false;
  let hasMore = false;
  let at = isNegative ? start + 1 : start;
  for (; at < end; at++) {
    const byte = bytes[at] ?? 0;
    if (byte === 0x2e) isFraction = true;
    else if (byte < 0x30 || byte > 0x39) break;
    else {
      const isCounted = digits.length < MOST_DIGITS;
      if (isCounted && (digits.length > 0 || byte !== 0x30)) digits += String.fromCharCode(byte);
      else if (!isCounted && byte !== 0x30) hasMore = true;
      if (isFraction && isCounted) power--;
      else if (!isFraction && !isCounted) power++;
    }
  }
  const text = `${isNegative ? '-' : ''}${digits === '' ? '0' : digits}${hasMore ? '1' : ''}`;
  return Number(`${text}e${power - (hasMore ? 1 : 0) + exponentOf(bytes, at, end)}`);
}

/** @returns the exponent that is written from `at` on, or one that is beyond every double in its place; 0 if there is none. */
function exponentOf(bytes: Uint8Array, at: number, end: number): number {
  const FAR = 1e9;
  let from = at + 1;
  const isNegative = bytes[from] === 0x2d;
  if (isNegative || bytes[from] === 0x2b) from++;
  let value = 0;
  for (let next = from; next < end && value < FAR; next++) value = value * 10 + (bytes[next] ?? 0) - 0x30;
  return isNegative ? -value : value;
}

/** @returns an integer token as QEMU sends it back: exact within int64 and uint64, a double beyond. */
export function formatInteger(token: string): string {
  if (token.length < 16 && token !== '-0') return token;
  // A token of thousands of digits is far beyond both types; BigInt would take quadratic time to find that out.
  if (token.length <= 21) {
    const value = BigInt(token);
    if (value >= INT64_MIN && value <= UINT64_MAX) return value.toString();
  }
  return formatDouble(Number(token));
}
