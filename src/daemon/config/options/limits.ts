/** The limits of a monitor's clients: `[monitor.NAME.limits]`, and `--limit NAME=VALUE`. mux/ports/limits.ts describes each. */
import { DEFAULT_LIMITS, type Limits } from '../../../mux/ports/limits.js';
import { type OptionRow, type OptionType, option } from './row.js';
import { count, duration, size } from './types.js';

const NONE = 'no limit';

/** A row of a limit; its default is the multiplexer's own. */
function limit(member: keyof Limits, name: string, type: OptionType<number>, what: string): OptionRow<number> {
  return option({ name, type, default: DEFAULT_LIMITS[member], reload: 'the monitor restarts', what });
}

export const LIMITS: Readonly<Record<keyof Limits, OptionRow<number>>> = {
  commandBytes: limit(
    'commandBytes',
    'command-bytes',
    size(null),
    "bytes of one command, blanks between its parts not counted (64M is QEMU's own limit)",
  ),
  queuedCommands: limit('queuedCommands', 'queued-commands', count(null), 'commands of one client without an answer'),
  queuedBytes: limit(
    'queuedBytes',
    'queued-bytes',
    size(null),
    "bytes of one client's commands that wait, and of errors that wait for their turn",
  ),
  outputHighWater: limit('outputHighWater', 'output-high-water', size(NONE), 'bytes that a client has not read'),
  outputGrace: limit(
    'outputGrace',
    'output-grace',
    duration(NONE),
    'how long a client above that may go without reading anything',
  ),
  outputCap: limit('outputCap', 'output-cap', size(NONE), 'bytes unread'),
  negotiationTime: limit(
    'negotiationTime',
    'negotiation-time',
    duration(NONE),
    'how long a client may take until it has negotiated',
  ),
  listenerClients: limit('listenerClients', 'listener-clients', count(NONE), 'clients of one socket'),
  clients: limit('clients', 'clients', count(NONE), 'clients of one monitor'),
  memory: limit('memory', 'memory', size(NONE), 'bytes held for all clients of a monitor'),
  replyBytes: limit('replyBytes', 'reply-bytes', size(NONE), "bytes of one message of QEMU's"),
};
