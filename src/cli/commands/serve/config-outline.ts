/** The effect of a config, in words for people. */
import type { DaemonConfig } from '../../../daemon/config/config.js';
import { readPolicyFile, rulesOf } from '../../../daemon/config/policies.js';
import { notesOn } from '../../../mux/policy/policy-notes.js';
import { formatAddress } from '../../../net/address/address.js';
import { EXIT } from '../../framework/exit-code.js';
import { writeProblem } from '../../screen/screen-text.js';

/** @returns a line a monitor. @throws ConfigError when a policy cannot be read */
export function outlineOf({ monitors, policies }: DaemonConfig): string {
  const lines = monitors.map(({ name, upstream, listen }) => {
    for (const { settings } of listen) rulesOf(settings.policy, policies);
    const sockets = listen.map(({ address }) => formatAddress(address)).join(' ');
    return `${name}: ${formatAddress(upstream)} is served at ${sockets}\n`;
  });
  return lines.length === 0 ? 'no monitor\n' : lines.join('');
}

/** @returns the questions that the rules of each policy leave open, for people. @throws ConfigError when a policy cannot be read */
export function policyNotes({ monitors, policies }: DaemonConfig): string[] {
  const files = monitors.flatMap(({ listen }) =>
    listen.flatMap(({ settings: { policy } }) => (policy.kind === 'file' ? [policy.file] : [])),
  );
  const named = [...policies, ...[...new Set(files)].map((file) => [file, readPolicyFile(file)] as const)];
  return named.flatMap(([name, { rules, allowByDefault }]) =>
    notesOn(rules, allowByDefault).map((note) => `policy ${name}: ${note}`),
  );
}

/** Says which files of a folder would be left out. @returns the exit code */
export function tellFaults({ folder }: DaemonConfig): number {
  const faults = folder?.faults ?? [];
  for (const { problem } of faults) writeProblem(problem);
  return faults.length === 0 ? EXIT.ok : EXIT.config;
}
