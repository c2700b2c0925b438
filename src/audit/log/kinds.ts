/** The kinds of record, and which of them a user may leave out. */
import { AuditSettingError } from './errors.js';
import { type CommandRule, parseCommandRule } from './left-out.js';

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
  'left-out',
  'denied',
  'malformed',
  'unanswered',
  'upstream',
  'stray',
  'probe',
  'daemon',
] as const;
export type Kind = (typeof KINDS)[number];

/** Without these the log would not show which commands the VM got, who refused them, or which records the log itself lost. */
export const ALWAYS: ReadonlySet<Kind> = new Set<Kind>(['command', 'left-out', 'denied', 'unanswered', 'daemon']);

/** @returns whether `name` is a kind of record. */
export function isKind(name: string): name is Kind {
  return KINDS.some((kind) => kind === name);
}

/** Left out of the log: some kinds, some events by name, and some commands with their answers. */
export interface LeftOut {
  readonly kinds: ReadonlySet<Kind>;
  readonly events: ReadonlySet<string>;
  readonly commands: readonly CommandRule[];
}

export const NOTHING_LEFT_OUT: LeftOut = { kinds: new Set(), events: new Set(), commands: [] };

/**
 * @param names kinds of record (`reply`, `negotiated`), events (`RTC_CHANGE`) and commands (`query-*@unix:/run/vm.exporter`), in any order
 * @throws AuditSettingError for a kind that is always recorded, and for commands that may change something (see left-out.ts)
 */
export function parseLeftOut(names: readonly string[]): LeftOut {
  const kinds = new Set<Kind>();
  const events = new Set<string>();
  const commands: CommandRule[] = [];
  for (const name of names) {
    if (isKind(name)) {
      if (ALWAYS.has(name))
        throw new AuditSettingError(`records of kind ${JSON.stringify(name)} cannot be left out of the audit log`);
      kinds.add(name);
    } else if (/^[A-Z][A-Z0-9_]*$/.test(name)) events.add(name);
    else if (/^[a-z_*?][^@\s]*(@.*)?$/is.test(name)) commands.push(parseCommandRule(name));
    else
      throw new AuditSettingError(
        `there is no kind of record, event or command ${JSON.stringify(name)}; kinds are ${KINDS.join(', ')}`,
      );
  }
  return { kinds, events, commands };
}
