/** Another host: a network namespace at the other end of a cable (veth(4)) that a test can pull. Needs root, and `ip` of iproute2. */
import { spawnSync } from 'node:child_process';
import type { Scope } from '../files/scratch.js';

/** Where this is set, a test that needs another host fails instead of being skipped. */
const DEMAND = 'QMPMUX_REQUIRE_NETNS';

export interface OtherHost {
  /** Our address, and its own. */
  readonly ours: string;
  readonly its: string;
  /** Words before a command that is to run there. */
  readonly there: readonly [string, ...string[]];
  /** Nothing comes or goes any more, and nobody is notified. */
  pullCable(): void;
}

function ip(...words: string[]): string | null {
  const { status, stderr, error } = spawnSync('ip', words, { encoding: 'utf8' });
  return status === 0 ? null : (error?.message ?? stderr.trim());
}

/** @returns why there can be no other host, or false */
export function noOtherHost(): string | false {
  const name = `qmx${process.pid}`;
  const problem = ip('netns', 'add', name) ?? ip('link', 'add', `${name}a`, 'type', 'veth', 'peer', 'name', `${name}b`);
  ip('link', 'del', `${name}a`);
  ip('netns', 'del', name);
  if (problem === null) return false;
  if (process.env[DEMAND] !== undefined)
    throw new Error(`${DEMAND} is set, and there is no network namespace: ${problem}`);
  return `no network namespace can be made here: ${problem}`;
}

let count = 0;

/** Makes one; it is gone with `scope`. @throws Error where `noOtherHost` has a reason */
export function otherHost(scope: Scope): OtherHost {
  const name = `qm${process.pid}n${count++}`;
  const net = `198.18.${process.pid % 256}`;
  const its = `${net}.${4 * count + 2}`;
  const ours = `${net}.${4 * count + 1}`;
  const [near, far] = [`${name}a`, `${name}b`];
  scope.after(() => {
    ip('link', 'del', near);
    ip('netns', 'del', name);
  });
  for (const words of [
    ['netns', 'add', name],
    ['link', 'add', near, 'type', 'veth', 'peer', 'name', far, 'netns', name],
    ['addr', 'add', `${ours}/30`, 'dev', near],
    ['link', 'set', near, 'up'],
    ['-n', name, 'addr', 'add', `${its}/30`, 'dev', far],
    ['-n', name, 'link', 'set', far, 'up'],
    ['-n', name, 'link', 'set', 'lo', 'up'],
  ]) {
    const problem = ip(...words);
    if (problem !== null) throw new Error(`ip ${words.join(' ')}: ${problem}`);
  }
  return {
    ours,
    its,
    there: ['ip', 'netns', 'exec', name],
    pullCable: () => {
      ip('-n', name, 'link', 'set', far, 'down');
    },
  };
}
