/** A server's messages, parsed into values: its greeting, its events, the outcome of a command. */
import { isJsonArray, isJsonObject, type JsonObject, type JsonValue } from '../qmp/json/value.js';
import { QmpError } from './errors.js';

/** The server's greeting. */
export interface Greeting {
  /** Capabilities on offer, such as `oob`. */
  readonly capabilities: readonly string[];
  /** `QMP.version` as the server sent it: `{ qemu: { major, minor, micro }, package }`. */
  readonly version: JsonObject;
  /** The exact message, without the end of its line. */
  readonly bytes: Buffer;
}

export interface QmpEvent {
  /** Such as `STOP`. */
  readonly name: string;
  /** Empty for events without data. */
  readonly data: JsonObject;
  /** When it happened, by QEMU's clock: seconds and microseconds since 1970; both -1 where QEMU does not know. */
  readonly timestamp: { readonly seconds: number; readonly microseconds: number };
  /** The exact message, without the end of its line. */
  readonly bytes: Buffer;
}

/** @returns the value of `return`. @throws QmpError */
export function returned(answer: JsonObject, command: string): JsonValue {
  const value = answer['return'];
  if (value !== undefined) return value;
  throw readError(answer, command);
}

/** @returns the error that an answer is. */
export function readError(answer: JsonObject, command: string): QmpError {
  const error = answer['error'];
  const members = isJsonObject(error) ? error : {};
  return new QmpError(textOr(members['class'], 'GenericError'), textOr(members['desc'], 'no description'), command);
}

/** @returns null for a message that is no greeting. */
export function readGreeting(message: JsonObject, bytes: Buffer): Greeting | null {
  const qmp = message['QMP'];
  if (!isJsonObject(qmp)) return null;
  const { capabilities, version } = qmp;
  return {
    capabilities: isJsonArray(capabilities) ? capabilities.filter((name) => typeof name === 'string') : [],
    version: isJsonObject(version) ? version : {},
    bytes: Buffer.from(bytes),
  };
}

export function readEvent(name: string, message: JsonObject, bytes: Buffer): QmpEvent {
  const { data, timestamp } = message;
  return {
    name,
    data: isJsonObject(data) ? data : {},
    timestamp: isJsonObject(timestamp)
      ? { seconds: numberOr(timestamp['seconds'], -1), microseconds: numberOr(timestamp['microseconds'], -1) }
      : { seconds: -1, microseconds: -1 },
    bytes: Buffer.from(bytes), // a copy, lest an event that is kept keep the chunk it came in
  };
}

function numberOr(value: JsonValue | undefined, otherwise: number): number {
  return typeof value === 'number' ? value : otherwise;
}

function textOr(value: JsonValue | undefined, otherwise: string): string {
  return typeof value === 'string' ? value : otherwise;
}
