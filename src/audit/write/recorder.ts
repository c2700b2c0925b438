/**
 * The observer that writes the audit log: one for each monitor, all into one log. It decides the content of a record, and has the redactor
 * check it; record-writer.ts puts it together.
 *
 * What must hold: a command has its record before `flush` returns, or `flush` fails; nothing that the redactor objects to is put into a
 * record; and no message, whatever its content, affects more than its own record, in which it is then withheld.
 */

import type { Descriptor, UpstreamState } from '../../mux/ports/link.js';
import type { ClientView, CommandView, Observer, ProbeView, ReplySource } from '../../mux/ports/observer.js';
import { LeftOutCounts, type LeftOutSum } from '../log/left-out.js';
import { lengthWithoutLineEnd, MESSAGE, REPLY } from '../log/message-field.js';
import type { Report } from '../log/sink.js';
import { MessageJudge } from '../redact/message-judge.js';
import type { AnswerSecrets, Redacted, RedactedCommand, Redactor } from '../redact/redaction.js';
import type { AuditLog } from './audit-log.js';
import { MalformedFlood } from './malformed-flood.js';
import { MOST_KEPT, RecordWriter, textOf } from './record-writer.js';

interface RecorderOptions {
  readonly log: AuditLog;
  readonly monitor: string;
  /** Where QEMU is reached; recorded at each connection. */
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
const SOURCES: Readonly<Record<ReplySource, Uint8Array>> = {
  upstream: textOf(',"source":"upstream"'),
  cached: textOf(',"source":"cached"'),
  shared: textOf(',"source":"shared"'),
  local: textOf(',"source":"local"'),
  late: textOf(',"source":"late"'),
};
/**
 * QEMU's answers to these describe QEMU at length, and are the same for all its VMs; shells ask at each start. Only the beginning is
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
/** The end of unreadable input kept to be searched together with the next bytes: longer than any word searched for. */
const UNREAD_END = 128;

interface Unread {
  /** Whether it was withheld. */
  readonly isSuspect: boolean;
  readonly end: Uint8Array;
}

const QUEUED = textOf(',"queued":');

export class Recorder implements Observer {
  readonly wantsRaw = true;
  readonly #log: AuditLog;
  readonly #redactor: Redactor;
  readonly #judge: MessageJudge;
  readonly #writer: RecordWriter;
  readonly #maxMessage: number;
  /** The log's clock minus the multiplexer's. */
  readonly #clockDifference: number;
  readonly #address: string | null;
  /** By the number of its record: secrets that a command predicts in its pending answer. */
  readonly #answers = new Map<number, AnswerSecrets>();
  /** The end of a client's last input, if unreadable: the next bytes may belong to it. */
  readonly #unread = new WeakMap<ClientView, Unread>();
  /** Whether any client has been among them; hardly ever. */
  #hasUnread = false;
  readonly #flood = new MalformedFlood((client, { count, length }) => {
    this.#writer.record('malformed', client, () => {
      this.#writer.putCount(',"count":', count);
      this.#writer.putCount(',"length":', length);
    });
  });
  readonly #leftOut: LeftOutCounts;
  readonly #now: () => number;

  constructor(options: RecorderOptions) {
    this.#log = options.log;
    this.#leftOut = new LeftOutCounts((client, sum) => {
      this.#putSum(client, sum);
    }, options.log.pending);
    this.#redactor = options.redactor;
    this.#judge = new MessageJudge(options.redactor, options.report ?? (() => undefined));
    this.#maxMessage = options.maxMessage;
    this.#clockDifference = options.log.clock.now() - options.now();
    this.#address = options.address;
    this.#now = options.now;
    this.#writer = new RecordWriter({
      log: options.log,
      monitor: options.monitor,
      redactor: options.redactor,
      maxMessage: options.maxMessage,
      clockDifference: this.#clockDifference,
      faulted: (error) => {
        this.#judge.fault(error, 0);
      },
    });
  }

  connected(client: ClientView): void {
    this.#writer.record('connect', client, () => undefined);
  }

  negotiated(client: ClientView, capabilities: readonly string[], raw: Uint8Array): void {
    this.#flood.flush(client);
    const redacted = this.#judge.guard(() => this.#redactor.malformed(raw), raw);
    this.#writer.record('negotiated', client, () => {
      const { line } = this.#log;
      line.putAscii(',"capabilities":');
      line.putAscii(JSON.stringify(capabilities));
      this.#writer.put(MESSAGE, raw, raw.length, redacted, 0);
    });
  }

  disconnected(client: ClientView, reason: string): void {
    this.#flood.flush(client);
    this.#leftOut.flush(client);
    this.#writer.record('disconnect', client, () => {
      this.#writer.putText(',"reason":', reason);
    });
  }

  descriptors(client: ClientView, descriptors: readonly Descriptor[], fault: string | null): void {
    this.#writer.record('descriptors', client, () => {
      const { line } = this.#log;
      this.#writer.putCount(',"count":', descriptors.length);
      for (const [index, descriptor] of descriptors.entries()) {
        line.putAscii(index === 0 ? ',"descriptors":[' : ',');
        this.#writer.putDescriptor(descriptor);
      }
      if (descriptors.length > 0) line.putAscii(']');
      if (fault !== null) this.#writer.putText(',"reason":', fault);
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
    // Its descriptor is on record, so record its fate too.
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
    this.#writer.record('left-out', client, () => {
      // Records of one turn share their time, which may be that of its begin.
      const first = Math.min(Math.round(since + this.#clockDifference), this.#log.startedAt);
      this.#writer.putCount(',"since":', Math.max(0, first));
      this.#log.line.putAscii(`,"commands":${JSON.stringify(Object.fromEntries(commands))}`);
      if (errors > 0) this.#writer.putCount(',"errors":', errors);
      if (unanswered > 0) this.#writer.putCount(',"unanswered":', unanswered);
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
    this.#writer.record(kind, command.client, () => {
      const { line } = this.#log;
      this.#writer.putOf(of);
      this.#writer.putIds(command, secrets);
      this.#writer.putLatency(command.receivedAt);
      if (source === 'upstream') {
        line.putText(QUEUED);
        line.putNumber(Math.max(0, command.sentAt - command.receivedAt));
      }
      line.putText(SOURCES[source]);
      this.#writer.putChunks(whole, redacted, isError ? undefined : this.#mostOf(command.name));
    });
  }

  abandoned(command: CommandView, reply: Uint8Array): void {
    if (command.auditSeq === LEFT_OUT) {
      this.#leftOut.countFault(command.client, 'errors', this.#now());
      return;
    }
    // Remember the secrets in the answer: it may still come.
    this.#writer.record('error', command.client, () => {
      this.#writer.putOf(command.auditSeq);
      this.#writer.putIds(command, this.#answers.get(command.auditSeq) ?? null);
      this.#writer.putLatency(command.receivedAt);
      this.#log.line.putText(SOURCES.local);
      this.#writer.put(MESSAGE, reply, lengthWithoutLineEnd(reply), this.#judgeReply(command, reply), this.#maxMessage);
    });
  }

  limited(client: ClientView | null, listener: string, limit: string, what: string): void {
    if (client !== null) {
      // A disconnect has a record with its reason, and input that was too large has its own.
      if (limit !== 'paused') return;
      this.#writer.record('paused', client, () => {
        this.#writer.putText(',"reason":', what);
      });
      return;
    }
    this.#writer.record('refused', null, () => {
      this.#writer.putText(',"listener":', listener);
      this.#writer.putText(',"reason":', what);
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
    this.#writer.record('unanswered', command.client, () => {
      this.#writer.putOf(of);
      this.#writer.putIds(command, secrets);
      this.#writer.putText(',"reason":', reason);
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
    this.#writer.record('malformed', client, () => {
      this.#writer.put(MESSAGE, raw, raw.length, redacted, this.#maxMessage);
      // QEMU's errors quote the input they complain about.
      const redactedReply = redacted === null ? null : this.#redactor.withheld(reply);
      this.#writer.put(REPLY, reply, lengthWithoutLineEnd(reply), redactedReply, this.#maxMessage);
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
    this.#writer.record('denied', client, () => {
      this.#writer.putOf(of);
      this.#writer.putName(redacted?.name ?? name);
      this.#writer.putIds(command, redacted?.answer ?? null);
      this.#writer.putText(',"rule":', rule);
      this.#writer.put(MESSAGE, raw, raw.length, redacted?.message ?? null, 0);
      this.#writer.put(REPLY, reply, lengthWithoutLineEnd(reply), redactedReply, 0);
    });
  }

  event(name: string, message: readonly Uint8Array[], receivers: number): void {
    if (this.#log.leftOut.events.has(name) || this.#log.leftOut.kinds.has('event')) return;
    const whole = joined(message);
    const redacted = this.#judge.other(whole, message);
    this.#writer.record('event', null, () => {
      this.#writer.putText(',"event":', name);
      this.#writer.putCount(',"receivers":', receivers);
      this.#writer.putChunks(whole, redacted);
    });
  }

  upstream(state: UpstreamState): void {
    this.#writer.record('upstream', null, () => {
      this.#writer.putText(',"state":', state.name);
      if (state.name === 'running') {
        this.#writer.putText(',"version":', state.version);
        if (this.#address !== null) this.#writer.putText(',"address":', this.#address);
      }
      if (state.name === 'lost') this.#writer.putText(',"reason":', state.reason);
    });
  }

  stray(message: readonly Uint8Array[], why: string): void {
    const whole = joined(message);
    const redacted = this.#judge.stray(whole) ?? this.#judge.other(whole, message);
    this.#writer.record('stray', null, () => {
      this.#writer.putText(',"reason":', why);
      this.#writer.putChunks(whole, redacted);
    });
  }

  probe(probe: ProbeView): void {
    if (this.#log.isRefusing) return;
    probe.auditSeq = this.#putProbe(probe);
  }

  probeAnswered(probe: ProbeView, reply: readonly Uint8Array[], isError: boolean): void {
    const whole = joined(reply);
    const redacted = this.#judge.other(whole, reply);
    this.#writer.record('probe', null, () => {
      const { line } = this.#log;
      this.#writer.putOf(probe.auditSeq);
      line.putAscii(`,"outcome":"${isError ? 'error' : 'ok'}"`);
      this.#writer.putLatency(probe.sentAt);
      this.#writer.putChunks(whole, redacted);
    });
  }

  probeUnanswered(probe: ProbeView, reason: string): void {
    // Neither asked, nor said to have been asked.
    if (probe.auditSeq === 0 && this.#log.isRefusing) return;
    this.#writer.record('probe', null, () => {
      this.#writer.putOf(probe.auditSeq);
      this.#log.line.putAscii(',"outcome":"unanswered"');
      this.#writer.putText(',"reason":', reason);
    });
  }

  flush(): string | null {
    const unrecorded = this.#writer.takeUnrecorded();
    return this.#log.flush() ?? unrecorded;
  }

  /** Records a command. @returns its number, or 0 when it could not be kept */
  #putCommand(command: CommandView): number {
    const { client } = command;
    this.#endUnread(client);
    const redacted = this.#judgeCommand(command);
    const seq = this.#writer.record('command', client, () => {
      const { line } = this.#log;
      this.#writer.putName(redacted?.name ?? command.name);
      if (command.oob) line.putAscii(',"oob":true');
      if (command.descriptor !== undefined && command.descriptor !== null) {
        line.putAscii(',"descriptor":');
        this.#writer.putDescriptor(command.descriptor);
      }
      this.#writer.putIds(command, redacted?.answer ?? null);
      // Commands to the VM are never cut.
      this.#writer.put(MESSAGE, command.raw, command.raw.length, redacted?.message ?? null, 0);
    });
    if (seq > 0 && redacted?.answer != null) this.#answers.set(seq, redacted.answer);
    return seq;
  }

  /** Records a command of our own. @returns its record's number, or 0 when it could not be kept */
  #putProbe({ name, oob, upstreamId, raw }: ProbeView): number {
    return this.#writer.record('probe', null, () => {
      const { line } = this.#log;
      this.#writer.putName(name);
      if (oob) line.putAscii(',"oob":true');
      this.#writer.putUpstreamId(upstreamId);
      this.#writer.put(MESSAGE, raw, raw.length, null, 0);
    });
  }

  /** A command has come, so the unreadable input has ended. */
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

  /** @returns how many bytes are kept of an answer; 0 for all */
  #mostOf(name: string): number {
    const most = this.#maxMessage;
    if (!SELF_DESCRIPTIONS.has(name)) return most;
    return most === 0 ? MOST_OF_DESCRIPTION : Math.min(most, MOST_OF_DESCRIPTION);
  }
}

/** @returns the message whose pieces these are, or null when it is too long to be kept. */
function joined(chunks: readonly Uint8Array[]): Uint8Array | null {
  const [first] = chunks;
  if (chunks.reduce((sum, chunk) => sum + chunk.length, 0) > MOST_KEPT) return null;
  return chunks.length === 1 && first !== undefined ? first : Buffer.concat(chunks);
}
