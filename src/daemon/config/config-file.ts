/**
 * The config file, TOML:
 *
 *     [log]
 *     level = "info"                    # trace, debug, info, warn, error, fatal, silent
 *     format = "json"                   # pretty, json, auto
 *
 *     [audit]                           # see audit-config.ts
 *     to = "/var/log/qmpmux/audit.log"
 *
 *     [metrics]
 *     listen = "unix:/run/qmpmux/metrics"  # HTTP, for Prometheus; or "tcp:localhost:9177"
 *
 *     [monitor.web1]                    # one table for each monitor; its name is for logs and messages
 *     upstream = "unix:/run/web1.qmp"
 *     listen = [
 *       "unix:/run/web1.mux",
 *       { address = "unix:/run/backup.mux", mode = "0660", group = "backup" },
 *     ]
 *     cache = false                     # ask QEMU each time also for what cannot change, such as query-qmp-schema
 *     merge = false                     # send each client's query by itself, though several wait with the same one
 *     oob = false                       # do not enable out-of-band commands, nor offer them to clients
 *     keep-clients = true               # clients stay connected while QEMU is gone
 *     takeover = true                   # move QEMU's socket aside, and serve clients at its path
 *     warn-after = "10s"                # a command without an answer for so long is logged; 0 for never
 *     probe-after = "30s"               # after so much silence QEMU is asked whether it is there; 0 for never
 *     probe-timeout = "5m"              # without a sign for so long the connection is made again, if a client waits; 0 for never
 *
 *     [monitor.web1.limits]             # see limit-settings.ts for all of them
 *     output-cap = "64M"
 *
 *     [policy.backup]                   # for listeners with policy=backup
 *     default = "deny"                  # what happens to commands that no rule fits
 *     rules = ["allow @read-only", "allow blockdev-backup", "allow hmp info block*"]
 *
 * and, for the whole daemon, drain-timeout = "5s": how long commands in flight may take when it ends.
 *
 * Monitors are tables by name, not a list, so that TOML itself refuses two of one name and a message can say which is meant.
 * The options of an address may stand in the address or beside it, as keys.
 */

import { parse, TomlError } from 'smol-toml';
import * as v from 'valibot';
import { AuditSettingError } from '../../audit/log/errors.js';
import type { AuditSettings } from '../../audit/write/settings.js';
import { parseRule } from '../../mux/policy/policy-rule.js';
import type { Limits } from '../../mux/ports/limits.js';
import type { ListenAddress } from '../../net/address/address.js';
import { parseListener, parseUpstream } from '../../net/address/address-parser.js';
import { AddressError } from '../../net/address/address-text.js';
import { ListenError } from '../../net/listen/listen-error.js';
import { checkListenAddress } from '../../net/listen/listener.js';
import { printable } from '../../shared/printable.js';
import { suggestion } from '../../shared/spelling.js';
import { DURATION_RULE, parseDuration } from '../../shared/units.js';
import { describeSystemError, errorCode } from '../../system/system-error.js';
import { LOG_FORMATS, LOG_LEVELS, type LogSettings } from '../observe/log.js';
import { AUDIT_KEYS, auditSettings } from './audit-config.js';
import {
  type DaemonConfig,
  DEFAULT_DRAIN_TIME,
  DEFAULT_LOG,
  MONITOR_NAME,
  MONITOR_NAME_RULE,
  type MonitorConfig,
} from './config.js';
import { ConfigError } from './config-error.js';
import { type KeyPath, lineOf } from './config-lines.js';
import { ConfigPlaces, takeoverFault } from './config-places.js';
import { LimitError, parseLimits } from './limit-settings.js';
import { parseListenerSettings } from './listener-settings.js';
import { type PolicyRules, rulesOf } from './policies.js';
import { refuseUnknownPolicies } from './policy-names.js';
import { readTextFile } from './text-file.js';

const text = (what: string) => v.pipe(v.string(`must be ${what}`), v.nonEmpty(`must be ${what}`));
/** A number, or a text that says the same. */
const quantity = (what: string) =>
  v.pipe(
    v.union([v.number(), v.string()], `must be ${what}`),
    v.transform((value) => String(value)),
  );
/** One word or several; they go into an address as its options do. */
const words = (what: string) =>
  v.pipe(
    v.union([v.string(), v.number(), v.array(v.union([v.string(), v.number()]))], `must be ${what}, or a list of them`),
    v.transform((value) => (Array.isArray(value) ? (value.length === 0 ? 'none' : value.join('+')) : String(value))),
  );
/** A truth, as an address says it. */
const onOrOff = v.pipe(
  v.union([v.boolean(), v.string()], 'must be true or false'),
  v.transform((value) => (typeof value === 'boolean' ? (value ? 'on' : 'off') : value)),
);
const LISTENER_KEYS = {
  address: text('an address, such as "unix:/run/vm.mux"'),
  mode: v.optional(text('permission bits as a string, such as "0660"')),
  user: v.optional(text('the name or number of a user, as a string')),
  group: v.optional(text('the name or number of a group, as a string')),
  'shared-folder': v.optional(onOrOff),
  protocol: v.optional(text('"qmp" or "hmp"')),
  negotiate: v.optional(text('"always" or "auto"')),
  policy: v.optional(text('a policy: "full", "read-only", "learn", the name of a [policy.NAME], or a /file of rules')),
  events: v.optional(words('patterns of event names, "all" or "none"')),
  'command-timeout': v.optional(quantity('a time such as "10s"')),
  'max-clients': v.optional(quantity('a number')),
  'connection-rate': v.optional(quantity('a number')),
  'allow-uid': v.optional(words('users, by name or number')),
  'allow-gid': v.optional(words('groups, by name or number')),
  extensions: v.optional(onOrOff),
  fds: v.optional(onOrOff),
  http: v.optional(v.picklist(['refuse', 'pass'], 'must be refuse or pass')),
};
const Listener = v.pipe(
  v.unknown(),
  v.transform((entry) => (typeof entry === 'string' ? { address: entry } : entry)),
  v.strictObject(
    LISTENER_KEYS,
    'must be an address or a table such as { address = "unix:/run/vm.mux", mode = "0660" }',
  ),
);
const MONITOR_KEYS = {
  upstream: text('an address, such as "unix:/run/vm.qmp"'),
  listen: v.optional(
    v.pipe(
      v.array(Listener, 'must be a list of addresses, such as ["unix:/run/vm.mux"]'),
      v.nonEmpty('must name at least one address'),
    ),
  ),
  cache: v.optional(v.boolean('must be true or false'), true),
  merge: v.optional(v.boolean('must be true or false'), true),
  oob: v.optional(v.boolean('must be true or false'), true),
  'keep-clients': v.optional(v.boolean('must be true or false'), false),
  takeover: v.optional(v.boolean('must be true or false'), false),
  'warn-after': v.optional(quantity('a time such as "10s"'), '10s'),
  'probe-after': v.optional(quantity('a time such as "30s"'), '30s'),
  'probe-timeout': v.optional(quantity('a time such as "5m"'), '5m'),
  limits: v.optional(v.record(v.string(), quantity('a number, a size or a time')), {}),
};
const POLICY_KEYS = {
  default: v.optional(v.picklist(['allow', 'deny'], 'must be "allow" or "deny"'), 'deny'),
  rules: v.array(v.string('must be a rule such as "allow query-*"'), 'must be a list of rules such as "allow query-*"'),
};
const LOG_KEYS = {
  level: v.optional(v.picklist(LOG_LEVELS, `must be one of ${LOG_LEVELS.join(', ')}`)),
  format: v.optional(v.picklist([...LOG_FORMATS, 'auto'], `must be one of ${LOG_FORMATS.join(', ')}, auto`)),
};
const METRICS_KEYS = { listen: text('an address, such as "tcp:localhost:9177"') };
const CONFIG_KEYS = {
  'drain-timeout': v.optional(quantity('a time such as "5s"')),
  policy: v.optional(
    v.record(v.string(), v.strictObject(POLICY_KEYS, 'must be a table: [policy.NAME]'), 'must be tables by name'),
    {},
  ),
  audit: v.optional(v.strictObject(AUDIT_KEYS, 'must be a table: [audit]')),
  metrics: v.optional(v.strictObject(METRICS_KEYS, 'must be a table: [metrics]')),
  log: v.optional(v.strictObject(LOG_KEYS, 'must be a table: [log]')),
  monitor: v.optional(
    v.record(
      v.string(),
      v.strictObject(MONITOR_KEYS, 'must be a table: [monitor.NAME]'),
      'must be tables by name: [monitor.NAME]',
    ),
    {},
  ),
};
const Config = v.strictObject(CONFIG_KEYS);

type Fault = (path: KeyPath, problem: string, cause?: unknown) => ConfigError;

/** Keys beside an address that are its options. */
const LISTENER_OPTIONS = [
  'mode',
  'user',
  'group',
  'shared-folder',
  'protocol',
  'negotiate',
  'policy',
  'events',
  'command-timeout',
  'max-clients',
  'connection-rate',
  'allow-uid',
  'allow-gid',
  'extensions',
  'fds',
  'http',
] as const;

/** The keys that are known at a path, to offer the nearest of them. */
function knownKeys(path: KeyPath): readonly string[] {
  if (path.length === 0) return Object.keys(CONFIG_KEYS);
  if (path[0] === 'audit') return Object.keys(AUDIT_KEYS);
  if (path[0] === 'metrics') return Object.keys(METRICS_KEYS);
  if (path[0] === 'log') return Object.keys(LOG_KEYS);
  if (path[0] === 'policy') return Object.keys(POLICY_KEYS);
  return Object.keys(path.length === 2 ? MONITOR_KEYS : LISTENER_KEYS);
}

/** The most characters of a message: it may quote the file. */
const LONGEST_MESSAGE = 1000;

/**
 * Reads a config file.
 * @param isServed whether it must be one that can be served here: with accounts, certificates and policy files that there are
 * @throws ConfigError
 */
export function readConfig(file: string, isServed = true): DaemonConfig {
  const part = partWithMonitors(readText(file, false), file);
  if (isServed) refuseUnusable(part);
  return combine([part]);
}

export function readText(file: string, isRegular: boolean): string {
  try {
    return readTextFile(file, isRegular);
  } catch (error) {
    const problem = errorCode(error) === 'ENOENT' ? 'there is no such file' : describeSystemError(error);
    throw new ConfigError(`${printable(file)}: ${problem}`, { cause: error });
  }
}

/**
 * @param content of a config file.
 * @param file its name, for messages.
 * @throws ConfigError
 */
export function parseConfig(content: string, file: string): DaemonConfig {
  return combine([partWithMonitors(content, file)]);
}

function partWithMonitors(content: string, file: string): Part {
  const part = parsePart(content, file);
  if (part.monitors.length > 0) return part;
  throw part.fault([], 'no monitor: add a table [monitor.NAME] with upstream and listen');
}

/** Finds what `serve` would find when it makes the sockets, as far as that can be told without making them. @throws ConfigError */
export function refuseUnusable({ fault, monitors, policies, metrics }: Part): void {
  for (const { name, upstream, listen } of monitors) {
    const path = ['monitor', name];
    if (upstream.kind === 'server') {
      usable([...path, 'upstream'], fault, () => {
        checkListenAddress(upstream.listen);
      });
    }
    for (const [index, { address, settings }] of listen.entries()) {
      usable([...path, 'listen', index], fault, () => {
        checkListenAddress(address);
        rulesOf(settings.policy, policies);
      });
    }
  }
  if (metrics === null) return;
  usable(['metrics', 'listen'], fault, () => {
    checkListenAddress(metrics);
  });
}

/** What one file says. */
export interface Part {
  readonly file: string;
  readonly fault: Fault;
  readonly log: LogSettings | null;
  readonly audit: AuditSettings | null;
  readonly metrics: ListenAddress | null;
  readonly drainTime: number | null;
  readonly policies: ReadonlyMap<string, PolicyRules>;
  readonly monitors: readonly MonitorConfig[];
}

export function parsePart(content: string, file: string): Part {
  let table: unknown;
  try {
    table = parse(content);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    // The first line of its message; the rest shows the place.
    const problem = error.message.split('\n')[0]?.replace(/^Invalid TOML document: /, '') ?? '';
    throw new ConfigError(shortened(`${file}:${error.line}:${error.column}: not TOML: ${problem}`), { cause: error });
  }
  const fault = (path: KeyPath, problem: string, cause?: unknown): ConfigError => {
    const line = lineOf(content, path);
    const where = line === null ? file : `${file}:${line}`;
    const key = path.length === 0 ? '' : `${pathText(path)}: `;
    return new ConfigError(shortened(`${where}: ${key}${problem}`), cause === undefined ? undefined : { cause });
  };

  const checked = v.safeParse(Config, table, { abortPipeEarly: true });
  if (!checked.success) {
    const issue = gravest(checked.issues);
    const path = issue.path?.map((step) => (typeof step.key === 'number' ? step.key : String(step.key))) ?? [];
    throw fault(path, describeIssue(issue, path));
  }

  const monitors = Object.entries(checked.output.monitor).map(([name, monitor]): MonitorConfig => {
    const path = ['monitor', name];
    if (!MONITOR_NAME.test(name)) throw fault(path, MONITOR_NAME_RULE);
    // Who takes QEMU's place has a socket there.
    if (monitor.listen === undefined && !monitor.takeover) throw fault([...path, 'listen'], 'is missing');
    return {
      name,
      upstream: parsed([...path, 'upstream'], fault, () => parseUpstream(monitor.upstream)),
      listen: (monitor.listen ?? []).map((entry, index) => {
        return parsed([...path, 'listen', index], fault, () => parseListenerSettings(withOptions(entry)));
      }),
      cache: monitor.cache,
      merge: monitor.merge,
      oob: monitor.oob,
      keepClients: monitor['keep-clients'],
      takeover: monitor.takeover,
      warnAfter: duration(monitor['warn-after'], [...path, 'warn-after'], fault),
      probeAfter: duration(monitor['probe-after'], [...path, 'probe-after'], fault),
      probeTimeout: duration(monitor['probe-timeout'], [...path, 'probe-timeout'], fault),
      limits: limitsOf(monitor.limits, [...path, 'limits'], fault),
    };
  });
  for (const { name, upstream, takeover } of monitors) {
    const problem = takeover ? takeoverFault(upstream) : null;
    if (problem !== null) throw fault(['monitor', name, 'takeover'], problem);
  }
  const { audit, log, metrics, 'drain-timeout': drain } = checked.output;
  const policies = policiesOf(checked.output.policy, fault);
  return {
    file,
    fault,
    log: log === undefined ? null : { level: log.level ?? DEFAULT_LOG.level, format: log.format ?? DEFAULT_LOG.format },
    audit: audit === undefined ? null : parsed(['audit'], fault, () => auditSettings(audit)),
    metrics: metrics === undefined ? null : parsed(['metrics', 'listen'], fault, () => parseListener(metrics.listen)),
    drainTime: drain === undefined ? null : duration(drain, ['drain-timeout'], fault),
    policies,
    monitors,
  };
}

/** Which file has a table that there may be one of. */
export type Owners = Map<string, Part>;

/** @throws ConfigError for what another file has already; then nothing of this one is owned */
export function own(owners: Owners, part: Part): void {
  const paths: (readonly string[])[] = [
    ...part.monitors.map(({ name }) => ['monitor', name]),
    ...[...part.policies.keys()].map((name) => ['policy', name]),
  ];
  if (part.log !== null) paths.push(['log']);
  if (part.audit !== null) paths.push(['audit']);
  if (part.metrics !== null) paths.push(['metrics']);
  if (part.drainTime !== null) paths.push(['drain-timeout']);
  for (const path of paths) {
    const other = owners.get(path.join('.'));
    if (other !== undefined) throw part.fault(path, `is in ${other.file} already`);
  }
  for (const path of paths) owners.set(path.join('.'), part);
}

export function placesOf(parts: readonly Part[]): ConfigPlaces {
  const audit = parts.find((part) => part.audit !== null)?.audit ?? null;
  return new ConfigPlaces(audit, parts.find((part) => part.metrics !== null)?.metrics ?? null);
}

export function monitorFault(part: Part) {
  return (monitor: string, key: readonly (string | number)[], problem: string): ConfigError =>
    part.fault(['monitor', monitor, ...key], problem);
}

/** The files of one config, as one. @throws ConfigError for what is said twice, or does not fit together */
export function combine(parts: readonly Part[]): DaemonConfig {
  const owners: Owners = new Map();
  const policies = new Map(parts.flatMap((part) => [...part.policies]));
  const places = placesOf(parts);
  for (const part of parts) {
    own(owners, part);
    places.take(part.monitors, monitorFault(part));
    refuseUnknownPolicies(part.monitors, policies, monitorFault(part));
  }
  return {
    log: owners.get('log')?.log ?? DEFAULT_LOG,
    audit: owners.get('audit')?.audit ?? null,
    metrics: owners.get('metrics')?.metrics ?? null,
    monitors: parts.flatMap((part) => part.monitors),
    policies,
    drainTime: owners.get('drain-timeout')?.drainTime ?? DEFAULT_DRAIN_TIME,
    folder: null,
  };
}

function duration(value: string, path: KeyPath, fault: Fault): number {
  const time = parseDuration(value);
  if (time === null) throw fault(path, `must be ${DURATION_RULE}`);
  return time;
}

function limitsOf(table: Readonly<Record<string, string>>, path: KeyPath, fault: Fault): Partial<Limits> {
  let limits: Partial<Limits> = {};
  for (const [name, value] of Object.entries(table)) {
    try {
      limits = { ...limits, ...parseLimits([[name, value]]) };
    } catch (error) {
      if (error instanceof LimitError) throw fault([...path, name], error.message, error);
      throw error;
    }
  }
  return limits;
}

function policiesOf(
  tables: Readonly<Record<string, { readonly default: 'allow' | 'deny'; readonly rules: readonly string[] }>>,
  fault: Fault,
): Map<string, PolicyRules> {
  const policies = new Map<string, PolicyRules>();
  for (const [name, table] of Object.entries(tables)) {
    if (['full', 'read-only', 'learn'].includes(name) || !/^[\w-]+$/.test(name)) {
      throw fault(['policy', name], 'a policy of your own needs another name: letters, digits, "_" and "-"');
    }
    const rules = table.rules.map((line, index) => {
      const rule = parseRule(line);
      if ('problem' in rule) throw fault(['policy', name, 'rules', index], `${JSON.stringify(line)}: ${rule.problem}`);
      return rule;
    });
    policies.set(name, { rules, allowByDefault: table.default === 'allow' });
  }
  return policies;
}

/** The address with the keys beside it as its options. */
function withOptions(entry: v.InferOutput<typeof Listener>): string {
  let address = entry.address;
  for (const key of LISTENER_OPTIONS) {
    const value = entry[key];
    if (value !== undefined) address += `,${key}=${value.replaceAll(',', ',,')}`;
  }
  return address;
}

function parsed<T>(path: KeyPath, fault: Fault, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof AddressError || error instanceof AuditSettingError) throw fault(path, error.message, error);
    throw error;
  }
}

/** @throws ConfigError for what can be read, and not be used */
function usable(path: KeyPath, fault: Fault, check: () => void): void {
  try {
    check();
  } catch (error) {
    if (error instanceof ListenError || error instanceof ConfigError) throw fault(path, error.message, error);
    throw error;
  }
}

/** A message is one line, and what it quotes of the file moves nobody's cursor. */
function shortened(message: string): string {
  const line = printable(message.slice(0, LONGEST_MESSAGE));
  return message.length > LONGEST_MESSAGE ? `${line}…` : line;
}

/** @returns `monitor.web1.listen[0].mode`. */
function pathText(path: KeyPath): string {
  return path.map((step, at) => (typeof step === 'number' ? `[${step}]` : `${at === 0 ? '' : '.'}${step}`)).join('');
}

/** @returns the issue to be told: a wrong key before one that is missing, which was meant by it. */
function gravest(issues: readonly [v.BaseIssue<unknown>, ...v.BaseIssue<unknown>[]]): v.BaseIssue<unknown> {
  return issues.find((issue) => issue.type === 'strict_object' && issue.expected === 'never') ?? issues[0];
}

function describeIssue(issue: v.BaseIssue<unknown>, path: KeyPath): string {
  if (issue.type !== 'strict_object') return issue.message;
  const key = String(path.at(-1) ?? '');
  const parent = path.slice(0, -1);
  if (issue.expected === 'never') {
    const keys = knownKeys(parent);
    return `unknown key${suggestion(key, keys) || ` (known here: ${keys.join(', ')})`}`;
  }
  if (issue.received === 'undefined') return 'is missing';
  return issue.message;
}
