/**
 * The commands that qmpmux answers itself, in QMP's form for downstream extensions: `__org.qmpmux_…`. Only clients of a listener that
 * allows them have them; all others get QEMU's answer to an unknown name.
 *
 * Invariant: a command is carried out in its turn, after everything its client sent before it is answered, and recorded before it
 * is carried out. A command that cannot be recorded is refused, as one that goes to QEMU is.
 */

import { isJsonObject, type JsonObject, parseJson } from '../../qmp/json/value.js';
import { emptyReturn, errorReply, genericError, type QmpFault } from '../../qmp/message.js';
import { ascii, asciiText, concat } from '../../shared/bytes.js';
import { clientText } from '../../shared/peer-text.js';
import type { ExtensionCommands } from '../client/extension-commands.js';
import type { ExtensionCall, PendingCommand } from '../commands/command.js';
import type { EventRing } from '../events/ring.js';
import { EXTENSION_PREFIX } from '../ports/extension-prefix.js';
import type { ClientView } from '../ports/observer.js';
import { CrowdReports } from './crowd-reports.js';
import { type Reportable, type Reported, seconds, statusReport, writeReport } from './extension-report.js';

/** The information and actions that extension commands need from outside the multiplexer. */
export interface ExtensionServices {
  /** qmpmux's own version. */
  readonly version: string;
  /** QEMU's address, as configured. */
  readonly upstream: string;
  /** A word that no other multiplexer has, and this one not after a restart. */
  readonly instance: string;
  /** Where clients can connect, and how they are served there. */
  listeners(): readonly { readonly [name: string]: Reported }[];
  /**
   * Reads the config again. Null if there is none.
   * @returns a description of the changes. @throws Error saying why nothing has changed
   */
  readonly reload: (() => Promise<readonly string[]>) | null;
}

/** The properties of a command that are known before its turn. */
interface Question {
  readonly kind: ExtensionKind;
  readonly arguments: JsonObject;
}

type ExtensionKind = keyof typeof COMMANDS;
type ArgumentType = 'integer' | 'string';

interface Definition {
  readonly arguments: Readonly<Record<string, { readonly type: ArgumentType; readonly optional?: true }>>;
  /** Whether it may be executed out-of-band. */
  readonly oob: boolean;
}

const COMMANDS = {
  'query-status': { arguments: {}, oob: true },
  'query-clients': { arguments: {}, oob: true },
  'query-queue': { arguments: {}, oob: true },
  'query-events': {
    arguments: { since: { type: 'integer', optional: true }, instance: { type: 'string', optional: true } },
    oob: true,
  },
  'disconnect-client': { arguments: { client: { type: 'integer' } }, oob: true },
  reload: { arguments: {}, oob: false },
} as const satisfies Readonly<Record<string, Definition>>;

/** The names of all extension commands. */
export const EXTENSION_COMMANDS: readonly string[] = Object.keys(COMMANDS).map((name) => EXTENSION_PREFIX + name);

function isKind(name: string): name is ExtensionKind {
  return Object.hasOwn(COMMANDS, name);
}

/** The result of a command, as JSON; or an error. */
type Outcome = { readonly value: string | Uint8Array } | QmpFault;

const NO_CONFIG = genericError('qmpmux was started without a config file: there is nothing to reload');
const COMMA = ascii(', ');
const CLOSE = ascii('}');
const RETURN = ascii('{"return": ');
const ID_MEMBER = ascii(', "id": ');
const END = ascii('}\r\n');

/** The subjects of extension commands. */
export interface ExtensionParts extends Reportable {
  /** The monitor's name. */
  readonly name: string;
  readonly ring: EventRing;
}

export class Extensions implements ExtensionCommands {
  readonly #parts: ExtensionParts;
  readonly #failed: (error: unknown) => void;
  readonly #services: ExtensionServices | null;
  readonly #startedAt: number;
  #stateSince: number;
  readonly #reports: CrowdReports;
  /** Commands whose outcome is still to come. */
  readonly #running = new Set<PendingCommand>();
  /** Why no slow command is begun any more. */
  #ending: string | null = null;

  /** @param failed is called for a fault of ours outside of any call */
  constructor(parts: ExtensionParts, services: ExtensionServices | null, failed: (error: unknown) => void) {
    this.#parts = parts;
    this.#services = services;
    this.#failed = failed;
    this.#reports = new CrowdReports(parts);
    this.#startedAt = parts.books.now();
    this.#stateSince = this.#startedAt;
  }

  /** The upstream's state has changed. */
  stateChanged(): void {
    this.#stateSince = this.#parts.books.now();
  }

  /** Time has passed. */
  tick(): void {
    this.#reports.forget();
  }

  /** @returns whether this is one of our commands, by its decoded name. */
  has(name: string): boolean {
    return name.startsWith(EXTENSION_PREFIX) && isKind(name.slice(EXTENSION_PREFIX.length));
  }

  /** @param written the arguments as JSON in QEMU's spelling; null for none */
  read(name: string, written: Uint8Array | null): ExtensionCall {
    const kind = name.slice(EXTENSION_PREFIX.length);
    if (!isKind(kind)) throw new Error(`not an extension command: ${name}`);
    const parsed = parseJson(written === null ? '{}' : asciiText(written));
    const question: Question = { kind, arguments: parsed.ok && isJsonObject(parsed.value) ? parsed.value : {} };
    return {
      run: (command) => this.#run(command, question),
      forget: (command) => this.#forget(command),
    };
  }

  /**
   * Carries out a command whose turn has come.
   * @returns its reply; null when that comes later
   */
  #run(command: PendingCommand, call: Question): readonly Uint8Array[] | null {
    const { observer } = this.#parts.books;
    command.sentAt = this.#parts.books.now();
    observer?.command(command);
    const trouble = observer?.flush() ?? null;
    if (trouble !== null) {
      const desc = `qmpmux cannot record this command, so it was not run: ${trouble}`;
      const reply = errorReply(command.id, genericError(desc));
      observer?.denied(command, 'audit', reply);
      return [reply];
    }
    const reload = call.kind === 'reload' ? (this.#services?.reload ?? null) : null;
    const obstacle = this.#ending === null ? NO_CONFIG : genericError(`this monitor is ending: ${this.#ending}`);
    const isHindered = call.kind === 'reload' && (reload === null || this.#ending !== null);
    const fault = faultOf(command, call) ?? (isHindered ? obstacle : null);
    if (fault === null && reload !== null) {
      this.#begin(command, reload());
      return null;
    }
    return this.#conclude(command, fault ?? this.#carryOut(command, call));
  }

  /** The session stops reading and waiting: its commands still being carried out are answered now. */
  giveUp(reason: string): void {
    this.#ending = reason;
    for (const command of this.#running) {
      this.#finish(
        command,
        genericError(`this monitor stopped before the command was done; the log has its outcome: ${reason}`),
      );
    }
  }

  /** A command is released, and with it everything that waits for it. */
  #forget(command: PendingCommand): void {
    if (this.#running.delete(command)) this.#parts.books.observer?.unanswered(command, 'its client is gone');
  }

  /** The next observer knows nothing of what was reported so far. */
  forgetMarks(): void {
    for (const command of this.#running) command.auditSeq = 0;
  }

  #conclude(command: PendingCommand, outcome: Outcome): readonly Uint8Array[] {
    const { id } = command;
    const isError = 'desc' in outcome;
    const reply = isError ? [errorReply(id, outcome)] : returnReply(id, outcome.value);
    this.#parts.books.observer?.answered(command, reply, isError, 'local');
    return reply;
  }

  #carryOut(command: PendingCommand, { kind, arguments: given }: Question): Outcome {
    const now = this.#parts.books.now();
    switch (kind) {
      case 'query-status':
        return { value: writeReport(this.#status(now)) };
      case 'query-clients':
        return { value: this.#reports.clients(command.client, now) };
      case 'query-queue':
        return { value: this.#reports.queue(now) };
      case 'query-events':
        return { value: this.#events(command.client, given) };
      case 'disconnect-client':
        return this.#disconnect(command.client, Number(given['client']));
      case 'reload':
        // `run` has its own way for it.
        throw new Error('a reload is not a query');
    }
  }

  #status(now: number): Reported {
    const services = this.#services;
    const { upstream, ...rest } = statusReport(this.#parts, now, this.#stateSince);
    return {
      qmpmux: services?.version ?? '',
      monitor: this.#parts.name,
      uptime: seconds(now - this.#startedAt),
      upstream: { address: services?.upstream ?? '', ...upstream },
      listeners: services?.listeners() ?? [],
      ...rest,
      events: { instance: this.#instance, first: this.#parts.ring.first, last: this.#parts.ring.last },
    };
  }

  get #instance(): string {
    return this.#services?.instance ?? this.#parts.name;
  }

  #events(client: ClientView, { since, instance }: JsonObject): Uint8Array {
    const wanted = typeof since === 'number' ? Math.max(0, since) : 0;
    const { last } = this.#parts.ring;
    const isOther = wanted > last || (instance !== undefined && instance !== this.#instance);
    const filter = this.#parts.clients.find(client.id)?.eventFilter ?? null;
    const items: Uint8Array[] = [];
    for (const item of this.#parts.ring.after(isOther ? 0 : wanted)) {
      if (item.kind === 'event' && filter?.passes(item.name) === false) continue;
      if (items.length > 0) items.push(COMMA);
      if (item.kind === 'gap') items.push(ascii(`{"gap": {"first": ${item.first}, "last": ${item.last}}}`));
      else items.push(ascii(`{"seq": ${item.number}, "event": `), item.bytes, CLOSE);
    }
    const head = writeReport({ instance: this.#instance, last, restarted: isOther }).slice(0, -1);
    return concat([ascii(`${head}, "events": [`), ...items, ascii(']}')]);
  }

  #disconnect(from: ClientView, id: number): Outcome {
    if (id === from.id) return genericError(`client ${from.id} is this connection itself: close it`);
    const session = this.#parts.clients.find(id);
    if (session?.isConnected !== true) {
      return genericError(`there is no client ${id}; ${EXTENSION_PREFIX}query-clients lists them`);
    }
    const reason = `disconnected by ${clientText(from)}`;
    session.cut('killed', reason);
    session.dropWaiting(reason);
    return { value: '{}' };
  }

  #begin(command: PendingCommand, reload: Promise<readonly string[]>): void {
    this.#running.add(command);
    const finished = reload.then(
      (changes) => this.#finish(command, { value: writeReport({ changes: [...changes] }) }),
      (error: unknown) => this.#finish(command, genericError(error instanceof Error ? error.message : String(error))),
    );
    finished.catch((error: unknown) => {
      this.#failed(error);
    });
  }

  /** Answers a command that was being carried out, unless it is not any more. */
  #finish(command: PendingCommand, outcome: Outcome): void {
    if (!this.#running.delete(command)) return;
    command.owner.answerLocally(command, this.#conclude(command, outcome));
  }
}

/** @returns the error that QEMU's dispatcher and visitors would report for the command; null if it is in order. */
function faultOf({ oob, name }: PendingCommand, { kind, arguments: given }: Question): QmpFault | null {
  const { oob: allowsOob, arguments: known }: Definition = COMMANDS[kind];
  if (oob && !allowsOob) return genericError(`The command ${name} does not support OOB`);
  for (const [parameter, { type, optional }] of Object.entries(known)) {
    const value = given[parameter];
    if (value === undefined) {
      if (optional !== true) return genericError(`Parameter '${parameter}' is missing`);
    } else if (type === 'integer' ? !Number.isSafeInteger(value) : typeof value !== type) {
      return genericError(`Invalid parameter type for '${parameter}', expected: ${type}`);
    }
  }
  const unexpected = Object.keys(given).find((parameter) => !Object.hasOwn(known, parameter));
  return unexpected === undefined ? null : genericError(`Parameter '${unexpected}' is unexpected`);
}

function returnReply(id: Uint8Array | null, value: string | Uint8Array): readonly Uint8Array[] {
  if (value === '{}') return [emptyReturn(id)];
  const body = typeof value === 'string' ? ascii(value) : value;
  return id === null ? [RETURN, body, END] : [RETURN, body, ID_MEMBER, id, END];
}
