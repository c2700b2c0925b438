/**
 * Puts records together in the log's buffer, in the order and with the members that record.schema.json gives. A record that cannot be
 * put together is put together once more, with every message withheld.
 */

import type { Descriptor } from '../../mux/ports/link.js';
import type { ClientView, CommandView } from '../../mux/ports/observer.js';
import type { Kind } from '../log/kinds.js';
import { ID, lengthWithoutLineEnd, MESSAGE, type MessageNames, putMessage, REPLY } from '../log/message-field.js';
import type { AnswerSecrets, Redacted, Redactor } from '../redact/redaction.js';
import { type AuditLog, kindMember } from './audit-log.js';

interface RecordWriterOptions {
  readonly log: AuditLog;
  readonly monitor: string;
  readonly redactor: Redactor;
  /** The most bytes kept of a message that is no command, or 0 for all. */
  readonly maxMessage: number;
  /** The log's clock minus the multiplexer's, in microseconds. */
  readonly clockDifference: number;
  /** A record could not be put together, and its messages are withheld. */
  readonly faulted: (error: unknown) => void;
}

/** Names of commands come from clients: no more are remembered than this, and no longer ones. */
const MOST_NAMES = 512;
const LONGEST_NAME = 64;
/** A message with more bytes than this is withheld: QEMU takes none, and nobody reads such a line. */
export const MOST_KEPT = 128 * 1024 * 1024;
/** In place of an id, in a record that could not be put together with it. */
const NO_ID = Buffer.from('"[withheld]"');
const NO_BYTES = new Uint8Array(0);
const OF = textOf(',"of":');
const UPSTREAM = textOf(',"upstream":');
const LATENCY = textOf(',"latency":');

export class RecordWriter {
  readonly #log: AuditLog;
  readonly #monitor: string;
  readonly #redactor: Redactor;
  readonly #maxMessage: number;
  readonly #clockDifference: number;
  readonly #faulted: (error: unknown) => void;
  /** For each client the members, from `kind` on, that its records of a kind share. */
  readonly #clients = new WeakMap<ClientView, Map<Kind, Uint8Array>>();
  /** The same for records about the VM. */
  readonly #vmMembers = new Map<Kind, Uint8Array>();
  readonly #names = new Map<string, Uint8Array>();
  /** Whether the record that is put together now shows no message: it could not be put together with them. */
  #isWithholding = false;
  /** Why a command has no record, until `flush` has said so. */
  #unrecorded: string | null = null;

  constructor(options: RecordWriterOptions) {
    this.#log = options.log;
    this.#monitor = `,"monitor":${JSON.stringify(options.monitor)}`;
    this.#redactor = options.redactor;
    this.#maxMessage = options.maxMessage;
    this.#clockDifference = options.clockDifference;
    this.#faulted = options.faulted;
  }

  /** @returns why a command has no record since this was last asked, or null */
  takeUnrecorded(): string | null {
    const why = this.#unrecorded;
    this.#unrecorded = null;
    return why;
  }

  /**
   * Makes a record about a client or about the VM.
   * @param put puts its content; called once more if that fails, with every message withheld
   * @returns its number, or 0 when there is none
   */
  record(kind: Kind, client: ClientView | null, put: () => void): number {
    let seq = this.#begin(kind, client);
    if (seq === 0) return 0;
    try {
      put();
    } catch (error) {
      this.#log.abandon();
      this.#faulted(error);
      seq = this.#recordWithheld(kind, client, put);
      if (seq === 0) return 0;
    }
    this.#log.end();
    return seq;
  }

  #recordWithheld(kind: Kind, client: ClientView | null, put: () => void): number {
    const seq = this.#begin(kind, client);
    this.#isWithholding = true;
    try {
      if (seq > 0) put();
      return seq;
    } catch {
      this.#log.abandon();
      if (kind === 'command') this.#unrecorded = 'cannot write a command to the audit log';
      return 0;
    } finally {
      this.#isWithholding = false;
    }
  }

  /** Begins a record, about a client or about the VM. @returns its number, or 0 when there is to be none */
  #begin(kind: Kind, client: ClientView | null): number {
    const log = this.#log;
    if (log.leftOut.kinds.has(kind)) return 0;
    const seq = log.begin(kind);
    if (seq === 0) return 0;
    const known = client === null ? this.#vmMembers : this.#membersOf(client);
    let members = known.get(kind);
    if (members === undefined) {
      members = Buffer.from(kindMember(kind) + this.#monitor + (client === null ? '' : describeClient(client, kind)));
      known.set(kind, members);
    }
    log.line.putBytes(members);
    return seq;
  }

  /** @returns the members that a client's records share, as far as made. */
  #membersOf(client: ClientView): Map<Kind, Uint8Array> {
    let members = this.#clients.get(client);
    if (members === undefined) {
      members = new Map();
      this.#clients.set(client, members);
    }
    return members;
  }

  /** @param since when the question was sent, by the multiplexer's clock, in microseconds */
  putLatency(since: number): void {
    const { line, startedAt } = this.#log;
    line.putText(LATENCY);
    line.putNumber(Math.max(0, startedAt - this.#clockDifference - since));
  }

  /** Puts the id under which QEMU got a command. */
  putUpstreamId(id: number): void {
    const { line } = this.#log;
    line.putText(UPSTREAM);
    line.putNumber(id);
  }

  /** Puts the number of the command that a record is about, if the command has a record. */
  putOf(of: number): void {
    if (of <= 0) return;
    const { line } = this.#log;
    line.putText(OF);
    line.putNumber(of);
  }

  putName(name: string): void {
    if (name.length > LONGEST_NAME) {
      this.putText(',"command":', name);
      return;
    }
    this.#log.line.putText(this.#memberOf(name));
  }

  #memberOf(name: string): Uint8Array {
    let member = this.#names.get(name);
    if (member === undefined) {
      member = textOf(`,"command":${JSON.stringify(name)}`);
      if (this.#names.size >= MOST_NAMES) this.#names.clear();
      this.#names.set(name, member);
    }
    return member;
  }

  putIds(command: CommandView, secrets: AnswerSecrets | null): void {
    const { line } = this.#log;
    const { id } = command;
    const mark = this.#isWithholding ? NO_ID : (secrets?.id ?? null);
    if (mark !== null) {
      if (id !== null) putMessage(line, ID, mark, 0, mark.length, 0);
    } else if (id !== null) putMessage(line, ID, id, 0, id.length, 0);
    if (command.upstreamId >= 0) this.putUpstreamId(command.upstreamId);
  }

  putText(member: string, text: string): void {
    const { line } = this.#log;
    line.putAscii(member);
    line.putString(text);
  }

  putDescriptor({ type, path }: Pick<Descriptor, 'type' | 'path'>): void {
    this.putText('{"type":', type);
    if (path !== null) this.putText(',"path":', path);
    this.#log.line.putAscii('}');
  }

  putCount(member: string, count: number): void {
    const { line } = this.#log;
    line.putAscii(member);
    line.putNumber(count);
  }

  /** @param whole null when it is too long to be one; then it is withheld */
  putChunks(whole: Uint8Array | null, redacted: Redacted | null, limit = this.#maxMessage): void {
    const message = whole ?? NO_BYTES;
    this.put(MESSAGE, message, lengthWithoutLineEnd(message), redacted, limit);
  }

  put(names: MessageNames, message: Uint8Array, length: number, redacted: Redacted | null, limit: number): void {
    const { line } = this.#log;
    const isShown = redacted === null && !this.#isWithholding && length <= MOST_KEPT;
    if (isShown) {
      putMessage(line, names, message, 0, length, limit);
      return;
    }
    const { bytes, paths } = this.#isWithholding || redacted === null ? this.#redactor.withheld(message) : redacted;
    putMessage(line, names, bytes, 0, length === message.length ? bytes.length : lengthWithoutLineEnd(bytes), limit);
    line.putAscii(names === REPLY ? ',"reply_redacted":' : ',"redacted":');
    line.putAscii(JSON.stringify(paths).replace(/[^\x20-\x7e]/g, escapeUnit));
  }
}

export function textOf(text: string): Uint8Array {
  return Buffer.from(text);
}

function escapeUnit(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

/** @returns the members about a client; of its peer only known facts, and long ones only in the record of its connection. */
function describeClient({ listener, id, peer }: ClientView, kind: Kind): string {
  const shown = kind === 'connect' || peer.kind !== 'unix' ? peer : { ...peer, exe: undefined, unit: undefined };
  return `,"listener":${JSON.stringify(listener)},"client":${id},"peer":${JSON.stringify(shown)}`;
}
