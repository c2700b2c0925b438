/** Messages as QEMU writes them: the replies qmpmux gives in QEMU's stead, byte for byte. */
import { ascii, asciiText } from '../shared/bytes.js';
import { ByteWriter } from './json/byte-writer.js';
import { quote, writeQuoted } from './json/unicode.js';

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

/** Error replies without an id, by class and text: a client that sends garbage gets the same few again and again. */
const known = new Map<string, Uint8Array>();
const MOST_KNOWN = 256;
const LONGEST_KNOWN = 128;

/** @returns an error reply, with `id` (QEMU's spelling) if there is one; not to be changed, others may have the same one. */
export function errorReply(id: Uint8Array | null, fault: QmpFault): Uint8Array {
  if (id !== null || fault.desc.length > LONGEST_KNOWN) return writeError(id, fault);
  const key = `${fault.class} ${fault.desc}`;
  let reply = known.get(key);
  if (reply === undefined) {
    reply = writeError(null, fault);
    if (known.size >= MOST_KNOWN) known.clear();
    known.set(key, reply);
  }
  return reply;
}

function writeError(id: Uint8Array | null, fault: QmpFault): Uint8Array {
  const out = new ByteWriter((id?.length ?? 0) + fault.desc.length + ERROR_ROOM);
  if (id === null) out.text('{');
  else {
    out.text('{"id": ');
    out.copy(id);
    out.text(', ');
  }
  out.text(`"error": {"class": "${fault.class}", "desc": `);
  writeQuoted(fault.desc, out);
  out.text('}}\r\n');
  return out.finish();
}

/** Bytes of an error reply besides its id and its text, and some for escapes. */
const ERROR_ROOM = 96;

/** @returns an event of our own in QEMU's form. `data` is JSON text in QEMU's spelling. */
export function eventMessage(name: string, seconds: number, microseconds: number, data: string): Uint8Array {
  const timestamp = `{"seconds": ${seconds}, "microseconds": ${microseconds}}`;
  return ascii(`{"timestamp": ${timestamp}, "event": ${quote(name)}, "data": ${data}}\r\n`);
}
