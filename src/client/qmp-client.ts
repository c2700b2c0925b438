/**
 * A client of any QMP server: QEMU, qmpmux, qemu-storage-daemon.
 *
 *     const client = await QmpClient.connect({ path: '/run/vm.mux' });
 *     const status = await client.execute('query-status');
 *     for await (const event of client.events()) console.log(event.name);
 *
 * Many commands may be in flight; replies find theirs by id, never by order. Whatever a server sends, nothing here throws into
 * the event loop: a server that breaks the protocol costs the connection, and all that wait on it learn why.
 */
import { randomBytes, randomInt } from 'node:crypto';
import { EventEmitter } from 'node:events';
import type { Duplex } from 'node:stream';
import { formatJson, isJsonObject, type JsonObject, type JsonValue, parseJson } from '../qmp/json/value.js';
import { describeTarget, openStream, type QmpTarget } from './connect.js';
import { ConnectionError, type ConnectionErrorCode, OobUnavailableError } from './errors.js';
import { EventStreams } from './event-streams.js';
import { GreetingWait } from './greeting-wait.js';
import { type CommandId, InFlight } from './in-flight.js';
import { type Greeting, type QmpEvent, readEvent, returned } from './messages.js';
import type { ClientState, CommandOptions, ConnectOptions, EventsOptions } from './options.js';
import { PacedReader } from './paced-reader.js';
import { outlineReply, prepareCommand, type RawReply, restoreReply } from './raw-command.js';
import { closed, connected, isTraced, traced } from './tracing.js';

interface ClientEvents {
  event: [event: QmpEvent];
  close: [error: ConnectionError | null];
}

const NO_GREETING: Greeting = { capabilities: [], version: {}, bytes: Buffer.alloc(0) };
/** The guest agent's command with which a client finds the place in the stream from which on answers are its own. */
const SYNC = 'guest-sync-delimited';
/** Resets the parser of the guest agent, as of QEMU: no message contains this byte. */
const RESET = Buffer.of(0xff);
const DEFAULT_TIMEOUT_MS = 10_000;
const DEFAULT_MAX_MESSAGE_BYTES = 256 * 1024 * 1024;
/** How long a server that has answered everything may take to close its side after we have closed ours, in milliseconds. */
const CLOSE_GRACE_MS = 1000;

/** Emits `event` (a QmpEvent) and, once, `close` (the ConnectionError, or null after `close()`). */
export class QmpClient extends EventEmitter<ClientEvents> {
  /** Resolves when the connection has ended, with why: null after `close()`. Never rejects. */
  readonly closed: Promise<ConnectionError | null>;

  readonly #where: string;
  readonly #stream: Duplex;
  readonly #reader: PacedReader;
  readonly #onMessage: ConnectOptions['onMessage'];
  readonly #inFlight = new InFlight();
  readonly #streams = new EventStreams();
  /** Not a number, so that a reply left over from an earlier connection cannot be taken for the answer to our handshake. */
  readonly #handshakeId = `c${randomBytes(6).toString('hex')}`;
  #state: ClientState = { name: 'greeting' };
  #greeting: Greeting | null = null;
  readonly #greetingWait = new GreetingWait();
  #oob = false;
  /** The number the guest agent is asked to return, so that its answer is recognized even without an id. */
  readonly #syncNumber = randomInt(2 ** 47);
  #lastId = 0;
  #corked = false;
  #resolveClosed: (error: ConnectionError | null) => void = () => {};

  /**
   * Connects and negotiates.
   * @throws ConnectionError when nobody answers, or the peer is not a QMP server; QmpError when it refuses the negotiation;
   *   the reason of `options.signal`
   */
  static async connect(target: QmpTarget, options: ConnectOptions = {}): Promise<QmpClient> {
    const where = describeTarget(target);
    const timeout = options.timeout ?? DEFAULT_TIMEOUT_MS;
    const expiry = new AbortController();
    const timer = Number.isFinite(timeout) ? setTimeout(() => expiry.abort(), timeout) : undefined;
    const abandon = () => expiry.abort();
    options.signal?.addEventListener('abort', abandon, { once: true });
    try {
      options.signal?.throwIfAborted();
      const stream = await openStream(target, expiry.signal);
      const client = new QmpClient(stream, where, options);
      expiry.signal.addEventListener('abort', () => client.#fail('QMPMUX_CLOSED', 'gave up connecting'), {
        once: true,
      });
      try {
        await client.#start(options, () => clearTimeout(timer));
      } catch (error) {
        client.destroy();
        throw error;
      }
      if (connected.hasSubscribers) connected.publish({ client, where, greeting: client.greeting });
      return client;
    } catch (error) {
      options.signal?.throwIfAborted();
      if (!expiry.signal.aborted) throw error;
      throw new ConnectionError(
        'QMPMUX_GREETING_TIMEOUT',
        options.greeting === false
          ? `${where}: no answer to ${SYNC} within ${timeout} ms; the guest agent may not be running, or be busy with another command`
          : `${where}: no greeting within ${timeout} ms; if it is QEMU, it may be serving another client`,
      );
    } finally {
      clearTimeout(timer);
      options.signal?.removeEventListener('abort', abandon);
    }
  }

  private constructor(stream: Duplex, where: string, options: ConnectOptions) {
    super();
    this.#where = where;
    this.#stream = stream;
    this.#onMessage = options.onMessage;
    this.#reader = new PacedReader(options.maxMessageBytes ?? DEFAULT_MAX_MESSAGE_BYTES, {
      read: (bytes) => this.#onMessage?.('received', bytes),
      take: (bytes) => this.#message(bytes),
      malformed: (reason) => this.#malformed(reason),
    });
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    stream.on('data', (chunk: Buffer | string) => {
      this.#reader.push(typeof chunk === 'string' ? Buffer.from(chunk) : chunk);
    });
    stream.on('error', (error) => this.#lost(error));
    stream.on('end', () => this.#lost());
    stream.on('close', () => this.#lost());
  }

  get state(): ClientState {
    return this.#state;
  }

  /** Whether out-of-band execution is enabled: wanted, offered and negotiated. */
  get oob(): boolean {
    return this.#oob;
  }

  /** Without any, where none was waited for, it is empty. */
  get greeting(): Greeting {
    if (this.#greeting === null) throw new Error('the greeting is there once connect has resolved'); // which is the only way to a client
    return this.#greeting;
  }

  /** Commands sent and not answered yet, aborted ones included. */
  get inFlight(): number {
    return this.#inFlight.size;
  }

  /**
   * Executes a command in-band: after those sent before it.
   * @param args `arguments` of the command. Integers beyond 2^53 are written as bigints.
   * @returns the value of `return`. An integer that a number cannot hold exactly is a bigint, any other a number. The value is not checked
   * against the type parameter.
   * @throws QmpError the server's answer is an error; ConnectionError no answer can come any more; TypeError `args` cannot
   *   be written as JSON; the reason of `options.signal`
   */
  async execute<T extends JsonValue = JsonValue>(
    name: string,
    args?: JsonObject,
    options: CommandOptions = {},
  ): Promise<T> {
    return this.#traced(name, false, () => this.#execute('execute', name, args, options));
  }

  /**
   * Executes a command out-of-band: at once, overtaking commands in flight. Only a few commands allow it
   * (`query-qmp-schema` marks them `allow-oob`).
   * @throws as `execute`; OobUnavailableError when `oob` is false
   */
  async executeOob<T extends JsonValue = JsonValue>(
    name: string,
    args?: JsonObject,
    options: CommandOptions = {},
  ): Promise<T> {
    if (!this.#oob) {
      throw new OobUnavailableError(
        this.greeting.capabilities.includes('oob')
          ? 'out-of-band execution is not enabled: connect with { oob: true }'
          : `${this.#where} does not offer out-of-band execution`,
      );
    }
    return this.#traced(name, true, () => this.#execute('exec-oob', name, args, options));
  }

  /**
   * Sends a command as it is written, in QEMU's JSON (single quotes are fine), and hands out the reply as it was written.
   * @param command one message: text, or bytes in UTF-8. With an id, that comes back; without, the reply has none.
   * @returns the reply, be it a return or an error
   * @throws MalformedCommandError it is not one JSON object, and was not sent; otherwise as `execute`, but for QmpError
   */
  async executeRaw(command: string | Uint8Array, options: CommandOptions = {}): Promise<RawReply> {
    const { signal } = options;
    signal?.throwIfAborted();
    const { bytes, name, oob } = prepareCommand(command, this.#lastId + 1);
    if (this.#state.name !== 'running') throw this.#closedError(`and ${name || 'the command'} was not sent`);
    const id = ++this.#lastId;
    return this.#traced(name, oob, () => {
      this.#write(bytes);
      return this.#inFlight.waitRaw(id, name || 'the command', signal);
    });
  }

  /**
   * Events from now on, until the iteration is left or the connection ends. Each call gives an independent iterator.
   * None is missed between `connect` and a call that follows it without a pause.
   * @throws (while iterating) EventOverflowError after the events that were kept; the reason of `options.signal`
   */
  events(options: EventsOptions = {}): AsyncIterableIterator<QmpEvent, undefined> {
    return this.#streams.open(options);
  }

  /**
   * Ends the connection in good order: commands in flight are answered, new ones refused.
   * @returns when the connection has ended, however it did
   */
  async close(): Promise<void> {
    if (this.#state.name !== 'closed' && this.#state.name !== 'closing') {
      this.#state = { name: 'closing' };
      // Only this side: QEMU drops commands that it has not begun when the whole connection is closed.
      this.#stream.end();
      this.#closeWhenAnswered();
    }
    await this.closed;
  }

  /** Ends the connection at once. Commands in flight fail; whether QEMU executes them is open. */
  destroy(): void {
    this.#end(null);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #start(options: ConnectOptions, greeted: () => void): Promise<void> {
    if (options.greeting === false) {
      this.#greeting = NO_GREETING;
      await this.#synchronize();
      return;
    }
    const greeting = await new Promise<Greeting>((resolve, reject) => {
      void this.#greetingWait.greeting.then(resolve);
      void this.closed.then((error) => reject(error ?? this.#closedError('before its greeting')));
    });
    greeted();
    this.#greeting = greeting;
    if (options.negotiate === false) {
      this.#state = { name: 'running' };
      return;
    }
    this.#state = { name: 'negotiating' };
    const oob = options.oob === true && greeting.capabilities.includes('oob');
    const enable = oob ? { arguments: { enable: ['oob'] } } : {};
    this.#write(`${formatJson({ execute: 'qmp_capabilities', ...enable, id: this.#handshakeId })}\n`);
    const answer = await this.#inFlight.wait(this.#handshakeId, 'qmp_capabilities');
    returned(answer, 'qmp_capabilities');
    this.#oob = oob;
  }

  /** Discards the remains of an earlier client on either side: half a command, whole and half answers. */
  async #synchronize(): Promise<void> {
    this.#state = { name: 'negotiating' };
    this.#reader.isSeeking = true;
    this.#stream.write(RESET);
    this.#write(`${formatJson({ execute: SYNC, arguments: { id: this.#syncNumber }, id: this.#handshakeId })}\n`);
    // An error will do: QEMU knows no such command, an agent may have disabled it, but both have read it.
    await this.#inFlight.wait(this.#handshakeId, SYNC);
  }

  /** Tells the channel of commands, if anyone listens there. */
  #traced<T>(command: string, oob: boolean, run: () => Promise<T>): Promise<T> {
    return isTraced() ? traced({ client: this, where: this.#where, command, oob }, run) : run();
  }

  async #execute<T extends JsonValue>(
    how: 'execute' | 'exec-oob',
    name: string,
    args: JsonObject | undefined,
    { signal }: CommandOptions,
  ): Promise<T> {
    signal?.throwIfAborted();
    if (this.#state.name !== 'running') throw this.#closedError(`and ${name} was not sent`);
    const id = ++this.#lastId;
    const message = { [how]: name, ...(args === undefined ? {} : { arguments: args }), id };
    this.#write(`${formatJson(message)}\n`);
    const answer = await this.#inFlight.wait(id, name, signal);
    // The type parameter is the caller's claim about the command, as documented.
    return returned(answer, name) as T;
  }

  /** Collects the writes of one turn of the event loop into one system call. */
  #write(text: string | Buffer): void {
    if (!this.#corked) {
      this.#corked = true;
      this.#stream.cork();
      process.nextTick(() => {
        this.#corked = false;
        this.#stream.uncork();
      });
    }
    this.#onMessage?.('sent', Buffer.from(text).subarray(0, -1)); // without its line feed
    this.#stream.write(text);
  }

  #message(bytes: Buffer): void {
    if (this.#inFlight.hasRaw && this.#rawReply(bytes)) return;
    const parsed = parseJson(bytes.toString('utf8'));
    if (!parsed.ok || !isJsonObject(parsed.value)) {
      this.#malformed(parsed.ok ? 'a message is not an object' : parsed.reason);
      return;
    }
    const message = parsed.value;
    if (this.#state.name === 'greeting') this.#greet(message, bytes);
    else if ('return' in message || 'error' in message) this.#reply(message, bytes);
    else if (typeof message['event'] === 'string') {
      if (!this.#reader.hasAnswered) this.#event(message['event'], message, bytes);
      else this.#reader.hold(bytes);
    } else if (!('QMP' in message)) this.#malformed('a message is neither a reply nor an event');
  }

  #greet(message: JsonObject, bytes: Buffer): void {
    const problem = this.#greetingWait.take(message, bytes);
    if (problem !== null) this.#malformed(problem);
    else if (this.#greetingWait.isOver) this.#reader.hold();
  }

  /** @returns whether the message answers a raw command. */
  #rawReply(bytes: Buffer): boolean {
    const outline = outlineReply(bytes);
    if (outline === null || !outline.members.some(({ name }) => name === 'return' || name === 'error')) return false;
    const pending = outline.id === null ? undefined : this.#inFlight.get(outline.id);
    if (outline.id === null || pending?.raw !== true) return false;
    this.#settled(outline.id);
    pending.answered(restoreReply(bytes, outline));
    return true;
  }

  #reply(message: JsonObject, bytes: Buffer): void {
    const id = message['id'];
    const key = typeof id === 'number' || typeof id === 'string' ? id : this.#ownerOf(message);
    const pending = key === undefined ? undefined : this.#inFlight.get(key);
    if (this.#reader.isSeeking && id === undefined && message['return'] === this.#syncNumber) {
      this.#fail('QMPMUX_NOT_QMP', 'this guest agent is too old: it answers without the id of the command');
    }
    // Anything else is a reply that was due to an earlier client: QEMU sends it to the next one.
    if (key === undefined || pending === undefined) return;
    if (key === this.#handshakeId && this.#state.name === 'negotiating') {
      this.#state = { name: 'running' };
      this.#reader.isSeeking = false;
      this.#reader.hold();
    }
    this.#settled(key);
    if (pending.raw) pending.answered({ bytes, isError: 'error' in message });
    else pending.answered(message);
  }

  /** A command in flight has its answer. */
  #settled(key: CommandId): void {
    this.#inFlight.delete(key);
    this.#reader.answered();
    if (this.#state.name === 'closing') this.#closeWhenAnswered();
  }

  /** A parse error comes without an id. It belongs to the oldest command in flight, as commands are read in order. */
  #ownerOf(message: JsonObject): CommandId | undefined {
    if (!('error' in message) || 'id' in message || this.#state.name === 'negotiating') return undefined;
    return this.#inFlight.oldest();
  }

  #event(name: string, message: JsonObject, bytes: Buffer): void {
    const event = readEvent(name, message, bytes);
    this.#streams.push(event);
    try {
      this.emit('event', event);
    } catch (error) {
      // A listener's fault: reported as uncaught like any other, but it must not cost the messages that follow.
      process.nextTick(() => {
        throw error;
      });
    }
  }

  #malformed(reason: string): void {
    if (this.#reader.isSeeking) return; // it began in the middle of something
    if (this.#state.name === 'greeting') {
      const advice = /QEMU [\w.]+ monitor/.test(reason)
        ? '; that is a human monitor: use nc -U or socat; the shell reaches a human monitor through QMP'
        : '';
      this.#fail('QMPMUX_NOT_QMP', `this is not a QMP server: ${reason}${advice}`);
    } else this.#fail('QMPMUX_MALFORMED', `the server broke the protocol: ${reason}`);
  }

  #fail(code: ConnectionErrorCode, what: string): void {
    this.#end(new ConnectionError(code, `${this.#where}: ${what}`));
  }

  /** EOF, or an error, which after EOF-like resets (QEMU's `quit`) is the same. */
  #lost(cause?: Error): void {
    if (this.#state.name === 'closed') return;
    if (this.#reader.isHolding) {
      // Input from before the end is still to be read.
      setImmediate(() => this.#lost(cause));
      return;
    }
    if (this.#state.name === 'closing' && this.#inFlight.size === 0) this.#end(null);
    else {
      const where = this.#reader.isInsideMessage ? ' in the middle of a message' : '';
      const early = this.#state.name === 'greeting' ? ' before its greeting' : where;
      this.#end(
        new ConnectionError('QMPMUX_CLOSED', `${this.#where}: the server closed the connection${early}`, cause),
      );
    }
  }

  #closeWhenAnswered(): void {
    if (this.#inFlight.size > 0) return;
    const timer = setTimeout(() => this.#end(null), CLOSE_GRACE_MS);
    void this.closed.then(() => clearTimeout(timer));
  }

  /** The one way to `closed`. */
  #end(error: ConnectionError | null): void {
    if (this.#state.name === 'closed') return;
    this.#state = { name: 'closed', error };
    this.#reader.stop();
    this.#stream.destroy();
    this.#inFlight.failAll((name) => {
      const what = `before ${name} was answered`;
      return error === null
        ? this.#closedError(what)
        : new ConnectionError(error.code, `${error.message}, ${what}`, error);
    });
    this.#streams.finish();
    this.#resolveClosed(error);
    if (closed.hasSubscribers) closed.publish({ client: this, where: this.#where, error });
    this.emit('close', error);
  }

  #closedError(what: string): ConnectionError {
    return new ConnectionError('QMPMUX_CLOSED', `${this.#where}: the connection is closed, ${what}`);
  }
}
