/** The types of options that only listeners have: which policy, which events, which users. */
import { quoted } from '../../../net/address/address-text.js';
import { groupId, userId } from '../../../net/address/passwd-lookup.js';
import type { OptionType, Read } from './row.js';
import { mustBe, textType, wordsType } from './types.js';

/** A policy's name, or its path. */
export type PolicyChoice =
  | { readonly kind: 'full' }
  | { readonly kind: 'read-only' }
  | { readonly kind: 'learn'; readonly file: string | null }
  | { readonly kind: 'named'; readonly name: string }
  | { readonly kind: 'file'; readonly file: string };

export const policyChoice: OptionType<PolicyChoice> = textType(
  'POLICY',
  'a policy: "full", "read-only", "learn", the name of a [policy.NAME], or a /file of rules',
  (written): Read<PolicyChoice> => {
    if (written === 'full' || written === 'read-only') return { value: { kind: written } };
    if (written === 'learn') return { value: { kind: 'learn', file: null } };
    if (written.startsWith('learn:')) {
      const file = written.slice('learn:'.length);
      return file === ''
        ? { problem: 'is incomplete: a file name is missing after learn:' }
        : { value: { kind: 'learn', file } };
    }
    return { value: written.includes('/') ? { kind: 'file', file: written } : { kind: 'named', name: written } };
  },
  (policy) => (policy.kind === 'named' ? policy.name : policy.kind),
);

/** Patterns of event names; null for all events. */
export const eventPatterns: OptionType<readonly string[] | null> = wordsType(
  'EVENTS',
  'patterns of event names, "all" or "none"',
  (patterns) => {
    const [only] = patterns;
    if (patterns.length === 0) return { value: [] };
    if (patterns.length === 1 && (only === 'all' || only === 'none')) return { value: only === 'all' ? null : [] };
    const odd = patterns.find((pattern) => !/^[A-Za-z0-9_.*?-]+$/.test(pattern));
    if (odd !== undefined) {
      return {
        problem: `has ${quoted(odd)}, which is no pattern of event names; write all, none, or such as BLOCK_*+STOP`,
      };
    }
    // All but qmpmux's own, which begin with __org, are in capitals: others would never come.
    const small = patterns.find((pattern) => /[a-z]/.test(pattern) && !pattern.startsWith('__'));
    if (small === undefined) return { value: patterns };
    return { problem: `must be in capitals, as QEMU writes the names of events: ${quoted(small.toUpperCase())}` };
  },
  (patterns) => (patterns === null ? 'all' : patterns.length === 0 ? 'none' : patterns.join('+')),
);

/** Numbers of users or groups; null for all. */
export function ids(kind: 'user' | 'group'): OptionType<ReadonlySet<number> | null> {
  return wordsType(
    kind === 'user' ? 'USERS' : 'GROUPS',
    `${kind}s, by name or number`,
    (names) => {
      if (names.length === 0) return mustBe(`${kind}s, by name or number: at least one`);
      const found = new Set<number>();
      for (const name of names) {
        const id = kind === 'user' ? userId(name) : groupId(name);
        if (id === null)
          return { problem: `names a ${kind} that is not known here, ${quoted(name)}; a number works too` };
        found.add(id);
      }
      return { value: found };
    },
    (found) => (found === null ? '' : [...found].join('+')),
  );
}
