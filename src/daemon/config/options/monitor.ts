/** The options of a monitor: `[monitor.NAME]`, and the flags of `qmpmux serve` for the one that it serves without a file; and those of `[policy.NAME]`. */
import { parseRule, type Rule } from '../../../mux/policy/policy-rule.js';
import { formatAddress } from '../../../net/address/address.js';
import { parseUpstream } from '../../../net/address/address-parser.js';
import { LIMITS } from './limits.js';
import { LISTENER_WORDS } from './listener.js';
import { defaultsOf, namesOf, type OptionType, option, required, type Settings } from './row.js';
import { address, duration, list, mustBe, oneOf, onOff, textElement } from './types.js';

/** Tables within the table, which config-file.ts reads by separate rows. */
const listeners: OptionType<readonly unknown[]> = {
  ...list('list of ADDRESS', 'addresses, such as ["unix:/run/vm.mux"]', (value) => ({ value })),
  fromToml: (value) => {
    if (!Array.isArray(value)) return mustBe('a list of addresses, such as ["unix:/run/vm.mux"]');
    return value.length === 0 ? { problem: 'must name at least one address' } : { value };
  },
};
const limits: OptionType<unknown> = {
  syntax: 'table',
  isList: true,
  fromText: () => mustBe('a table'),
  fromToml: (value) => ({ value }),
  toText: () => '',
};

/** The monitor's place, and its tables with separate rows. */
export const MONITOR_PLACES = {
  upstream: required({
    name: 'upstream',
    type: address('unix:/run/vm.qmp', (text) => parseUpstream(text, LISTENER_WORDS), formatAddress),
    flag: 'upstream',
    reload: 'the monitor restarts',
    what: "QEMU's monitor: /path, unix:/path, tcp:HOST:PORT, exec:COMMAND or libvirt:DOMAIN; with ,server QEMU dials us",
  }),
  listen: option<readonly unknown[] | null>({
    name: 'listen',
    type: listeners,
    default: null,
    defaultText: "with takeover QEMU's place",
    flag: 'listen',
    flagText:
      'a socket for clients: /path, unix:/path[,mode=0660][,user=U][,group=G][,policy=read-only][,extensions=on]…, ' +
      'tcp:localhost:PORT',
    reload: 'at once',
    what: 'sockets for clients: addresses, or tables with `address` and options of a listener',
  }),
  limits: option<unknown>({
    name: 'limits',
    type: limits,
    default: {},
    defaultText: 'limits.md has the defaults',
    flag: 'limit',
    flagText: `NAME=VALUE, what clients may use: ${namesOf(LIMITS).join(', ')}`,
    reload: 'the monitor restarts',
    what: 'what clients may use',
  }),
};

export const MONITOR = {
  cache: option({
    name: 'cache',
    type: onOff,
    default: true,
    flag: 'no-cache',
    flagText: 'do not answer from memory what cannot change while QEMU runs, such as query-qmp-schema',
    reload: 'the monitor restarts',
    what: 'answer from memory what cannot change while QEMU runs, such as query-qmp-schema',
  }),
  merge: option({
    name: 'merge',
    type: onOff,
    default: true,
    flag: 'no-merge',
    flagText: "send each client's query to QEMU, even if several clients wait for the same one",
    reload: 'the monitor restarts',
    what: 'send a query without arguments to QEMU once for all clients that wait for it',
  }),
  oob: option({
    name: 'oob',
    type: onOff,
    default: true,
    flag: 'no-oob',
    flagText: 'do not enable out-of-band commands or offer them to clients',
    reload: 'the monitor restarts',
    what: 'enable out-of-band commands where QEMU offers them, and offer them to clients',
  }),
  keepClients: option({
    name: 'keep-clients',
    type: onOff,
    default: false,
    flag: 'keep-clients',
    reload: 'the monitor restarts',
    what: 'keep clients connected while QEMU is gone; their commands get errors until it is back',
  }),
  takeover: option({
    name: 'takeover',
    type: onOff,
    default: false,
    flag: 'takeover',
    reload: 'the monitor restarts',
    what: "move QEMU's socket aside (to PATH.qemu) and serve clients at its path until qmpmux exits",
  }),
  warnAfter: option({
    name: 'warn-after',
    type: duration('never'),
    default: 10_000,
    flag: 'warn-after',
    reload: 'the monitor restarts',
    what: 'log a command that has had no answer for this long',
  }),
  probeAfter: option({
    name: 'probe-after',
    type: duration('never'),
    default: 30_000,
    flag: 'probe-after',
    reload: 'the monitor restarts',
    what: 'ask a QEMU that has been silent for this long whether it is there',
  }),
  probeTimeout: option({
    name: 'probe-timeout',
    type: duration('never'),
    default: 300_000,
    flag: 'probe-timeout',
    reload: 'the monitor restarts',
    what: 'reconnect when QEMU gives no sign for this long after that, if a client waits',
  }),
};
/** How a monitor works, but for where it is and its limits. */
export type MonitorSettings = Settings<typeof MONITOR>;
export const DEFAULT_MONITOR: MonitorSettings = defaultsOf(MONITOR);

const RULE = 'a rule such as "allow query-*"';
const isText = textElement(RULE);

export const POLICY = {
  default: option({
    name: 'default',
    type: oneOf(['allow', 'deny']),
    default: 'deny',
    reload: 'clients are disconnected',
    what: 'what happens to commands that no rule fits',
  }),
  rules: required({
    name: 'rules',
    type: list<Rule>('list of RULE', 'rules such as "allow query-*"', (element) => {
      const text = isText(element);
      if ('problem' in text) return text;
      const rule = parseRule(text.value);
      return 'problem' in rule ? { problem: `${JSON.stringify(text.value)}: ${rule.problem}` } : { value: rule };
    }),
    reload: 'clients are disconnected',
    what: 'the rules; the first that fits decides',
  }),
};
