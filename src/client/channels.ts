/** The messages of the client library's diagnostics channels; see docs/reference/tracing.md. */
import type { QmpClient } from './qmp-client.js';
import type { ClosedMessage, CommandMessage, ConnectedMessage } from './tracing.js';

/** The channels `qmpmux:qmp-client:…` and their messages. */
export interface ClientChannels {
  'qmpmux:qmp-client:connected': ConnectedMessage<QmpClient>;
  'qmpmux:qmp-client:closed': ClosedMessage<QmpClient>;
}

/** The message of the tracing channel `qmpmux:qmp-client:command` for one command; Node adds `result` or `error`. */
export type CommandTrace = CommandMessage<QmpClient>;
