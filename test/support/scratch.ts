/** A temporary folder for one test or one suite, removed afterwards. Short, so that socket paths below it stay under 100 bytes. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Where clean-up is registered: a `TestContext`, or `{ after }` from node:test for a whole file or suite. */
export interface Scope {
  after(clean: () => void | Promise<void>): void;
}

/** @returns the path of a new empty folder that goes away with `scope`. */
export function scratch(scope: Scope): string {
  const folder = mkdtempSync(join(tmpdir(), 'qm-'));
  scope.after(() => {
    removeFolder(folder);
  });
  return folder;
}

/** Removes a folder and what is in it; a process that is just closing its files in there does not make it fail. */
export function removeFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 20 });
}
