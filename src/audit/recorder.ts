/**
 * The journal that writes the audit log: one for each monitor, all into one log. It puts each record together in the log's
 * buffer, in the order and with the members that record.schema.json gives.
 *
 * What must hold: a command has its record before `flush` returns; nothing that the redactor objects to is put into a record.
 */
import type { ClientView, CommandView, Journal, ReplySource } from '../mux/journal.js';
import type { Descriptor, UpstreamState } from '../mux/link.js';
import { ShortText } from '../qmp/ascii.js';
import { type AuditLog, kindMember } from './audit-log.js';
import type { Kind } from './kinds.js';
import { ID, lengthWithoutLineEnd, MESSAGE, type MessageNames, putMessage, REPLY } from './message-field.js';
import { type AnswerSecrets, type Redacted, type Redactor } from './redaction.js';

export interface RecorderOptions {
  readonly log: AuditLog;
  readonly monitor: string;
  /** Where QEMU is reached; told whenever it has been. */
  readonly address: string | null;
  readonly redactor: Redactor;
  /** The most bytes kept of a message that is no command, or 0 for all. */
  readonly maxMessage: number;
  /** The multiplexer's clock, in microseconds: latencies are taken from it. */
  readonly now: () => number;
}

/** The multiplexer's word for the rule by which it denies a command that `flush` did not let through. */
const UNRECORDED = 'audit';
/** The mark of a command that went upstream without a record: the log could not take it. */
const LOST = -1;
/** Names of commands come from clients: no more are remembered than this. */
const MOST_NAMES = 512;
const SOURCES: Readonly<Record<ReplySource, ShortText>> = {
  upstream: textOf(',"source":"upstream"'),
  cached: textOf(',"source":"cached"'),
  shared: textOf(',"source":"shared"'),
  local: textOf(',"source":"local"'),
  late: textOf(',"source":"late"'),
};
/** What is kept of unreadable input to be looked at with what follows: more than the longest of the words that are looked for. */
const UNREAD_END = 128;

interface Unread {
  /** Whether it was withheld. */
  readonly isSuspect: boolean;
  readonly end: Uint8Array;
}

const OF = textOf(',"of":');
const UPSTREAM = textOf(',"upstream":');
const LATENCY = textOf(',"latency":');
const QUEUED = textOf(',"queued":');

export class Recorder implements Journal {
  readonly wantsRaw = true;
  readonly #log: AuditLog;
  readonly #monitor: string;
  readonly #redactor: Redactor;
  readonly #maxMessage: number;
  /** What to take from the log's clock to have the multiplexer's. */
  readonly #clockDifference: number;
  /** For each client the members, from `kind` on, that its records of a kind share. */
  readonly #clients = new WeakMap<ClientView, Map<Kind, Uint8Array>>();
  /** The same for records about the VM. */
  readonly #vmMembers = new Map<Kind, Uint8Array>();
  readonly #address: string | null;
  readonly #names = new Map<string, ShortText>();
  /** The name that was put last, and its member. */
  #lastName: string | null = null;
  #lastNameMember: ShortText = textOf('');
  /** By the number of its record: what a command tells about the answer that is still due. */
  readonly #answers = new Map<number, AnswerSecrets>();
  /** For clients whose last input could not be read its end: what follows may belong to it. */
  readonly #unread = new WeakMap<ClientView, Unread>();
  /** Whether any client has been among them; hardly ever. */
  #hasUnread = false;
  #lastClient: ClientView | null = null;
  #lastClientMembers = new Map<Kind, Uint8Array>();

  constructor(options: RecorderOptions) {
    this.#log = options.log;
    this.#monitor = `,"monitor":${JSON.stringify(options.monitor)}`;
    this.#redactor = options.redactor;
    this.#maxMessage = options.maxMessage;
    this.#clockDifference = options.log.clock.now() - options.now();
    this.#address = options.address;
  }

  connected(client: ClientView): void {
    if (this.#begin('connect', client) === 0) return;
    this.#log.end();
  }

  negotiated(client: ClientView, capabilities: readonly string[], raw: Uint8Array): void {
    if (this.#begin('negotiated', client) === 0) return;
    const { line } = this.#log;
    line.putAscii(',"capabilities":');
    line.putAscii(JSON.stringify(capabilities));
    this.#put(MESSAGE, raw, raw.length, this.#redactor.malformed(raw), 0);
    this.#log.end();
  }

  disconnected(client: ClientView, reason: string): void {
    if (this.#begin('disconnect', client) === 0) return;
    this.#putText(',"reason":', reason);
    this.#log.end();
  }

  descriptors(client: ClientView, descriptors: readonly Descriptor[], fault: string | null): void {
    if (this.#begin('descriptors', client) === 0) return;
    const { line } = this.#log;
    line.putAscii(',"count":');
    line.putNumber(descriptors.length);
    for (const [index, descriptor] of descriptors.entries()) {
      line.putAscii(index === 0 ? ',"descriptors":[' : ',');
      this.#putDescriptor(descriptor);
    }
    if (descriptors.length > 0) line.putAscii(']');
    if (fault !== null) this.#putText(',"reason":', fault);
    this.#log.end();
  }

  command(command: CommandView): void {
    // It will be refused: the denial will hold all there is to say.
    if (this.#log.isRefusing) return;
    command.mark = this.#putCommand(command) || LOST;
  }

  answered(command: CommandView, reply: readonly Uint8Array[], isError: boolean, source: ReplySource): void {
    const of = command.mark === 0 ? this.#putCommand(command) : command.mark;
    const secrets = this.#takeSecrets(of);
    const seq = this.#begin(isError ? 'error' : 'reply', command.client);
    if (seq === 0) return;
    const { line } = this.#log;
    this.#putOf(of);
    this.#putIds(command);
    this.#putLatency(command);
    if (source === 'upstream') {
      line.putText(QUEUED);
      line.putNumber(Math.max(0, command.sentAt - command.receivedAt));
    }
    line.putText(SOURCES[source]);
    const whole = joined(reply);
    const redacted = this.#redactor.answer(command.name, secrets, whole);
    this.#put(MESSAGE, whole, lengthWithoutLineEnd(whole), redacted, this.#maxMessage);
    this.#log.end();
  }

  abandoned(command: CommandView, reply: Uint8Array): void {
    // What is secret in the answer is remembered: it may still come.
    if (this.#begin('error', command.client) === 0) return;
    const { line } = this.#log;
    this.#putOf(command.mark);
    this.#putIds(command);
    this.#putLatency(command);
    line.putText(SOURCES.local);
    this.#put(MESSAGE, reply, lengthWithoutLineEnd(reply), null, this.#maxMessage);
    this.#log.end();
  }

  limited(client: ClientView | null, listener: string, limit: string, what: string): void {
    if (client !== null) {
      // Who was disconnected has a record of that, with the reason, and what was too large one of its own.
      if (limit !== 'paused' || this.#begin('paused', client) === 0) return;
      this.#putText(',"reason":', what);
      this.#log.end();
      return;
    }
    if (this.#begin('refused', null) === 0) return;
    this.#putText(',"listener":', listener);
    this.#putText(',"reason":', what);
    this.#log.end();
  }

  dropped(command: CommandView, reason: string): void {
    this.unanswered(command, `never sent: ${reason}`);
  }

  unanswered(command: CommandView, reason: string): void {
    const of = command.mark === 0 ? this.#putCommand(command) : command.mark;
    this.#takeSecrets(of);
    if (this.#begin('unanswered', command.client) === 0) return;
    this.#putOf(of);
    this.#putIds(command);
    this.#putText(',"reason":', reason);
    this.#log.end();
  }

  malformed(client: ClientView, raw: Uint8Array, reply: Uint8Array): void {
    const before = this.#unread.get(client);
    let redacted = this.#redactor.malformed(raw, before?.end);
    if (redacted === null && before?.isSuspect === true) redacted = this.#redactor.withheld(raw);
    const isSuspect = redacted?.paths.includes('*') ?? false;
    this.#hasUnread = true;
    this.#unread.set(client, { isSuspect, end: Uint8Array.from(raw.subarray(-UNREAD_END)) });
    if (this.#begin('malformed', client) === 0) return;
    this.#put(MESSAGE, raw, raw.length, redacted, this.#maxMessage);
    // QEMU's errors quote what they complain of.
    this.#put(
      REPLY,
      reply,
      lengthWithoutLineEnd(reply),
      redacted === null ? null : this.#redactor.withheld(reply),
      this.#maxMessage,
    );
    this.#log.end();
  }

  denied(command: CommandView, rule: string, reply: Uint8Array): void {
    const of = command.mark;
    this.#takeSecrets(of);
    if (rule === UNRECORDED) this.#log.countRefused();
    if (this.#begin('denied', command.client) === 0) return;
    this.#putOf(of);
    this.#putName(command.name);
    this.#putIds(command);
    this.#putText(',"rule":', rule);
    const { raw, name } = command;
    const redacted = this.#redactor.command(name, raw);
    this.#put(MESSAGE, raw, raw.length, redacted?.message ?? null, 0);
    const redactedReply = redacted === null ? null : this.#redactor.answer(name, redacted.answer, reply);
    this.#put(REPLY, reply, lengthWithoutLineEnd(reply), redactedReply, 0);
    this.#log.end();
  }

  event(name: string, message: readonly Uint8Array[], receivers: number): void {
    if (this.#log.leftOut.events.has(name)) return;
    if (this.#begin('event', null) === 0) return;
    const { line } = this.#log;
    this.#putText(',"event":', name);
    line.putAscii(',"receivers":');
    line.putNumber(receivers);
    this.#putOther(message);
    this.#log.end();
  }

  upstream(state: UpstreamState): void {
    if (this.#begin('upstream', null) === 0) return;
    this.#putText(',"state":', state.name);
    if (state.name === 'running') {
      this.#putText(',"version":', state.version);
      if (this.#address !== null) this.#putText(',"address":', this.#address);
    }
    if (state.name === 'lost') this.#putText(',"reason":', state.reason);
    this.#log.end();
  }

  stray(message: readonly Uint8Array[], why: string): void {
    if (this.#begin('stray', null) === 0) return;
    this.#putText(',"reason":', why);
    this.#putOther(message);
    this.#log.end();
  }

  flush(): string | null {
    return this.#log.flush();
  }

  /** Records a command. @returns its number, or 0 when it could not be kept */
  #putCommand(command: CommandView): number {
    const client = command.client;
    if (this.#hasUnread) this.#unread.delete(client);
    const redacted = this.#redactor.command(command.name, command.raw);
    const seq = this.#begin('command', client);
    if (seq === 0) return 0;
    const { line } = this.#log;
    this.#putName(command.name);
    if (command.oob) line.putAscii(',"oob":true');
    if (command.descriptor !== undefined && command.descriptor !== null) {
      line.putAscii(',"descriptor":');
      this.#putDescriptor(command.descriptor);
    }
    this.#putIds(command);
    // What was asked of the VM is never cut.
    this.#put(MESSAGE, command.raw, command.raw.length, redacted?.message ?? null, 0);
    this.#log.end();
    if (redacted?.answer != null) this.#answers.set(seq, redacted.answer);
    return seq;
  }

  #takeSecrets(of: number): AnswerSecrets | null {
    if (this.#answers.size === 0) return null;
    const secrets = this.#answers.get(of) ?? null;
    this.#answers.delete(of);
    return secrets;
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
      members = Buffer.from(kindMember(kind) + this.#monitor + (client === null ? '' : describeClient(client)));
      known.set(kind, members);
    }
    log.line.putBytes(members);
    return seq;
  }

  /** @returns what is known of the members that a client's records share. */
  #membersOf(client: ClientView): Map<Kind, Uint8Array> {
    if (client === this.#lastClient) return this.#lastClientMembers;
    let members = this.#clients.get(client);
    if (members === undefined) {
      members = new Map();
      this.#clients.set(client, members);
    }
    this.#lastClient = client;
    this.#lastClientMembers = members;
    return members;
  }

  #putLatency(command: CommandView): void {
    const { line, startedAt } = this.#log;
    line.putText(LATENCY);
    line.putNumber(Math.max(0, startedAt - this.#clockDifference - command.receivedAt));
  }

  /** Puts the number of the command that a record is about, if the command has a record. */
  #putOf(of: number): void {
    if (of <= 0) return;
    const { line } = this.#log;
    line.putText(OF);
    line.putNumber(of);
  }

  #putName(name: string): void {
    if (name !== this.#lastName) {
      this.#lastName = name;
      this.#lastNameMember = this.#memberOf(name);
    }
    this.#log.line.putText(this.#lastNameMember);
  }

  #memberOf(name: string): ShortText {
    let member = this.#names.get(name);
    if (member === undefined) {
      member = textOf(`,"command":${JSON.stringify(name)}`);
      if (this.#names.size >= MOST_NAMES) this.#names.clear();
      this.#names.set(name, member);
    }
    return member;
  }

  #putIds(command: CommandView): void {
    const { line } = this.#log;
    const { idBytes } = command;
    if (idBytes !== null) putMessage(line, ID, idBytes, command.idStart, command.idEnd, 0);
    if (command.upstreamId >= 0) {
      line.putText(UPSTREAM);
      line.putNumber(command.upstreamId);
    }
  }

  #putText(member: string, text: string): void {
    const { line } = this.#log;
    line.putAscii(member);
    line.putString(text);
  }

  #putDescriptor({ type, path }: Pick<Descriptor, 'type' | 'path'>): void {
    this.#putText('{"type":', type);
    if (path !== null) this.#putText(',"path":', path);
    this.#log.line.putAscii('}');
  }

  #putOther(message: readonly Uint8Array[]): void {
    const whole = joined(message);
    this.#put(MESSAGE, whole, lengthWithoutLineEnd(whole), this.#redactor.other(whole), this.#maxMessage);
  }

  #put(names: MessageNames, message: Uint8Array, length: number, redacted: Redacted | null, limit: number): void {
    const { line } = this.#log;
    if (redacted === null) {
      putMessage(line, names, message, 0, length, limit);
      return;
    }
    const { bytes, paths } = redacted;
    putMessage(line, names, bytes, 0, length === message.length ? bytes.length : lengthWithoutLineEnd(bytes), limit);
    line.putAscii(names === REPLY ? ',"reply_redacted":' : ',"redacted":');
    line.putAscii(JSON.stringify(paths).replace(/[^\x20-\x7e]/g, escapeUnit));
  }
}

function textOf(text: string): ShortText {
  return new ShortText(Buffer.from(text));
}

function joined(chunks: readonly Uint8Array[]): Uint8Array {
  const [first] = chunks;
  return chunks.length === 1 && first !== undefined ? first : Buffer.concat(chunks);
}

function escapeUnit(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

/** @returns the members about a client; of its peer only what is known. */
function describeClient({ listener, id, peer }: ClientView): string {
  return `,"listener":${JSON.stringify(listener)},"client":${id},"peer":${JSON.stringify(peer)}`;
}
