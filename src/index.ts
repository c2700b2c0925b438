/** The public API: what `import … from 'qmpmux'` gives. Everything else may change without notice. */
export type { ClientChannels, CommandTrace } from './client/channels.js';
export type { QmpTarget } from './client/connect.js';
export {
  ConnectionError,
  type ConnectionErrorCode,
  EventOverflowError,
  MalformedCommandError,
  OobUnavailableError,
  QmpError,
} from './client/errors.js';
export type { Greeting, QmpEvent } from './client/messages.js';
export type { ClientState, CommandOptions, ConnectOptions, EventsOptions } from './client/options.js';
export { QmpClient } from './client/qmp-client.js';
export type { RawReply } from './client/raw-command.js';
export type { DaemonChannels } from './daemon/observe/channels.js';
export { type SharedMonitor, type ShareOptions, shareMonitor } from './daemon/shared-monitor.js';
export type { JsonObject, JsonValue } from './qmp/json/value.js';
export { QmpmuxError } from './shared/errors.js';
