/**
 * koffi, by which libc is called if Node has no name for something. Not imported: most programs have no use for it, and it has no
 * binary for some machines.
 */
import { createRequire } from 'node:module';

export type Koffi = typeof import('koffi');

/** @throws Error if there is none for this machine */
export function loadKoffi(): Koffi {
  // Typed by the module itself.
  return createRequire(import.meta.url)('koffi') as Koffi;
}
