/** The kinds of record, and which of them a user may leave out. */
import { AuditSettingError } from './errors.js';

export const KINDS = [
  'command',
  'reply',
  'error',
  'event',
  'connect',
  'negotiated',
  'disconnect',
  'refused',
  'paused',
  'descriptors',
  'denied',
  'malformed',
  'unanswered',
  'upstream',
  'stray',
  'probe',
  'daemon',
] as const;
export type Kind = (typeof KINDS)[number];

/** Without these the log would not show what was asked of the VM, by whom it was refused, or what the log itself lost. */
export const ALWAYS: ReadonlySet<Kind> = new Set<Kind>(['command', 'denied', 'unanswered', 'daemon']);

/** @returns whether `name` is a kind of record. */
export function isKind(name: string): name is Kind {
  return KINDS.some((kind) => kind === name);
}

/** What is left out: some kinds, and some events by name. */
export interface LeftOut {
  readonly kinds: ReadonlySet<Kind>;
  readonly events: ReadonlySet<string>;
}

export const NOTHING_LEFT_OUT: LeftOut = { kinds: new Set(), events: new Set() };

/**
 * @param names kinds of record (`reply`, `negotiated`) and events (`RTC_CHANGE`), in any order
 * @throws AuditSettingError for a kind that is always recorded, and for what is neither a kind nor looks like an event's name
 */
export function parseLeftOut(names: readonly string[]): LeftOut {
  const kinds = new Set<Kind>();
  const events = new Set<string>();
  for (const name of names) {
    if (isKind(name)) {
      if (ALWAYS.has(name))
        throw new AuditSettingError(`records of kind ${JSON.stringify(name)} cannot be left out of the audit log`);
      kinds.add(name);
    } else if (/^[A-Z][A-Z0-9_]*$/.test(name)) events.add(name);
    else
      throw new AuditSettingError(
        `there is no kind of record and no event ${JSON.stringify(name)}; kinds are ${KINDS.join(', ')}`,
      );
  }
  return { kinds, events };
}
