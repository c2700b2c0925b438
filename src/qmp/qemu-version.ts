/**
 * Differences that depend on QEMU's version, as its greeting has it (`11.1.3`). Used only if asking QEMU is impossible: a vendor's QEMU
 * may have parts of a later one. For a version that cannot be read both answers are no.
 */

/** @returns whether a QEMU of this version is at least MAJOR.MINOR */
export function isAtLeast(version: string, major: number, minor: number): boolean {
  const [found = Number.NaN, next = Number.NaN] = version.split('.').map((part) => Number.parseInt(part, 10));
  return found > major || (found === major && next >= minor);
}

/** @returns whether a QEMU of this version is older than MAJOR.MINOR */
export function isBefore(version: string, major: number, minor: number): boolean {
  const [found = Number.NaN, next = Number.NaN] = version.split('.').map((part) => Number.parseInt(part, 10));
  return found < major || (found === major && next < minor);
}
