/** A temporary folder for one test or one suite, removed afterwards. Short, so that socket paths below it stay under 100 bytes. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';

/** Where clean-up is registered: a `TestContext`, or a `suiteScope()`. */
export interface Scope {
  after(clean: () => void | Promise<void>): void;
}

/**
 * For resources that a whole suite shares and a `before` starts: call it in the suite's body.
 * @returns a scope that is cleaned up, last things first, when the suite is over.
 */
export function suiteScope(): Scope {
  const cleaning: (() => void | Promise<void>)[] = [];
  after(async () => {
    for (const clean of cleaning.toReversed()) await clean();
  });
  return {
    after: (clean) => {
      cleaning.push(clean);
    },
  };
}

/** @returns the path of a new empty folder that goes away with `scope`. */
export function scratch(scope: Scope): string {
  const folder = mkdtempSync(join(tmpdir(), 'qm-'));
  scope.after(() => {
    removeFolder(folder);
  });
  return folder;
}

/** Removes a folder and its contents; a process that is just closing its files in there does not make it fail. */
export function removeFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 20 });
}
