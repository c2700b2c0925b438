/**
 * How the clients of one socket are served: the options behind its address, which in a config file may also be keys beside it.
 *
 *     protocol=qmp                qmp, or hmp: the human monitor, as QEMU's -monitor serves it
 *     negotiate=always            always, or auto: clients that send no qmp_capabilities are served too, without events
 *     policy=full                 what they may run: full, read-only, learn, the NAME of a [policy.NAME] of the config, or a /FILE of rules
 *     policy=learn:/FILE          everything; the rules that would have been needed are logged, and written to FILE
 *     events=all                  which events they get: all, none, or patterns: BLOCK_*+STOP
 *     command-timeout=0           how long one of their commands may take before they get an error instead (0: for ever)
 *     max-clients=2048            how many there may be at a time
 *     connection-rate=1000        how many may connect in a second, in the long run; twice as many at once
 *     allow-uid=0+backup          unix sockets: which users may connect, by name or number; with allow-gid, either is enough
 *     allow-gid=operators         and which groups (the primary group of the process that connects)
 *     extensions=on               whether they have the commands __org.qmpmux_… (off: QEMU says that it does not know them)
 *     fds=on                      unix sockets: whether they may send open files (SCM_RIGHTS) with getfd and add-fd
 *     http=refuse                 TCP: what becomes of clients that speak HTTP, such as web browsers: refuse, or pass as QEMU does
 */

import type { ListenAddress } from '../../net/address/address.js';
import { parseService, type ServiceOption } from '../../net/address/address-parser.js';
import { groupId, userId } from '../../net/address/passwd-lookup.js';
import { suggestion } from '../../shared/spelling.js';
import { DURATION_RULE, parseDuration } from '../../shared/units.js';

/** What a policy is called, or where it is. */
export type PolicyChoice =
  | { readonly kind: 'full' }
  | { readonly kind: 'read-only' }
  | { readonly kind: 'learn'; readonly file: string | null }
  | { readonly kind: 'named'; readonly name: string }
  | { readonly kind: 'file'; readonly file: string };

export interface ListenerSettings {
  readonly protocol: 'qmp' | 'hmp';
  readonly negotiate: 'always' | 'auto';
  readonly policy: PolicyChoice;
  /** Patterns of event names; null for all events. */
  readonly events: readonly string[] | null;
  /** In milliseconds; 0 for no limit. */
  readonly commandTime: number;
  /** Null for the monitor's own limit. */
  readonly clients: number | null;
  /** Connections a second; 0 for no limit. */
  readonly connectionRate: number;
  /** Who may connect; null for whoever can. */
  readonly allow: { readonly uids: ReadonlySet<number>; readonly gids: ReadonlySet<number> } | null;
  /** Whether qmpmux's own commands are there. */
  readonly extensions: boolean;
  /** Whether descriptors are taken, where the socket carries any. */
  readonly fds: boolean;
  /** Whether clients that speak HTTP are refused, where the socket is TCP's. */
  readonly refusesHttp: boolean;
}

export const DEFAULT_LISTENER: ListenerSettings = {
  protocol: 'qmp',
  negotiate: 'always',
  policy: { kind: 'full' },
  events: null,
  commandTime: 0,
  clients: null,
  connectionRate: 1000,
  allow: null,
  extensions: false,
  fds: true,
  refusesHttp: true,
};

/** Reads a listener's address with its options. @param defaults what goes for those that it does not have. @throws AddressError */
export function parseListenerSettings(
  text: string,
  defaults: ListenerSettings = DEFAULT_LISTENER,
): {
  readonly address: ListenAddress;
  readonly settings: ListenerSettings;
} {
  const { address, options } = parseService(text);
  let settings = defaults;
  const uids = new Set<number>();
  const gids = new Set<number>();
  for (const option of options) {
    const value = option.value ?? '';
    if (value === '') throw option.fault(`"${option.name}" needs a value: ${option.name}=…`);
    switch (option.name) {
      case 'protocol':
        settings = { ...settings, protocol: oneOf(option, value, ['qmp', 'hmp']) };
        break;
      case 'negotiate':
        settings = { ...settings, negotiate: oneOf(option, value, ['always', 'auto']) };
        break;
      case 'policy':
        settings = { ...settings, policy: policyChoice(option, value) };
        break;
      case 'events':
        settings = { ...settings, events: eventPatterns(option, value) };
        break;
      case 'command-timeout': {
        const commandTime = parseDuration(value);
        if (commandTime === null) throw option.fault(`"command-timeout" is ${DURATION_RULE}`);
        settings = { ...settings, commandTime };
        break;
      }
      case 'max-clients':
        settings = { ...settings, clients: count(option, value) };
        break;
      case 'connection-rate':
        settings = { ...settings, connectionRate: count(option, value) };
        break;
      case 'extensions':
        if (value !== 'on' && value !== 'off') throw option.fault('"extensions" is on or off');
        settings = { ...settings, extensions: value === 'on' };
        break;
      case 'fds':
        if (value !== 'on' && value !== 'off') throw option.fault('"fds" is on or off');
        if (address.kind === 'tcp')
          throw option.fault('"fds" works only on unix sockets: TCP carries no file descriptors');
        settings = { ...settings, fds: value === 'on' };
        break;
      case 'http': {
        const http = oneOf(option, value, ['refuse', 'pass']);
        if (address.kind === 'unix') throw option.fault('"http" works only on TCP: no web page reaches a unix socket');
        settings = { ...settings, refusesHttp: http === 'refuse' };
        break;
      }
      case 'allow-uid':
      case 'allow-gid': {
        if (address.kind === 'tcp') {
          throw option.fault(`"${option.name}" works only on unix sockets: TCP does not identify users`);
        }
        const isUser = option.name === 'allow-uid';
        for (const name of value.split('+')) {
          const id = isUser ? userId(name) : groupId(name);
          const what = isUser ? 'user' : 'group';
          if (id === null)
            throw option.fault(
              `there is no ${what} ${JSON.stringify(name)} here; write the name of another, or a number`,
            );
          (isUser ? uids : gids).add(id);
        }
        settings = { ...settings, allow: { uids, gids } };
        break;
      }
      default:
        // SERVICE_OPTIONS names one that is not here: our mistake, not the user's
        throw new Error(`no such option of a listener: ${option.name}`);
    }
  }
  if (settings.protocol === 'hmp') refuseForHmp(settings, options);
  return { address, settings };
}

/** What makes no sense for clients of the human monitor. */
function refuseForHmp({ policy }: ListenerSettings, options: readonly ServiceOption[]): void {
  for (const option of options) {
    if (option.name === 'events' || option.name === 'negotiate') {
      throw option.fault(`"${option.name}" is for QMP: the human monitor has no ${HAS_NOT[option.name]}; leave it out`);
    }
    if (option.name === 'policy' && policy.kind === 'read-only') {
      throw option.fault(
        '"policy=read-only" lets no command of the human monitor through; write rules for hmp (docs/reference/policy.md)',
      );
    }
  }
}

const HAS_NOT = { events: 'events', negotiate: 'negotiation' };

function oneOf<T extends string>(option: ServiceOption, value: string, known: readonly T[]): T {
  const found = known.find((word) => word === value);
  if (found !== undefined) return found;
  throw option.fault(
    `"${option.name}" is ${known.join(' or ')}, not ${JSON.stringify(value)}${suggestion(value, known)}`,
  );
}

function policyChoice(option: ServiceOption, value: string): PolicyChoice {
  if (value === 'full' || value === 'read-only') return { kind: value };
  if (value === 'learn') return { kind: 'learn', file: null };
  if (value.startsWith('learn:')) {
    const file = value.slice('learn:'.length);
    if (file === '') throw option.fault('a file name is missing after learn:');
    return { kind: 'learn', file };
  }
  if (value.includes('/')) return { kind: 'file', file: value };
  return { kind: 'named', name: value };
}

function eventPatterns(option: ServiceOption, value: string): readonly string[] | null {
  if (value === 'all') return null;
  if (value === 'none') return [];
  const patterns = value.split('+');
  const odd = patterns.find((pattern) => !/^[A-Za-z0-9_.*?-]+$/.test(pattern));
  if (odd !== undefined) {
    throw option.fault(`${JSON.stringify(odd)} is no pattern of event names; write all, none, or such as BLOCK_*+STOP`);
  }
  // All but qmpmux's own, which begin with __org, are in capitals: others would never come.
  const small = patterns.find((pattern) => /[a-z]/.test(pattern) && !pattern.startsWith('__'));
  if (small !== undefined) {
    throw option.fault(`QEMU writes the names of events in capitals: events=${value.toUpperCase()}`);
  }
  return patterns;
}

function count(option: ServiceOption, value: string): number {
  if (!/^\d{1,9}$/.test(value)) throw option.fault(`"${option.name}" is a number, 0 for no limit`);
  return Number(value);
}
