/** Numbers as QEMU reads and writes them back (qobject/json-parser.c, qobject/json-writer.c). */

const INT64_MIN = -(2n ** 63n);
const UINT64_MAX = 2n ** 64n - 1n;
const PRECISION = 17;

/**
 * `printf("%.17g")`.
 * @param value any double; infinities are written as C does (`inf`), which is no JSON, but is what QEMU sends.
 */
export function formatDouble(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return 'inf';
  if (value === Number.NEGATIVE_INFINITY) return '-inf';
  if (value === 0) return Object.is(value, -0) ? '-0' : '0';
  // Rounded here, from many more digits than are kept: C rounds a tie to even, toExponential rounds it up. 80 digits
  // tell a tie from what only looks like one.
  const exact = Math.abs(value).toExponential(80);
  const [mantissa = '', power = '0'] = exact.split('e');
  const all = mantissa.replace('.', '');
  let exponent = Number(power);
  let digits = BigInt(all.slice(0, PRECISION));
  const rest = all.slice(PRECISION);
  const half = rest.charCodeAt(0) - 0x35;
  const isTie = half === 0 && /^50*$/.test(rest);
  if (half > 0 || (half === 0 && !isTie) || (isTie && digits % 2n === 1n)) digits += 1n;
  let text = digits.toString();
  if (text.length > PRECISION) {
    text = text.slice(0, PRECISION);
    exponent++;
  }
  const significant = text.replace(/0+$/, '');
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
