/**
 * Replies that cannot change while a QEMU process lives: asked once, then served from memory. The cache dies with the
 * upstream connection, since the next one may lead to another QEMU.
 */

import type { Envelope } from '../../qmp/stream/envelope.js';
import { ascii } from '../../shared/bytes.js';

/**
 * Commands whose reply is fixed when QEMU starts (qapi/introspect.json, control.json, misc.json, machine.json): built into
 * the binary or given on its command line. `query-command-line-options` is not one: `qom-list-types`, and whatever else loads QEMU's
 * modules, adds the options that are theirs, such as `spice`.
 */
const CONSTANT: ReadonlySet<string> = new Set([
  'query-qmp-schema',
  'query-commands',
  'query-version',
  'query-target',
  'query-uuid',
  'query-name',
  'query-kvm',
]);

/** A shorter piece is copied, so that it does not keep alive the larger chunk that it was read in. */
const COPY_BELOW = 32 * 1024;

const END = ascii('}\r\n');
const ID_MEMBER = ascii(', "id": ');

/** @returns whether the reply to `name`, called without arguments, can be kept. */
export function isConstant(name: string): boolean {
  return name.startsWith('query-') && CONSTANT.has(name);
}

export class ReplyCache {
  /** By command: the reply up to the place of an id. */
  readonly #replies = new Map<string, readonly Uint8Array[]>();

  /** @returns the reply to `name` for a client that sent `id`, in chunks; null when it is not known. */
  get(name: string, id: Uint8Array | null): Uint8Array[] | null {
    const body = this.#replies.get(name);
    if (body === undefined) return null;
    return id === null ? [...body, END] : [...body, ID_MEMBER, id, END];
  }

  /** Keeps the reply in `envelope`, a return. */
  keep(name: string, envelope: Envelope): void {
    const body = envelope.body().map((piece) => (piece.length < COPY_BELOW ? piece.slice() : piece));
    if (body.length > 0) this.#replies.set(name, body);
  }

  clear(): void {
    this.#replies.clear();
  }
}
