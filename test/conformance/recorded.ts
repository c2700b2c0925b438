/**
 * What other QEMUs than the one of the transcripts were recorded to say, by `record.ts --differences`: of each version a file with the
 * cases where it differs.
 *
 *     == 07-syntax.txt: name of a case
 *     <- {"error": …}          as in a transcript; none where that QEMU says nothing
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expectedLines } from './runner.js';
import { type Case, parseTranscript } from './transcript.js';

export const transcripts = join(fileURLToPath(new URL('../..', import.meta.url)), 'test/conformance/transcripts');

/** The version whose answers the transcripts themselves have. */
export const TRANSCRIBED = '7.2';

/** @param version such as `11.1`. @returns where its differences are, or are to be */
export function fileOf(version: string): string {
  return join(transcripts, `../recorded/qemu-${version}.txt`);
}

/** @returns what tells a case from all others */
export function titleOf(file: string, one: Case): string {
  return `${file}: ${one.name}`;
}

/** Gives the lines that a case has with one version of QEMU. */
export type Recorded = (file: string, one: Case) => readonly string[];

/** @param version of QEMU, such as `11.1.3`. @returns its answers; null where its kind was not recorded */
export function recordedOf(version: string): Recorded | null {
  const kind = version.split('.').slice(0, 2).join('.');
  if (kind === TRANSCRIBED) return (_file, one) => expectedLines(one);
  const path = fileOf(kind);
  if (!existsSync(path)) return null;
  const differences = new Map(
    parseTranscript(readFileSync(path, 'utf8'), path).map((one) => [one.name, expectedLines(one)]),
  );
  return (file, one) => differences.get(titleOf(file, one)) ?? expectedLines(one);
}
