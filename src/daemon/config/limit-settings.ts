/** The limits of a monitor's clients by the names they have in a config file (`[monitor.NAME.limits]`) and behind `--limit`. */
import type { Limits } from '../../mux/ports/limits.js';
import { QmpmuxError } from '../../shared/errors.js';
import { suggestion } from '../../shared/spelling.js';
import { DURATION_RULE, parseByteSize, parseDuration } from '../../shared/units.js';

type Unit = 'size' | 'count' | 'time';

interface LimitName {
  readonly key: keyof Limits;
  readonly unit: Unit;
  /** The smallest value; 1 where there must be some limit. */
  readonly least: 0 | 1;
}

export const LIMIT_NAMES: Readonly<Record<string, LimitName>> = {
  'command-bytes': { key: 'commandBytes', unit: 'size', least: 1 },
  'queued-commands': { key: 'queuedCommands', unit: 'count', least: 1 },
  'queued-bytes': { key: 'queuedBytes', unit: 'size', least: 1 },
  'output-high-water': { key: 'outputHighWater', unit: 'size', least: 0 },
  'output-grace': { key: 'outputGrace', unit: 'time', least: 0 },
  'output-cap': { key: 'outputCap', unit: 'size', least: 0 },
  'negotiation-time': { key: 'negotiationTime', unit: 'time', least: 0 },
  'listener-clients': { key: 'listenerClients', unit: 'count', least: 0 },
  clients: { key: 'clients', unit: 'count', least: 0 },
  memory: { key: 'memory', unit: 'size', least: 0 },
  'reply-bytes': { key: 'replyBytes', unit: 'size', least: 0 },
};

/** A limit that there is not, or a value that it cannot have. */
export class LimitError extends QmpmuxError {
  readonly code = 'QMPMUX_LIMIT';
}

/** Reads `NAME=VALUE` pairs. @throws LimitError */
export function parseLimits(values: readonly (readonly [name: string, value: string])[]): Partial<Limits> {
  let limits: Partial<Limits> = {};
  for (const [name, value] of values) {
    const known = Object.hasOwn(LIMIT_NAMES, name) ? LIMIT_NAMES[name] : undefined;
    if (known === undefined) {
      const names = Object.keys(LIMIT_NAMES);
      const near = suggestion(name, names) || ` (known: ${names.join(', ')})`;
      throw new LimitError(`there is no limit ${JSON.stringify(name)}${near}`);
    }
    limits = { ...limits, [known.key]: parseValue(name, value, known) };
  }
  return limits;
}

function parseValue(name: string, text: string, { unit, least }: LimitName): number {
  let value: number | null;
  switch (unit) {
    case 'time':
      value = parseDuration(text);
      if (value === null) throw new LimitError(`${name}: ${JSON.stringify(text)} is not ${DURATION_RULE}`);
      break;
    case 'count':
      value = /^\d{1,9}$/.test(text) ? Number(text) : null;
      if (value === null) throw new LimitError(`${name}: ${JSON.stringify(text)} is not a number`);
      break;
    case 'size':
      value = parseByteSize(text);
      if (value === null)
        throw new LimitError(`${name}: ${JSON.stringify(text)} is not a size; write bytes, or 64k, 1M`);
  }
  if (value < least) throw new LimitError(`${name}: must be at least ${least}; this limit cannot be disabled`);
  return value;
}
