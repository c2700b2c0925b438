/** The settings of the audit log from the config file or the command line; the options are in options/daemon.ts. */
import { AuditSettingError } from '../../audit/log/errors.js';
import { parseLeftOut } from '../../audit/log/kinds.js';
import { OWN_QUERIES } from '../../audit/log/left-out.js';
import {
  type AuditSettings,
  checkDestinations,
  type Destination,
  parseDestination,
  parseRedaction,
} from '../../audit/write/settings.js';
import { AUDIT, type AuditPlace, type AuditTable } from './options/daemon.js';
import type { OptionRow } from './options/row.js';

/** Makes the error for a fault in an option. */
type OptionFault = (row: OptionRow<unknown>, problem: string, cause: unknown) => Error;

/**
 * @param fault AuditSettingErrors are thrown as they are when it is absent
 * @returns the settings that a table makes, or flags.
 * @throws the result of `fault`
 */
export function auditSettings(table: AuditTable, fault?: OptionFault): AuditSettings {
  const read = <T>(row: OptionRow<unknown>, convert: () => T): T => {
    try {
      return convert();
    } catch (error) {
      if (fault !== undefined && error instanceof AuditSettingError) throw fault(row, error.message, error);
      throw error;
    }
  };
  const ours = table.ownQueries === 'record' ? [] : [OWN_QUERIES];
  return {
    destinations: read(AUDIT.to, () => {
      const destinations = table.to.map(destinationOf);
      checkDestinations(destinations);
      return destinations;
    }),
    sync: table.sync,
    chain: table.chain,
    onError: table.onError,
    maxMessage: table.maxMessage,
    leftOut: read(AUDIT.without, () => parseLeftOut([...table.without, ...ours])),
    redact: read(AUDIT.redact, () => table.redact.map(parseRedaction)),
  };
}

function destinationOf(place: AuditPlace): Destination {
  if (typeof place === 'string') return parseDestination(place);
  return { kind: 'transport', target: place.transport, options: place.options };
}
