/**
 * A QMP server without a QEMU: what `qmpmux demo` shares, and what tests use if a real QEMU is too slow, too quick, or too
 * well-behaved.
 *
 * It treats its clients' input as QEMU's monitor does (monitor/qmp.c): reads QEMU's JSON, refuses in QEMU's words,
 * serves one client at a time, executes in-band commands one after another, lets out-of-band ones overtake them, stops
 * reading when too many wait, and sends output still due to a departed client to the next one. Its greeting says that
 * it is simulated. Tests can hold commands back, put answers and events in its mouth, and break its connections.
 */
import { createServer, type Server } from 'node:net';
import type { Duplex } from 'node:stream';
import { CommandReader } from '../qmp/command.js';
import { canonicalValue } from '../qmp/json/canonical.js';
import { Parser } from '../qmp/json/parser.js';
import type { Dialect } from '../qmp/json/prompt-stream.js';
import { Scan, Scanner } from '../qmp/json/scanner.js';
import { formatJson, isJsonArray, isJsonObject, type JsonObject, parseJson } from '../qmp/json/value.js';
import { type ErrorClass, errorReply, genericError, type QmpFault } from '../qmp/message.js';
import { asciiText } from '../shared/bytes.js';
import { prettyLines } from './pretty-lines.js';
import { type Effect, SimulatedVm } from './simulated-vm.js';

export interface SimulatedMonitorOptions {
  /** Whether the `oob` capability is offered. Default true. */
  readonly oob?: boolean;
  /** Whether messages take many lines, as with `pretty=on`. Default false. */
  readonly pretty?: boolean;
  /** How malformed input is answered: as by QEMU 11.1 and later (`prompt`), or by those before. Default `classic`. */
  readonly dialect?: Dialect;
}

/** One execution of a command that waits until it is released. */
interface Hold {
  /** Resolves when the command's turn has come. */
  readonly reached: Promise<void>;
  /** Lets it be executed and answered. */
  release(): void;
}

interface Session {
  readonly stream: Duplex;
  readonly scanner: Scanner;
  negotiated: boolean;
  oob: boolean;
  /** The client has shut down its side: it gets its answers, then EOF. */
  inputEnded: boolean;
}

/** The entries of the in-band queue. The id is in QEMU's spelling. */
type Request =
  | { readonly kind: 'fault'; readonly id: Uint8Array | null; readonly fault: QmpFault }
  | { readonly kind: 'command'; readonly id: Uint8Array | null; readonly name: string; readonly args: JsonObject };

/** QMP_REQ_QUEUE_LEN_MAX: how many commands wait in QEMU before it stops reading, with oob; without, it reads one at a time. */
const QUEUE_LIMIT = 8;
/** Bytes taken from a client beyond those that may be read now. */
const READ_AHEAD = 65536;
const EXPECTING = "Expecting capabilities negotiation with 'qmp_capabilities'";
const COMPLETE = 'Capabilities negotiation is already complete, command ignored';

export class SimulatedMonitor {
  readonly vm = new SimulatedVm();
  readonly #offersOob: boolean;
  readonly #pretty: boolean;
  readonly #dialect: Dialect;
  readonly #parser = new Parser();
  readonly #reader = new CommandReader();
  readonly #executed = new Map<string, number>();
  readonly #answers = new Map<string, string>();
  readonly #holds = new Map<string, { readonly reached: Signal; readonly released: Signal }>();
  #server: Server | null = null;
  #session: Session | null = null;
  /** Connections that wait until the one before them is over. */
  #waiting: Duplex[] = [];
  #queue: Request[] = [];
  /** Whether an in-band command is held back. */
  #busy = false;
  #over = false;
  /** Whether `#read` is at work, further up the stack. */
  #reading = false;
  readonly #quitted = new Signal();

  constructor(options: SimulatedMonitorOptions = {}) {
    this.#offersOob = options.oob ?? true;
    this.#pretty = options.pretty ?? false;
    this.#dialect = options.dialect ?? 'classic';
  }

  /** Listens on a Unix socket. Rejects with the system's error. */
  async start(path: string): Promise<void> {
    const server = createServer({ allowHalfOpen: true }, (socket) => this.attach(socket));
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(path, () => {
        server.off('error', reject);
        resolve();
      });
    });
    this.#server = server;
  }

  /** Serves a connection: at once, or when those before it are over. */
  attach(stream: Duplex): void {
    stream.on('error', () => {}); // a client that is gone; `close` follows
    stream.on('close', () => this.#left(stream));
    if (this.#over) stream.destroy();
    else if (this.#session === null) this.#serve(stream);
    else {
      this.#waiting.push(stream);
      // Node cannot distinguish a departed client from one that only shut down its side. QEMU can, and would serve the latter.
      if (this.#session.inputEnded) this.#session.stream.destroy();
    }
  }

  /** Stops listening and drops every connection. The socket's file is removed. */
  async stop(): Promise<void> {
    this.#over = true;
    const server = this.#server;
    this.#server = null;
    const closed = server === null ? Promise.resolve() : new Promise<void>((resolve) => server.close(() => resolve()));
    for (const stream of this.#waiting) stream.destroy();
    this.#session?.stream.destroy();
    await closed;
  }

  /** Resolves when a client has ended the machine with `quit`. */
  get quitted(): Promise<void> {
    return this.#quitted.given;
  }

  /** How often a command was executed: its turn had come, and name and arguments were good. */
  executions(name: string): number {
    return this.#executed.get(name) ?? 0;
  }

  /** Whether a client is connected and has negotiated. */
  get hasClient(): boolean {
    return this.#session?.negotiated ?? false;
  }

  /** Holds back the next execution of a command; commands after it wait, as for a slow one. */
  hold(name: string): Hold {
    const reached = new Signal();
    const released = new Signal();
    this.#holds.set(name, { reached, released });
    return { reached: reached.given, release: () => released.give() };
  }

  /** From now on the command returns this JSON text, whatever its arguments. It may be of any size. */
  answer(name: string, json: string): void {
    this.#answers.set(name, json);
  }

  /** Sends an event, if there is a client to get it. */
  emit(name: string, data?: JsonObject): void {
    if (this.#session?.negotiated !== true) return;
    const now = Math.round((performance.timeOrigin + performance.now()) * 1000);
    const timestamp = `{"seconds": ${Math.floor(now / 1_000_000)}, "microseconds": ${now % 1_000_000}}`;
    const rest = data === undefined ? '' : `, "data": ${formatJson(data, 'qemu')}`;
    this.#write(`{"timestamp": ${timestamp}, "event": ${formatJson(name)}${rest}}`);
  }

  /** Sends bytes as they are. */
  say(bytes: string | Uint8Array): void {
    this.#session?.stream.write(bytes);
  }

  /** Breaks the connection of the client that is served. */
  drop(): void {
    this.#session?.stream.destroy();
  }

  #serve(stream: Duplex): void {
    const session: Session = { stream, scanner: new Scanner(), negotiated: false, oob: false, inputEnded: false };
    this.#session = session;
    session.scanner.dialect = this.#dialect;
    const capabilities = this.#offersOob ? '["oob"]' : '[]';
    this.#write(`{"QMP": {"version": ${formatJson(this.vm.version, 'qemu')}, "capabilities": ${capabilities}}}`);
    stream.on('data', (chunk: Buffer) => {
      session.scanner.push(chunk);
      this.#read(session);
    });
    stream.on('end', () => {
      session.inputEnded = true;
      if (this.#waiting.length > 0) stream.destroy();
      this.#endWhenAnswered();
    });
  }

  #left(stream: Duplex): void {
    this.#waiting = this.#waiting.filter((other) => other !== stream);
    if (this.#session?.stream !== stream) return;
    this.#session = null;
    this.#queue = []; // QEMU drops what it has not begun
    const next = this.#waiting.shift();
    if (next !== undefined && !this.#over) this.#serve(next);
  }

  #read(session: Session): void {
    this.#reading = true;
    this.#readUntilFull(session);
    this.#reading = false;
  }

  #readUntilFull(session: Session): void {
    while (session === this.#session && !this.#over) {
      if (this.#isFull(session)) {
        // Node notices only while it reads that a client has left, so a little is taken although it has to wait.
        if (session.scanner.heldBytes > READ_AHEAD) session.stream.pause();
        return;
      }
      const result = session.scanner.next();
      if (result === Scan.NeedMore) return;
      if (result === Scan.Malformed) {
        this.#accept({ kind: 'fault', id: null, fault: genericError(session.scanner.error) });
      } else this.#message(session);
    }
  }

  #isFull(session: Session): boolean {
    return session.oob ? this.#queue.length >= QUEUE_LIMIT : this.#queue.length > 0 || this.#busy;
  }

  #message(session: Session): void {
    const { scanner } = session;
    const parser = this.#parser;
    parser.parse(scanner.bytes, scanner.tokens);
    if (parser.error !== null || !parser.isObject) {
      const fault = genericError(parser.error ?? 'QMP input must be a JSON object');
      this.#accept({ kind: 'fault', id: null, fault });
      return;
    }
    const reader = this.#reader;
    reader.read(scanner, parser, session.oob);
    const { name, argumentsToken } = reader;
    const id = reader.id(scanner);
    let request: Request;
    if (reader.shapeError !== null) request = { kind: 'fault', id, fault: genericError(reader.shapeError) };
    else {
      const text = argumentsToken < 0 ? '{}' : asciiText(canonicalValue(scanner.bytes, scanner.tokens, argumentsToken));
      const args = parseJson(text);
      const isWhole = args.ok && isJsonObject(args.value);
      request = isWhole
        ? { kind: 'command', id, name, args: args.value }
        : {
            kind: 'fault',
            id,
            fault: genericError('This monitor is simulated, and cannot read a number of this size'),
          };
    }
    if (reader.isOutOfBand) this.#answer(request, true);
    else this.#accept(request);
  }

  #accept(request: Request): void {
    this.#queue.push(request);
    this.#pump();
  }

  /** Executes the queue, up to a command that is held back. */
  #pump(): void {
    while (!this.#busy && !this.#over) {
      const request = this.#queue.shift();
      if (request === undefined) break;
      const hold = request.kind === 'command' ? this.#holds.get(request.name) : undefined;
      if (hold === undefined || request.kind !== 'command') this.#answer(request, false);
      else {
        this.#holds.delete(request.name);
        this.#busy = true;
        hold.reached.give();
        void this.#answerAfter(hold.released, request);
      }
    }
    this.#endWhenAnswered();
    const session = this.#session;
    if (session === null || this.#reading || this.#isFull(session)) return;
    if (session.stream.isPaused()) session.stream.resume();
    this.#read(session);
  }

  async #answerAfter(released: Signal, request: Request): Promise<void> {
    await released.given;
    this.#busy = false;
    if (this.#over) return;
    this.#answer(request, false);
    this.#pump();
  }

  /** The reply goes to the client connected now, like QEMU's. */
  #answer(request: Request, outOfBand: boolean): void {
    const effect = request.kind === 'fault' ? request.fault : this.#execute(request.name, request.args, outOfBand);
    if (!('outcome' in effect)) {
      this.#write(asciiText(errorReply(request.id, effect)).trimEnd());
      return;
    }
    for (const { name, data } of effect.events) this.emit(name, data);
    const { outcome } = effect;
    if (outcome.kind === 'error') {
      const fault: QmpFault = { class: errorClass(outcome.class), desc: outcome.desc };
      this.#write(asciiText(errorReply(request.id, fault)).trimEnd());
    } else {
      const id = request.id === null ? '' : `, "id": ${asciiText(request.id)}`;
      this.#write(`{"return": ${outcome.value}${id}}`);
    }
    if (effect.quits) this.#quit();
  }

  /** As qmp_dispatch does: whether there is such a command now, whether it may overtake, its arguments, then the command. */
  #execute(name: string, args: JsonObject, outOfBand: boolean): Effect | QmpFault {
    const session = this.#session;
    const isNegotiation = name === 'qmp_capabilities';
    if (session?.negotiated === false && !isNegotiation) return { class: 'CommandNotFound', desc: EXPECTING };
    const command = this.vm.command(name);
    if (command === undefined) return { class: 'CommandNotFound', desc: `The command ${name} has not been found` };
    if (outOfBand && !command.allowsOob) return genericError(`The command ${name} does not support OOB`);
    const complaint = this.vm.checkArguments(command, args);
    if (complaint !== null) return genericError(complaint);
    this.#executed.set(name, this.executions(name) + 1);
    if (isNegotiation) return session === null ? nothing() : this.#negotiate(session, args);
    const answer = this.#answers.get(name);
    return answer === undefined
      ? this.vm.execute(name, args)
      : { ...nothing(), outcome: { kind: 'return', value: answer } };
  }

  #negotiate(session: Session, args: JsonObject): Effect | QmpFault {
    if (session.negotiated) return { class: 'CommandNotFound', desc: COMPLETE };
    const oob = isJsonArray(args['enable']) && args['enable'].includes('oob');
    if (oob && !this.#offersOob) return genericError('Capability oob not available');
    session.negotiated = true;
    session.oob = oob;
    return nothing();
  }

  #quit(): void {
    this.#over = true;
    this.#queue = [];
    this.#session?.stream.end();
    for (const stream of this.#waiting) stream.destroy();
    this.#server?.close();
    this.#server = null;
    this.#quitted.give();
  }

  #endWhenAnswered(): void {
    const session = this.#session;
    if (session?.inputEnded === true && this.#queue.length === 0 && !this.#busy) session.stream.end();
  }

  #write(message: string): void {
    this.#session?.stream.write(`${this.#pretty ? prettyLines(message) : message}\r\n`, 'latin1');
  }
}

/** Something that happens once and can be waited for. */
class Signal {
  give: () => void = () => {};
  readonly given = new Promise<void>((resolve) => {
    this.give = resolve;
  });
}

function nothing(): Effect {
  return { events: [], outcome: { kind: 'return', value: '{}' }, quits: false };
}

function errorClass(name: string): ErrorClass {
  switch (name) {
    case 'CommandNotFound':
    case 'DeviceNotActive':
    case 'DeviceNotFound':
    case 'KVMMissingCap':
      return name;
    default:
      return 'GenericError';
  }
}
