/** The public API: what `import … from 'qmpmux'` gives. Everything else may change without notice. */
export type { QmpTarget } from './client/connect.js';
export {
  ConnectionError,
  type ConnectionErrorCode,
  EventOverflowError,
  OobUnavailableError,
  QmpError,
} from './client/errors.js';
export {
  type ClientState,
  type CommandOptions,
  type ConnectOptions,
  type EventsOptions,
  type Greeting,
  QmpClient,
  type QmpEvent,
} from './client/qmp-client.js';
export { QmpmuxError } from './errors.js';
export type { JsonObject, JsonValue } from './qmp/value.js';
