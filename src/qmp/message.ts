/** Messages as QEMU writes them: the replies qmpmux gives in QEMU's stead, byte for byte. */
import { ascii, asciiText } from './ascii.js';
import { quote } from './unicode.js';

/** QEMU's error classes (qapi/error.json). */
export type ErrorClass = 'GenericError' | 'CommandNotFound' | 'DeviceNotActive' | 'DeviceNotFound' | 'KVMMissingCap';

/** An error QEMU would report; `desc` is plain text. */
export interface QmpFault {
  readonly class: ErrorClass;
  readonly desc: string;
}

export function genericError(desc: string): QmpFault {
  return { class: 'GenericError', desc };
}

const EMPTY_RETURN = ascii('{"return": {}}\r\n');

/** @returns the reply of a command that returns nothing, with `id` (QEMU's spelling) if there is one. */
export function emptyReturn(id: Uint8Array | null): Uint8Array {
  return id === null ? EMPTY_RETURN : ascii(`{"return": {}, "id": ${asciiText(id)}}\r\n`);
}

/** @returns an error reply, with `id` (QEMU's spelling) if there is one. */
export function errorReply(id: Uint8Array | null, fault: QmpFault): Uint8Array {
  const prefix = id === null ? '' : `"id": ${asciiText(id)}, `;
  return ascii(`{${prefix}"error": {"class": ${quote(fault.class)}, "desc": ${quote(fault.desc)}}}\r\n`);
}

/** @returns an event of our own in QEMU's form. `data` is JSON text in QEMU's spelling. */
export function eventMessage(name: string, seconds: number, microseconds: number, data: string): Uint8Array {
  const timestamp = `{"seconds": ${seconds}, "microseconds": ${microseconds}}`;
  return ascii(`{"timestamp": ${timestamp}, "event": ${quote(name)}, "data": ${data}}\r\n`);
}
