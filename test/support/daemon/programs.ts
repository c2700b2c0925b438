/** Which programs of the system a test needs: skips with one clear line where they are missing, fails where they are demanded. */
import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import type { Scope } from '../files/scratch.js';

const DEMAND = 'QMPMUX_REQUIRE_QEMU';

/** The QEMU that tests run. QMPMUX_QEMU names another one, or several, separated by colons: then the first (see run.ts). */
export const qemuProgram = process.env['QMPMUX_QEMU']?.split(':')[0] ?? 'qemu-system-x86_64';

/** @returns whether `program` (a name looked for in PATH, or a path) can be run. */
export function available(program: string): boolean {
  const places = program.includes('/')
    ? [program]
    : (process.env['PATH'] ?? '').split(':').map((dir) => join(dir, program));
  return places.some((place) => {
    try {
      accessSync(place, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** @returns whether the QEMU of the tests is installed. */
export function qemuAvailable(): boolean {
  return available(qemuProgram);
}

/**
 * For the `skip` option of a test or suite: `describe('…', { skip: missing('qemu', 'socat') }, …)`.
 * @param programs names of programs; `qemu` means `qemuProgram`.
 * @returns false when all are installed, otherwise the line to skip with.
 * @throws Error with that line when QMPMUX_REQUIRE_QEMU is set: then nothing may be skipped.
 */
export function missing(...programs: readonly string[]): string | false {
  const absent = programs.map((name) => (name === 'qemu' ? qemuProgram : name)).filter((name) => !available(name));
  if (absent.length === 0) return false;
  return skippable(`not installed: ${absent.join(', ')}`);
}

/**
 * @param line why a test cannot run here
 * @returns it, to skip with
 * @throws Error with it when QMPMUX_REQUIRE_QEMU is set: then nothing may be skipped.
 */
export function skippable(line: string): string {
  if ((process.env[DEMAND] ?? '') !== '') throw new Error(`${line}, and ${DEMAND} is set`);
  return line;
}

/** Demands for the time of a test that nothing is skipped, or does not. */
export function demanded(scope: Scope, isDemanded: boolean): void {
  const before = process.env[DEMAND];
  process.env[DEMAND] = isDemanded ? '1' : '';
  scope.after(() => {
    if (before === undefined) delete process.env[DEMAND];
    else process.env[DEMAND] = before;
  });
}

/** For `skip`: false where strace can be run on a process, otherwise the line to skip with. */
export function untraceable(): string | false {
  const lacking = missing('strace');
  if (lacking !== false) return lacking;
  return spawnSync('strace', ['-o', '/dev/null', 'true']).status === 0 ? false : 'processes may not be traced here';
}
