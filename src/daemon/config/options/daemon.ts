/** The options of the daemon as a whole: at the top of a config file, `[log]`, `[metrics]` and `[audit]`. */
import { formatAddress } from '../../../net/address/address.js';
import { parseListener } from '../../../net/address/address-parser.js';
import { LISTENER_WORDS } from './listener.js';
import { defaultsOf, type OptionType, option, type Read, required, type Settings } from './row.js';
import { address, duration, list, mustBe, oneOf, onOff, size, textElement } from './types.js';

export const DAEMON = {
  drainTime: option({
    name: 'drain-timeout',
    type: duration('no time'),
    default: 5000,
    flag: 'drain-timeout',
    reload: 'at once',
    what: 'how long to wait for pending commands on SIGTERM or SIGINT',
  }),
};
export const DEFAULT_DAEMON: Settings<typeof DAEMON> = defaultsOf(DAEMON);

const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;

export const LOG = {
  level: option({
    name: 'level',
    type: oneOf(LEVELS),
    default: 'info',
    flag: 'log-level',
    reload: 'at the next start',
    flagText: `how much is logged: ${LEVELS.join(', ')}`,
    what: 'how much is logged',
  }),
  format: option({
    name: 'format',
    type: oneOf(['pretty', 'json', 'auto']),
    default: 'auto',
    defaultText: 'auto, pretty on a terminal, otherwise json',
    flag: 'log-format',
    reload: 'at the next start',
    what: 'how the log is written: pretty or json',
  }),
};
export type LogSettings = Settings<typeof LOG>;
export const DEFAULT_LOG: LogSettings = defaultsOf(LOG);

export const METRICS = {
  listen: required({
    name: 'listen',
    type: address('tcp:localhost:9177', (text) => parseListener(text, LISTENER_WORDS), formatAddress),
    flag: 'metrics',
    reload: 'at once',
    what: 'serve metrics for Prometheus by HTTP at this address, unix:/path or tcp:localhost:PORT, under /metrics',
  }),
};

/** Where the audit log goes: as a text (audit/write/settings.ts has the forms), or a transport with its options as TOML has them. */
export type AuditPlace = string | { readonly transport: string; readonly options: Readonly<Record<string, unknown>> };

const PLACE = 'a file, "stdout", "transport:NAME" or { transport = "NAME", options = { … } }';
const isText = textElement(PLACE);

function place(value: unknown): Read<AuditPlace> {
  if (typeof value !== 'object' || value === null) return isText(value);
  const { transport, options, ...others } = Object.fromEntries(Object.entries(value));
  const [other] = Object.keys(others);
  if (other !== undefined) return { problem: `must be ${PLACE}: ${JSON.stringify(other)} is not known` };
  if (typeof transport !== 'string' || transport === '') return mustBe(PLACE);
  if (options === undefined) return { value: { transport, options: {} } };
  if (typeof options !== 'object' || options === null || Array.isArray(options)) return mustBe(PLACE);
  return { value: { transport, options: Object.fromEntries(Object.entries(options)) } };
}

const places = list<AuditPlace>('TO, or a list', `${PLACE}, or a list`, place);
const destinations: OptionType<readonly AuditPlace[]> = {
  ...places,
  fromToml: (value) => places.fromToml(Array.isArray(value) ? value : [value]),
};

export const AUDIT = {
  to: required({
    name: 'to',
    type: destinations,
    flag: 'audit',
    reload: 'at once',
    what: 'write every message to this file (NDJSON) before QEMU gets it; also stdout or transport:NAME[,KEY=VALUE]',
  }),
  sync: option({
    name: 'sync',
    type: onOff,
    default: false,
    flag: 'audit-sync',
    reload: 'at once',
    what: 'sync each record to disk (fdatasync) before QEMU gets the command',
  }),
  chain: option({
    name: 'chain',
    type: onOff,
    default: false,
    flag: 'audit-chain',
    reload: 'at once',
    what: 'chain records by hash, so that `qmpmux audit verify` detects tampering',
  }),
  onError: option({
    name: 'on-error',
    type: oneOf(['refuse', 'continue']),
    default: 'refuse',
    flag: 'audit-on-error',
    reload: 'at once',
    what: 'when the audit log cannot be written: refuse commands, or continue without it',
  }),
  maxMessage: option({
    name: 'max-message',
    type: size('no limit'),
    default: 0,
    flag: 'audit-max-message',
    reload: 'at once',
    what: 'cut answers and events in the audit log that are longer than this, such as 64k',
  }),
  without: option<readonly string[]>({
    name: 'without',
    type: list(
      'list of NAME',
      'kinds of record, events or commands',
      textElement('a kind of record, an event or commands'),
    ),
    default: [],
    flag: 'audit-without',
    reload: 'at once',
    what: 'leave this kind of record (reply), this event (RTC_CHANGE) or these commands that only read (query-*@LISTENER) out of the audit log',
  }),
  ownQueries: option({
    name: 'own-queries',
    type: oneOf(['count', 'record']),
    default: 'count',
    flag: 'audit-own-queries',
    reload: 'at once',
    what: 'count what qmpmux top, status, clients … ask, or record each time',
  }),
  redact: option<readonly string[]>({
    name: 'redact',
    type: list('list of COMMAND:PATH', 'redactions such as "send-key:arguments.keys"', textElement('a redaction')),
    default: [],
    flag: 'audit-redact',
    reload: 'at once',
    what: 'COMMAND:PATH of one more secret to keep out of the audit log, such as send-key:arguments.keys',
  }),
};
export type AuditTable = Settings<typeof AUDIT>;
export const DEFAULT_AUDIT: Omit<AuditTable, 'to'> = defaultsOf(AUDIT);

/** The tables of a config file that have more than options, by their keys at its top. */
export const TABLES = ['log', 'metrics', 'audit', 'policy', 'monitor'] as const;
