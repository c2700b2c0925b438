/**
 * The observer that writes the audit log: one for each monitor, all into one log. It puts each record together in the log's
 * buffer, in the order and with the members that record.schema.json gives.
 *
 * What must hold: a command has its record before `flush` returns, or `flush` fails; nothing that the redactor objects to is put into a
 * record; and no message, whatever is in it, makes more of this fail than its own record: then it is withheld.
 */

import type { Descriptor, UpstreamState } from '../../mux/ports/link.js';
import type { ClientView, CommandView, Observer, ProbeView, ReplySource } from '../../mux/ports/observer.js';
import { ShortText } from '../../shared/bytes.js';
import type { Kind } from '../log/kinds.js';
import { LeftOutCounts, type LeftOutSum } from '../log/left-out.js';
import { ID, lengthWithoutLineEnd, MESSAGE, type MessageNames, putMessage, REPLY } from '../log/message-field.js';
import type { Report } from '../log/sink.js';
import { MessageJudge } from '../redact/message-judge.js';
import type { AnswerSecrets, Redacted, RedactedCommand, Redactor } from '../redact/redaction.js';
import { type AuditLog, kindMember } from './audit-log.js';
import { MalformedFlood } from './malformed-flood.js';

interface RecorderOptions {
  readonly log: AuditLog;
  readonly monitor: string;
  /** Where QEMU is reached; told whenever it has been. */
  readonly address: string | null;
  readonly redactor: Redactor;
  /** The most bytes kept of a message that is no command, or 0 for all. */
  readonly maxMessage: number;
  /** The multiplexer's clock, in microseconds: latencies are taken from it. */
  readonly now: () => number;
  /** For the daemon's own log. */
  readonly report?: Report;
}

/** The multiplexer's word for the rule by which it denies a command that `flush` did not let through. */
const UNRECORDED = 'audit';
/** The mark of a command that went upstream without a record: the log could not take it. */
const LOST = -1;
/** That of one that is left out, and counted. */
const LEFT_OUT = -2;
/** Names of commands come from clients: no more are remembered than this, and no longer ones. */
const MOST_NAMES = 512;
const LONGEST_NAME = 64;
/** A message with more bytes than this is withheld: QEMU takes none, and nobody reads such a line. */
const MOST_KEPT = 128 * 1024 * 1024;
const SOURCES: Readonly<Record<ReplySource, ShortText>> = {
  upstream: textOf(',"source":"upstream"'),
  cached: textOf(',"source":"cached"'),
  shared: textOf(',"source":"shared"'),
  local: textOf(',"source":"local"'),
  late: textOf(',"source":"late"'),
};
/**
 * What QEMU answers to these describes QEMU, at length, and is the same for all VMs of it; shells ask at each start. Only the beginning is
 * kept, with length and hash.
 */
const SELF_DESCRIPTIONS = new Set([
  'query-qmp-schema',
  'query-commands',
  'query-command-line-options',
  'query-machines',
  'query-cpu-definitions',
  'qom-list-types',
  'qom-list-properties',
  'device-list-properties',
]);
/** In bytes. */
const MOST_OF_DESCRIPTION = 256;
/** What is kept of unreadable input to be looked at with what follows: more than the longest of the words that are looked for. */
const UNREAD_END = 128;

interface Unread {
  /** Whether it was withheld. */
  readonly isSuspect: boolean;
  readonly end: Uint8Array;
}

const NO_BYTES = new Uint8Array(0);
/** In place of an id, in a record that could not be put together with it. */
const NO_ID = Buffer.from('"[withheld]"');
const OF = textOf(',"of":');
const UPSTREAM = textOf(',"upstream":');
const LATENCY = textOf(',"latency":');
const QUEUED = textOf(',"queued":');

export class Recorder implements Observer {
  readonly wantsRaw = true;
  readonly #log: AuditLog;
  readonly #monitor: string;
  readonly #redactor: Redactor;
  readonly #judge: MessageJudge;
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
  readonly #flood = new MalformedFlood((client, { count, length }) => {
    this.#record('malformed', client, () => {
      this.#putCount(',"count":', count);
      this.#putCount(',"length":', length);
    });
  });
  readonly #leftOut: LeftOutCounts;
  readonly #now: () => number;
  /** Whether the record that is put together now shows no message: it could not be put together with them. */
  #isWithholding = false;
  /** Why a command has no record, until `flush` has said so. */
  #unrecorded: string | null = null;
  #lastClient: ClientView | null = null;
  #lastClientMembers = new Map<Kind, Uint8Array>();

  constructor(options: RecorderOptions) {
    this.#log = options.log;
    this.#leftOut = new LeftOutCounts((client, sum) => {
      this.#putSum(client, sum);
    }, options.log.pending);
    this.#monitor = `,"monitor":${JSON.stringify(options.monitor)}`;
    this.#redactor = options.redactor;
    this.#judge = new MessageJudge(options.redactor, options.report ?? (() => undefined));
    this.#maxMessage = options.maxMessage;
    this.#clockDifference = options.log.clock.now() - options.now();
    this.#address = options.address;
    this.#now = options.now;
  }

  connected(client: ClientView): void {
    this.#record('connect', client, () => undefined);
  }

  negotiated(client: ClientView, capabilities: readonly string[], raw: Uint8Array): void {
    this.#flood.flush(client);
    const redacted = this.#judge.guard(() => this.#redactor.malformed(raw), raw);
    this.#record('negotiated', client, () => {
      const { line } = this.#log;
      line.putAscii(',"capabilities":');
      line.putAscii(JSON.stringify(capabilities));
      this.#put(MESSAGE, raw, raw.length, redacted, 0);
    });
  }

  disconnected(client: ClientView, reason: string): void {
    this.#flood.flush(client);
    this.#leftOut.flush(client);
    this.#record('disconnect', client, () => {
      this.#putText(',"reason":', reason);
    });
  }

  descriptors(client: ClientView, descriptors: readonly Descriptor[], fault: string | null): void {
    this.#record('descriptors', client, () => {
      const { line } = this.#log;
      this.#putCount(',"count":', descriptors.length);
      for (const [index, descriptor] of descriptors.entries()) {
        line.putAscii(index === 0 ? ',"descriptors":[' : ',');
        this.#putDescriptor(descriptor);
      }
      if (descriptors.length > 0) line.putAscii(']');
      if (fault !== null) this.#putText(',"reason":', fault);
    });
  }

  command(command: CommandView): void {
    // It will be refused: the denial will hold all there is to say.
    if (this.#log.isRefusing) return;
    command.auditSeq = this.#leavesOut(command) ? LEFT_OUT : this.#putCommand(command) || LOST;
  }

  /** @returns whether a command is left out; then it has been counted */
  #leavesOut(command: CommandView): boolean {
    const { client, name } = command;
    if (!this.#log.leftOutCommands.has(name, client.listener)) return false;
    // What came with it is on record, and this says what became of that.
    if (command.descriptor !== undefined && command.descriptor !== null) return false;
    this.#endUnread(client);
    this.#leftOut.count(client, name, this.#now());
    return true;
  }

  /** @returns whether a command that is over was left out */
  #wasLeftOut(command: CommandView): boolean {
    if (command.auditSeq === 0 && this.#leavesOut(command)) command.auditSeq = LEFT_OUT;
    return command.auditSeq === LEFT_OUT;
  }

  #putSum(client: ClientView, { since, commands, errors, unanswered }: LeftOutSum): void {
    this.#record('left-out', client, () => {
      // Records of one turn share their time, which may be that of its begin.
      const first = Math.min(Math.round(since + this.#clockDifference), this.#log.startedAt);
      this.#putCount(',"since":', Math.max(0, first));
      this.#log.line.putAscii(`,"commands":${JSON.stringify(Object.fromEntries(commands))}`);
      if (errors > 0) this.#putCount(',"errors":', errors);
      if (unanswered > 0) this.#putCount(',"unanswered":', unanswered);
    });
  }

  answered(command: CommandView, reply: readonly Uint8Array[], isError: boolean, source: ReplySource): void {
    if (this.#wasLeftOut(command)) {
      if (isError && source !== 'late') this.#leftOut.countFault(command.client, 'errors', this.#now());
      return;
    }
    const of = command.auditSeq === 0 ? this.#putCommand(command) : command.auditSeq;
    const secrets = this.#takeSecrets(of);
    const kind = isError ? 'error' : 'reply';
    if (this.#log.leftOut.kinds.has(kind)) return;
    const whole = joined(reply);
    const redacted =
      whole === null
        ? this.#redactor.withheld(...reply)
        : this.#judge.guard(() => this.#redactor.answer(command.name, secrets, whole), whole);
    this.#record(kind, command.client, () => {
      const { line } = this.#log;
      this.#putOf(of);
      this.#putIds(command, secrets);
      this.#putLatency(command);
      if (source === 'upstream') {
        line.putText(QUEUED);
        line.putNumber(Math.max(0, command.sentAt - command.receivedAt));
      }
      line.putText(SOURCES[source]);
      this.#putChunks(whole, redacted, isError ? undefined : this.#mostOf(command.name));
    });
  }

  abandoned(command: CommandView, reply: Uint8Array): void {
    if (command.auditSeq === LEFT_OUT) {
      this.#leftOut.countFault(command.client, 'errors', this.#now());
      return;
    }
    // What is secret in the answer is remembered: it may still come.
    this.#record('error', command.client, () => {
      this.#putOf(command.auditSeq);
      this.#putIds(command, this.#answers.get(command.auditSeq) ?? null);
      this.#putLatency(command);
      this.#log.line.putText(SOURCES.local);
      this.#put(MESSAGE, reply, lengthWithoutLineEnd(reply), this.#judgeReply(command, reply), this.#maxMessage);
    });
  }

  limited(client: ClientView | null, listener: string, limit: string, what: string): void {
    if (client !== null) {
      // Who was disconnected has a record of that, with the reason, and what was too large one of its own.
      if (limit !== 'paused') return;
      this.#record('paused', client, () => {
        this.#putText(',"reason":', what);
      });
      return;
    }
    this.#record('refused', null, () => {
      this.#putText(',"listener":', listener);
      this.#putText(',"reason":', what);
    });
  }

  dropped(command: CommandView, reason: string): void {
    this.unanswered(command, `never sent: ${reason}`);
  }

  unanswered(command: CommandView, reason: string): void {
    if (this.#wasLeftOut(command)) {
      this.#leftOut.countFault(command.client, 'unanswered', this.#now());
      return;
    }
    const of = command.auditSeq === 0 ? this.#putCommand(command) : command.auditSeq;
    const secrets = this.#takeSecrets(of);
    if (secrets !== null) this.#judge.giveUp(secrets);
    this.#record('unanswered', command.client, () => {
      this.#putOf(of);
      this.#putIds(command, secrets);
      this.#putText(',"reason":', reason);
    });
  }

  malformed(client: ClientView, raw: Uint8Array, reply: Uint8Array): void {
    const before = this.#unread.get(client);
    const end = Uint8Array.from(raw.subarray(-UNREAD_END));
    this.#hasUnread = true;
    if (!this.#flood.admits(client, raw.length, this.#now())) {
      this.#unread.set(client, { isSuspect: true, end });
      return;
    }
    let redacted = this.#judge.guard(() => this.#redactor.malformed(raw, before?.end), raw);
    if (redacted === null && before?.isSuspect === true) redacted = this.#redactor.withheld(raw);
    this.#unread.set(client, { isSuspect: redacted?.paths.includes('*') ?? false, end });
    this.#record('malformed', client, () => {
      this.#put(MESSAGE, raw, raw.length, redacted, this.#maxMessage);
      // QEMU's errors quote what they complain of.
      const redactedReply = redacted === null ? null : this.#redactor.withheld(reply);
      this.#put(REPLY, reply, lengthWithoutLineEnd(reply), redactedReply, this.#maxMessage);
    });
  }

  denied(command: CommandView, rule: string, reply: Uint8Array): void {
    const of = command.auditSeq;
    const { client, raw, name } = command;
    this.#takeSecrets(of);
    this.#flood.flush(client);
    // It was counted, and is recorded now.
    if (of === LEFT_OUT) this.#leftOut.count(client, name, this.#now(), -1);
    if (rule === UNRECORDED) this.#log.countRefused();
    const redacted = this.#judgeCommand(command);
    const redactedReply =
      redacted === null ? null : this.#judge.guard(() => this.#redactor.answer(name, redacted.answer, reply), reply);
    this.#record('denied', client, () => {
      this.#putOf(of);
      this.#putName(redacted?.name ?? name);
      this.#putIds(command, redacted?.answer ?? null);
      this.#putText(',"rule":', rule);
      this.#put(MESSAGE, raw, raw.length, redacted?.message ?? null, 0);
      this.#put(REPLY, reply, lengthWithoutLineEnd(reply), redactedReply, 0);
    });
  }

  event(name: string, message: readonly Uint8Array[], receivers: number): void {
    if (this.#log.leftOut.events.has(name) || this.#log.leftOut.kinds.has('event')) return;
    const whole = joined(message);
    const redacted = this.#judge.other(whole, message);
    this.#record('event', null, () => {
      this.#putText(',"event":', name);
      this.#putCount(',"receivers":', receivers);
      this.#putChunks(whole, redacted);
    });
  }

  upstream(state: UpstreamState): void {
    this.#record('upstream', null, () => {
      this.#putText(',"state":', state.name);
      if (state.name === 'running') {
        this.#putText(',"version":', state.version);
        if (this.#address !== null) this.#putText(',"address":', this.#address);
      }
      if (state.name === 'lost') this.#putText(',"reason":', state.reason);
    });
  }

  stray(message: readonly Uint8Array[], why: string): void {
    const whole = joined(message);
    const redacted = this.#judge.stray(whole) ?? this.#judge.other(whole, message);
    this.#record('stray', null, () => {
      this.#putText(',"reason":', why);
      this.#putChunks(whole, redacted);
    });
  }

  probe(probe: ProbeView): void {
    if (this.#log.isRefusing) return;
    probe.auditSeq = this.#putProbe(probe);
  }

  probeAnswered(probe: ProbeView, reply: readonly Uint8Array[], isError: boolean): void {
    const whole = joined(reply);
    const redacted = this.#judge.other(whole, reply);
    this.#record('probe', null, () => {
      const { line, startedAt } = this.#log;
      this.#putOf(probe.auditSeq);
      line.putAscii(`,"outcome":"${isError ? 'error' : 'ok'}"`);
      line.putText(LATENCY);
      line.putNumber(Math.max(0, startedAt - this.#clockDifference - probe.sentAt));
      this.#putChunks(whole, redacted);
    });
  }

  probeUnanswered(probe: ProbeView, reason: string): void {
    // Neither asked, nor said to have been asked.
    if (probe.auditSeq === 0 && this.#log.isRefusing) return;
    this.#record('probe', null, () => {
      this.#putOf(probe.auditSeq);
      this.#log.line.putAscii(',"outcome":"unanswered"');
      this.#putText(',"reason":', reason);
    });
  }

  flush(): string | null {
    const trouble = this.#log.flush() ?? this.#unrecorded;
    this.#unrecorded = null;
    return trouble;
  }

  /** Records a command. @returns its number, or 0 when it could not be kept */
  #putCommand(command: CommandView): number {
    const { client } = command;
    this.#endUnread(client);
    const redacted = this.#judgeCommand(command);
    const seq = this.#record('command', client, () => {
      const { line } = this.#log;
      this.#putName(redacted?.name ?? command.name);
      if (command.oob) line.putAscii(',"oob":true');
      if (command.descriptor !== undefined && command.descriptor !== null) {
        line.putAscii(',"descriptor":');
        this.#putDescriptor(command.descriptor);
      }
      this.#putIds(command, redacted?.answer ?? null);
      // What was asked of the VM is not cut.
      this.#put(MESSAGE, command.raw, command.raw.length, redacted?.message ?? null, 0);
    });
    if (seq > 0 && redacted?.answer != null) this.#answers.set(seq, redacted.answer);
    return seq;
  }

  /** Records a command of our own. @returns its record's number, or 0 when it could not be kept */
  #putProbe({ name, oob, upstreamId, raw }: ProbeView): number {
    return this.#record('probe', null, () => {
      const { line } = this.#log;
      this.#putName(name);
      if (oob) line.putAscii(',"oob":true');
      line.putText(UPSTREAM);
      line.putNumber(upstreamId);
      this.#put(MESSAGE, raw, raw.length, null, 0);
    });
  }

  /** A command has come: what could not be read before it is over. */
  #endUnread(client: ClientView): void {
    if (!this.#hasUnread) return;
    this.#unread.delete(client);
    if (this.#flood.isCounting) this.#flood.flush(client);
  }

  #takeSecrets(of: number): AnswerSecrets | null {
    if (this.#answers.size === 0) return null;
    const secrets = this.#answers.get(of) ?? null;
    this.#answers.delete(of);
    return secrets;
  }

  #judgeCommand({ name, raw }: CommandView): RedactedCommand | null {
    return this.#judge.command(name, raw);
  }

  /** An error of ours may quote the command's id. */
  #judgeReply(command: CommandView, reply: Uint8Array): Redacted | null {
    const secrets = this.#answers.get(command.auditSeq) ?? null;
    if (secrets === null) return null;
    return this.#judge.guard(() => this.#redactor.answer(command.name, secrets, reply), reply);
  }

  /**
   * Makes a record about a client or about the VM.
   * @param put puts what it holds; when that fails, once more with every message withheld
   * @returns its number, or 0 when there is none
   */
  #record(kind: Kind, client: ClientView | null, put: () => void): number {
    let seq = this.#begin(kind, client);
    if (seq === 0) return 0;
    try {
      put();
    } catch (error) {
      this.#log.abandon();
      this.#judge.fault(error, 0);
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
    if (name.length > LONGEST_NAME) {
      this.#putText(',"command":', name);
      return;
    }
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

  #putIds(command: CommandView, secrets: AnswerSecrets | null): void {
    const { line } = this.#log;
    const { idBytes } = command;
    const mark = this.#isWithholding ? NO_ID : (secrets?.id ?? null);
    if (mark !== null) {
      if (idBytes !== null) putMessage(line, ID, mark, 0, mark.length, 0);
    } else if (idBytes !== null) putMessage(line, ID, idBytes, command.idStart, command.idEnd, 0);
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

  #putCount(member: string, count: number): void {
    const { line } = this.#log;
    line.putAscii(member);
    line.putNumber(count);
  }

  /** @param whole null when it is too long to be one; then it is withheld */
  #putChunks(whole: Uint8Array | null, redacted: Redacted | null, limit = this.#maxMessage): void {
    const message = whole ?? NO_BYTES;
    this.#put(MESSAGE, message, lengthWithoutLineEnd(message), redacted, limit);
  }

  /** @returns how many bytes are kept of an answer; 0 for all */
  #mostOf(name: string): number {
    const most = this.#maxMessage;
    if (!SELF_DESCRIPTIONS.has(name)) return most;
    return most === 0 ? MOST_OF_DESCRIPTION : Math.min(most, MOST_OF_DESCRIPTION);
  }

  #put(names: MessageNames, message: Uint8Array, length: number, redacted: Redacted | null, limit: number): void {
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

function textOf(text: string): ShortText {
  return new ShortText(Buffer.from(text));
}

/** @returns the message whose pieces these are, or null when it is too long to be kept. */
function joined(chunks: readonly Uint8Array[]): Uint8Array | null {
  const [first] = chunks;
  if (chunks.reduce((sum, chunk) => sum + chunk.length, 0) > MOST_KEPT) return null;
  return chunks.length === 1 && first !== undefined ? first : Buffer.concat(chunks);
}

function escapeUnit(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

/** @returns the members about a client; of its peer only what is known, and what takes room only where it connects. */
function describeClient({ listener, id, peer }: ClientView, kind: Kind): string {
  const shown = kind === 'connect' || peer.kind !== 'unix' ? peer : { ...peer, exe: undefined, unit: undefined };
  return `,"listener":${JSON.stringify(listener)},"client":${id},"peer":${JSON.stringify(shown)}`;
}
