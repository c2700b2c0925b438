/** The policies that listeners name, looked up among those that the config has. */
import { suggestion } from '../../shared/spelling.js';
import type { MonitorConfig } from './config.js';
import type { MonitorFault } from './config-places.js';
import type { PolicyRules } from './policies.js';

/** A listener's policy must be one that there is. */
export function refuseUnknownPolicies(
  monitors: readonly MonitorConfig[],
  policies: ReadonlyMap<string, PolicyRules>,
  fault: MonitorFault,
): void {
  for (const { name, listen } of monitors) {
    for (const [index, { settings }] of listen.entries()) {
      if (settings.policy.kind !== 'named' || policies.has(settings.policy.name)) continue;
      const known = ['full', 'read-only', 'learn', ...policies.keys()];
      const near =
        suggestion(settings.policy.name, known) || ` (known: ${known.join(', ')}; a file of rules has a / in it)`;
      const what = `there is no policy ${JSON.stringify(settings.policy.name)}${near}`;
      throw fault(name, ['listen', index], what);
    }
  }
}
