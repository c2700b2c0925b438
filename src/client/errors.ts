/**
 * The errors that the client library throws and rejects with:
 *
 *     QmpmuxError                  the base of all our errors; `code` is stable, messages are not
 *     ├── QmpError                 the server answered a command with an error
 *     ├── ConnectionError          no connection, or it is gone
 *     ├── MalformedCommandError    `executeRaw` was given something that is not one QMP command; nothing was sent
 *     ├── OobUnavailableError      `executeOob` without the capability; nothing was sent
 *     └── EventOverflowError       a reader of `events()` fell behind
 *
 * An aborted call rejects with the reason of its AbortSignal, as in Node's own APIs. A TypeError or RangeError is a fault of the caller.
 */
import { QmpmuxError } from '../shared/errors.js';

/** The server answered with an error. `message` is the server's description. */
export class QmpError extends QmpmuxError {
  readonly code = 'QMPMUX_COMMAND_FAILED';
  /** QMP's error class: `GenericError`, `CommandNotFound`, `DeviceNotActive`, `DeviceNotFound` or `KVMMissingCap`. */
  readonly class: string;
  /** The server's text for people. */
  readonly desc: string;
  /** The command that failed. */
  readonly command: string;

  constructor(errorClass: string, desc: string, command: string) {
    super(desc);
    this.class = errorClass;
    this.desc = desc;
    this.command = command;
  }
}

/**
 * - `QMPMUX_REFUSED`: nobody listens there (no such socket, or its server is gone)
 * - `QMPMUX_UNREACHABLE`: the address cannot be used: no permission, unknown host, no route, backlog full
 * - `QMPMUX_GREETING_TIMEOUT`: connected, but no greeting in time (with `greeting: false`: no first answer); QEMU serves one client at a
 *   time, others wait
 * - `QMPMUX_NOT_QMP`: the peer is not a QMP server, or a guest agent too old to return ids
 * - `QMPMUX_MALFORMED`: a QMP server at first, but then it sent something other than a QMP message; the connection was closed
 * - `QMPMUX_CLOSED`: the connection is closed, by the server or by us
 */
export type ConnectionErrorCode =
  | 'QMPMUX_REFUSED'
  | 'QMPMUX_UNREACHABLE'
  | 'QMPMUX_GREETING_TIMEOUT'
  | 'QMPMUX_NOT_QMP'
  | 'QMPMUX_MALFORMED'
  | 'QMPMUX_CLOSED';

export class ConnectionError extends QmpmuxError {
  readonly code: ConnectionErrorCode;

  constructor(code: ConnectionErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}

/** The input of `executeRaw` is not one command in QEMU's JSON; `message` gives the reason, in QEMU's words where there are any. */
export class MalformedCommandError extends QmpmuxError {
  readonly code = 'QMPMUX_MALFORMED_COMMAND';
}

export class OobUnavailableError extends QmpmuxError {
  readonly code = 'QMPMUX_OOB_UNAVAILABLE';
}

export class EventOverflowError extends QmpmuxError {
  readonly code = 'QMPMUX_EVENT_OVERFLOW';
}
