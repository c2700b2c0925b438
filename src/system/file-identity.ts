/** Which file a path named when somebody looked, or a descriptor holds: names go from one file to another. */
export interface FileIdentity<Number extends number | bigint = number> {
  readonly dev: Number;
  readonly ino: Number;
}

/** @returns whether both are the same file; nothing is the same as no file */
export function isSameFile<Number extends number | bigint>(
  one: FileIdentity<Number>,
  other: FileIdentity<Number> | undefined | null,
): boolean {
  return one.dev === other?.dev && one.ino === other.ino;
}
