/**
 * What the config file, or the command line, says about the audit log:
 *
 *     [audit]
 *     to = "/var/log/qmpmux/audit.log"  # or "stdout", or "transport:NAME,option=value", or a list: one file or stdout, and transports
 *     sync = true                       # fdatasync before commands go to QEMU
 *     chain = true                      # a hash over every record and the one before it
 *     on-error = "refuse"               # or "continue": commands continue unrecorded
 *     max-message = "64k"               # longer answers and events are cut
 *     without = ["RTC_CHANGE", "query-*@unix:/run/vm.exporter"] # kinds of record, events and commands that are left out
 *     own-queries = "count"             # or "record": what qmpmux's own subcommands ask again and again
 *     redact = ["send-key:arguments.keys"]
 */
import * as v from 'valibot';
import { parseLeftOut } from '../../audit/log/kinds.js';
import { OWN_QUERIES } from '../../audit/log/left-out.js';
import {
  type AuditSettings,
  checkDestinations,
  type Destination,
  parseDestination,
  parseRedaction,
  parseSize,
} from '../../audit/write/settings.js';

const some = (what: string) => v.pipe(v.string(`must be ${what}`), v.nonEmpty(`must be ${what}`));
const list = (what: string) => v.optional(v.array(some(what), `must be a list of ${what}`));
const flag = v.optional(v.boolean('must be true or false'));

const PLACE = 'a file, "stdout", "transport:NAME" or { transport = "NAME", options = { … } }';
const Place = v.union(
  [some(PLACE), v.strictObject({ transport: some('a name'), options: v.optional(v.record(v.string(), v.unknown())) })],
  `must be ${PLACE}`,
);

export const AUDIT_KEYS = {
  to: v.pipe(
    v.union([Place, v.array(Place)], `must be ${PLACE}, or a list`),
    v.transform((value) => (Array.isArray(value) ? value : [value])),
  ),
  sync: flag,
  chain: flag,
  'on-error': v.optional(v.picklist(['refuse', 'continue'], 'must be "refuse" or "continue"')),
  'max-message': v.optional(
    v.union(
      [v.pipe(v.number(), v.integer(), v.minValue(0)), some('a size')],
      'must be a number of bytes, or a size such as "64k"',
    ),
  ),
  without: list('kinds of record, events or commands'),
  'own-queries': v.optional(v.picklist(['count', 'record'], 'must be "count" or "record"')),
  redact: list('redactions such as "send-key:arguments.keys"'),
};
const Audit = v.strictObject(AUDIT_KEYS);

/** The table as it stands in the file, each key checked for itself. */
export type AuditTable = v.InferOutput<typeof Audit>;

/**
 * @returns the settings that a table, or flags of the same names, stand for.
 * @throws AuditSettingError
 */
export function auditSettings(table: AuditTable): AuditSettings {
  const destinations = table.to.map(
    (place): Destination =>
      typeof place === 'string'
        ? parseDestination(place)
        : { kind: 'transport', target: place.transport, options: place.options ?? {} },
  );
  checkDestinations(destinations);
  const size = table['max-message'] ?? 0;
  return {
    destinations,
    sync: table.sync ?? false,
    chain: table.chain ?? false,
    onError: table['on-error'] ?? 'refuse',
    maxMessage: typeof size === 'number' ? size : parseSize(size),
    leftOut: parseLeftOut([...(table.without ?? []), ...(table['own-queries'] === 'record' ? [] : [OWN_QUERIES])]),
    redact: (table.redact ?? []).map(parseRedaction),
  };
}
