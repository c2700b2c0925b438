/**
 * The config file, TOML: its tables are read by the rows of options/, and the results are put together and checked.
 *
 *     [monitor.web1]                    # one table for each monitor; its name is for logs and messages
 *     upstream = "unix:/run/web1.qmp"
 *     listen = [
 *       "unix:/run/web1.mux",
 *       { address = "unix:/run/backup.mux", mode = "0660", group = "backup" },
 *     ]
 *
 *     [policy.backup]                   # for listeners with policy=backup
 *     rules = ["allow @read-only", "allow blockdev-backup", "allow hmp info block*"]
 *
 * Monitors are tables by name, not a list, so that TOML itself refuses two of one name and a message can say which is meant.
 * The options of an address may be in the address or beside it, as keys. docs/reference/config.md has all options.
 */

import { parse, TomlError } from 'smol-toml';
import type { AuditSettings } from '../../audit/write/settings.js';
import type { ListenAddress } from '../../net/address/address.js';
import { ListenError } from '../../net/listen/listen-error.js';
import { checkListenAddress } from '../../net/listen/listener.js';
import { printable } from '../../shared/printable.js';
import { describeSystemError, errorCode } from '../../system/system-error.js';
import { auditSettings } from './audit-config.js';
import { type DaemonConfig, MONITOR_NAME, MONITOR_NAME_RULE, type MonitorConfig } from './config.js';
import { ConfigError } from './config-error.js';
import { type KeyPath, lineOf } from './config-lines.js';
import { ConfigPlaces, takeoverFault } from './config-places.js';
import { readListener } from './listener-settings.js';
import {
  AUDIT,
  DAEMON,
  DEFAULT_DAEMON,
  DEFAULT_LOG,
  LOG,
  type LogSettings,
  METRICS,
  TABLES,
} from './options/daemon.js';
import { LIMITS } from './options/limits.js';
import { MONITOR, MONITOR_PLACES, POLICY } from './options/monitor.js';
import { namesOf } from './options/row.js';
import { type PolicyRules, rulesOf } from './policies.js';
import { refuseUnknownPolicies } from './policy-names.js';
import { type Fault, namedTables, readOption, readTable, refuseUnknown, tableOf } from './table-reader.js';
import { readTextFile } from './text-file.js';

/** The most characters of a message: it may quote the file. */
const LONGEST_MESSAGE = 1000;

/**
 * Reads a config file.
 * @param isServed whether it must be servable here: with existing accounts, certificates and policy files
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

/** Finds the faults that `serve` would find when it makes the sockets, as far as possible without making them. @throws ConfigError */
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

/** The contents of one file. */
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

  // The parser makes a table of any text that it takes.
  const root = tableOf(table) ?? new Map<string, unknown>();
  refuseUnknown(root, [...namesOf(DAEMON), ...TABLES], [], fault);
  const monitors = namedTables(root.get('monitor'), ['monitor'], fault, '[monitor.NAME]').map(([name, value, path]) =>
    monitorOf(name, value, path, fault),
  );
  const { name: drainTimeout } = DAEMON.drainTime;
  return {
    file,
    fault,
    log: root.has('log') ? readTable(root.get('log'), LOG, ['log'], fault, '[log]') : null,
    audit: root.has('audit') ? auditOf(root.get('audit'), fault) : null,
    metrics: root.has('metrics')
      ? readTable(root.get('metrics'), METRICS, ['metrics'], fault, '[metrics]').listen
      : null,
    drainTime: root.has(drainTimeout)
      ? readOption(DAEMON.drainTime, root.get(drainTimeout), [drainTimeout], fault)
      : null,
    policies: policiesOf(root.get('policy'), fault),
    monitors,
  };
}

function monitorOf(name: string, value: unknown, path: KeyPath, fault: Fault): MonitorConfig {
  const table = readTable(value, { ...MONITOR_PLACES, ...MONITOR }, path, fault, '[monitor.NAME]');
  if (!MONITOR_NAME.test(name)) throw fault(path, MONITOR_NAME_RULE);
  const { listen, limits, ...settings } = table;
  // A monitor that takes QEMU's place has a socket there.
  if (listen === null && !settings.takeover) throw fault([...path, 'listen'], 'is missing');
  const problem = settings.takeover ? takeoverFault(settings.upstream) : null;
  if (problem !== null) throw fault([...path, 'takeover'], problem);
  return {
    ...settings,
    name,
    listen: (listen ?? []).map((entry, index) => readListener(entry, [...path, 'listen', index], fault)),
    limits: readTable(limits, LIMITS, [...path, 'limits'], fault, '[monitor.NAME.limits]'),
  };
}

function auditOf(value: unknown, fault: Fault): AuditSettings {
  return auditSettings(readTable(value, AUDIT, ['audit'], fault, '[audit]'), ({ name }, problem, cause) =>
    fault(['audit', name], problem, cause),
  );
}

function policiesOf(value: unknown, fault: Fault): Map<string, PolicyRules> {
  const policies = new Map<string, PolicyRules>();
  for (const [name, table, path] of namedTables(value, ['policy'], fault, '[policy.NAME]')) {
    if (['full', 'read-only', 'learn'].includes(name) || !/^[\w-]+$/.test(name)) {
      throw fault(path, 'a policy of your own needs another name: letters, digits, "_" and "-"');
    }
    const policy = readTable(table, POLICY, path, fault, '[policy.NAME]');
    policies.set(name, { rules: policy.rules, allowByDefault: policy.default === 'allow' });
  }
  return policies;
}

/** By table that may occur only once: the file that has it. */
export type Owners = Map<string, Part>;

/** @throws ConfigError for a table that another file has already; then nothing of this one is owned */
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

/** The files of one config, as one. @throws ConfigError for settings that occur twice, or do not fit together */
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
    drainTime: owners.get('drain-timeout')?.drainTime ?? DEFAULT_DAEMON.drainTime,
    folder: null,
  };
}

/** @throws ConfigError for settings that can be read, and not be used */
function usable(path: KeyPath, fault: Fault, check: () => void): void {
  try {
    check();
  } catch (error) {
    if (error instanceof ListenError || error instanceof ConfigError) throw fault(path, error.message, error);
    throw error;
  }
}

/** A message is one line, and its quotes from the file move nobody's cursor. */
function shortened(message: string): string {
  const line = printable(message.slice(0, LONGEST_MESSAGE));
  return message.length > LONGEST_MESSAGE ? `${line}…` : line;
}

/** @returns `monitor.web1.listen[0].mode`. */
function pathText(path: KeyPath): string {
  return path.map((step, at) => (typeof step === 'number' ? `[${step}]` : `${at === 0 ? '' : '.'}${step}`)).join('');
}
