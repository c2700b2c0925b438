/**
 * An attacker who may write to a folder, and replaces any file that appears at a path, as fast as a process can, to act between a check of
 * the path and its use.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Scope } from '../files/scratch.js';

/** The replacement: a symbolic link to `target`, another name of it, or in turn. */
export type Bait = 'link' | 'name' | 'both';

const PROGRAM = `
const { linkSync, lstatSync, symlinkSync, unlinkSync } = require('node:fs');
const [, path, target, bait] = process.argv;
let turn = 0;
process.stdout.write('ready');
process.stdin.resume().on('end', () => process.exit());
function race() {
  for (let i = 0; i < 2000; i++) {
    try {
      const found = lstatSync(path, { throwIfNoEntry: false });
      if (found === undefined) continue;
      unlinkSync(path);
      if (found.isSymbolicLink() || found.nlink > 1) continue;
      if (bait === 'link' || (bait === 'both' && turn++ % 2 === 0)) symlinkSync(target, path);
      else linkSync(target, path);
    } catch {}
  }
  setImmediate(race);
}
race();
`;

/** Starts one; it ends with `scope`, or with this process. */
export async function startRacer(scope: Scope, path: string, target: string, bait: Bait): Promise<void> {
  const child: ChildProcess = spawn(process.execPath, ['-e', PROGRAM, path, target, bait], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  scope.after(async () => {
    child.stdin?.end();
    if (child.exitCode === null) await once(child, 'exit');
  });
  if (child.stdout !== null) await once(child.stdout, 'data');
}
