/** How the clients of one socket are served. */
import { performance } from 'node:perf_hooks';
import { isDeepStrictEqual } from 'node:util';
import { EventFilter } from '../../mux/events/filter.js';
import type { ClientOptions } from '../../mux/multiplexer.js';
import { RateLimit } from '../../net/listen/rate-limit.js';
import type { Log } from '../../shared/log.js';
import type { ListenerSettings } from '../config/options/listener.js';
import { type PolicyRules, policyFor, rulesOf } from '../config/policies.js';

export interface ServingRules {
  readonly settings: ListenerSettings;
  readonly rate: RateLimit;
  readonly client: Omit<ClientOptions, 'listener' | 'peer'>;
  /** The rules that the policy was made from; null if it has none. */
  readonly rules: PolicyRules | null;
}

/** @throws ConfigError when the policy cannot be read */
export function newServingRules(
  settings: ListenerSettings,
  policies: ReadonlyMap<string, PolicyRules>,
  log: Log,
): ServingRules {
  const policy = policyFor(settings.policy, policies, log);
  return {
    settings,
    rules: rulesOf(settings.policy, policies),
    rate: new RateLimit(settings.connectionRate, performance.now()),
    client: {
      commandTime: settings.commandTime,
      extensions: settings.extensions,
      maySkipNegotiation: settings.negotiate === 'auto',
      ...(policy === null ? {} : { policy }),
      ...(settings.events === null ? {} : { events: new EventFilter(settings.events) }),
    },
  };
}

/** Whether a client is served in the same way by both. */
export function isSameService(one: ServingRules, other: ServingRules): boolean {
  return isDeepStrictEqual([one.settings, one.rules], [other.settings, other.rules]);
}
